//! A contender: one way to do the work of a case.

use std::time::Instant;

use anyhow::Result;

/// The contender that the others are compared with.
pub(crate) const MOBULA: &str = "mobula";

/// One way to do the work of a case, ready to run again and again.
///
/// What it holds (a runtime, a thread pool) sleeps while the others run and
/// ends when it drops.
pub(crate) struct Contender {
    pub(crate) name: String,
    /// Rounds this contender takes part in, where it is too slow for all.
    pub(crate) rounds_max: usize,
    /// Whether an uncounted round goes first.
    pub(crate) warms_up: bool,
    round: Box<dyn FnMut() -> Result<f64>>,
}

impl Contender {
    /// Times `work`, which does `ops` operations a call.
    pub(crate) fn timed(
        name: impl Into<String>,
        ops: usize,
        mut work: impl FnMut() -> Result<()> + 'static,
    ) -> Self {
        let round = move || {
            let start = Instant::now();
            work()?;
            Ok(start.elapsed().as_secs_f64() / ops as f64)
        };
        Contender {
            name: name.into(),
            rounds_max: usize::MAX,
            warms_up: true,
            round: Box::new(round),
        }
    }

    /// Believes `work`, which says itself what an operation cost, and which
    /// warms up by itself.
    pub(crate) fn reported(
        name: impl Into<String>,
        rounds_max: usize,
        work: impl FnMut() -> Result<f64> + 'static,
    ) -> Self {
        Contender { name: name.into(), rounds_max, warms_up: false, round: Box::new(work) }
    }

    /// For work so long that a warm-up would cost more than it evens out.
    pub(crate) fn cold(mut self, rounds_max: usize) -> Self {
        self.warms_up = false;
        self.rounds_max = rounds_max;
        self
    }

    /// Tells the cost for each of `amount` that an operation does.
    pub(crate) fn divided_by(mut self, amount: f64) -> Self {
        let mut round = self.round;
        self.round = Box::new(move || Ok(round()? / amount));
        self
    }

    /// Says in the name what the work is done with.
    pub(crate) fn prefixed(mut self, prefix: &str) -> Self {
        self.name.insert_str(0, prefix);
        self
    }

    /// Runs the work once. What it cost, in what the case's [`Unit`] is of: most
    /// often seconds per operation. Less is better, always.
    ///
    /// [`Unit`]: crate::unit::Unit
    pub(crate) fn round(&mut self) -> Result<f64> {
        (self.round)()
    }
}
