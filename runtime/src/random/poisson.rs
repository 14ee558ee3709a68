//! Poisson numbers.
//!
//! For a mean below 10, products of uniform numbers until they pass exp(-mean) (D. E. Knuth, "The Art of
//! Computer Programming", vol. 2, 3.4.1). From 10 on, W. Hörmann, "The transformed rejection method for
//! generating Poisson random variables", 1993, algorithm PTRS.

use rand::Rng;

use super::real::{Real, floor};

/// From this mean on PTRS is the faster one, and valid.
const TRANSFORMED_FROM: f64 = 10.0;

/// The largest mean whose numbers, some ten deviations up, fit an `i64`.
pub(super) const MEAN_MAX: f64 = i64::MAX as f64 - 30_370_004_999.760_5;

/// A distribution made ready for many draws.
pub(super) enum Poisson {
    Zero,
    Product { limit: f64 },
    Transformed(Transformed),
}

/// The constants of PTRS, named as in the paper.
pub(super) struct Transformed {
    mean: f64,
    log_mean: f64,
    a: f64,
    b: f64,
    log_inverse_alpha: f64,
    v_r: f64,
}

impl Poisson {
    pub(super) fn new(mean: f64) -> Self {
        if mean >= TRANSFORMED_FROM {
            Self::Transformed(Transformed::new(mean))
        } else if mean == 0.0 {
            Self::Zero
        } else {
            Self::Product { limit: (-mean).exp() }
        }
    }

    pub(super) fn draw(&self, bits: &mut impl Rng) -> i64 {
        match self {
            Self::Zero => 0,
            Self::Product { limit } => {
                let (mut count, mut product) = (0, 1.0);
                loop {
                    product *= f64::unit(bits);
                    if product <= *limit {
                        return count;
                    }
                    count += 1;
                }
            }
            Self::Transformed(transformed) => transformed.draw(bits),
        }
    }
}

impl Transformed {
    fn new(mean: f64) -> Self {
        let b = 0.931 + 2.53 * mean.sqrt();
        Self {
            mean,
            log_mean: mean.ln(),
            a: -0.059 + 0.02483 * b,
            b,
            log_inverse_alpha: (1.1239 + 1.1328 / (b - 3.4)).ln(),
            v_r: 0.9277 - 3.6224 / (b - 2.0),
        }
    }

    fn draw(&self, bits: &mut impl Rng) -> i64 {
        let Self { mean, log_mean, a, b, log_inverse_alpha, v_r } = *self;
        loop {
            let u = f64::unit(bits) - 0.5;
            let v = f64::unit(bits);
            let us = 0.5 - u.abs();
            let k = floor((2.0 * a / us + b) * u + mean + 0.43);
            if us >= 0.07 && v <= v_r {
                return k;
            }
            if k < 0 || (us < 0.013 && v > us) {
                continue;
            }
            let height = v.ln() + log_inverse_alpha - (a / (us * us) + b).ln();
            if height <= -mean + k as f64 * log_mean - log_gamma(k as f64 + 1.0) {
                return k;
            }
        }
    }
}

/// Logarithm of the gamma function by Stirling's series, for x of 7 and above; smaller ones are moved
/// up by the recurrence (S. Zhang and J. Jin, "Computation of Special Functions", 1996, 3.1.4).
fn log_gamma(x: f64) -> f64 {
    // With the digits of the book: as fractions, some would be other doubles.
    const SERIES: [f64; 10] = [
        8.333333333333333e-02,
        -2.777777777777778e-03,
        7.936507936507937e-04,
        -5.952380952380952e-04,
        8.417508417508418e-04,
        -1.917526917526918e-03,
        6.41025641025641e-03,
        -2.955065359477124e-02,
        1.796443723688307e-01,
        -1.3924322169059e+00,
    ];
    const LOG_TWO_PI: f64 = 1.837_877_066_409_345_3;

    if x == 1.0 || x == 2.0 {
        return 0.0;
    }
    let moves = if x < 7.0 { (7.0 - x) as u32 } else { 0 };
    let mut moved = x + f64::from(moves);
    let inverse_square = (1.0 / moved) * (1.0 / moved);
    let (last, others) = SERIES.split_last().expect("the series has terms");
    let series = others.iter().rev().fold(*last, |sum, term| sum * inverse_square + term);
    let mut log = series / moved + 0.5 * LOG_TWO_PI + (moved - 0.5) * moved.ln() - moved;
    for _ in 0..moves {
        log -= (moved - 1.0).ln();
        moved -= 1.0;
    }
    log
}
