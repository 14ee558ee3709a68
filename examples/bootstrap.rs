//! How sure are we of a correlation? A bootstrap confidence interval for that
//! of body mass index and the course of diabetes in 442 patients.
//!
//! ```text
//! cargo run --release --example bootstrap
//! ```

use mobula::prelude::*;
use mobula_examples::{data, metrics};
use ndarray::{Array1, Axis};

const REPLICATES: usize = 10_000;
const SEED: u64 = 1;

/// The correlation in a sample of as many patients, drawn with replacement.
/// Each replicate has its own random stream, so the answer does not depend on
/// how many CPUs there are, nor on which replicates share a task.
#[remote]
fn replicate(a: &Array1<f64>, b: &Array1<f64>) -> mobula::Result<f64> {
    let sample = mobula::rng().choice(a.len()).draw(a.len())?;
    Ok(metrics::correlation(&a.select(Axis(0), &sample), &b.select(Axis(0), &sample)))
}

fn main() -> mobula::Result<()> {
    let _runtime = mobula::init(Config::new().seed(SEED))?;
    let data = data::diabetes();
    let bmi = data.column("bmi").expect("the data has this column");
    let estimate = metrics::correlation(&bmi, &data.y);

    // Stored once and lent to every task; the refs in the arguments are all that is copied.
    let (bmi, progression) = (mobula::put(bmi), mobula::put(data.y));
    let mut replicates: Vec<f64> = replicate::map((0..REPLICATES).map(|_| (&bmi, &progression)))
        .progress("bootstrap")
        .collect::<mobula::Result<_>>()?;

    replicates.sort_by(f64::total_cmp);
    let quantile = |share: f64| replicates[(share * (REPLICATES - 1) as f64).round() as usize];
    println!("correlation of body mass index and progression: {estimate:.3}");
    println!("95% interval: {:.3} to {:.3}", quantile(0.025), quantile(0.975));
    Ok(())
}
