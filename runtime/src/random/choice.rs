//! Choosing from a population, in any of NumPy's ways.
//!
//! With replacement, each draw is a number of its own. Without, either a part of the population is
//! shuffled, or, where few of many are wanted, R. W. Floyd's algorithm gathers a set (J. Bentley,
//! "Programming pearls: a sample of brilliance", 1987). With probabilities, uniform numbers are looked up
//! in their cumulative sums.

use std::collections::HashSet;

use rand::Rng;

use super::population::Population;
use super::real::Real;
use super::size::Size;
use super::{bounded, shuffle};
use crate::error::{Error, ErrorKind, Result};

/// Populations up to this many are always sampled by Floyd's algorithm.
const FLOYD_POPULATION_MAX: usize = 10_000;
/// Larger ones are where less than one of so many is wanted: with and without a shuffle.
const FLOYD_SHARE_SHUFFLED: usize = 50;
const FLOYD_SHARE_PLAIN: usize = 20;

/// A choice that is being described: see [`Generator::choice`](super::Generator::choice).
#[must_use = "nothing is chosen before `draw`"]
pub struct Choice<'a, B, P> {
    bits: &'a mut B,
    population: P,
    replace: bool,
    shuffle: bool,
    probabilities: Option<&'a [f64]>,
}

impl<'a, B: Rng, P: Population> Choice<'a, B, P> {
    pub(super) fn new(bits: &'a mut B, population: P) -> Self {
        Self { bits, population, replace: true, shuffle: true, probabilities: None }
    }

    /// Whether a value may be chosen more than once. The default is true.
    pub fn replace(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }

    /// The probability of each value; they sum to 1. By default all are equal.
    pub fn p(mut self, probabilities: &'a [f64]) -> Self {
        self.probabilities = Some(probabilities);
        self
    }

    /// Whether what is chosen without replacement comes in random order. The default is true; false is
    /// faster where the order does not matter.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// Chooses.
    ///
    /// # Errors
    ///
    /// [`Value`](ErrorKind::Value) if the population has fewer values than are wanted without
    /// replacement, or none; if there is not one probability for each value, or they are negative, or do
    /// not sum to 1; and if fewer of them are above 0 than values are wanted without replacement.
    pub fn draw<S: Size<P::Item>>(self, size: S) -> Result<S::Output> {
        let (wanted, there) = (size.count(), self.population.count());
        if there == 0 && wanted > 0 {
            return Err(refused("nothing can be chosen from an empty population".into()));
        }
        if let Some(p) = self.probabilities {
            check(p, there)?;
        }
        if !self.replace && wanted > there {
            let message = format!("{wanted} of {there} cannot be chosen without replacement");
            return Err(refused(message));
        }
        let bits = self.bits;
        let chosen = match (self.probabilities, self.replace) {
            // The wide draws that NumPy makes here for its int64.
            (None, true) if wanted == 0 => Vec::new(),
            (None, true) => {
                let last = there as u64 - 1;
                return Ok(size.fill(|| self.population.item(bounded::up_to(bits, last) as usize)));
            }
            (Some(p), true) => with_probabilities(bits, p, wanted),
            (Some(p), false) => distinct_with_probabilities(bits, p, wanted)?,
            (None, false) => distinct(bits, there, wanted, self.shuffle),
        };
        let mut chosen = chosen.into_iter();
        Ok(size.fill(|| {
            let index = chosen.next().expect("as many were chosen as there are places");
            self.population.item(index)
        }))
    }
}

/// The cumulative sums of probabilities, the last of them 1.
struct Cumulative(Vec<f64>);

impl Cumulative {
    fn new(probabilities: &[f64]) -> Self {
        let mut sum = 0.0;
        let mut sums: Vec<f64> = Vec::with_capacity(probabilities.len());
        for p in probabilities {
            sum += p;
            sums.push(sum);
        }
        sums.iter_mut().for_each(|part| *part /= sum);
        Self(sums)
    }

    /// The place whose part of the sum has `x` in it.
    fn find(&self, x: f64) -> usize {
        self.0.partition_point(|sum| *sum <= x)
    }
}

fn with_probabilities(bits: &mut impl Rng, p: &[f64], wanted: usize) -> Vec<usize> {
    if wanted == 0 {
        return Vec::new();
    }
    let cumulative = Cumulative::new(p);
    (0..wanted).map(|_| cumulative.find(f64::unit(bits))).collect()
}

/// Draws as many as are missing, keeps the new ones, and gives those no more chance.
fn distinct_with_probabilities(
    bits: &mut impl Rng,
    p: &[f64],
    wanted: usize,
) -> Result<Vec<usize>> {
    let possible = p.iter().filter(|p| **p > 0.0).count();
    if possible < wanted {
        let message = format!(
            "{wanted} cannot be chosen without replacement: only {possible} probabilities are above 0"
        );
        return Err(refused(message));
    }
    let mut left = p.to_vec();
    let mut chosen = Vec::with_capacity(wanted);
    while chosen.len() < wanted {
        let cumulative = Cumulative::new(&left);
        for _ in chosen.len()..wanted {
            let index = cumulative.find(f64::unit(bits));
            if left[index] > 0.0 {
                left[index] = 0.0;
                chosen.push(index);
            }
        }
    }
    Ok(chosen)
}

fn distinct(bits: &mut impl Rng, there: usize, wanted: usize, shuffle: bool) -> Vec<usize> {
    let share = if shuffle { FLOYD_SHARE_SHUFFLED } else { FLOYD_SHARE_PLAIN };
    if there > FLOYD_POPULATION_MAX && wanted > there / share {
        let mut all: Vec<usize> = (0..there).collect();
        shuffle::tail(bits, &mut all, (there - wanted).max(1));
        return all.split_off(there - wanted);
    }
    let mut chosen = floyd(bits, there, wanted);
    if shuffle {
        shuffle::tail(bits, &mut chosen, 1);
    }
    chosen
}

/// One number for each of the last `wanted` places: any up to the place, or if it was there already the
/// place itself, which cannot have been.
fn floyd(bits: &mut impl Rng, there: usize, wanted: usize) -> Vec<usize> {
    let mut seen = HashSet::with_capacity(wanted);
    let draw = |place| {
        let number = bounded::up_to(bits, place as u64) as usize;
        let number = if seen.contains(&number) { place } else { number };
        seen.insert(number);
        number
    };
    (there - wanted..there).map(draw).collect()
}

fn check(p: &[f64], there: usize) -> Result<()> {
    /// How far from 1 the sum may be: the root of the distance between 1 and the next double.
    const TOLERANCE: f64 = 1.490_116_119_384_765_6e-8;

    if p.len() != there {
        let message = format!("there are {} probabilities for a population of {there}", p.len());
        return Err(refused(message));
    }
    if let Some(wrong) = p.iter().find(|p| p.is_nan() || **p < 0.0) {
        return Err(refused(format!("{wrong} is not a probability: it must be 0 or more")));
    }
    let sum = compensated_sum(p);
    if there > 0 && (sum - 1.0).abs() > TOLERANCE {
        return Err(refused(format!("the probabilities sum to {sum}, not to 1")));
    }
    Ok(())
}

/// The sum with the rounding of each step carried over to the next (W. Kahan, 1965).
fn compensated_sum(values: &[f64]) -> f64 {
    let (mut sum, mut carried) = (0.0, 0.0);
    for value in values {
        let next = value - carried;
        let sum_next = sum + next;
        carried = (sum_next - sum) - next;
        sum = sum_next;
    }
    sum
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::Value, message)
}
