//! BTPE: binomial numbers by rejection, at a cost that does not grow with the mean.
//!
//! Names and steps are those of the paper (see `binomial`): a point falls into the triangle, into a
//! parallelogram or into a tail, and is weighed against the distribution by ever more exact tests.

use rand::Rng;

use super::real::{Real, floor};

/// For tries `n` and a probability of at most one half, `r`.
pub(super) struct Btpe {
    n: i64,
    r: f64,
    q: f64,
    nrq: f64,
    /// The most likely number.
    mode: i64,
    xm: f64,
    xl: f64,
    xr: f64,
    c: f64,
    lambda_left: f64,
    lambda_right: f64,
    /// Areas: of the triangle, and with parallelograms, left tail and right tail added.
    p1: f64,
    p2: f64,
    p3: f64,
    p4: f64,
}

impl Btpe {
    pub(super) fn new(tries: i64, r: f64) -> Self {
        let (n, q) = (tries as f64, 1.0 - r);
        let fm = n * r + r;
        let mode = fm.floor() as i64;
        let p1 = (2.195 * (n * r * q).sqrt() - 4.6 * q).floor() + 0.5;
        let xm = mode as f64 + 0.5;
        let (xl, xr) = (xm - p1, xm + p1);
        let c = 0.134 + 20.5 / (15.3 + mode as f64);
        let left = (fm - xl) / (fm - xl * r);
        let lambda_left = left * (1.0 + left / 2.0);
        let right = (xr - fm) / (xr * q);
        let lambda_right = right * (1.0 + right / 2.0);
        let p2 = p1 * (1.0 + 2.0 * c);
        let p3 = p2 + c / lambda_left;
        let p4 = p3 + c / lambda_right;
        let nrq = n * r * q;
        Self { n: tries, r, q, nrq, mode, xm, xl, xr, c, lambda_left, lambda_right, p1, p2, p3, p4 }
    }

    pub(super) fn draw(&self, bits: &mut impl Rng) -> i64 {
        loop {
            let u = f64::unit(bits) * self.p4;
            let v = f64::unit(bits);
            if u <= self.p1 {
                return floor(self.xm - self.p1 * v + u);
            }
            if let Some((y, v)) = self.outside_triangle(u, v)
                && self.accepts(y, v)
            {
                return y;
            }
        }
    }

    /// The number and the height of a point in a parallelogram or in a tail; none: rejected at once.
    fn outside_triangle(&self, u: f64, v: f64) -> Option<(i64, f64)> {
        if u <= self.p2 {
            let x = self.xl + (u - self.p1) / self.c;
            let height = v * self.c + 1.0 - (self.mode as f64 - x + 0.5).abs() / self.p1;
            return (height <= 1.0).then_some((floor(x), height));
        }
        let (y, height) = if u <= self.p3 {
            let y = floor(self.xl + v.ln() / self.lambda_left);
            (y, v * (u - self.p2) * self.lambda_left)
        } else {
            let y = floor(self.xr - v.ln() / self.lambda_right);
            (y, v * (u - self.p3) * self.lambda_right)
        };
        (v != 0.0 && (0..=self.n).contains(&y)).then_some((y, height))
    }

    /// Whether a point of this height lies beneath the distribution at `y`.
    fn accepts(&self, y: i64, height: f64) -> bool {
        let k = (y - self.mode).abs();
        if k <= 20 || k as f64 >= self.nrq / 2.0 - 1.0 {
            return height <= self.ratio(y);
        }
        // Squeezes around the logarithm of the ratio. NumPy squares in 64 bits, which overflows for more
        // than about 2^60 tries; its bits are wanted there too.
        let square = k.wrapping_mul(k).wrapping_neg();
        let t = square as f64 / (2.0 * self.nrq);
        let k = k as f64;
        let inner = (k * (k / 3.0 + 0.625) + 0.166_666_666_666_666_66) / self.nrq + 0.5;
        let rho = (k / self.nrq) * inner;
        let log_height = height.ln();
        if log_height < t - rho {
            return true;
        }
        log_height <= t + rho && log_height <= self.log_ratio(y)
    }

    /// The probability of `y` over that of the mode, by the recurrence.
    fn ratio(&self, y: i64) -> f64 {
        let s = self.r / self.q;
        let a = s * (i128::from(self.n) + 1) as f64;
        let factor = |i: i64| a / i as f64 - s;
        if self.mode < y {
            (self.mode + 1..=y).fold(1.0, |ratio, i| ratio * factor(i))
        } else {
            (y + 1..=self.mode).fold(1.0, |ratio, i| ratio / factor(i))
        }
    }

    /// The logarithm of the ratio, by Stirling's series.
    fn log_ratio(&self, y: i64) -> f64 {
        fn series(x: f64) -> f64 {
            let x2 = x * x;
            (13680.0 - (462.0 - (132.0 - (99.0 - 140.0 / x2) / x2) / x2) / x2) / x / 166320.0
        }
        let (x1, f1) = ((y + 1) as f64, (self.mode + 1) as f64);
        let (z, w) = ((self.n - self.mode + 1) as f64, (self.n - y + 1) as f64);
        self.xm * (f1 / x1).ln()
            + ((self.n - self.mode) as f64 + 0.5) * (z / w).ln()
            + (y - self.mode) as f64 * (w * self.r / (x1 * self.q)).ln()
            + series(f1)
            + series(z)
            + series(x1)
            + series(w)
    }
}
