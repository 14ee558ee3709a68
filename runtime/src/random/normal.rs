//! Standard normal numbers, by a ziggurat.
//!
//! Marsaglia and Tsang, "The ziggurat method for generating random variables", 2000: one random
//! integer gives a layer, a sign and a place in the layer. In 99 of 100 cases the place lies beneath the
//! layer above, and that is all. Else the density decides; beyond the last layer, Marsaglia's method for
//! the tail does.

use rand::Rng;

use super::normal_tables::{DENSITIES_F32, DENSITIES_F64, LAYERS_F32, LAYERS_F64};
use super::real::Real;

/// Where the tail begins.
const TAIL: f64 = 3.654_152_885_361_009;

#[inline]
pub(super) fn standard_f64<R: Rng>(bits: &mut R) -> f64 {
    loop {
        let drawn = bits.next_u64();
        let layer = (drawn & 0xff) as usize;
        let place = (drawn >> 9) & 0x000f_ffff_ffff_ffff;
        let (inside, step) = LAYERS_F64[layer];
        // The sign moves into the number: a branch on it would be guessed wrong half of the time.
        let sign = (drawn & 0x100) << 55;
        let x = f64::from_bits((place as f64 * step).to_bits() | sign);
        if place < inside {
            return x;
        }
        if let Some(x) = outside_f64(bits, layer, place, x) {
            return x;
        }
    }
}

/// A place that is not beneath the layer above: none, and the draw is made again.
#[cold]
fn outside_f64<R: Rng>(bits: &mut R, layer: usize, place: u64, x: f64) -> Option<f64> {
    if layer == 0 {
        return Some(tail(bits, (place >> 8) & 1 == 1, TAIL));
    }
    let (low, high) = (DENSITIES_F64[layer], DENSITIES_F64[layer - 1]);
    let height = (high - low) * f64::unit(bits) + low;
    (height < (-0.5 * x * x).exp()).then_some(x)
}

#[inline]
pub(super) fn standard_f32<R: Rng>(bits: &mut R) -> f32 {
    loop {
        let drawn = bits.next_u32();
        let layer = (drawn & 0xff) as usize;
        let place = drawn >> 9;
        let (inside, step) = LAYERS_F32[layer];
        // The sign moves into the number: a branch on it would be guessed wrong half of the time.
        let sign = (drawn & 0x100) << 23;
        let x = f32::from_bits((place as f32 * step).to_bits() | sign);
        if place < inside {
            return x;
        }
        if let Some(x) = outside_f32(bits, layer, place, x) {
            return x;
        }
    }
}

#[cold]
fn outside_f32<R: Rng>(bits: &mut R, layer: usize, place: u32, x: f32) -> Option<f32> {
    if layer == 0 {
        return Some(tail(bits, (place >> 8) & 1 == 1, TAIL as f32));
    }
    let (low, high) = (DENSITIES_F32[layer], DENSITIES_F32[layer - 1]);
    let height = (high - low) * f32::unit(bits) + low;
    // The density is compared in double precision.
    let density = (-0.5 * f64::from(x) * f64::from(x)).exp();
    (f64::from(height) < density).then_some(x)
}

/// A number beyond `begin`: G. Marsaglia, "Generating a variable from the tail of the normal
/// distribution", 1964. The logarithms are of 1 less a uniform number, which is never 0.
fn tail<F: Real>(bits: &mut impl Rng, negative: bool, begin: F) -> F {
    let inverse = F::one() / begin;
    loop {
        let x = -inverse * (-F::unit(bits)).ln_1p();
        let y = -(-F::unit(bits)).ln_1p();
        if y + y > x * x {
            return if negative { -(begin + x) } else { begin + x };
        }
    }
}
