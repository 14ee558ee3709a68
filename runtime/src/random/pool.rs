//! The pool of a seed sequence: entropy of any size, mixed into a few words.
//!
//! The method is M. E. O'Neill's ("Developing a seed_seq alternative", pcg-random.org, 2015), with the
//! constants that she gives and NumPy took over. Every word of entropy reaches every word of the pool.
//!
//! Invariant: what a pool is depends on the words that it absorbed, in order, and on nothing else. So a
//! child's pool is its parent's, with the words of one more index absorbed: it costs the same at any
//! depth of a tree. And a pool says all that there is to say of the streams below it, in five words.

use smallvec::SmallVec;

use super::StateWord;

/// Words in a pool, unless asked otherwise: as many bits as a UUID has.
pub(super) const WORDS: usize = 4;

const HASH_FIRST: u32 = 0x43b0_d7e5;
const HASH_FACTOR: u32 = 0x931e_8875;
const OUTPUT_FIRST: u32 = 0x8b51_f9dd;
const OUTPUT_FACTOR: u32 = 0x58f3_8ded;
const MIX_LEFT: u32 = 0xca01_f9dd;
const MIX_RIGHT: u32 = 0x4973_f715;
/// Half a word: the high half of a product is the well-mixed one.
const SHIFT: u32 = 16;

/// The words, and where the hash that feeds them has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    words: SmallVec<[u32; WORDS]>,
    hash: Hash,
}

/// A hash of a word that is another one at each use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hash {
    constant: u32,
}

impl Pool {
    /// A pool of `size` words that has absorbed `entropy`. Where that has fewer words, zeros follow.
    pub(super) fn new(entropy: &[u32], size: usize) -> Self {
        let mut hash = Hash { constant: HASH_FIRST };
        let padded = entropy.iter().copied().chain(std::iter::repeat(0));
        let words = padded.take(size).map(|word| hash.next(word, HASH_FACTOR)).collect();
        let mut pool = Self { words, hash };
        for from in 0..size {
            for to in (0..size).filter(|to| *to != from) {
                pool.stir(to, pool.words[from]);
            }
        }
        entropy.iter().skip(size).for_each(|word| pool.absorb(*word));
        pool
    }

    /// Its words, the last of which tells where the hash has come to.
    pub(crate) fn to_words(&self) -> Vec<u32> {
        self.words.iter().copied().chain([self.hash.constant]).collect()
    }

    /// The pool of those words. None: there are too few.
    pub(crate) fn from_words(words: &[u32]) -> Option<Self> {
        let (&constant, words) = words.split_last().filter(|(_, words)| !words.is_empty())?;
        Some(Self { words: words.into(), hash: Hash { constant } })
    }

    pub(super) fn size(&self) -> usize {
        self.words.len()
    }

    /// Mixes one more word into all words.
    fn absorb(&mut self, word: u32) {
        let hash = &mut self.hash;
        let mix = |to: &mut u32| *to = mixed(*to, hash.next(word, HASH_FACTOR));
        // Most pools have so many words, and then nothing has to be counted.
        match <&mut [u32; WORDS]>::try_from(&mut self.words[..]) {
            Ok(words) => words.iter_mut().for_each(mix),
            Err(_) => self.words.iter_mut().for_each(mix),
        }
    }

    /// Becomes the pool of the child of this index: NumPy's spawn key, one index longer.
    pub(crate) fn descend(&mut self, index: u64) {
        self.absorb(index as u32);
        let high = (index >> 32) as u32;
        if high != 0 {
            self.absorb(high);
        }
    }

    fn stir(&mut self, to: usize, word: u32) {
        self.words[to] = mixed(self.words[to], self.hash.next(word, HASH_FACTOR));
    }

    /// Words without end, each from the next word of the pool, around and around.
    pub(super) fn output(&self) -> impl Iterator<Item = u32> {
        let mut hash = Hash { constant: OUTPUT_FIRST };
        self.words.iter().cycle().map(move |word| hash.next(*word, OUTPUT_FACTOR))
    }

    /// What a generator with `N` words of state starts from.
    pub(super) fn state<const N: usize>(&self) -> [u64; N] {
        let mut words = self.output();
        std::array::from_fn(|_| u64::from_words(&mut words))
    }
}

/// A word of a pool and a hash become one word.
fn mixed(word: u32, hash: u32) -> u32 {
    let mixed = word.wrapping_mul(MIX_LEFT).wrapping_sub(hash.wrapping_mul(MIX_RIGHT));
    mixed ^ (mixed >> SHIFT)
}

impl Hash {
    fn next(&mut self, word: u32, factor: u32) -> u32 {
        let word = word ^ self.constant;
        self.constant = self.constant.wrapping_mul(factor);
        let word = word.wrapping_mul(self.constant);
        word ^ (word >> SHIFT)
    }
}
