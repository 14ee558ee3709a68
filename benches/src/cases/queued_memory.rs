//! What a task takes that waits for its turn.
//!
//! The one CPU is blocked, so all tasks stay in the queue with all that belongs
//! to them: the call, the place of its `u64` result and the caller's ref.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;

use anyhow::{Result, ensure};
use mobula::prelude::*;

use crate::blocker::Blocker;
use crate::case::{Case, Setting};
use crate::contender::{Contender, MOBULA};
use crate::unit::Unit;
use crate::{memory, start};

pub(crate) const CASE: Case = Case {
    name: "queued_memory",
    about: "resident memory of a queued task with a u64 result, of 1,000,000 behind a blocker",
    unit: Unit::BytesPerOp,
    contenders,
};

const TASKS: usize = 1_000_000;
const TASKS_QUICK: usize = 100_000;
const ROUNDS: usize = 3;
const ROUNDS_QUICK: usize = 1;

fn contenders(setting: &Setting) -> Result<Vec<Contender>> {
    let tasks = setting.size(TASKS, TASKS_QUICK);
    let rounds = setting.size(ROUNDS, ROUNDS_QUICK);
    let isolated = |name, round: fn(usize) -> Result<f64>| {
        setting.isolated(CASE.name, name, rounds, move || round(tasks))
    };
    Ok(vec![
        isolated(MOBULA, on_mobula),
        isolated("tokio", on_tokio),
        isolated("rayon", on_rayon),
    ])
}

/// Bytes that each of `tasks` took, by what `queue` made of them all. Also
/// gives what `queue` returned.
fn measured<R>(tasks: usize, queue: impl FnOnce() -> R) -> Result<(f64, R)> {
    let before = memory::resident()?;
    let queued = queue();
    let after = memory::resident()?;
    Ok((after.saturating_sub(before) as f64 / tasks as f64, queued))
}

/// Whether the results are those of tasks 0, 1, 2 and so on.
fn check(tasks: usize, results: impl Iterator<Item = u64>) -> Result<()> {
    ensure!(results.eq(0..tasks as u64), "the results are not those of the tasks");
    Ok(())
}

#[remote]
fn itself(i: u64) -> u64 {
    i
}

fn on_mobula(tasks: usize) -> Result<f64> {
    let _runtime = start::mobula(1)?;
    let (blocker, block) = Blocker::new();
    let blocked = mobula::spawn(block);
    blocker.wait_until_begun()?;
    let queue = || (0..tasks as u64).map(|i| itself::remote(i)).collect::<Vec<_>>();
    let (bytes, refs) = measured(tasks, queue)?;
    drop(blocker);
    mobula::get(blocked)?;
    check(tasks, mobula::get(refs)?.into_iter())?;
    Ok(bytes)
}

fn on_tokio(tasks: usize) -> Result<f64> {
    let runtime = start::tokio(1)?;
    let (blocker, block) = Blocker::new();
    let blocked = runtime.spawn(async { block() });
    blocker.wait_until_begun()?;
    let queue = || {
        (0..tasks as u64).map(|i| runtime.spawn(async move { i })).collect::<Vec<_>>()
    };
    let (bytes, handles) = measured(tasks, queue)?;
    drop(blocker);
    let results: Result<Vec<u64>, _> = runtime.block_on(async {
        blocked.await?;
        let mut results = Vec::with_capacity(tasks);
        for handle in handles {
            results.push(handle.await?);
        }
        Ok::<_, tokio::task::JoinError>(results)
    });
    check(tasks, results?.into_iter())?;
    Ok(bytes)
}

/// Rayon's tasks have no result, so each writes into a place made for it.
fn on_rayon(tasks: usize) -> Result<f64> {
    let pool = start::rayon(1)?;
    let (blocker, block) = Blocker::new();
    pool.spawn(block);
    blocker.wait_until_begun()?;
    let (done, ended) = channel();
    let queue = || {
        let results: Arc<[AtomicU64]> = (0..tasks).map(|_| AtomicU64::new(0)).collect();
        for i in 0..tasks {
            let results = Arc::clone(&results);
            // Release and acquire are the channel's, below.
            pool.spawn_fifo(move || results[i].store(i as u64, Ordering::Relaxed));
        }
        pool.spawn_fifo(move || {
            // Fails only where the measurement did, and nobody listens any more.
            let _ = done.send(());
        });
        results
    };
    let (bytes, results) = measured(tasks, queue)?;
    drop(blocker);
    ended.recv()?;
    check(tasks, results.iter().map(|result| result.load(Ordering::Relaxed)))?;
    Ok(bytes)
}
