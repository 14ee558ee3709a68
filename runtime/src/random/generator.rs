//! `Generator`: NumPy's distributions over a stream of random bits.
//!
//! Each method checks its parameters and draws; how the numbers are made is told where they are made.
//! Nothing of a draw is kept for the next one but the state of the bits.

use std::convert::Infallible;
use std::ops::RangeBounds;

use rand::{Rng, TryRng};
use serde::{Deserialize, Serialize};

use super::binomial::Binomial;
use super::choice::Choice;
use super::integers::{self, Integer};
use super::pcg64::Pcg64;
use super::poisson::{MEAN_MAX, Poisson};
use super::population::Population;
use super::real::Real;
use super::seed::Seed;
use super::size::Size;
use super::{beta, gamma, shuffle};
use crate::error::{Error, ErrorKind, Result};

/// The generator that NumPy gives for this seed: `np.random.default_rng(seed)`.
///
/// ```
/// use mobula::random::default_rng;
///
/// // What NumPy prints for default_rng(42).random(3).
/// let mut rng = default_rng(42);
/// assert_eq!(rng.random::<f64, _>(3), [0.7739560485559633, 0.4388784397520523, 0.8585979199113825]);
/// ```
pub fn default_rng(seed: impl Seed) -> Generator {
    Generator::new(Pcg64::new(seed))
}

/// Random numbers of many distributions: `np.random.Generator`, bit for bit.
///
/// The last argument of most methods is a [`Size`]: `()` for one value, `n` for a vector, a shape for an
/// array, `&mut` for places to fill. Methods that are generic in a [`Real`] draw `f64` or `f32`, as NumPy
/// does by `dtype`; the others draw `f64`. Parameters are numbers, not arrays.
///
/// `B` is a bit generator of NumPy's, or any generator of `rand`'s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generator<B = Pcg64> {
    bits: B,
}

impl<B> Generator<B> {
    /// A generator over these bits: `Generator(bit_generator)`.
    pub fn new(bits: B) -> Self {
        Self { bits }
    }

    /// The bit generator, as far as it has come.
    pub fn bit_generator(&self) -> &B {
        &self.bits
    }

    /// The bit generator, to be moved on, for example.
    pub fn bit_generator_mut(&mut self) -> &mut B {
        &mut self.bits
    }
}

impl<B: Rng> Generator<B> {
    /// Uniform numbers from 0 to below 1.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// // What NumPy gives for default_rng(42).random(2).
    /// let x: Vec<f64> = default_rng(42).random(2);
    /// assert_eq!(x, [0.7739560485559633, 0.4388784397520523]);
    /// ```
    pub fn random<T: Real, S: Size<T>>(&mut self, size: S) -> S::Output {
        size.fill(|| T::unit(&mut self.bits))
    }

    /// Uniform numbers from `low` to below `high`.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// // What NumPy gives for default_rng(42).uniform(-1, 1, 2).
    /// let x = default_rng(42).uniform(-1.0, 1.0, 2)?;
    /// assert_eq!(x, [0.5479120971119267, -0.12224312049589536]);
    /// # Ok::<(), mobula::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Value`](ErrorKind::Value) if `high` is below `low`, or the distance is not a finite number.
    pub fn uniform<S: Size<f64>>(&mut self, low: f64, high: f64, size: S) -> Result<S::Output> {
        let range = high - low;
        check(range.is_finite() && range >= 0.0, "high - low", range, "finite, and 0 or more")?;
        Ok(size.fill(|| low + range * f64::unit(&mut self.bits)))
    }

    /// Normal numbers with mean 0 and standard deviation 1.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// // What NumPy gives for default_rng(42).standard_normal(2), and with dtype=np.float32.
    /// let x: Vec<f64> = default_rng(42).standard_normal(2);
    /// assert_eq!(x, [0.30471707975443135, -1.0399841062404955]);
    /// let x: Vec<f32> = default_rng(42).standard_normal(2);
    /// assert_eq!(x, [0.14190717, -1.6685079]);
    /// ```
    pub fn standard_normal<T: Real, S: Size<T>>(&mut self, size: S) -> S::Output {
        size.fill(|| T::standard_normal(&mut self.bits))
    }

    /// Normal numbers with mean `loc` and standard deviation `scale`.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// // What NumPy gives for default_rng(42).normal(10, 2, 2).
    /// let x = default_rng(42).normal(10.0, 2.0, 2)?;
    /// assert_eq!(x, [10.609434159508863, 7.920031787519009]);
    /// # Ok::<(), mobula::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Value`](ErrorKind::Value) if `scale` is negative or not a number.
    pub fn normal<S: Size<f64>>(&mut self, loc: f64, scale: f64, size: S) -> Result<S::Output> {
        check_not_negative("scale", scale)?;
        Ok(size.fill(|| loc + scale * f64::standard_normal(&mut self.bits)))
    }

    /// Whole numbers from a range: `integers(0..10, n)` is NumPy's `integers(0, 10, n)`, and
    /// `integers(0..=10, n)` its `integers(0, 10, n, endpoint=True)`. The type of the bounds is the
    /// `dtype`; `..` is all of that type.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// // What NumPy prints for default_rng(42).integers(0, 10, 5).
    /// assert_eq!(default_rng(42).integers(0..10, 5)?, [0, 7, 6, 4, 4]);
    /// # Ok::<(), mobula::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Value`](ErrorKind::Value) if the range is empty.
    pub fn integers<T: Integer, S: Size<T>>(
        &mut self,
        range: impl RangeBounds<T>,
        size: S,
    ) -> Result<S::Output> {
        integers::draw(&mut self.bits, range, size)
    }

    /// Exponential numbers with mean 1.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// // What NumPy gives for default_rng(42).standard_exponential(2).
    /// let x: Vec<f64> = default_rng(42).standard_exponential(2);
    /// assert_eq!(x, [2.4042086039659947, 2.3361896558244535]);
    /// ```
    pub fn standard_exponential<T: Real, S: Size<T>>(&mut self, size: S) -> S::Output {
        size.fill(|| T::standard_exponential(&mut self.bits))
    }

    /// Exponential numbers with mean `scale`.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// // What NumPy gives for default_rng(42).exponential(5, 2).
    /// let x = default_rng(42).exponential(5.0, 2)?;
    /// assert_eq!(x, [12.021043019829973, 11.680948279122267]);
    /// # Ok::<(), mobula::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Value`](ErrorKind::Value) if `scale` is negative or not a number.
    pub fn exponential<S: Size<f64>>(&mut self, scale: f64, size: S) -> Result<S::Output> {
        check_not_negative("scale", scale)?;
        Ok(size.fill(|| scale * f64::standard_exponential(&mut self.bits)))
    }

    /// Gamma numbers of this shape, with scale 1.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// // What NumPy gives for default_rng(42).standard_gamma(2.5, 2).
    /// let x: Vec<f64> = default_rng(42).standard_gamma(2.5, 2)?;
    /// assert_eq!(x, [2.646860815267719, 3.4696608496366044]);
    /// # Ok::<(), mobula::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Value`](ErrorKind::Value) if `shape` is negative or not a number.
    pub fn standard_gamma<T: Real, S: Size<T>>(&mut self, shape: T, size: S) -> Result<S::Output> {
        check_not_negative("shape", shape)?;
        Ok(size.fill(|| gamma::standard(&mut self.bits, shape)))
    }

    /// Gamma numbers of this shape and scale; their mean is the product.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// // What NumPy gives for default_rng(42).gamma(2.5, 0.5, 2).
    /// let x = default_rng(42).gamma(2.5, 0.5, 2)?;
    /// assert_eq!(x, [1.3234304076338594, 1.7348304248183022]);
    /// # Ok::<(), mobula::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Value`](ErrorKind::Value) if a parameter is negative or not a number.
    pub fn gamma<S: Size<f64>>(&mut self, shape: f64, scale: f64, size: S) -> Result<S::Output> {
        check_not_negative("shape", shape)?;
        check_not_negative("scale", scale)?;
        Ok(size.fill(|| scale * gamma::standard(&mut self.bits, shape)))
    }

    /// Beta numbers, from 0 to 1.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// // What NumPy gives for default_rng(42).beta(2, 3, 2).
    /// let x = default_rng(42).beta(2.0, 3.0, 2)?;
    /// assert_eq!(x, [0.33841183847153383, 0.41040972646061824]);
    /// # Ok::<(), mobula::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Value`](ErrorKind::Value) if a parameter is not above 0.
    pub fn beta<S: Size<f64>>(&mut self, a: f64, b: f64, size: S) -> Result<S::Output> {
        check(a > 0.0, "a", a, "above 0")?;
        check(b > 0.0, "b", b, "above 0")?;
        Ok(size.fill(|| beta::draw(&mut self.bits, a, b)))
    }

    /// Chi-square numbers with `df` degrees of freedom.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// // What NumPy gives for default_rng(42).chisquare(4, 2).
    /// let x = default_rng(42).chisquare(4.0, 2)?;
    /// assert_eq!(x, [4.183634540999899, 5.6706911795717305]);
    /// # Ok::<(), mobula::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Value`](ErrorKind::Value) if `df` is not above 0.
    pub fn chisquare<S: Size<f64>>(&mut self, df: f64, size: S) -> Result<S::Output> {
        check(df > 0.0, "df", df, "above 0")?;
        Ok(size.fill(|| 2.0 * gamma::standard(&mut self.bits, df / 2.0)))
    }

    /// Poisson numbers with mean `lam`.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// // What NumPy gives for default_rng(42).poisson(3.5, 8).
    /// assert_eq!(default_rng(42).poisson(3.5, 8)?, [4, 5, 5, 3, 5, 1, 5, 1]);
    /// # Ok::<(), mobula::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Value`](ErrorKind::Value) if `lam` is negative, not a number, or so large that a number might
    /// not fit an `i64`.
    pub fn poisson<S: Size<i64>>(&mut self, lam: f64, size: S) -> Result<S::Output> {
        check_not_negative("lam", lam)?;
        check(lam <= MEAN_MAX, "lam", lam, "at most 9.2e18")?;
        let poisson = Poisson::new(lam);
        Ok(size.fill(|| poisson.draw(&mut self.bits)))
    }

    /// How many of `n` tries hit, each with probability `p`.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// // What NumPy gives for default_rng(42).binomial(100, 0.3, 4).
    /// assert_eq!(default_rng(42).binomial(100, 0.3, 4)?, [33, 29, 35, 32]);
    /// # Ok::<(), mobula::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Value`](ErrorKind::Value) if `n` is negative, or `p` not from 0 to 1.
    pub fn binomial<S: Size<i64>>(&mut self, n: i64, p: f64, size: S) -> Result<S::Output> {
        check(n >= 0, "n", n, "0 or more")?;
        check((0.0..=1.0).contains(&p), "p", p, "from 0 to 1")?;
        let binomial = Binomial::new(n, p);
        Ok(size.fill(|| binomial.draw(&mut self.bits)))
    }

    /// Values chosen from a population: a number `n`, which stands for 0, 1, .. n - 1, or a list.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// let mut rng = default_rng(42);
    /// // What NumPy prints for rng.choice(5, 3), then for rng.choice(5, 3, replace=False) and for
    /// // rng.choice(["a", "b", "c"], 4, p=[0.5, 0.3, 0.2]).
    /// assert_eq!(rng.choice(5).draw(3)?, [0, 3, 3]);
    /// assert_eq!(rng.choice(5).replace(false).draw(3)?, [4, 3, 1]);
    /// let letters = rng.choice(&["a", "b", "c"]).p(&[0.5, 0.3, 0.2]).draw(4)?;
    /// assert_eq!(letters, ["a", "c", "b", "b"]);
    /// # Ok::<(), mobula::Error>(())
    /// ```
    pub fn choice<P: Population>(&mut self, population: P) -> Choice<'_, B, P> {
        Choice::new(&mut self.bits, population)
    }

    /// Brings a list into random order.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// // What NumPy gives for default_rng(42).shuffle(x), where x = ["a", "b", "c", "d"].
    /// let mut x = ["a", "b", "c", "d"];
    /// default_rng(42).shuffle(&mut x);
    /// assert_eq!(x, ["d", "c", "b", "a"]);
    /// ```
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        shuffle::given(&mut self.bits, items);
    }

    /// A population in random order: a number `n`, which stands for 0, 1, .. n - 1, or a list, which
    /// stays as it is.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// // What NumPy gives for default_rng(42).permutation(6).
    /// assert_eq!(default_rng(42).permutation(6), [3, 2, 5, 4, 1, 0]);
    /// ```
    pub fn permutation<P: Population>(&mut self, population: P) -> Vec<P::Item> {
        let mut order: Vec<usize> = (0..population.count()).collect();
        shuffle::given(&mut self.bits, &mut order);
        order.into_iter().map(|index| population.item(index)).collect()
    }

    /// Random bytes: words of 32 bits, little-endian. No bytes take a word, too, as they do in NumPy.
    ///
    /// ```
    /// use mobula::random::default_rng;
    ///
    /// // What NumPy gives for default_rng(42).bytes(4).
    /// assert_eq!(default_rng(42).bytes(4), [136, 38, 217, 22]);
    /// ```
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let words = (0..length.div_ceil(4).max(1)).map(|_| self.bits.next_u32());
        let mut bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        bytes.truncate(length);
        bytes
    }
}

/// The bits, for `rand` and `rand_distr`.
impl<B: Rng> TryRng for Generator<B> {
    type Error = Infallible;

    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.bits.next_u32())
    }

    #[inline]
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.bits.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.bits.fill_bytes(bytes);
        Ok(())
    }
}

fn check_not_negative<T: Real>(name: &str, value: T) -> Result<()> {
    check(value >= T::zero(), name, value, "0 or more")
}

fn check(holds: bool, name: &str, value: impl std::fmt::Display, wanted: &str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Value, format!("{name} is {value}, and must be {wanted}")))
}
