//! What it costs to record events: `tasks_batch` with and without.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use mobula::prelude::*;

use crate::case::{Case, Setting};
use crate::contender::{Contender, MOBULA};
use crate::unit::Unit;

pub(crate) const CASE: Case = Case {
    name: "tasks_batch_events",
    about: "spawn empty tasks from outside, get all, and record every event",
    unit: Unit::NanosPerOp,
    contenders,
};

const TASKS: usize = 1_000_000;
const TASKS_QUICK: usize = 20_000;
/// Each task is submitted, started and finished.
const EVENTS_PER_TASK: usize = 3;

fn contenders(setting: &Setting) -> Result<Vec<Contender>> {
    let tasks = setting.size(TASKS, TASKS_QUICK);
    Ok(vec![recorded(setting.cpus, tasks)?, unrecorded(setting.cpus, tasks)?])
}

#[remote]
fn empty() {}

fn run(tasks: usize) -> Result<()> {
    let refs: Vec<ObjectRef<()>> = (0..tasks).map(|_| empty::remote()).collect();
    mobula::get(refs)?;
    Ok(())
}

/// With buffers that hold a whole round, read between the rounds: what is timed is the recording of all
/// events and of nothing else.
fn recorded(cpus: usize, tasks: usize) -> Result<Contender> {
    let config = Config::new().num_cpus(cpus).events(true).event_buffer(EVENTS_PER_TASK * tasks + 1);
    let runtime = Runtime::new(config).context("failed to start mobula")?;
    Ok(Contender::reported(MOBULA, usize::MAX, move || {
        let start = Instant::now();
        {
            let _entered = runtime.enter();
            run(tasks)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let events = runtime.events();
        ensure!(events.len() == EVENTS_PER_TASK * tasks, "only {} events came", events.len());
        Ok(seconds / tasks as f64)
    }))
}

fn unrecorded(cpus: usize, tasks: usize) -> Result<Contender> {
    let config = Config::new().num_cpus(cpus).events(false);
    let runtime = Runtime::new(config).context("failed to start mobula")?;
    Ok(Contender::timed("mobula, no events", tasks, move || {
        let _entered = runtime.enter();
        run(tasks)
    }))
}
