//! Seed sequences: from one seed, a tree of independent ones.
//!
//! Every node has the root's entropy and a spawn key, the indices of the way down to it. Both are mixed
//! into a pool (see `pool`), from which the states of bit generators are made. Two nodes of one tree, or
//! of trees with different entropy, give streams that have nothing to do with each other but by an
//! accident as rare as two equal UUIDs.

use rand::TryRng;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};

use super::Seed;
use super::pool::{Pool, WORDS};
use crate::error::{Error, ErrorKind, Result};

/// A seed of any size, and the seeds below it: `np.random.SeedSequence`, bit for bit.
///
/// ```
/// use mobula::random::{Generator, Pcg64, SeedSequence};
///
/// // What NumPy gives for SeedSequence(12345).generate_state(4).
/// let mut seed = SeedSequence::new(12345);
/// assert_eq!(seed.generate_state::<u32>(4), [2688385916, 3048105090, 4196366895, 3152189807]);
///
/// // A stream for each of ten workers, as by SeedSequence(12345).spawn(10).
/// let children = seed.spawn(10);
/// assert_eq!(children[3].spawn_key(), [3]);
/// let mut stream = Generator::new(Pcg64::new(&children[3]));
/// assert_eq!(stream.standard_normal::<f64, _>(()), -0.13935481613570197);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Parts", try_from = "Parts")]
pub struct SeedSequence {
    entropy: Vec<u32>,
    spawn_key: Vec<u64>,
    children: u64,
    pool: Pool,
}

impl SeedSequence {
    /// The root of a tree: `SeedSequence(seed)`.
    ///
    /// # Panics
    ///
    /// If the seed is, or has in it, a negative number.
    pub fn new(seed: impl Seed) -> Self {
        seed.into_seed_sequence()
    }

    pub(super) fn from_words(entropy: Vec<u32>) -> Self {
        let pool = Pool::new(&entropy, WORDS);
        Self { entropy, spawn_key: Vec::new(), children: 0, pool }
    }

    /// The root of a tree like no other, with 128 bits from the operating system:
    /// `SeedSequence()`. Keep its [`entropy`](Self::entropy) to make the same one again.
    ///
    /// # Errors
    ///
    /// [`Engine`](ErrorKind::Engine) where the operating system gives no random bits.
    pub fn from_os() -> Result<Self> {
        let mut bytes = [0; 16];
        SysRng.try_fill_bytes(&mut bytes).map_err(|error| {
            let message = format!("failed to get random bits from the operating system: {error}");
            Error::new(ErrorKind::Engine, message)
        })?;
        Ok(Self::new(u128::from_le_bytes(bytes)))
    }

    /// The same seed mixed into a pool of `size` words of 32 bits: `SeedSequence(seed, pool_size=size)`.
    /// The default, 4, is enough for most uses.
    ///
    /// # Errors
    ///
    /// [`Value`](ErrorKind::Value) for less than 4 words.
    pub fn with_pool_size(self, size: usize) -> Result<Self> {
        if size < WORDS {
            let message = format!("a pool has at least {WORDS} words, and {size} were asked for");
            return Err(Error::new(ErrorKind::Value, message));
        }
        let root = Self { spawn_key: Vec::new(), pool: Pool::new(&self.entropy, size), ..self };
        Ok(root.descend(&self.spawn_key))
    }

    /// What the whole tree is made from, in words of 32 bits, the low ones first.
    pub fn entropy(&self) -> &[u32] {
        &self.entropy
    }

    /// The indices of the way from the root to here.
    pub fn spawn_key(&self) -> &[u64] {
        &self.spawn_key
    }

    /// How many words of 32 bits the pool has.
    pub fn pool_size(&self) -> usize {
        self.pool.size()
    }

    /// How many children [`spawn`](Self::spawn) has made so far.
    pub fn n_children_spawned(&self) -> u64 {
        self.children
    }

    /// The next `n` children. No two calls give the same ones.
    pub fn spawn(&mut self, n: usize) -> Vec<Self> {
        let first = self.children;
        self.children += n as u64;
        (first..self.children).map(|index| self.child(index)).collect()
    }

    /// The child of this index, whether spawned or not: `SeedSequence(entropy, spawn_key=key + (index,))`.
    ///
    /// It costs the same however deep the tree is, but for the copy of entropy and key.
    ///
    /// ```
    /// use mobula::random::SeedSequence;
    ///
    /// let mut root = SeedSequence::new(1);
    /// let third = root.child(2).child(0);
    /// assert_eq!(third, root.spawn(3)[2].child(0));
    /// ```
    pub fn child(&self, index: u64) -> Self {
        self.clone().descend(&[index])
    }

    /// What the streams below are made of.
    pub(crate) fn into_pool(self) -> Pool {
        self.pool
    }

    /// The descendant at the end of a way: `SeedSequence(entropy, spawn_key=key + way)`.
    pub fn descendant(&self, way: &[u64]) -> Self {
        self.clone().descend(way)
    }

    fn descend(mut self, way: &[u64]) -> Self {
        way.iter().for_each(|index| self.pool.descend(*index));
        self.spawn_key.extend_from_slice(way);
        self.children = 0;
        self
    }

    /// `n` words to seed a generator with, of type `u32` or `u64`.
    pub fn generate_state<W: StateWord>(&self, n: usize) -> Vec<W> {
        let mut words = self.pool.output();
        (0..n).map(|_| W::from_words(&mut words)).collect()
    }

    /// What a generator with `N` words of state starts from.
    pub(super) fn state<const N: usize>(&self) -> [u64; N] {
        self.pool.state()
    }
}

/// What a seed sequence is when it travels: all that its pool is made of.
#[derive(Serialize, Deserialize)]
struct Parts {
    entropy: Vec<u32>,
    spawn_key: Vec<u64>,
    pool_size: usize,
    n_children_spawned: u64,
}

impl From<SeedSequence> for Parts {
    fn from(seed: SeedSequence) -> Self {
        let pool_size = seed.pool_size();
        let SeedSequence { entropy, spawn_key, children, .. } = seed;
        Self { entropy, spawn_key, pool_size, n_children_spawned: children }
    }
}

impl TryFrom<Parts> for SeedSequence {
    type Error = Error;

    fn try_from(parts: Parts) -> Result<Self> {
        let root = Self::from_words(parts.entropy).with_pool_size(parts.pool_size)?;
        let children = parts.n_children_spawned;
        Ok(Self { children, ..root.descend(&parts.spawn_key) })
    }
}

/// A word that [`SeedSequence::generate_state`] makes: `u32` or `u64`.
pub trait StateWord: sealed::Sealed {
    #[doc(hidden)]
    fn from_words(words: &mut impl Iterator<Item = u32>) -> Self;
}

impl StateWord for u32 {
    fn from_words(words: &mut impl Iterator<Item = u32>) -> Self {
        words.next().expect("a pool's output has no end")
    }
}

impl StateWord for u64 {
    fn from_words(words: &mut impl Iterator<Item = u32>) -> Self {
        let low = u64::from(u32::from_words(words));
        low | u64::from(u32::from_words(words)) << 32
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
}
