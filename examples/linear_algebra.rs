//! Threaded linear algebra: a crossproduct and its Cholesky factor, as in
//! tutorials on parallel statistics, on one thread and on more. A task has as
//! many BLAS threads as CPUs, so the number of CPUs is all that is said.
//!
//! ```text
//! cargo run --release --features linalg --example linear_algebra
//! cargo run --release --features linalg --example linear_algebra -- --size 1000
//! ```
//!
//! It needs OpenBLAS on the system: `libopenblas-dev` on Debian.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use mobula::blas;
use mobula::linalg::{Cholesky, UPLO};
use mobula::prelude::*;
use mobula_examples::cli;
use ndarray::Array2;

/// Times a crossproduct and a Cholesky factorization by number of threads.
#[derive(Parser)]
struct Options {
    /// Rows and columns of the matrix
    #[arg(long, default_value = "5000", value_parser = clap::value_parser!(u32).range(1..))]
    size: u32,
    /// Most threads to try [default: what this process may use]
    #[arg(long)]
    num_cpus: Option<usize>,
    /// Start of all random numbers
    #[arg(long, default_value = "1")]
    seed: u64,
}

/// A matrix of `n` x `n` standard normals.
#[remote]
fn normals(n: usize) -> Array2<f64> {
    mobula::rng().standard_normal((n, n))
}

/// The crossproduct X'X, how long it took, and on how many threads.
#[remote(num_returns = 2)]
fn crossproduct(x: &Array2<f64>) -> (Array2<f64>, (Duration, usize)) {
    let start = Instant::now();
    let product = x.t().dot(x);
    (product, (start.elapsed(), blas::num_threads()))
}

/// The Cholesky factor, and how long it took.
#[remote(num_returns = 2)]
fn cholesky(a: &Array2<f64>) -> Result<(Array2<f64>, Duration), String> {
    let start = Instant::now();
    let factor = a.cholesky(UPLO::Lower).map_err(|error| error.to_string())?;
    Ok((factor, start.elapsed()))
}

fn main() -> ExitCode {
    match run(&cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::wrong_input(error),
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut config = Config::new().seed(options.seed);
    if let Some(num_cpus) = options.num_cpus {
        config = config.num_cpus(num_cpus);
    }
    let runtime = mobula::init(config)?;
    println!("{}", blas::info());
    println!("a matrix of {0} x {0} standard normals", options.size);

    let x = normals::remote(options.size as usize);
    let most = runtime.num_cpus();
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["CPUs", "threads", "crossproduct", "Cholesky", "speed-up"]);
    let mut one = None;
    for cpus in (0..).map(|power| 1 << power).take_while(|cpus| *cpus < most).chain([most]) {
        let (product, timed) = crossproduct::options().num_cpus(cpus as u32).remote(&x);
        let (factor, cholesky_took) = cholesky::options().num_cpus(cpus as u32).remote(&product);
        let ((product_took, threads), cholesky_took) = mobula::get((timed, cholesky_took))?;
        check(&*mobula::get_arc(&product)?, &*mobula::get_arc(&factor)?);
        let both = (product_took + cholesky_took).as_secs_f64();
        let speed_up = *one.get_or_insert(both) / both;
        let seconds = |took: Duration| format!("{:.3} s", took.as_secs_f64());
        table.add_row([
            cpus.to_string(),
            threads.to_string(),
            seconds(product_took),
            seconds(cholesky_took),
            format!("{speed_up:.2}"),
        ]);
    }
    table.column_iter_mut().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    println!("{table}");
    Ok(())
}

/// The last element of the product is that of the factor times its transpose.
fn check(product: &Array2<f64>, factor: &Array2<f64>) {
    let last = product.nrows() - 1;
    let row = factor.row(last);
    let (expected, seen) = (product[[last, last]], row.dot(&row));
    assert!((expected - seen).abs() < 1e-6 * expected, "{seen} is not {expected}");
}
