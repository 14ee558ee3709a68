//! What the cases `processes` and `clusters` do in other processes, on this machine or on a cluster.

use anyhow::{Result, ensure};
use mobula::prelude::*;

use crate::case::Setting;

/// How long an array is: 100 MB, or 10.
pub(crate) fn numbers(setting: &Setting) -> usize {
    setting.size(12_500_000, 1_250_000)
}

#[remote]
fn empty() {}

#[remote]
fn spawns(children: usize) -> mobula::Result<()> {
    mobula::get((0..children).map(|_| empty::remote()).collect::<Vec<_>>()).map(drop)
}

#[remote]
fn last(values: &[f64]) -> f64 {
    values.last().copied().unwrap_or_default()
}

#[remote]
fn ones(count: usize) -> Vec<f64> {
    vec![1.0; count]
}

pub(crate) struct Counter(u64);

#[remote]
impl Counter {
    pub fn new() -> Self {
        Self(0)
    }

    pub fn add(&mut self, by: u64) -> u64 {
        self.0 += by;
        self.0
    }
}

/// Empty tasks, all of which are got at the end.
pub(crate) fn batch(tasks: usize) -> Result<()> {
    let refs: Vec<ObjectRef<()>> = (0..tasks).map(|_| empty::remote()).collect();
    mobula::get(refs)?;
    Ok(())
}

/// Tasks that have 100 empty ones each for children, so many in all.
pub(crate) fn nested(children: usize) -> Result<()> {
    const EACH: usize = 100;
    mobula::get((0..children / EACH).map(|_| spawns::remote(EACH)).collect::<Vec<_>>())?;
    Ok(())
}

/// Empty tasks, each of which is got before the next.
pub(crate) fn round_trips(trips: usize) -> Result<()> {
    (0..trips).try_for_each(|_| mobula::get(empty::remote()))?;
    Ok(())
}

/// The values as an argument, so often.
pub(crate) fn arrays_there(arrays: usize, values: &mut Vec<f64>) -> Result<()> {
    for _ in 0..arrays {
        // They move in and out again, so that no copy is timed that the engine does not make.
        let object = mobula::put(std::mem::take(values));
        // Another object each time: what is borrowed is sent to a worker once.
        ensure!(mobula::get(last::remote(&object))? == 1.0, "the array is wrong");
        *values = mobula::get(object)?;
    }
    Ok(())
}

/// So many numbers as a result, so often.
pub(crate) fn arrays_back(arrays: usize, numbers: usize) -> Result<()> {
    for _ in 0..arrays {
        ensure!(mobula::get(ones::remote(numbers))?.len() == numbers, "the array is wrong");
    }
    Ok(())
}

/// Calls of one actor, all of which are got at the end. It is started by the first.
pub(crate) fn actor_calls(counter: &mut Option<ActorHandle<Counter>>, calls: usize) -> Result<()> {
    let counter = counter.get_or_insert_with(Counter::remote);
    let totals: Vec<ObjectRef<u64>> = (0..calls).map(|_| counter.add(1)).collect();
    let totals = mobula::get(totals)?;
    ensure!(totals[calls - 1] - totals[0] == calls as u64 - 1, "a call is lost");
    Ok(())
}
