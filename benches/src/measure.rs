//! Rounds in alternation, and the medians they leave.
//!
//! All contenders run once in every round, forward in one round and backward
//! in the next. A machine that grows slower or faster over the run (heat, a
//! neighbour) then touches all of them alike, and none always runs in the
//! wake of the same other.

use anyhow::{Context, Error, Result, ensure};

use crate::contender::{Contender, MOBULA};

/// What a case measured.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) mobula: Sample,
    /// In the order in which the case names them.
    pub(crate) peers: Vec<Sample>,
    /// Peers that gave no figure, and why.
    pub(crate) failures: Vec<(String, Error)>,
}

/// The rounds of one contender.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    /// Median over the rounds.
    pub(crate) cost: f64,
    /// Distance of the dearest from the cheapest round, relative to the median;
    /// `None` where there was but one round.
    pub(crate) spread: Option<f64>,
}

/// Runs `contenders` for `rounds` rounds. A peer that fails is left out from
/// then on; without a figure for mobula there is no outcome.
pub(crate) fn alternate(contenders: Vec<Contender>, rounds: usize) -> Result<Outcome> {
    let mut entries: Vec<Entry> = contenders.into_iter().map(Entry::new).collect();
    for entry in entries.iter_mut().filter(|entry| entry.contender.warms_up) {
        entry.warm_up();
    }
    for round in 0..rounds {
        for index in order(round, entries.len()) {
            entries[index].run(round);
        }
    }
    collect(entries)
}

/// Forward in even rounds, backward in odd ones.
fn order(round: usize, count: usize) -> Box<dyn Iterator<Item = usize>> {
    if round.is_multiple_of(2) { Box::new(0..count) } else { Box::new((0..count).rev()) }
}

/// A contender and what came of it so far.
struct Entry {
    contender: Contender,
    costs: Vec<f64>,
    failure: Option<Error>,
}

impl Entry {
    fn new(contender: Contender) -> Self {
        Entry { contender, costs: Vec::new(), failure: None }
    }

    fn warm_up(&mut self) {
        self.failure = self.contender.round().err();
    }

    fn run(&mut self, round: usize) {
        if self.failure.is_some() || round >= self.contender.rounds_max {
            return;
        }
        match self.contender.round() {
            Ok(cost) => self.costs.push(cost),
            Err(error) => self.failure = Some(error),
        }
    }
}

fn collect(entries: Vec<Entry>) -> Result<Outcome> {
    let mut mobula = None;
    let mut peers = Vec::new();
    let mut failures = Vec::new();
    for entry in entries {
        let name = entry.contender.name;
        match (entry.failure, name == MOBULA) {
            (Some(error), true) => return Err(error.context("mobula failed")),
            (Some(error), false) => failures.push((name, error)),
            (None, true) => mobula = Some(Sample::new(name, entry.costs)?),
            (None, false) => peers.push(Sample::new(name, entry.costs)?),
        }
    }
    Ok(Outcome {
        mobula: mobula.context("the case has no contender that is mobula")?,
        peers,
        failures,
    })
}

impl Sample {
    fn new(name: String, mut costs: Vec<f64>) -> Result<Self> {
        ensure!(!costs.is_empty(), "{name} took part in no round");
        costs.sort_by(f64::total_cmp);
        let middle = median(&costs);
        let distance = costs[costs.len() - 1] - costs[0];
        Ok(Sample { name, cost: middle, spread: (costs.len() > 1).then_some(distance / middle) })
    }

    /// How many times as much this one costs as `other`.
    pub(crate) fn ratio_to(&self, other: &Sample) -> f64 {
        self.cost / other.cost
    }
}

/// Median of sorted values; the mean of the middle two where their number is even.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    } else {
        sorted[middle]
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use anyhow::anyhow;

    use super::*;

    /// A contender that plays back `costs` and writes its name to `log`.
    fn playback(
        name: &'static str,
        costs: &'static [f64],
        log: &Rc<RefCell<Vec<&'static str>>>,
    ) -> Contender {
        let (log, mut left) = (Rc::clone(log), costs.iter().copied());
        Contender::reported(name, usize::MAX, move || {
            log.borrow_mut().push(name);
            left.next().ok_or_else(|| anyhow!("{name} is out of tape"))
        })
    }

    #[test]
    fn median_is_the_middle() {
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
        assert_eq!(median(&[5.0]), 5.0);
    }

    #[test]
    fn rounds_run_forward_then_backward() {
        let log = Rc::default();
        let contenders = ["mobula", "a", "b"].map(|name| playback(name, &[1.0; 3], &log));
        alternate(contenders.into(), 3).unwrap();
        assert_eq!(*log.borrow(), ["mobula", "a", "b", "b", "a", "mobula", "mobula", "a", "b"]);
    }

    #[test]
    fn ratio_says_how_much_more_a_peer_costs() {
        let log = Rc::default();
        let mobula = playback("mobula", &[3.0, 1.0, 2.0], &log);
        let slow = playback("slow", &[8.0, 9.0, 1.0], &log);
        let outcome = alternate(vec![slow, mobula], 3).unwrap();
        assert_eq!(outcome.peers[0].ratio_to(&outcome.mobula), 4.0);
        assert_eq!(outcome.mobula.spread, Some(1.0));
    }

    #[test]
    fn a_failed_peer_is_left_out_and_named() {
        let log = Rc::default();
        let mobula = playback("mobula", &[1.0; 3], &log);
        let short = playback("short", &[1.0], &log);
        let outcome = alternate(vec![mobula, short], 3).unwrap();
        assert!(outcome.peers.is_empty());
        assert_eq!(outcome.failures[0].0, "short");
        assert_eq!(log.borrow().iter().filter(|name| **name == "short").count(), 2);
    }

    #[test]
    fn no_outcome_without_mobula() {
        let log = Rc::default();
        let failing = alternate(vec![playback("mobula", &[], &log)], 1);
        assert!(failing.unwrap_err().to_string().contains("mobula failed"));
        assert!(alternate(vec![playback("peer", &[1.0], &log)], 1).is_err());
    }

    #[test]
    fn a_slow_contender_skips_rounds_and_a_warm_up_is_not_counted() {
        let calls = Rc::new(RefCell::new(0));
        let counted = Rc::clone(&calls);
        let work = move || {
            *counted.borrow_mut() += 1;
            Ok(())
        };
        alternate(vec![Contender::timed(MOBULA, 1, work.clone())], 3).unwrap();
        assert_eq!(calls.replace(0), 4);
        alternate(vec![Contender::timed(MOBULA, 1, work).cold(1)], 3).unwrap();
        assert_eq!(*calls.borrow(), 1);
    }
}
