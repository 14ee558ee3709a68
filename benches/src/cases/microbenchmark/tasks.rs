//! Tasks that do nothing, called in all the ways in which Ray calls them.

use anyhow::{Result, ensure};
use mobula::prelude::*;
use tokio::task::JoinSet;

use super::{BATCH, OK, case};
use crate::case::{Case, Setting};
use crate::contender::Contender;
use crate::python::Work;
use crate::start;

pub(super) const GET_BATCH: Case = case(
    "single_client_tasks_and_get_batch",
    "submit 1,000 tasks and get all, as one operation",
    |setting| batches(setting, "single_client_tasks_and_get_batch", 1),
);

pub(super) const ASYNC: Case = case(
    "single_client_tasks_async",
    "submit 1,000 tasks and get all, for each task",
    |setting| batches(setting, "single_client_tasks_async", BATCH),
);

pub(super) const WAIT: Case = case(
    "single_client_wait_1k_refs",
    "submit 1,000 tasks, then wait for one of those left until none is, as one operation",
    wait,
);

pub(super) const SYNC: Case =
    case("single_client_tasks_sync", "submit a task and get it, one at a time", sync);

pub(super) const MULTI_ASYNC: Case = case(
    "multi_client_tasks_async",
    "4 actors submit 10,000 tasks each and get all",
    multi_async,
);

#[remote]
fn small_value() -> [u8; 2] {
    OK
}

async fn small_value_tokio() -> [u8; 2] {
    OK
}

/// Submits `count` tasks and gets all.
fn batch(count: usize) -> mobula::Result<()> {
    mobula::get((0..count).map(|_| small_value::remote()).collect::<Vec<_>>())?;
    Ok(())
}

async fn batch_tokio(count: usize) -> Result<()> {
    let handles: Vec<_> = (0..count).map(|_| tokio::spawn(small_value_tokio())).collect();
    for handle in handles {
        handle.await?;
    }
    Ok(())
}

/// A scope joins its tasks but gives no result of each.
fn batch_rayon(scope: &rayon::Scope<'_>, count: usize) {
    for _ in 0..count {
        scope.spawn(|_| {
            std::hint::black_box(OK);
        });
    }
}

const BATCHES: usize = 200;
const BATCHES_QUICK: usize = 10;
const BATCHES_PYTHON: usize = 5;
const BATCHES_PYTHON_QUICK: usize = 1;

/// Batches, each of which counts as `ops` operations.
fn batches(setting: &Setting, name: &'static str, ops: usize) -> Result<Vec<Contender>> {
    let (count, cpus) = (setting.size(BATCHES, BATCHES_QUICK), setting.cpus);
    let mut all = vec![
        start::on_mobula(cpus, count * ops, || {
            Ok(move || Ok((0..count).try_for_each(|_| batch(BATCH))?))
        })?,
        start::on_tokio(cpus, count * ops, move |runtime| {
            (0..count).try_for_each(|_| runtime.block_on(batch_tokio(BATCH)))
        })?,
        start::on_rayon(cpus, count * ops, move |pool| {
            (0..count).for_each(|_| pool.in_place_scope(|scope| batch_rayon(scope, BATCH)));
            Ok(())
        })?,
    ];
    let count = setting.size(BATCHES_PYTHON, BATCHES_PYTHON_QUICK);
    all.extend(setting.on_python(&["ray"], &Work::new(name, count), count * ops));
    Ok(all)
}

const WAITS: usize = 20;
const WAITS_QUICK: usize = 2;
const WAITS_PYTHON: usize = 2;
const WAITS_PYTHON_QUICK: usize = 1;

/// tokio's `JoinSet` gives what is ready, too, but looks at no other task for it.
fn wait(setting: &Setting) -> Result<Vec<Contender>> {
    let (count, cpus) = (setting.size(WAITS, WAITS_QUICK), setting.cpus);
    let mut all = vec![
        start::on_mobula(cpus, count, || Ok(move || (0..count).try_for_each(|_| wait_mobula())))?,
        start::on_tokio(cpus, count, move |runtime| {
            (0..count).try_for_each(|_| runtime.block_on(wait_tokio()))
        })?,
    ];
    let count = setting.size(WAITS_PYTHON, WAITS_PYTHON_QUICK);
    let work = Work::new("single_client_wait_1k_refs", count);
    all.extend(setting.on_python(&["ray"], &work, count));
    Ok(all)
}

fn wait_mobula() -> Result<()> {
    let mut pending: Vec<_> = (0..BATCH).map(|_| small_value::remote()).collect();
    for left in (0..BATCH).rev() {
        (_, pending) = mobula::wait(&pending, 1, None);
        ensure!(pending.len() == left, "{} refs are pending, not {left}", pending.len());
    }
    Ok(())
}

async fn wait_tokio() -> Result<()> {
    let mut pending: JoinSet<_> = (0..BATCH).map(|_| small_value_tokio()).collect();
    while let Some(ready) = pending.join_next().await {
        ready?;
    }
    Ok(())
}

const TRIPS: usize = 20_000;
const TRIPS_QUICK: usize = 500;
const TRIPS_PYTHON: usize = 500;
const TRIPS_PYTHON_QUICK: usize = 50;

fn sync(setting: &Setting) -> Result<Vec<Contender>> {
    let (trips, cpus) = (setting.size(TRIPS, TRIPS_QUICK), setting.cpus);
    let mut all = vec![
        start::on_mobula(cpus, trips, || {
            Ok(move || {
                for _ in 0..trips {
                    mobula::get(small_value::remote())?;
                }
                Ok(())
            })
        })?,
        start::on_tokio(cpus, trips, move |runtime| {
            for _ in 0..trips {
                runtime.block_on(runtime.spawn(small_value_tokio()))?;
            }
            Ok(())
        })?,
        start::on_rayon(cpus, trips, move |pool| {
            for _ in 0..trips {
                std::hint::black_box(pool.install(|| OK));
            }
            Ok(())
        })?,
    ];
    let trips = setting.size(TRIPS_PYTHON, TRIPS_PYTHON_QUICK);
    let work = Work::new("single_client_tasks_sync", trips);
    all.extend(setting.on_python(&["ray"], &work, trips));
    Ok(all)
}

const CALLERS: usize = 4;
const CALLS: usize = 10_000;
const CALLS_QUICK: usize = 1_000;
const CALLS_PYTHON: usize = 1_000;
const CALLS_PYTHON_QUICK: usize = 100;
const ROUNDS: usize = 10;
const ROUNDS_QUICK: usize = 2;

struct Caller;

#[remote]
impl Caller {
    pub(crate) fn new() -> Self {
        Caller
    }

    pub(crate) fn small_value_batch(&self, count: usize) -> mobula::Result<()> {
        batch(count)
    }
}

fn multi_async(setting: &Setting) -> Result<Vec<Contender>> {
    let (rounds, calls) =
        (setting.size(ROUNDS, ROUNDS_QUICK), setting.size(CALLS, CALLS_QUICK));
    let (ops, cpus) = (rounds * CALLERS * calls, setting.cpus);
    let on_mobula = start::on_mobula(cpus, ops, || {
        let callers: Vec<_> = (0..CALLERS).map(|_| Caller::remote()).collect();
        Ok(move || {
            for _ in 0..rounds {
                let batches = callers.iter().map(|caller| caller.small_value_batch(calls));
                mobula::get(batches.collect::<Vec<_>>())?;
            }
            Ok(())
        })
    })?;
    let on_tokio = start::on_tokio(cpus, ops, move |runtime| {
        runtime.block_on(async {
            for _ in 0..rounds {
                let callers: Vec<_> =
                    (0..CALLERS).map(|_| tokio::spawn(batch_tokio(calls))).collect();
                for caller in callers {
                    caller.await??;
                }
            }
            Ok(())
        })
    })?;
    let on_rayon = start::on_rayon(cpus, ops, move |pool| {
        for _ in 0..rounds {
            pool.in_place_scope(|scope| {
                (0..CALLERS).for_each(|_| scope.spawn(move |scope| batch_rayon(scope, calls)));
            });
        }
        Ok(())
    })?;
    let calls = setting.size(CALLS_PYTHON, CALLS_PYTHON_QUICK);
    let work = Work::new("multi_client_tasks_async", 1).argument("--calls", calls.to_string());
    let mut all = vec![on_mobula, on_tokio, on_rayon];
    all.extend(setting.on_python(&["ray"], &work, CALLERS * calls));
    Ok(all)
}
