//! Starts the engines in Rust, all on the same number of threads, and makes
//! contenders of them that keep their engine for as long as they live.

use anyhow::{Context, Result};
use mobula::prelude::*;

use crate::contender::{Contender, MOBULA};

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

/// Starts mobula, then makes by `prepare` what is timed, of `ops` operations a call.
pub(crate) fn on_mobula<W>(
    cpus: usize,
    ops: usize,
    prepare: impl FnOnce() -> Result<W>,
) -> Result<Contender>
where
    W: FnMut() -> Result<()> + 'static,
{
    let runtime = mobula(cpus)?;
    let mut work = prepare()?;
    Ok(Contender::timed(MOBULA, ops, move || {
        let _alive = &runtime;
        work()
    }))
}

/// Starts tokio for `work`, of `ops` operations a call.
pub(crate) fn on_tokio(
    cpus: usize,
    ops: usize,
    mut work: impl FnMut(&tokio::runtime::Runtime) -> Result<()> + 'static,
) -> Result<Contender> {
    let runtime = tokio(cpus)?;
    Ok(Contender::timed("tokio", ops, move || work(&runtime)))
}

/// Starts rayon for `work`, of `ops` operations a call.
pub(crate) fn on_rayon(
    cpus: usize,
    ops: usize,
    mut work: impl FnMut(&rayon::ThreadPool) -> Result<()> + 'static,
) -> Result<Contender> {
    let pool = rayon(cpus)?;
    Ok(Contender::timed("rayon", ops, move || work(&pool)))
}
