//! The tasks of `tasks_batch`, spawned from inside a task.

use anyhow::Result;
use mobula::prelude::*;

use crate::case::{Case, Setting};
use crate::contender::{Contender, MOBULA};
use crate::start;
use crate::unit::Unit;

pub(crate) const CASE: Case = Case {
    name: "tasks_nested",
    about: "spawn empty tasks from inside a task, then get all",
    unit: Unit::NanosPerOp,
    contenders,
};

const TASKS: usize = 1_000_000;
const TASKS_QUICK: usize = 20_000;

fn contenders(setting: &Setting) -> Result<Vec<Contender>> {
    let tasks = setting.size(TASKS, TASKS_QUICK);
    Ok(vec![
        on_mobula(setting.cpus, tasks)?,
        on_tokio(setting.cpus, tasks)?,
        on_rayon(setting.cpus, tasks)?,
    ])
}

#[remote]
fn empty() {}

#[remote]
fn spawn_all(tasks: usize) -> mobula::Result<()> {
    let refs: Vec<ObjectRef<()>> = (0..tasks).map(|_| empty::remote()).collect();
    mobula::get(refs)?;
    Ok(())
}

fn on_mobula(cpus: usize, tasks: usize) -> Result<Contender> {
    let runtime = start::mobula(cpus)?;
    Ok(Contender::timed(MOBULA, tasks, move || {
        let _alive = &runtime;
        mobula::get(spawn_all::remote(tasks))?;
        Ok(())
    }))
}

fn on_tokio(cpus: usize, tasks: usize) -> Result<Contender> {
    let runtime = start::tokio(cpus)?;
    Ok(Contender::timed("tokio", tasks, move || {
        runtime.block_on(runtime.spawn(async move {
            let handles: Vec<_> = (0..tasks).map(|_| tokio::spawn(async {})).collect();
            for handle in handles {
                handle.await?;
            }
            Ok(())
        }))?
    }))
}

fn on_rayon(cpus: usize, tasks: usize) -> Result<Contender> {
    let pool = start::rayon(cpus)?;
    Ok(Contender::timed("rayon", tasks, move || {
        pool.scope(|scope| (0..tasks).for_each(|_| scope.spawn(|_| {})));
        Ok(())
    }))
}
