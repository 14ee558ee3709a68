//! What a seed may be: whole numbers of any size, lists of them, or a seed sequence.
//!
//! NumPy cuts every number into words of 32 bits, the low ones first, and a list into the words of
//! its numbers, one after another. Zero is one word. So a number too large for `u128` is the list of
//! its words.

use super::SeedSequence;

/// What a [`SeedSequence`], a bit generator or [`default_rng`](super::default_rng) is seeded with.
///
/// Whole numbers, arrays, slices and vectors of them, and seed sequences themselves. A negative
/// number panics: NumPy takes none either.
///
/// ```
/// use mobula::random::SeedSequence;
///
/// // A number is the list of its 32-bit words.
/// let number = SeedSequence::new(0x0000_0002_0000_0001_u64);
/// assert_eq!(number, SeedSequence::new([1, 2]));
/// ```
pub trait Seed {
    /// The seed sequence that this stands for.
    fn into_seed_sequence(self) -> SeedSequence;
}

/// A whole number in a seed.
pub trait SeedNumber: Copy {
    /// Appends its words of 32 bits, the low ones first.
    fn append_words(self, words: &mut Vec<u32>);
}

macro_rules! unsigned {
    ($($number:ty),*) => {$(
        impl SeedNumber for $number {
            fn append_words(self, words: &mut Vec<u32>) {
                append_words(self as u128, words);
            }
        }
    )*};
}

macro_rules! signed {
    ($($number:ty => $unsigned:ty),*) => {$(
        impl SeedNumber for $number {
            fn append_words(self, words: &mut Vec<u32>) {
                let number = <$unsigned>::try_from(self);
                let number = number.unwrap_or_else(|_| panic!("the seed {self} is negative: it must be 0 or more"));
                append_words(number as u128, words);
            }
        }
    )*};
}

macro_rules! seeds {
    ($($number:ty),*) => {$(
        impl Seed for $number {
            fn into_seed_sequence(self) -> SeedSequence {
                [self].as_slice().into_seed_sequence()
            }
        }
    )*};
}

unsigned!(u8, u16, u32, u64, u128, usize);
// A literal without a type is an `i32`.
signed!(i32 => u32, i64 => u64);
seeds!(u8, u16, u32, u64, u128, usize, i32, i64);

fn append_words(mut number: u128, words: &mut Vec<u32>) {
    loop {
        words.push(number as u32);
        number >>= 32;
        if number == 0 {
            return;
        }
    }
}

impl<N: SeedNumber> Seed for &[N] {
    fn into_seed_sequence(self) -> SeedSequence {
        let mut words = Vec::with_capacity(self.len());
        self.iter().for_each(|number| number.append_words(&mut words));
        SeedSequence::from_words(words)
    }
}

impl<N: SeedNumber, const LENGTH: usize> Seed for [N; LENGTH] {
    fn into_seed_sequence(self) -> SeedSequence {
        self.as_slice().into_seed_sequence()
    }
}

impl<N: SeedNumber> Seed for &Vec<N> {
    fn into_seed_sequence(self) -> SeedSequence {
        self.as_slice().into_seed_sequence()
    }
}

impl<N: SeedNumber> Seed for Vec<N> {
    fn into_seed_sequence(self) -> SeedSequence {
        self.as_slice().into_seed_sequence()
    }
}

impl Seed for SeedSequence {
    fn into_seed_sequence(self) -> SeedSequence {
        self
    }
}

impl Seed for &SeedSequence {
    fn into_seed_sequence(self) -> SeedSequence {
        self.clone()
    }
}
