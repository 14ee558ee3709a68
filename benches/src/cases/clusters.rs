//! The engines `ray`, `dask` and `ipyparallel` beside their own Python: what the way over the bridge costs, or wins.
//!
//! Each round of each contender starts a cluster of its own, with as many CPUs, and ends it. Its start-up and a few
//! calls at first are not counted.

use std::time::Instant;

use anyhow::Result;
use mobula::prelude::*;

use crate::away;
use crate::case::{Case, Setting};
use crate::cases::{Group, loo_forest};
use crate::contender::{Contender, MOBULA};
use crate::python::Work;
use crate::unit::Unit;

macro_rules! cases {
    ($($engine:ident { $($work:ident $name:literal $unit:ident $about:literal,)* })*) => {
        pub(crate) const GROUP: Group = Group {
            name: "clusters",
            about: "this program on other people's clusters, beside their own Python; needs `--python`",
            cases: &[
                $($(Case {
                    name: $name,
                    about: $about,
                    unit: Unit::$unit,
                    contenders: |setting| $work(setting, $name, Engine::$engine),
                },)*)*
                loo_forest::ON_CLUSTERS,
            ],
        };
    };
}

cases! {
    Ray {
        batch "ray_batch" NanosPerOp "spawn empty tasks on Ray, then get all",
        round_trip "ray_roundtrip" NanosPerOp "submit one empty task on Ray and get it, one at a time",
        actor_batch "ray_actor_batch" NanosPerOp "call an actor on Ray many times, then get all results",
        array_there "ray_array_there" SecondsPerGigabyte "an array of 100 MB as an argument on Ray",
        array_back "ray_array_back" SecondsPerGigabyte "an array of 100 MB as a result on Ray",
    }
    Dask {
        batch "dask_batch" NanosPerOp "spawn empty tasks on Dask, then get all",
        round_trip "dask_roundtrip" NanosPerOp "submit one empty task on Dask and get it, one at a time",
        array_there "dask_array_there" SecondsPerGigabyte "an array of 100 MB as an argument on Dask",
        array_back "dask_array_back" SecondsPerGigabyte "an array of 100 MB as a result on Dask",
    }
    Ipyparallel {
        batch "ipyparallel_batch" NanosPerOp "spawn empty tasks on ipyparallel, then get all",
        round_trip "ipyparallel_roundtrip" NanosPerOp "submit one empty task on ipyparallel and get it, one at a time",
        array_there "ipyparallel_array_there" SecondsPerGigabyte "an array of 100 MB as an argument on ipyparallel",
        array_back "ipyparallel_array_back" SecondsPerGigabyte "an array of 100 MB as a result on ipyparallel",
    }
}

const TASKS: usize = 20_000;
const TASKS_PYTHON: usize = 4_000;
const TRIPS: usize = 500;
const CALLS: usize = 5_000;
const QUICK: usize = 100;
const ARRAYS: usize = 5;
const ARRAYS_QUICK: usize = 2;
const ROUNDS: usize = 3;

/// A round on a cluster, or with processes, of its own. What it cost, in seconds for each of `ops`.
pub(super) fn round(
    engine: Engine,
    cpus: usize,
    ops: usize,
    mut work: impl FnMut(usize) -> Result<()>,
) -> Result<f64> {
    let config = Config::new().num_cpus(cpus).engine(engine);
    let is_cluster = engine != Engine::Processes;
    let runtime = Runtime::new(if is_cluster { config.address("local") } else { config })?;
    let _entered = runtime.enter();
    // As `run.py` does.
    work(ops.min(4 * cpus))?;
    let start = Instant::now();
    work(ops)?;
    Ok(start.elapsed().as_secs_f64() / ops as f64)
}

/// Mobula on a cluster, and the cluster's own Python. None where there is no Python.
fn both(
    setting: &Setting,
    case: &'static str,
    engine: Engine,
    ops: usize,
    work: impl FnMut(usize) -> Result<()> + 'static,
    python: (Work, usize),
) -> Vec<Contender> {
    if setting.python.is_none() {
        return Vec::new();
    }
    let (cpus, mut work) = (setting.cpus, work);
    let on_cluster = move || round(engine, cpus, ops, &mut work);
    let mut all = vec![setting.isolated(case, MOBULA, setting.size(ROUNDS, 1), on_cluster)];
    let (its_work, its_ops) = python;
    all.extend(setting.on_python(&[engine.name()], &its_work, its_ops));
    all
}

fn batch(setting: &Setting, case: &'static str, engine: Engine) -> Result<Vec<Contender>> {
    let tasks = setting.size(TASKS, QUICK);
    let ops = setting.size(TASKS_PYTHON, QUICK);
    let python = (Work::new("tasks_batch", ops), ops);
    Ok(both(setting, case, engine, tasks, away::batch, python))
}

fn round_trip(setting: &Setting, case: &'static str, engine: Engine) -> Result<Vec<Contender>> {
    let trips = setting.size(TRIPS, QUICK);
    let python = (Work::new("roundtrip", trips), trips);
    Ok(both(setting, case, engine, trips, away::round_trips, python))
}

fn actor_batch(setting: &Setting, case: &'static str, engine: Engine) -> Result<Vec<Contender>> {
    let calls = setting.size(CALLS, QUICK);
    let python = (Work::new("actor_batch", calls), calls);
    let mut counter = None;
    let work = move |calls| away::actor_calls(&mut counter, calls);
    Ok(both(setting, case, engine, calls, work, python))
}

fn array_there(setting: &Setting, case: &'static str, engine: Engine) -> Result<Vec<Contender>> {
    let mut values = Vec::new();
    let numbers = away::numbers(setting);
    let work = move |arrays| {
        values.resize(numbers, 1.0);
        away::arrays_there(arrays, &mut values)
    };
    arrays(setting, case, engine, "array_there", work)
}

fn array_back(setting: &Setting, case: &'static str, engine: Engine) -> Result<Vec<Contender>> {
    let numbers = away::numbers(setting);
    let work = move |arrays| away::arrays_back(arrays, numbers);
    arrays(setting, case, engine, "array_back", work)
}

fn arrays(
    setting: &Setting,
    case: &'static str,
    engine: Engine,
    name: &'static str,
    work: impl FnMut(usize) -> Result<()> + 'static,
) -> Result<Vec<Contender>> {
    let arrays = setting.size(ARRAYS, ARRAYS_QUICK);
    let numbers = away::numbers(setting);
    let python = Work::new(name, arrays).argument("--numbers", numbers.to_string());
    let all = both(setting, case, engine, arrays, work, (python, arrays));
    if setting.alone {
        // Who asked divides.
        return Ok(all);
    }
    Ok(all.into_iter().map(|contender| contender.divided_by(numbers as f64 * 8e-9)).collect())
}
