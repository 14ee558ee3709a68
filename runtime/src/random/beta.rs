//! Beta numbers.
//!
//! Where a parameter is above 1, the share that one gamma number has in the sum of two. Else M. D.
//! Jöhnk, "Erzeugung von betaverteilten und gammaverteilten Zufallszahlen", 1964: powers of two uniform
//! numbers, again until they sum to 1 at most.

use rand::Rng;

use super::gamma;
use super::real::Real;

/// Parameters below this would make both powers 0; the distribution is then 0 or 1, nothing between.
const TINY: f64 = 3e-103;

pub(super) fn draw(bits: &mut impl Rng, a: f64, b: f64) -> f64 {
    if a <= 1.0 && b <= 1.0 {
        return if a < TINY && b < TINY { coin(bits, a, b) } else { johnk(bits, a, b) };
    }
    let x = gamma::standard(bits, a);
    let y = gamma::standard(bits, b);
    x / (x + y)
}

fn coin(bits: &mut impl Rng, a: f64, b: f64) -> f64 {
    if (a + b) * f64::unit(bits) < a { 1.0 } else { 0.0 }
}

fn johnk(bits: &mut impl Rng, a: f64, b: f64) -> f64 {
    loop {
        let u = f64::unit(bits);
        let v = f64::unit(bits);
        let (x, y) = (u.powf(1.0 / a), v.powf(1.0 / b));
        if x + y > 1.0 || u + v == 0.0 {
            continue;
        }
        if x > 0.0 && y > 0.0 {
            return x / (x + y);
        }
        // A power was too small for a double; its logarithm is not.
        let difference = u.ln() / a - v.ln() / b;
        return if difference > 0.0 {
            (-(-difference).exp().ln_1p()).exp()
        } else {
            (difference - difference.exp().ln_1p()).exp()
        };
    }
}
