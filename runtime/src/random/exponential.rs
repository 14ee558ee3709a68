//! Standard exponential numbers, by a ziggurat: as in `normal`, with one side only.
//!
//! The tail of an exponential distribution is the same distribution again, moved.

use rand::Rng;

use super::exponential_tables::{DENSITIES_F32, DENSITIES_F64, LAYERS_F32, LAYERS_F64};
use super::real::Real;

/// Where the tail begins.
const TAIL: f64 = 7.697_117_470_131_05;

#[inline]
pub(super) fn standard_f64<R: Rng>(bits: &mut R) -> f64 {
    loop {
        let drawn = bits.next_u64() >> 3;
        let layer = (drawn & 0xff) as usize;
        let place = drawn >> 8;
        let (inside, step) = LAYERS_F64[layer];
        let x = place as f64 * step;
        if place < inside {
            return x;
        }
        if let Some(x) = outside_f64(bits, layer, x) {
            return x;
        }
    }
}

/// A place that is not beneath the layer above: none, and the draw is made again.
#[cold]
fn outside_f64<R: Rng>(bits: &mut R, layer: usize, x: f64) -> Option<f64> {
    if layer == 0 {
        return Some(TAIL - (-f64::unit(bits)).ln_1p());
    }
    let (low, high) = (DENSITIES_F64[layer], DENSITIES_F64[layer - 1]);
    let height = (high - low) * f64::unit(bits) + low;
    (height < (-x).exp()).then_some(x)
}

#[inline]
pub(super) fn standard_f32<R: Rng>(bits: &mut R) -> f32 {
    loop {
        let drawn = bits.next_u32() >> 1;
        let layer = (drawn & 0xff) as usize;
        let place = drawn >> 8;
        let (inside, step) = LAYERS_F32[layer];
        let x = place as f32 * step;
        if place < inside {
            return x;
        }
        if let Some(x) = outside_f32(bits, layer, x) {
            return x;
        }
    }
}

#[cold]
fn outside_f32<R: Rng>(bits: &mut R, layer: usize, x: f32) -> Option<f32> {
    if layer == 0 {
        return Some(TAIL as f32 - (-f32::unit(bits)).ln_1p());
    }
    let (low, high) = (DENSITIES_F32[layer], DENSITIES_F32[layer - 1]);
    let height = (high - low) * f32::unit(bits) + low;
    (height < (-x).exp()).then_some(x)
}
