//! Standard gamma numbers.
//!
//! Shape 1 is the exponential distribution. Above it: G. Marsaglia and W. W. Tsang, "A simple method
//! for generating gamma variables", 2000, the cube of a nearly normal number. Below it: a rejection from
//! a power and an exponential piece, in the manner of J. H. Ahrens and U. Dieter, "Computer methods for
//! sampling from gamma, beta, Poisson and binomial distributions", 1974.

use rand::Rng;

use super::real::Real;

pub(super) fn standard<F: Real>(bits: &mut impl Rng, shape: F) -> F {
    if shape == F::one() {
        F::standard_exponential(bits)
    } else if shape == F::zero() {
        F::zero()
    } else if shape < F::one() {
        below_one(bits, shape)
    } else {
        above_one(bits, shape)
    }
}

fn below_one<F: Real>(bits: &mut impl Rng, shape: F) -> F {
    let one = F::one();
    loop {
        let u = F::unit(bits);
        let v = F::standard_exponential(bits);
        if u <= one - shape {
            let x = u.powf(one / shape);
            if x <= v {
                return x;
            }
        } else {
            let y = -((one - u) / shape).ln();
            let x = (one - shape + shape * y).powf(one / shape);
            if x <= v + y {
                return x;
            }
        }
    }
}

fn above_one<F: Real>(bits: &mut impl Rng, shape: F) -> F {
    let (one, half) = (F::one(), F::nearest(0.5));
    let d = shape - one / F::nearest(3.0);
    let c = one / (F::nearest(9.0) * d).sqrt();
    loop {
        let (x, cube) = loop {
            let x = F::standard_normal(bits);
            let v = one + c * x;
            if v > F::zero() {
                break (x, v * v * v);
            }
        };
        let u = F::unit(bits);
        // Nearly always true, and saves the logarithms.
        if u < one - F::nearest(0.0331) * (x * x) * (x * x) {
            return d * cube;
        }
        if u.ln() < half * x * x + d * (one - cube + cube.ln()) {
            return d * cube;
        }
    }
}
