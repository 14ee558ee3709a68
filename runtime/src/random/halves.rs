//! Numbers of 32 bits from a generator of 64: each draw gives two.
//!
//! NumPy hands out the low half of a 64-bit number and keeps the high one for the next time. Draws of
//! 64 bits in between leave it lying.

use serde::{Deserialize, Serialize};

/// The high half that waits, if one does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Halves {
    waiting: Option<u32>,
}

impl Halves {
    #[inline]
    pub(super) fn next(&mut self, draw: impl FnOnce() -> u64) -> u32 {
        match self.waiting.take() {
            Some(high) => high,
            None => {
                let both = draw();
                self.waiting = Some((both >> 32) as u32);
                both as u32
            }
        }
    }
}

/// The traits of `rand` for a bit generator of `bits` and `halves`, made from so many words of state.
macro_rules! rand_traits {
    ($generator:ident, $words:literal) => {
        /// The bits are NumPy's: those of [`next_u32`](rand::Rng::next_u32) are the halves of those of
        /// [`next_u64`](rand::Rng::next_u64), the low one first.
        impl rand::TryRng for $generator {
            type Error = std::convert::Infallible;

            #[inline]
            fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
                let Self { halves, bits } = self;
                Ok(halves.next(|| bits.next_u64()))
            }

            #[inline]
            fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
                Ok(self.bits.next_u64())
            }

            fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
                let draw = || Ok(self.bits.next_u64());
                rand::rand_core::utils::fill_bytes_via_next_word(bytes, draw)
            }
        }

        /// [`seed_from_u64`](rand::SeedableRng::seed_from_u64) gives what NumPy gives for that seed.
        /// [`from_seed`](rand::SeedableRng::from_seed) takes the words, little-endian, that a
        /// [`SeedSequence`] would have generated.
        impl rand::SeedableRng for $generator {
            type Seed = [u8; 8 * $words];

            fn from_seed(seed: Self::Seed) -> Self {
                Self::from_state(rand::rand_core::utils::read_words::<u64, $words>(&seed))
            }

            fn seed_from_u64(seed: u64) -> Self {
                Self::new(seed)
            }
        }
    };
}

pub(super) use rand_traits;
