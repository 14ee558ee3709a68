//! The two precisions that NumPy draws in.
//!
//! The double and the single precision of a distribution are two streams: they take 64 and 32 bits at
//! a time and have tables of their own. What both have in common is written once, over [`Real`].

use ndarray::NdFloat;
use rand::Rng;

use super::{exponential, normal};

/// A number to draw: `f64` or `f32`, NumPy's `dtype=np.float64` and `dtype=np.float32`.
pub trait Real: NdFloat + sealed::Sealed {
    /// The nearest number of this type.
    #[doc(hidden)]
    fn nearest(x: f64) -> Self;

    /// Uniform from 0 to below 1.
    #[doc(hidden)]
    fn unit(bits: &mut impl Rng) -> Self;

    #[doc(hidden)]
    fn standard_normal(bits: &mut impl Rng) -> Self;

    #[doc(hidden)]
    fn standard_exponential(bits: &mut impl Rng) -> Self;
}

impl Real for f64 {
    #[inline]
    fn nearest(x: f64) -> Self {
        x
    }

    /// The 53 high bits of 64.
    #[inline]
    fn unit(bits: &mut impl Rng) -> Self {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        (bits.next_u64() >> 11) as f64 * STEP
    }

    #[inline]
    fn standard_normal(bits: &mut impl Rng) -> Self {
        normal::standard_f64(bits)
    }

    #[inline]
    fn standard_exponential(bits: &mut impl Rng) -> Self {
        exponential::standard_f64(bits)
    }
}

impl Real for f32 {
    #[inline]
    fn nearest(x: f64) -> Self {
        x as f32
    }

    /// The 24 high bits of 32.
    #[inline]
    fn unit(bits: &mut impl Rng) -> Self {
        const STEP: f32 = 1.0 / (1_u32 << 24) as f32;
        (bits.next_u32() >> 8) as f32 * STEP
    }

    #[inline]
    fn standard_normal(bits: &mut impl Rng) -> Self {
        normal::standard_f32(bits)
    }

    #[inline]
    fn standard_exponential(bits: &mut impl Rng) -> Self {
        exponential::standard_f32(bits)
    }
}

/// The whole number at `x` or next below it. On x86-64 without SSE4.1 `f64::floor` would be a call.
#[inline]
pub(super) fn floor(x: f64) -> i64 {
    let truncated = x as i64;
    truncated - i64::from(truncated as f64 > x)
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f64 {}
    impl Sealed for f32 {}
}
