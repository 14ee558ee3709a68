//! PCG64, which NumPy's generators run on by default.
//!
//! A linear congruential generator of 128 bits whose output is a xorshift and a random rotation of
//! its state: PCG XSL RR 128/64 (M. E. O'Neill, "PCG: A family of simple fast space-efficient
//! statistically good algorithms for random number generation", 2014). `rand_pcg` has it; NumPy adds
//! the seeding, the halves and the jumps.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::halves::{Halves, rand_traits};
use super::pcg64_dxsm::{STRIDE, two_numbers};
use super::pool::Pool;
use super::{Seed, SeedSequence};

/// The bit generator of `np.random.default_rng`: `np.random.PCG64`, bit for bit.
///
/// ```
/// use mobula::random::Pcg64;
/// use rand::Rng;
///
/// // What NumPy gives for PCG64(42).random_raw(2).
/// let mut bits = Pcg64::new(42);
/// assert_eq!([bits.next_u64(), bits.next_u64()], [14276969152011380360, 8095878257575067585]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pcg64 {
    bits: rand_pcg::Pcg64,
    halves: Halves,
}

impl Pcg64 {
    /// The generator that NumPy makes for this seed: `PCG64(seed)`.
    pub fn new(seed: impl Seed) -> Self {
        Self::from_seed_sequence(&seed.into_seed_sequence())
    }

    fn from_seed_sequence(seed: &SeedSequence) -> Self {
        Self::from_state(seed.state())
    }

    /// The generator of the seed sequence that has this pool.
    pub(crate) fn from_pool(pool: &Pool) -> Self {
        Self::from_state(pool.state())
    }

    fn from_state(words: [u64; 4]) -> Self {
        let [state, stream] = two_numbers(words);
        Self { bits: rand_pcg::Pcg64::new(state, stream), halves: Halves::default() }
    }

    /// Moves on as `delta` draws of 64 bits would, in no time: `advance(delta)`. To move back, give
    /// `delta.wrapping_neg()`. A waiting half is dropped.
    pub fn advance(&mut self, delta: u128) {
        self.bits.advance(delta);
        self.halves = Halves::default();
    }

    /// The generator that starts `jumps` strides from here: `jumped(jumps)`. A stride is 2^128 times
    /// the golden section of 1, about 2.1e38 draws: streams some strides apart do not overlap.
    ///
    /// ```
    /// use mobula::random::{Generator, Pcg64};
    ///
    /// // What NumPy gives for Generator(PCG64(42).jumped(2)).random().
    /// let mut rng = Generator::new(Pcg64::new(42).jumped(2));
    /// assert_eq!(rng.random::<f64, _>(()), 0.4704957549348807);
    /// ```
    #[must_use = "the generator itself stays where it is"]
    pub fn jumped(&self, jumps: u128) -> Self {
        let mut jumped = self.clone();
        jumped.advance(STRIDE.wrapping_mul(jumps));
        jumped
    }
}

rand_traits!(Pcg64, 4);
