//! One task at a time from outside: what a single call costs.

use anyhow::Result;
use mobula::prelude::*;

use crate::case::{Case, Setting};
use crate::contender::{Contender, MOBULA};
use crate::python::Work;
use crate::start;
use crate::unit::Unit;

pub(crate) const CASE: Case = Case {
    name: "roundtrip",
    about: "submit one empty task from outside and get it, one at a time",
    unit: Unit::NanosPerOp,
    contenders,
};

const TRIPS: usize = 20_000;
const TRIPS_QUICK: usize = 500;
const TRIPS_PYTHON: usize = 500;
const TRIPS_PYTHON_QUICK: usize = 50;

fn contenders(setting: &Setting) -> Result<Vec<Contender>> {
    let trips = setting.size(TRIPS, TRIPS_QUICK);
    let mut all = vec![
        on_mobula(setting.cpus, trips)?,
        on_tokio(setting.cpus, trips)?,
        on_rayon(setting.cpus, trips)?,
    ];
    let trips = setting.size(TRIPS_PYTHON, TRIPS_PYTHON_QUICK);
    let work = Work::new("roundtrip", trips);
    all.extend(setting.on_python(&["ray", "dask", "ipyparallel"], &work, trips));
    Ok(all)
}

#[remote]
fn empty() {}

fn on_mobula(cpus: usize, trips: usize) -> Result<Contender> {
    let runtime = start::mobula(cpus)?;
    Ok(Contender::timed(MOBULA, trips, move || {
        let _alive = &runtime;
        for _ in 0..trips {
            mobula::get(empty::remote())?;
        }
        Ok(())
    }))
}

fn on_tokio(cpus: usize, trips: usize) -> Result<Contender> {
    let runtime = start::tokio(cpus)?;
    Ok(Contender::timed("tokio", trips, move || {
        for _ in 0..trips {
            runtime.block_on(runtime.spawn(async {}))?;
        }
        Ok(())
    }))
}

fn on_rayon(cpus: usize, trips: usize) -> Result<Contender> {
    let pool = start::rayon(cpus)?;
    Ok(Contender::timed("rayon", trips, move || {
        (0..trips).for_each(|_| pool.install(|| {}));
        Ok(())
    }))
}
