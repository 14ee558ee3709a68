//! Whole numbers from 0 to a limit, each equally likely.
//!
//! D. Lemire, "Fast random integer generation in an interval", 2019: a random word times the number of
//! values; the high word of the product is the result, and where the low word shows that it would come
//! too often, the draw is made again. NumPy takes the narrowest draw that will do: limits below 2^32
//! take 32 bits, and for the types of 8 and 16 bits a word of 32 is cut into pieces.

use rand::Rng;

/// A number from 0 to `limit`, that included.
#[inline]
pub(super) fn up_to(bits: &mut impl Rng, limit: u64) -> u64 {
    match u32::try_from(limit) {
        Ok(0) => 0,
        Ok(limit) => u64::from(up_to_u32(bits, limit)),
        Err(_) => up_to_u64(bits, limit),
    }
}

/// For a limit of 2^32 and above.
#[inline]
pub(super) fn up_to_u64(bits: &mut impl Rng, limit: u64) -> u64 {
    let Some(values) = limit.checked_add(1) else { return bits.next_u64() };
    let mut product = u128::from(bits.next_u64()) * u128::from(values);
    if (product as u64) < values {
        let threshold = (u64::MAX - limit) % values;
        while (product as u64) < threshold {
            product = u128::from(bits.next_u64()) * u128::from(values);
        }
    }
    (product >> 64) as u64
}

/// For a limit that is not 0, where nothing would be drawn.
#[inline]
pub(super) fn up_to_u32(bits: &mut impl Rng, limit: u32) -> u32 {
    let Some(values) = limit.checked_add(1) else { return bits.next_u32() };
    let mut product = u64::from(bits.next_u32()) * u64::from(values);
    if (product as u32) < values {
        let threshold = (u32::MAX - limit) % values;
        while (product as u32) < threshold {
            product = u64::from(bits.next_u32()) * u64::from(values);
        }
    }
    (product >> 32) as u32
}

/// Words of `WIDTH` bits, 8 or 16, cut from words of 32, the low ones first. What is left at the end of
/// a call is dropped.
#[derive(Default)]
pub(super) struct Pieces<const WIDTH: u32> {
    word: u32,
    left: u32,
}

impl<const WIDTH: u32> Pieces<WIDTH> {
    const MAX: u32 = (1 << WIDTH) - 1;

    #[inline]
    fn next(&mut self, bits: &mut impl Rng) -> u32 {
        if self.left == 0 {
            self.word = bits.next_u32();
            self.left = 32 / WIDTH;
        } else {
            self.word >>= WIDTH;
        }
        self.left -= 1;
        self.word & Self::MAX
    }

    /// For a limit that is not 0.
    #[inline]
    pub(super) fn up_to(&mut self, bits: &mut impl Rng, limit: u32) -> u32 {
        if limit == Self::MAX {
            return self.next(bits);
        }
        let values = limit + 1;
        let mut product = self.next(bits) * values;
        if product & Self::MAX < values {
            let threshold = (Self::MAX - limit) % values;
            while product & Self::MAX < threshold {
                product = self.next(bits) * values;
            }
        }
        product >> WIDTH
    }
}
