//! Starts the engines in Rust, all on the same number of threads.

use anyhow::{Context, Result};
use mobula::prelude::*;

pub(crate) fn mobula(cpus: usize) -> Result<Runtime> {
    mobula::init(Config::new().num_cpus(cpus)).context("failed to start mobula")
}

pub(crate) fn tokio(cpus: usize) -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cpus)
        .build()
        .context("failed to start tokio")
}

pub(crate) fn rayon(cpus: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new().num_threads(cpus).build().context("failed to start rayon")
}
