//! Leave-one-out prediction by a random forest: real work, some milliseconds
//! to some hundred a task.
//!
//! The peers in Python run scikit-learn on the same data. Both grow the same
//! kind of forest: every split weighs all columns, and leaves are pure.

use std::rc::Rc;

use anyhow::{Context, Result};
use mobula::prelude::*;
use mobula_examples::data::{Dataset, synthetic};
use mobula_examples::forest::Forest;
use mobula_examples::random;
use ndarray::{Array1, Array2};

use crate::case::{Case, Setting};
use crate::cases::clusters;
use crate::contender::{Contender, MOBULA};
use crate::python::Work;
use crate::start;
use crate::unit::Unit;

pub(crate) const CASE: Case = Case {
    name: "loo_forest",
    about: "leave-one-out prediction of 200 rows by forests of 100 trees",
    unit: Unit::Seconds,
    contenders,
};

const TREES: usize = 100;
/// Rows that are held out in turn; all of the data has as many.
const ROWS: usize = 200;
const ROWS_QUICK: usize = 8;
/// Seconds a round, and minutes with Python: few rounds will do.
const ROUNDS: usize = 3;
const SEED: u64 = 1;

fn contenders(setting: &Setting) -> Result<Vec<Contender>> {
    let data = Rc::new(synthetic());
    let rows = setting.size(ROWS, ROWS_QUICK);
    let mut all = vec![
        on_mobula(MOBULA, setting.cpus, &data, rows),
        on_mobula("mobula_1cpu", 1, &data, rows),
    ];
    all.extend(on_scikit_learn(setting, &data, rows)?);
    Ok(all)
}

#[remote]
fn loo_fit(held_out: usize, x: &Array2<f64>, y: &Array1<f64>) -> f64 {
    let rows: Vec<usize> = (0..y.len()).filter(|&row| row != held_out).collect();
    let mut stream = random::stream(SEED, held_out as u64);
    Forest::fit(x, y, &rows, TREES, &mut stream).predict(x.row(held_out))
}

/// The same forests wherever Mobula runs them; the processes first, which the others are compared with.
pub(super) const ON_CLUSTERS: Case = Case {
    name: "loo_forest_engines",
    about: "leave-one-out prediction of 200 rows by forests of 100 trees, on each engine in other processes",
    unit: Unit::Seconds,
    contenders: on_engines,
};

fn on_engines(setting: &Setting) -> Result<Vec<Contender>> {
    if setting.python.is_none() {
        return Ok(Vec::new());
    }
    let rows = setting.size(ROWS, ROWS_QUICK);
    let on = |name, engine| {
        let cpus = setting.cpus;
        setting.isolated(ON_CLUSTERS.name, name, setting.size(ROUNDS, 1), move || {
            let data = synthetic();
            let seconds_a_row = clusters::round(engine, cpus, rows, |rows| predict(&data, rows))?;
            Ok(seconds_a_row * rows as f64)
        })
    };
    Ok(vec![
        on(MOBULA, Engine::Processes),
        on("mobula_on_ray", Engine::Ray),
        on("mobula_on_dask", Engine::Dask),
        on("mobula_on_ipyparallel", Engine::Ipyparallel),
    ])
}

fn predict(data: &Dataset, rows: usize) -> Result<()> {
    let (x, y) = (mobula::put(data.x.clone()), mobula::put(data.y.clone()));
    let refs: Vec<ObjectRef<f64>> = (0..rows).map(|row| loo_fit::remote(row, &x, &y)).collect();
    std::hint::black_box(mobula::get(refs)?);
    Ok(())
}

/// Starts its runtime in each round, since two cannot be there at once. That
/// counts, but takes microseconds.
fn on_mobula(name: &str, cpus: usize, data: &Rc<Dataset>, rows: usize) -> Contender {
    let data = Rc::clone(data);
    let work = move || {
        let _alive = start::mobula(cpus)?;
        predict(&data, rows)
    };
    Contender::timed(name, 1, work).cold(ROUNDS)
}

fn on_scikit_learn(setting: &Setting, data: &Dataset, rows: usize) -> Result<Vec<Contender>> {
    let mut file = tempfile::NamedTempFile::new().context("failed to make a file for the data")?;
    data.write_csv(&mut file).context("failed to write the data")?;
    let work = Work::new("loo_forest", rows)
        .argument("--trees", TREES.to_string())
        .file("--data", file.into_temp_path());
    let engines = ["ray", "joblib", "dask", "ipyparallel", "serial"];
    let peers = setting.on_python(&engines, &work, 1).into_iter();
    Ok(peers.map(|peer| peer.prefixed("sklearn_").cold(1)).collect())
}
