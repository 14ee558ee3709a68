//! Many empty tasks from outside, then all their results.

use anyhow::Result;
use mobula::prelude::*;

use crate::case::{Case, Setting};
use crate::contender::{Contender, MOBULA};
use crate::python::Work;
use crate::start;
use crate::unit::Unit;

pub(crate) const CASE: Case = Case {
    name: "tasks_batch",
    about: "spawn empty tasks from outside, then get all",
    unit: Unit::NanosPerOp,
    contenders,
};

const TASKS: usize = 1_000_000;
const TASKS_QUICK: usize = 20_000;
/// Engines in Python take a millisecond for a task.
const TASKS_PYTHON: usize = 5_000;
const TASKS_PYTHON_QUICK: usize = 500;

fn contenders(setting: &Setting) -> Result<Vec<Contender>> {
    let tasks = setting.size(TASKS, TASKS_QUICK);
    let mut all = vec![
        on_mobula(setting.cpus, tasks)?,
        on_tokio(setting.cpus, tasks)?,
        on_rayon(setting.cpus, tasks)?,
    ];
    let tasks = setting.size(TASKS_PYTHON, TASKS_PYTHON_QUICK);
    let work = Work::new("tasks_batch", tasks);
    all.extend(setting.on_python(&["ray", "dask", "ipyparallel", "joblib"], &work, tasks));
    Ok(all)
}

#[remote]
fn empty() {}

fn on_mobula(cpus: usize, tasks: usize) -> Result<Contender> {
    let runtime = start::mobula(cpus)?;
    Ok(Contender::timed(MOBULA, tasks, move || {
        let _alive = &runtime;
        let refs: Vec<ObjectRef<()>> = (0..tasks).map(|_| empty::remote()).collect();
        mobula::get(refs)?;
        Ok(())
    }))
}

fn on_tokio(cpus: usize, tasks: usize) -> Result<Contender> {
    let runtime = start::tokio(cpus)?;
    Ok(Contender::timed("tokio", tasks, move || {
        runtime.block_on(async {
            let handles: Vec<_> = (0..tasks).map(|_| tokio::spawn(async {})).collect();
            for handle in handles {
                handle.await?;
            }
            Ok(())
        })
    }))
}

/// A scope joins its tasks but gives no result of each.
fn on_rayon(cpus: usize, tasks: usize) -> Result<Contender> {
    let pool = start::rayon(cpus)?;
    Ok(Contender::timed("rayon", tasks, move || {
        pool.in_place_scope(|scope| (0..tasks).for_each(|_| scope.spawn(|_| {})));
        Ok(())
    }))
}
