//! Binomial numbers.
//!
//! A probability above one half is turned around. Where at most 30 hits are expected, inversion: along
//! the probabilities of 0, 1, 2, .. until they have used up a uniform number. Else V. Kachitvichyanukul
//! and B. W. Schmeiser, "Binomial random variate generation", 1988, algorithm BTPE: rejection from a
//! triangle, two parallelograms and two exponential tails.

use rand::Rng;

use super::btpe::Btpe;
use super::real::Real;

/// Up to this many expected hits inversion is the faster one.
const INVERSION_MAX: f64 = 30.0;

/// A distribution made ready for many draws.
pub(super) struct Binomial {
    /// None: there is nothing to hit, or no chance of it.
    method: Option<Method>,
    /// The number of tries, where misses are drawn in place of hits.
    turned: Option<i64>,
}

enum Method {
    Inversion(Inversion),
    Btpe(Btpe),
}

impl Binomial {
    pub(super) fn new(tries: i64, probability: f64) -> Self {
        if tries == 0 || probability == 0.0 {
            return Self { method: None, turned: None };
        }
        let turned = (probability > 0.5).then_some(tries);
        let p = if turned.is_some() { 1.0 - probability } else { probability };
        let method = if p * tries as f64 <= INVERSION_MAX {
            Method::Inversion(Inversion::new(tries, p))
        } else {
            Method::Btpe(Btpe::new(tries, p))
        };
        Self { method: Some(method), turned }
    }

    pub(super) fn draw(&self, bits: &mut impl Rng) -> i64 {
        let drawn = match &self.method {
            None => 0,
            Some(Method::Inversion(inversion)) => inversion.draw(bits),
            Some(Method::Btpe(btpe)) => btpe.draw(bits),
        };
        self.turned.map_or(drawn, |tries| tries - drawn)
    }
}

struct Inversion {
    tries: i64,
    p: f64,
    q: f64,
    /// The probability of no hit.
    none: f64,
    /// Ten deviations above the mean: a draw that would pass it has met rounding, and is made again.
    bound: i64,
}

impl Inversion {
    fn new(tries: i64, p: f64) -> Self {
        let (q, n) = (1.0 - p, tries as f64);
        let bound = n.min(n * p + 10.0 * (n * p * q + 1.0).sqrt()) as i64;
        Self { tries, p, q, none: (n * (-p).ln_1p()).exp(), bound }
    }

    fn draw(&self, bits: &mut impl Rng) -> i64 {
        let (mut hits, mut probability, mut rest) = (0, self.none, f64::unit(bits));
        while rest > probability {
            hits += 1;
            if hits > self.bound {
                (hits, probability, rest) = (0, self.none, f64::unit(bits));
            } else {
                rest -= probability;
                let left = (self.tries - hits + 1) as f64;
                probability = left * self.p * probability / (hits as f64 * self.q);
            }
        }
        hits
    }
}
