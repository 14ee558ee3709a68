//! A million tasks that wait for a CPU, and then run.

use anyhow::Result;
use mobula::prelude::*;

use crate::blocker::Blocker;
use crate::case::{Case, Setting};
use crate::contender::Contender;
use crate::python::Work;
use crate::start;
use crate::unit::Unit;

pub(super) const CASE: Case = Case {
    name: "queued_tasks",
    about: "queue 1,000,000 tasks while all CPUs are blocked, then get all, for each",
    unit: Unit::NanosPerOp,
    contenders,
};

const TASKS: usize = 1_000_000;
const TASKS_QUICK: usize = 20_000;
const TASKS_PYTHON: usize = 20_000;
const TASKS_PYTHON_QUICK: usize = 500;

fn contenders(setting: &Setting) -> Result<Vec<Contender>> {
    let (tasks, cpus) = (setting.size(TASKS, TASKS_QUICK), setting.cpus);
    let mut all = vec![
        start::on_mobula(cpus, tasks, || Ok(move || on_mobula(cpus, tasks)))?,
        start::on_tokio(cpus, tasks, move |runtime| on_tokio(runtime, cpus, tasks))?,
        start::on_rayon(cpus, tasks, move |pool| on_rayon(pool, cpus, tasks))?,
    ];
    let tasks = setting.size(TASKS_PYTHON, TASKS_PYTHON_QUICK);
    all.extend(setting.on_python(&["ray"], &Work::new("queued_tasks", tasks), tasks));
    Ok(all)
}

/// Blocks `cpus` threads by what `run` starts, and returns once all are.
fn block(cpus: usize, run: impl Fn(Box<dyn FnOnce() + Send>)) -> Result<Vec<Blocker>> {
    let blockers: Vec<Blocker> = (0..cpus)
        .map(|_| {
            let (blocker, work) = Blocker::new();
            run(Box::new(work));
            blocker
        })
        .collect();
    blockers.iter().try_for_each(Blocker::wait_until_begun)?;
    Ok(blockers)
}

#[remote]
fn empty() {}

fn on_mobula(cpus: usize, tasks: usize) -> Result<()> {
    let blockers = block(cpus, |work| drop(mobula::spawn(work)))?;
    let refs: Vec<ObjectRef<()>> = (0..tasks).map(|_| empty::remote()).collect();
    drop(blockers);
    mobula::get(refs)?;
    Ok(())
}

fn on_tokio(runtime: &tokio::runtime::Runtime, cpus: usize, tasks: usize) -> Result<()> {
    let blockers = block(cpus, |work| drop(runtime.spawn(async { work() })))?;
    let handles: Vec<_> = (0..tasks).map(|_| runtime.spawn(async {})).collect();
    drop(blockers);
    runtime.block_on(async {
        for handle in handles {
            handle.await?;
        }
        Ok(())
    })
}

/// A scope joins its tasks but gives no result of each.
fn on_rayon(pool: &rayon::ThreadPool, cpus: usize, tasks: usize) -> Result<()> {
    let blockers = block(cpus, |work| pool.spawn(work))?;
    pool.in_place_scope(|scope| {
        (0..tasks).for_each(|_| scope.spawn(|_| {}));
        drop(blockers);
    });
    Ok(())
}
