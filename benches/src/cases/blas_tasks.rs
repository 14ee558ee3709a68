//! Linear algebra in tasks: many factorizations side by side, and a single large one.
//!
//! The peers have the same library and the same threads, without a budget: each
//! task on all threads, or each on one.

use std::hint::black_box;

use anyhow::Result;
use mobula::blas;
use mobula::linalg::{Cholesky, UPLO};
use mobula::prelude::*;
use mobula::random::default_rng;
use ndarray::Array2;

use crate::case::{Case, Setting};
use crate::cases::Group;
use crate::contender::{Contender, MOBULA};
use crate::start;
use crate::unit::Unit;

const TASKS: usize = 8;
const SIZE: usize = 2000;
const SIZE_QUICK: usize = 200;
/// The single one takes as long as the eight together: it is twice as large.
const FACTOR_OF_ONE: usize = 2;

pub(crate) const GROUP: Group = Group {
    name: "blas_tasks",
    about: "Cholesky factorizations in tasks, with and without a budget of BLAS threads",
    cases: &[
        Case {
            name: "blas_tasks_many",
            about: "eight tasks, each of which factors a matrix of 2000 x 2000",
            unit: Unit::Seconds,
            contenders: |setting| contenders(setting, Shape { tasks: TASKS, size: 1, wide: false }),
        },
        Case {
            name: "blas_tasks_one",
            about: "one task on all CPUs, which factors a matrix of 4000 x 4000",
            unit: Unit::Seconds,
            contenders: |setting| {
                contenders(setting, Shape { tasks: 1, size: FACTOR_OF_ONE, wide: true })
            },
        },
    ],
};

#[derive(Clone, Copy)]
struct Shape {
    tasks: usize,
    /// In multiples of the size.
    size: usize,
    /// Whether each task asks for all CPUs.
    wide: bool,
}

fn contenders(setting: &Setting, shape: Shape) -> Result<Vec<Contender>> {
    let size = shape.size * setting.size(SIZE, SIZE_QUICK);
    // By Gram: positive definite.
    let x: Array2<f64> = default_rng(1).standard_normal((size, size));
    let a = x.t().dot(&x) + Array2::<f64>::eye(size);
    Ok(vec![
        on_mobula(setting.cpus, shape, a.clone())?,
        on_rayon("rayon_all_threads", setting.cpus, setting.cpus, shape, a.clone())?,
        on_rayon("rayon_one_thread", setting.cpus, 1, shape, a)?,
    ])
}

fn factor_plainly(a: &Array2<f64>) -> f64 {
    a.cholesky(UPLO::Lower).map_or(f64::NAN, |factor| factor[[0, 0]])
}

#[remote]
fn factor(a: &Array2<f64>) -> f64 {
    factor_plainly(a)
}

fn on_mobula(cpus: usize, shape: Shape, a: Array2<f64>) -> Result<Contender> {
    let runtime = start::mobula(cpus)?;
    let a = mobula::put(a);
    let num_cpus = if shape.wide { cpus } else { 1 };
    Ok(Contender::timed(MOBULA, 1, move || {
        let _alive = &runtime;
        let call = |_| factor::options().num_cpus(num_cpus as u32).remote(&a);
        black_box(mobula::get((0..shape.tasks).map(call).collect::<Vec<_>>())?);
        Ok(())
    }))
}

/// Each task on so many BLAS threads, whatever runs beside it.
fn on_rayon(
    name: &str,
    cpus: usize,
    threads: usize,
    shape: Shape,
    a: Array2<f64>,
) -> Result<Contender> {
    let pool = start::rayon(cpus)?;
    Ok(Contender::timed(name, 1, move || {
        let factor = || {
            black_box(blas::with_threads(threads, || factor_plainly(&a)));
        };
        pool.in_place_scope(|scope| (0..shape.tasks).for_each(|_| scope.spawn(|_| factor())));
        Ok(())
    }))
}
