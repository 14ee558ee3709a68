//! Philox, a generator without a chain: block n of its output is a function of n and a key.
//!
//! Philox4x64 with ten rounds (J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, "Parallel random
//! numbers: as easy as 1, 2, 3", 2011): a round multiplies two of the four words of the counter, and
//! mixes the halves of the products with the other words and the key. So every key is a stream, and a
//! jump is an addition.

use serde::{Deserialize, Serialize};

use super::halves::{Halves, rand_traits};
use super::{Seed, SeedSequence};

const ROUNDS: usize = 10;
const FACTORS: [u64; 2] = [0xd2e7_470e_e14c_6c93, 0xca5a_8263_9512_1157];
/// What the key grows by each round: the golden ratio, and the root of 3 less 1, as fractions of 2^64.
const KEY_STEPS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xbb67_ae85_84ca_a73b];

/// `np.random.Philox`, bit for bit.
///
/// ```
/// use mobula::random::Philox;
/// use rand::Rng;
///
/// // What NumPy gives for Philox(42).random_raw() and Philox(key=42, counter=7).random_raw().
/// assert_eq!(Philox::new(42).next_u64(), 1587852024645073290);
/// let mut bits = Philox::from_key([42, 0], [7, 0, 0, 0]);
/// assert_eq!(bits.next_u64(), 7515455408940056460);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Philox {
    bits: Blocks,
    halves: Halves,
}

/// The blocks of four words, and how much of the last one has been handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Blocks {
    /// 256 bits, the low word first: the number of the block in `block`.
    counter: [u64; 4],
    key: [u64; 2],
    block: [u64; 4],
    used: u8,
}

impl Philox {
    /// The generator that NumPy makes for this seed: `Philox(seed)`. Its counter begins at 0.
    pub fn new(seed: impl Seed) -> Self {
        Self::from_seed_sequence(&seed.into_seed_sequence())
    }

    /// The generator of this key and counter, the low words first: `Philox(key=.., counter=..)`.
    pub fn from_key(key: [u64; 2], counter: [u64; 4]) -> Self {
        let bits = Blocks { counter, key, block: [0; 4], used: 4 };
        Self { bits, halves: Halves::default() }
    }

    fn from_seed_sequence(seed: &SeedSequence) -> Self {
        Self::from_state(seed.state())
    }

    fn from_state(key: [u64; 2]) -> Self {
        Self::from_key(key, [0; 4])
    }

    /// Adds `blocks`, a number of 256 bits with its low word first, to the counter: `advance(blocks)`.
    /// A block is four draws of 64 bits. What is left of the current one is dropped, and so is a
    /// waiting half.
    pub fn advance(&mut self, blocks: [u64; 4]) {
        self.bits.add(blocks);
        self.bits.block = [0; 4];
        self.bits.used = 4;
        self.halves = Halves::default();
    }

    /// The generator that starts `jumps` times 2^128 blocks from here: `jumped(jumps)`.
    #[must_use = "the generator itself stays where it is"]
    pub fn jumped(&self, jumps: u128) -> Self {
        let mut jumped = self.clone();
        jumped.advance([0, 0, jumps as u64, (jumps >> 64) as u64]);
        jumped
    }
}

impl Blocks {
    #[inline]
    fn next_u64(&mut self) -> u64 {
        if self.used >= 4 {
            self.add([1, 0, 0, 0]);
            self.block = block(self.counter, self.key);
            self.used = 0;
        }
        let word = self.block[usize::from(self.used)];
        self.used += 1;
        word
    }

    fn add(&mut self, other: [u64; 4]) {
        let mut carry = false;
        for (word, other) in self.counter.iter_mut().zip(other) {
            let (sum, first) = word.overflowing_add(other);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*word, carry) = (sum, first || second);
        }
    }
}

/// The block of this number.
fn block(mut counter: [u64; 4], mut key: [u64; 2]) -> [u64; 4] {
    for _ in 0..ROUNDS {
        let [a, b, c, d] = counter;
        let (low_a, high_a) = product(a, FACTORS[0]);
        let (low_c, high_c) = product(c, FACTORS[1]);
        counter = [high_c ^ b ^ key[0], low_c, high_a ^ d ^ key[1], low_a];
        key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
    }
    counter
}

/// All 128 bits of a product: the low word and the high one.
fn product(a: u64, b: u64) -> (u64, u64) {
    let product = u128::from(a) * u128::from(b);
    (product as u64, (product >> 64) as u64)
}

rand_traits!(Philox, 2);
