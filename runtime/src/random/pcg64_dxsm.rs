//! PCG64DXSM, which NumPy advises for very many parallel streams.
//!
//! PCG64 with a cheaper multiplier and a stronger output function, "double xorshift multiply" (M. E.
//! O'Neill, pcg-cpp, 2019), so that streams with nearly equal increments do not show it. `rand_pcg` has
//! it; NumPy adds the seeding, the halves and the jumps.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::halves::{Halves, rand_traits};
use super::{Seed, SeedSequence};

/// 2^128 divided by the golden ratio, made odd: NumPy's jump of both PCG64.
pub(super) const STRIDE: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// The multiplier of PCG64 divided, modulo 2^128, by that of PCG64DXSM.
const FIRST_STEP: u128 = {
    const PCG64: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;
    const DXSM: u128 = 0xda94_2042_e4dd_58b5;
    PCG64.wrapping_mul(inverse(DXSM))
};

/// One over an odd number, modulo 2^128, by Newton's method: each step doubles the bits that are right,
/// and the number itself has three.
const fn inverse(odd: u128) -> u128 {
    let mut inverse = odd;
    let mut right = 3;
    while right < u128::BITS {
        inverse = inverse.wrapping_mul(2_u128.wrapping_sub(odd.wrapping_mul(inverse)));
        right *= 2;
    }
    inverse
}

/// `np.random.PCG64DXSM`, bit for bit.
///
/// ```
/// use mobula::random::Pcg64Dxsm;
/// use rand::Rng;
///
/// // What NumPy gives for PCG64DXSM(42).random_raw().
/// assert_eq!(Pcg64Dxsm::new(42).next_u64(), 12329818062196000797);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pcg64Dxsm {
    bits: rand_pcg::Pcg64Dxsm,
    halves: Halves,
}

impl Pcg64Dxsm {
    /// The generator that NumPy makes for this seed: `PCG64DXSM(seed)`.
    pub fn new(seed: impl Seed) -> Self {
        Self::from_seed_sequence(&seed.into_seed_sequence())
    }

    fn from_seed_sequence(seed: &SeedSequence) -> Self {
        Self::from_state(seed.state())
    }

    /// NumPy makes the first step from the seed with the multiplier of PCG64, and all others with its
    /// own. `rand_pcg` knows only that, so it is given a state from which it comes to the same.
    fn from_state(words: [u64; 4]) -> Self {
        let [state, stream] = two_numbers(words);
        let increment = stream << 1 | 1;
        let state = state.wrapping_add(increment).wrapping_mul(FIRST_STEP).wrapping_sub(increment);
        Self { bits: rand_pcg::Pcg64Dxsm::new(state, stream), halves: Halves::default() }
    }

    /// Moves on as `delta` draws of 64 bits would, in no time: `advance(delta)`. To move back, give
    /// `delta.wrapping_neg()`. A waiting half is dropped.
    pub fn advance(&mut self, delta: u128) {
        self.bits.advance(delta);
        self.halves = Halves::default();
    }

    /// The generator that starts `jumps` strides of about 2.1e38 draws from here: `jumped(jumps)`.
    #[must_use = "the generator itself stays where it is"]
    pub fn jumped(&self, jumps: u128) -> Self {
        let mut jumped = self.clone();
        jumped.advance(STRIDE.wrapping_mul(jumps));
        jumped
    }
}

rand_traits!(Pcg64Dxsm, 4);

/// State and stream from four words, of each number the high one first.
pub(super) fn two_numbers([a, b, c, d]: [u64; 4]) -> [u128; 2] {
    let joined = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
    [joined(a, b), joined(c, d)]
}
