//! Whole numbers of every type from a range.
//!
//! The type decides which bits are taken (see `bounded`), as the `dtype` does in NumPy.

use std::ops::{Bound, RangeBounds};

use rand::Rng;

use super::bounded::{self, Pieces};
use super::size::Size;
use crate::error::{Error, ErrorKind, Result};

/// A whole number to draw: `i8` to `i64`, `u8` to `u64`, `isize` and `usize`.
pub trait Integer: Copy + std::fmt::Display + sealed::Sealed {
    #[doc(hidden)]
    const LEAST: Self;
    #[doc(hidden)]
    const GREATEST: Self;

    /// The next number up; none after the last.
    #[doc(hidden)]
    fn above(self) -> Option<Self>;

    /// The next number down; none before the first.
    #[doc(hidden)]
    fn below(self) -> Option<Self>;

    /// How far `high` is above `low`; none: it is below.
    #[doc(hidden)]
    fn distance(low: Self, high: Self) -> Option<u64>;

    /// Numbers from `low` to `span` above it.
    #[doc(hidden)]
    fn fill<S: Size<Self>>(bits: &mut impl Rng, low: Self, span: u64, size: S) -> S::Output;
}

/// Draws from the range.
pub(super) fn draw<T: Integer, S: Size<T>>(
    bits: &mut impl Rng,
    range: impl RangeBounds<T>,
    size: S,
) -> Result<S::Output> {
    let low = match range.start_bound() {
        Bound::Included(low) => Some(*low),
        Bound::Excluded(below) => below.above(),
        Bound::Unbounded => Some(T::LEAST),
    };
    let high = match range.end_bound() {
        Bound::Included(high) => Some(*high),
        Bound::Excluded(above) => above.below(),
        Bound::Unbounded => Some(T::GREATEST),
    };
    let ends = low.zip(high);
    match ends.and_then(|(low, high)| Some((low, T::distance(low, high)?))) {
        Some((low, span)) => Ok(T::fill(bits, low, span, size)),
        None => {
            let message = "there is no whole number in the range: its end must be above its start";
            Err(Error::new(ErrorKind::Value, message))
        }
    }
}

/// `fill` for the wide types, which draw without pieces.
macro_rules! wide_fill {
    () => {
        #[inline]
        fn fill<S: Size<Self>>(bits: &mut impl Rng, low: Self, span: u64, size: S) -> S::Output {
            match u32::try_from(span) {
                Ok(0) => size.fill(|| low),
                Ok(span) => size.fill(|| low.wrapping_add(bounded::up_to_u32(bits, span) as Self)),
                Err(_) => size.fill(|| low.wrapping_add(bounded::up_to_u64(bits, span) as Self)),
            }
        }
    };
}

/// `fill` for the types of so many bits, which cut pieces off a word.
macro_rules! narrow_fill {
    ($width:literal) => {
        #[inline]
        fn fill<S: Size<Self>>(bits: &mut impl Rng, low: Self, span: u64, size: S) -> S::Output {
            if span == 0 {
                return size.fill(|| low);
            }
            let mut pieces = Pieces::<$width>::default();
            size.fill(|| low.wrapping_add(pieces.up_to(bits, span as u32) as Self))
        }
    };
}

macro_rules! integers {
    ($($integer:ident, $unsigned:ident, $fill:ident!($($width:literal)?);)*) => {$(
        impl Integer for $integer {
            const LEAST: Self = Self::MIN;
            const GREATEST: Self = Self::MAX;

            fn above(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn below(self) -> Option<Self> {
                self.checked_sub(1)
            }

            fn distance(low: Self, high: Self) -> Option<u64> {
                (low <= high).then(|| high.wrapping_sub(low) as $unsigned as u64)
            }

            $fill!($($width)?);
        }

        impl sealed::Sealed for $integer {}
    )*};
}

integers! {
    i8, u8, narrow_fill!(8);
    u8, u8, narrow_fill!(8);
    i16, u16, narrow_fill!(16);
    u16, u16, narrow_fill!(16);
    i32, u32, wide_fill!();
    u32, u32, wide_fill!();
    i64, u64, wide_fill!();
    u64, u64, wide_fill!();
    isize, usize, wide_fill!();
    usize, usize, wide_fill!();
}

mod sealed {
    pub trait Sealed {}
}
