//! A parameter server: an actor holds the weights of a model, tasks compute
//! gradients on their share of the data, and refs carry both between them.
//!
//! ```text
//! cargo run --release --example actors
//! ```

use mobula::prelude::*;
use mobula_examples::data;
use ndarray::{Array1, Array2, Axis};

const SHARDS: usize = 4;
const STEPS: usize = 200;
const RATE: f64 = 0.3;

/// The weights, and how they change. Only one call at a time may change them.
struct ParameterServer {
    weights: Array1<f64>,
}

#[remote]
impl ParameterServer {
    pub(crate) fn new(columns: usize) -> Self {
        ParameterServer { weights: Array1::zeros(columns) }
    }

    /// Takes one step downhill along the mean of the shards' gradients. Gives the new weights.
    pub(crate) fn step(&mut self, gradients: Vec<Array1<f64>>) -> Array1<f64> {
        let rate = RATE / gradients.len() as f64;
        for gradient in &gradients {
            self.weights.scaled_add(-rate, gradient);
        }
        self.weights.clone()
    }

    pub(crate) fn weights(&self) -> Array1<f64> {
        self.weights.clone()
    }
}

/// The gradient of half the mean squared error.
#[remote]
fn gradient(weights: &Array1<f64>, x: &Array2<f64>, y: &Array1<f64>) -> Array1<f64> {
    let error = x.dot(weights) - y;
    x.t().dot(&error) / y.len() as f64
}

fn main() -> mobula::Result<()> {
    let _runtime = mobula::init(Config::new())?;
    let (x, y) = standardized(data::diabetes());
    let rows = y.len().div_ceil(SHARDS);
    let shards: Vec<_> = x
        .axis_chunks_iter(Axis(0), rows)
        .zip(y.axis_chunks_iter(Axis(0), rows))
        .map(|(x, y)| (mobula::put(x.to_owned()), mobula::put(y.to_owned())))
        .collect();

    let server = ParameterServer::remote(x.ncols());
    let mut weights = server.weights();
    for _ in 0..STEPS {
        // Nothing here waits: the weights that the tasks need and the gradients
        // that the server needs are refs to values which are still to come.
        let gradients: Vec<_> =
            shards.iter().map(|(x, y)| gradient::remote(&weights, x, y)).collect();
        weights = server.step(gradients);
    }
    let weights = mobula::get(weights)?;

    let error = |weights: &Array1<f64>| (x.dot(weights) - &y).pow2().mean().unwrap_or(f64::NAN);
    println!("mean squared error before: {:.4}", error(&Array1::zeros(x.ncols())));
    println!("after {STEPS} steps:          {:.4}", error(&weights));
    println!("weights: {weights:.3}");
    Ok(())
}

/// Columns and target with mean 0 and standard deviation 1, so that one step size suits all.
fn standardized(data: data::Dataset) -> (Array2<f64>, Array1<f64>) {
    let mean = data.x.mean_axis(Axis(0)).expect("the data has rows");
    let x = (&data.x - &mean) / data.x.std_axis(Axis(0), 0.0);
    let y = (&data.y - data.y.mean().expect("the data has rows")) / data.y.std(0.0);
    (x, y)
}
