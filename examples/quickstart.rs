//! The smallest useful program: many simulations, run side by side.
//!
//! ```text
//! cargo run --release --example quickstart
//! ```

use mobula::prelude::*;
use ndarray::Array1;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

/// Mean and standard deviation of `n` standard normals.
#[remote]
fn calc_mean(i: u64, n: usize) -> (f64, f64) {
    let rng = Pcg64::seed_from_u64(i);
    let draws: Array1<f64> = rng.sample_iter(StandardNormal).take(n).collect();
    (draws.mean().unwrap_or(f64::NAN), draws.std(0.0))
}

fn main() -> mobula::Result<()> {
    let _runtime = mobula::init(Config::new())?;
    // Each call gives a ref at once, long before its task has run...
    let means: Vec<ObjectRef<(f64, f64)>> = (0..10).map(|i| calc_mean::remote(i, 1000)).collect();
    // ...and `get` waits for the values, in the order of the refs.
    for (i, (mean, sd)) in mobula::get(&means)?.into_iter().enumerate() {
        println!("seed {i}: mean {mean:+.4}, sd {sd:.4}");
    }
    Ok(())
}
