//! Leave one out: how well does a random forest predict rows that it has not
//! seen? For each row it fits a forest to all the others, which are as many
//! independent fits as there are rows: one task each.
//!
//! ```text
//! cargo run --release --example loo_forest
//! cargo run --release --example loo_forest -- --data diabetes --num-cpus 2
//! cargo run --release --example loo_forest -- --csv wine.csv --target quality
//! ```

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use mobula::prelude::*;
use mobula_examples::data::{self, Dataset};
use mobula_examples::forest::Forest;
use mobula_examples::{cli, metrics, plot, random};
use ndarray::{Array1, Array2};

/// Predicts each row of a table by a random forest that has not seen it.
#[derive(Parser)]
struct Options {
    /// The built-in data to use
    #[arg(long, value_enum, default_value = "synthetic", conflicts_with = "csv")]
    data: BuiltIn,
    /// A file of numbers under a line of column names, instead of built-in data
    #[arg(long, value_name = "PATH", requires = "target")]
    csv: Option<PathBuf>,
    /// The column of that file to predict
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    target: Option<String>,
    /// Use the first rows only
    #[arg(long)]
    rows: Option<usize>,
    /// Trees in each forest
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    trees: u32,
    /// Start of all random numbers
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Tasks that run at the same time [default: what this process may use]
    #[arg(long)]
    num_cpus: Option<usize>,
    /// Where to draw predicted against observed, as SVG [default: beside this program]
    #[arg(long, value_name = "PATH")]
    plot: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum BuiltIn {
    Synthetic,
    Diabetes,
}

/// Fits a forest to all rows but one. Gives its prediction of that row, and how long it took.
#[remote]
fn loo_fit(
    held_out: usize,
    x: &Array2<f64>,
    y: &Array1<f64>,
    trees: usize,
    seed: u64,
) -> (f64, Duration) {
    let start = Instant::now();
    let rows: Vec<usize> = (0..y.len()).filter(|&row| row != held_out).collect();
    // The row has its own random stream: any number of CPUs predicts the same.
    let mut rng = random::stream(seed, held_out as u64);
    let forest = Forest::fit(x, y, &rows, trees, &mut rng);
    (forest.predict(x.row(held_out)), start.elapsed())
}

fn main() -> ExitCode {
    let options: Options = cli::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::wrong_input(error),
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let data = load(options)?;
    let config = Config::new();
    let runtime = mobula::init(match options.num_cpus {
        Some(num_cpus) => config.num_cpus(num_cpus),
        None => config,
    })?;
    let (n, trees, seed) = (data.y.len(), options.trees as usize, options.seed);

    let start = Instant::now();
    // Stored once; every task borrows them.
    let (x, y) = (mobula::put(data.x), mobula::put(data.y.clone()));
    let fits: Vec<(f64, Duration)> = loo_fit::map((0..n).map(|row| (row, &x, &y, trees, seed)))
        .progress("leave one out")
        .collect::<mobula::Result<_>>()?;
    let wall = start.elapsed().as_secs_f64();

    let (predicted, times): (Vec<f64>, Vec<Duration>) = fits.into_iter().unzip();
    let tasks = times.iter().sum::<Duration>().as_secs_f64();
    let (cpus, speed_up) = (runtime.num_cpus(), tasks / wall);
    let efficiency = 100.0 * speed_up / cpus as f64;
    let (mse, r2) = (metrics::mse(&data.y, &predicted), metrics::r2(&data.y, &predicted));
    println!("{n} forests of {trees} trees");
    println!("MSE {mse:.4}, R2 {r2:.4}");
    println!("wall time {wall:.3} s, task time {tasks:.3} s");
    println!("speed-up {speed_up:.2} on {cpus} CPUs, efficiency {efficiency:.0}%");

    let picture = match &options.plot {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_extension("svg"),
    };
    let title = format!("{}, left out: R2 {r2:.3}", data.target);
    plot::predicted_against_observed(&picture, &title, &data.y, &predicted)
        .map_err(|error| format!("cannot draw {}: {error}", picture.display()))?;
    println!("picture {}", picture.display());
    Ok(())
}

fn load(options: &Options) -> Result<Dataset, Box<dyn Error>> {
    let data = match (&options.csv, &options.target, options.data) {
        (Some(path), Some(target), _) => data::read_csv(path, target)?,
        (_, _, BuiltIn::Synthetic) => data::synthetic(),
        (_, _, BuiltIn::Diabetes) => data::diabetes(),
    };
    let data = data.head(options.rows.unwrap_or(usize::MAX));
    match data.y.len() {
        rows @ 0..3 => Err(format!("leaving one out takes at least 3 rows, not {rows}").into()),
        _ => Ok(data),
    }
}
