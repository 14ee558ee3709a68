//! Random numbers: ten million of each of many distributions, on one thread.
//!
//! The peers are `rand_distr` over the same bits, which makes other numbers of
//! them, and NumPy, which makes the very same numbers.

use std::hint::black_box;

use anyhow::Result;
use mobula::random::{Generator, default_rng};
use rand::SeedableRng;
use rand_distr::{
    Beta, Binomial, Distribution, Exp1, Gamma, Poisson, StandardNormal, StandardUniform, Uniform,
};
use rand_pcg::Pcg64;

use crate::case::{Case, Setting};
use crate::cases::Group;
use crate::contender::{Contender, MOBULA};
use crate::python::Work;
use crate::unit::Unit;

/// The numbers of one call. The memory of so short a list is the last one's, so
/// the system's part in it is not measured. The Python side draws as many.
const LENGTH: usize = 100_000;
const NUMBERS: usize = 10_000_000;
const NUMBERS_QUICK: usize = LENGTH;

/// A case: mobula's call, and what `rand_distr` draws of which type.
macro_rules! case {
    ($name:literal, $about:literal, $ours:expr, $type:ty, $theirs:expr) => {
        Case {
            name: $name,
            about: $about,
            unit: Unit::NanosPerOp,
            contenders: |setting| compare::<_, $type>(setting, $name, $ours, $theirs),
        }
    };
}

pub(crate) const GROUP: Group = Group {
    name: "random",
    about: "ten million random numbers of each of many distributions, on one thread",
    cases: &[
        case!(
            "random_uniform",
            "uniform numbers from 0 to 1",
            |rng| Ok(rng.random::<f64, _>(LENGTH)),
            f64,
            StandardUniform
        ),
        case!(
            "random_uniform_f32",
            "uniform numbers in single precision",
            |rng| Ok(rng.random::<f32, _>(LENGTH)),
            f32,
            StandardUniform
        ),
        case!(
            "random_normal",
            "normal numbers",
            |rng| Ok(rng.standard_normal::<f64, _>(LENGTH)),
            f64,
            StandardNormal
        ),
        case!(
            "random_normal_f32",
            "normal numbers in single precision",
            |rng| Ok(rng.standard_normal::<f32, _>(LENGTH)),
            f32,
            StandardNormal
        ),
        case!(
            "random_exponential",
            "exponential numbers",
            |rng| Ok(rng.standard_exponential::<f64, _>(LENGTH)),
            f64,
            Exp1
        ),
        case!(
            "random_gamma",
            "gamma numbers of shape 2.5",
            |rng| rng.standard_gamma(2.5, LENGTH),
            f64,
            Gamma::new(2.5, 1.0)?
        ),
        case!(
            "random_beta",
            "beta numbers of 2 and 3",
            |rng| rng.beta(2.0, 3.0, LENGTH),
            f64,
            Beta::new(2.0, 3.0)?
        ),
        case!(
            "random_poisson_3",
            "Poisson numbers of mean 3",
            |rng| rng.poisson(3.0, LENGTH),
            f64,
            Poisson::new(3.0)?
        ),
        case!(
            "random_poisson_100",
            "Poisson numbers of mean 100",
            |rng| rng.poisson(100.0, LENGTH),
            f64,
            Poisson::new(100.0)?
        ),
        case!(
            "random_binomial_100",
            "hits of 100 tries of probability 0.2",
            |rng| rng.binomial(100, 0.2, LENGTH),
            u64,
            Binomial::new(100, 0.2)?
        ),
        case!(
            "random_binomial_1000",
            "hits of 1000 tries of probability 0.3",
            |rng| rng.binomial(1000, 0.3, LENGTH),
            u64,
            Binomial::new(1000, 0.3)?
        ),
        case!(
            "random_integers",
            "whole numbers below 1000",
            |rng| rng.integers(0..1000_i64, LENGTH),
            i64,
            Uniform::new(0, 1000)?
        ),
    ],
};

/// One call, again and again on the same generator.
type Call<T> = fn(&mut Generator) -> mobula::Result<Vec<T>>;

fn compare<T: 'static, U: 'static>(
    setting: &Setting,
    work: &'static str,
    ours: Call<T>,
    theirs: impl Distribution<U> + 'static,
) -> Result<Vec<Contender>> {
    let numbers = setting.size(NUMBERS, NUMBERS_QUICK);
    let mut rng = default_rng(1);
    let mobula = Contender::timed(MOBULA, numbers, move || {
        for _ in 0..numbers / LENGTH {
            black_box(ours(&mut rng)?);
        }
        Ok(())
    });
    let mut bits = Pcg64::seed_from_u64(1);
    let rand_distr = Contender::timed("rand_distr", numbers, move || {
        for _ in 0..numbers / LENGTH {
            black_box((0..LENGTH).map(|_| theirs.sample(&mut bits)).collect::<Vec<U>>());
        }
        Ok(())
    });
    let mut all = vec![mobula, rand_distr];
    let work = Work::new(work, numbers).argument("--numbers", LENGTH.to_string());
    let numpy = setting.on_python(&["serial"], &work, numbers).into_iter();
    all.extend(numpy.map(|peer| peer.prefixed("numpy_")));
    Ok(all)
}
