//! How sure are we of a correlation? A bootstrap confidence interval for that
//! of body mass index and the course of diabetes in 442 patients.
//!
//! ```text
//! cargo run --release --example bootstrap
//! ```

use mobula::prelude::*;
use mobula_examples::{data, metrics, random};
use ndarray::{Array1, Axis};
use rand::RngExt;

const REPLICATES: u64 = 10_000;
const SEED: u64 = 1;

/// The correlation in a sample of as many patients, drawn with replacement.
/// Each replicate has its own random stream, so the answer does not depend on
/// how many CPUs there are.
#[remote]
fn replicate(index: u64, a: &Array1<f64>, b: &Array1<f64>) -> f64 {
    let mut rng = random::stream(SEED, index);
    let sample: Vec<usize> = a.iter().map(|_| rng.random_range(0..a.len())).collect();
    metrics::correlation(&a.select(Axis(0), &sample), &b.select(Axis(0), &sample))
}

fn main() -> mobula::Result<()> {
    let _runtime = mobula::init(Config::new())?;
    let data = data::diabetes();
    let bmi = data.column("bmi").expect("the data has this column");
    let estimate = metrics::correlation(&bmi, &data.y);

    // Stored once and lent to every task; the refs in the arguments are all that is copied.
    let (bmi, progression) = (mobula::put(bmi), mobula::put(data.y));
    let mut replicates: Vec<f64> =
        replicate::map((0..REPLICATES).map(|index| (index, &bmi, &progression)))
            .progress("bootstrap")
            .collect::<mobula::Result<_>>()?;

    replicates.sort_by(f64::total_cmp);
    let quantile = |share: f64| replicates[(share * (REPLICATES - 1) as f64).round() as usize];
    println!("correlation of body mass index and progression: {estimate:.3}");
    println!("95% interval: {:.3} to {:.3}", quantile(0.025), quantile(0.975));
    Ok(())
}
