//! A thousand small simulations: work of some microseconds a task.

use anyhow::Result;
use mobula::prelude::*;
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

use crate::case::{Case, Setting};
use crate::contender::{Contender, MOBULA};
use crate::python::Work;
use crate::start;
use crate::unit::Unit;

pub(crate) const CASE: Case = Case {
    name: "calc_mean",
    about: "mean and deviation of 1000 normal draws, a thousand times",
    unit: Unit::NanosPerOp,
    contenders,
};

const TASKS: usize = 1_000;
const TASKS_QUICK: usize = 100;
/// The Python side draws as many.
const DRAWS: usize = 1_000;

fn contenders(setting: &Setting) -> Result<Vec<Contender>> {
    let tasks = setting.size(TASKS, TASKS_QUICK);
    let mut all = vec![on_mobula(setting.cpus, tasks)?, on_one_thread(tasks)];
    let work = Work::new("calc_mean", tasks).argument("--draws", DRAWS.to_string());
    let engines = ["ray", "dask", "ipyparallel", "joblib", "serial"];
    let peers = setting.on_python(&engines, &work, tasks);
    all.extend(peers.into_iter().map(|peer| peer.prefixed("numpy_")));
    Ok(all)
}

#[remote]
fn calc_mean(i: u64, n: usize) -> (f64, f64) {
    let mut stream = Pcg64::seed_from_u64(i);
    let draws: Vec<f64> = (0..n).map(|_| StandardNormal.sample(&mut stream)).collect();
    let mean = draws.iter().sum::<f64>() / n as f64;
    let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
    (mean, variance.sqrt())
}

fn on_mobula(cpus: usize, tasks: usize) -> Result<Contender> {
    let runtime = start::mobula(cpus)?;
    Ok(Contender::timed(MOBULA, tasks, move || {
        let _alive = &runtime;
        let refs: Vec<ObjectRef<(f64, f64)>> = (0..tasks as u64)
            .map(|i| calc_mean::remote(i, DRAWS))
            .collect();
        std::hint::black_box(mobula::get(refs)?);
        Ok(())
    }))
}

fn on_one_thread(tasks: usize) -> Contender {
    Contender::timed("serial", tasks, move || {
        let means: Vec<(f64, f64)> = (0..tasks as u64).map(|i| calc_mean(i, DRAWS)).collect();
        std::hint::black_box(means);
        Ok(())
    })
}
