//! The engine `processes`: what it costs that a task, or an actor, is in another process. Beside it the engines in
//! Python, all of which have processes, too.

use anyhow::Result;
use mobula::prelude::*;

use crate::away;
use crate::case::{Case, Setting};
use crate::cases::Group;
use crate::contender::{Contender, MOBULA};
use crate::python::Work;
use crate::unit::Unit;

pub(crate) const GROUP: Group = Group {
    name: "processes",
    about: "tasks, actors and arrays on the engine `processes`",
    cases: &[
        Case {
            name: "processes_batch",
            about: "spawn empty tasks in worker processes, then get all",
            unit: Unit::NanosPerOp,
            contenders: batch,
        },
        Case {
            name: "processes_roundtrip",
            about: "submit one empty task in a worker process and get it, one at a time",
            unit: Unit::NanosPerOp,
            contenders: roundtrip,
        },
        Case {
            name: "processes_nested",
            about: "tasks that spawn 100 empty tasks each, and get them: a child",
            unit: Unit::NanosPerOp,
            contenders: nested,
        },
        Case {
            name: "processes_array_there",
            about: "an array of 100 MB as an argument (10 MB where it is quick)",
            unit: Unit::SecondsPerGigabyte,
            contenders: array_there,
        },
        Case {
            name: "processes_array_back",
            about: "an array of 100 MB as a result (10 MB where it is quick)",
            unit: Unit::SecondsPerGigabyte,
            contenders: array_back,
        },
        Case {
            name: "processes_actor_batch",
            about: "call an actor in a process of its own, then get all results",
            unit: Unit::NanosPerOp,
            contenders: actor_batch,
        },
    ],
};

const TASKS: usize = 200_000;
const TRIPS: usize = 10_000;
const CALLS: usize = 20_000;
const QUICK: usize = 500;
const ARRAYS: usize = 10;
const ARRAYS_QUICK: usize = 2;
const OPS_PYTHON: usize = 2_000;
const OPS_PYTHON_QUICK: usize = 50;

const ALL: &[&str] = &["ray", "dask", "ipyparallel"];

/// Starts the engine for `work`, of `ops` operations a call.
fn on_mobula(
    cpus: usize,
    ops: usize,
    mut work: impl FnMut() -> Result<()> + 'static,
) -> Result<Contender> {
    let runtime = Runtime::new(Config::new().num_cpus(cpus).engine(Engine::Processes))?;
    Ok(Contender::timed(MOBULA, ops, move || {
        let _entered = runtime.enter();
        work()
    }))
}

fn on_python(setting: &Setting, engines: &[&'static str], name: &'static str) -> Vec<Contender> {
    let ops = setting.size(OPS_PYTHON, OPS_PYTHON_QUICK);
    setting.on_python(engines, &Work::new(name, ops), ops)
}

fn batch(setting: &Setting) -> Result<Vec<Contender>> {
    let tasks = setting.size(TASKS, QUICK);
    let mut all = vec![on_mobula(setting.cpus, tasks, move || away::batch(tasks))?];
    all.extend(on_python(setting, ALL, "tasks_batch"));
    Ok(all)
}

fn roundtrip(setting: &Setting) -> Result<Vec<Contender>> {
    let trips = setting.size(TRIPS, QUICK);
    let mut all = vec![on_mobula(setting.cpus, trips, move || away::round_trips(trips))?];
    all.extend(on_python(setting, ALL, "roundtrip"));
    Ok(all)
}

fn nested(setting: &Setting) -> Result<Vec<Contender>> {
    let children = setting.size(TASKS / 4, QUICK);
    let mut all = vec![on_mobula(setting.cpus, children, move || away::nested(children))?];
    all.extend(on_python(setting, &["ray"], "nested"));
    Ok(all)
}

/// How many arrays a round sends, and how long each is.
fn arrays(setting: &Setting) -> (usize, usize, f64) {
    let numbers = away::numbers(setting);
    (setting.size(ARRAYS, ARRAYS_QUICK), numbers, numbers as f64 * 8e-9)
}

fn arrays_on_python(setting: &Setting, name: &'static str) -> Vec<Contender> {
    let (arrays, numbers, gigabytes) = arrays(setting);
    let work = Work::new(name, arrays).argument("--numbers", numbers.to_string());
    let all = setting.on_python(ALL, &work, arrays);
    all.into_iter().map(|contender| contender.divided_by(gigabytes)).collect()
}

fn array_there(setting: &Setting) -> Result<Vec<Contender>> {
    let (arrays, numbers, gigabytes) = arrays(setting);
    let mut values = vec![1.0; numbers];
    let mobula =
        on_mobula(setting.cpus, arrays, move || away::arrays_there(arrays, &mut values))?;
    let mut all = vec![mobula.divided_by(gigabytes)];
    all.extend(arrays_on_python(setting, "array_there"));
    Ok(all)
}

fn array_back(setting: &Setting) -> Result<Vec<Contender>> {
    let (arrays, numbers, gigabytes) = arrays(setting);
    let mobula =
        on_mobula(setting.cpus, arrays, move || away::arrays_back(arrays, numbers))?;
    let mut all = vec![mobula.divided_by(gigabytes)];
    all.extend(arrays_on_python(setting, "array_back"));
    Ok(all)
}

fn actor_batch(setting: &Setting) -> Result<Vec<Contender>> {
    let calls = setting.size(CALLS, QUICK);
    let mut counter = None;
    let mut all = vec![on_mobula(setting.cpus, calls, move || away::actor_calls(&mut counter, calls))?];
    all.extend(on_python(setting, &["ray", "dask"], "actor_batch"));
    Ok(all)
}
