//! One function, many seeds: the loop that Dask and Ray tutorials begin with,
//! and the same as a load-balanced view.
//!
//! ```text
//! cargo run --release --example calc_mean
//! ```

use std::time::Instant;

use mobula::prelude::*;
use ndarray::Array1;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

const SEEDS: u64 = 1000;
const DRAWS: usize = 1000;

/// Mean and standard deviation of `n` standard normals. The seed is an
/// argument: what comes out does not depend on who computes it, nor when.
#[remote]
fn calc_mean(i: u64, n: usize) -> (f64, f64) {
    let rng = Pcg64::seed_from_u64(i);
    let draws: Array1<f64> = rng.sample_iter(StandardNormal).take(n).collect();
    (draws.mean().unwrap_or(f64::NAN), draws.std(0.0))
}

fn main() -> mobula::Result<()> {
    let runtime = mobula::init(Config::new())?;
    println!("{SEEDS} seeds of {DRAWS} draws, {} CPUs", runtime.num_cpus());

    // It is still a plain function.
    let start = Instant::now();
    let serial: Vec<(f64, f64)> = (0..SEEDS).map(|i| calc_mean(i, DRAWS)).collect();
    println!("serial      {:>8.1?}", start.elapsed());

    // Submit in a loop, get the list: each call is a task of its own.
    let start = Instant::now();
    let refs: Vec<_> = (0..SEEDS).map(|i| calc_mean::remote(i, DRAWS)).collect();
    let looped = mobula::get(&refs)?;
    println!("remote, get {:>8.1?}", start.elapsed());

    // The view hands out chunks as workers become free, and learns how long
    // they should be: for calls this short it is the better habit.
    let start = Instant::now();
    let mapped: mobula::Result<Vec<_>> = calc_mean::map((0..SEEDS).map(|i| (i, DRAWS))).collect();
    let mapped = mapped?;
    println!("map         {:>8.1?}", start.elapsed());

    assert!(serial == looped && serial == mapped, "all three give the same numbers");
    let means: Array1<f64> = mapped.iter().map(|&(mean, _)| mean).collect();
    let (sd, theory) = (means.std(0.0), 1.0 / (DRAWS as f64).sqrt());
    println!("the means have sd {sd:.5}; theory says {theory:.5}");
    Ok(())
}
