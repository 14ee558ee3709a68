//! A case: one piece of work and the contenders that do it.

use std::rc::Rc;

use anyhow::{Context, Result};

use crate::contender::Contender;
use crate::measure::{self, Outcome};
use crate::python::Python;
use crate::unit::Unit;

/// One piece of work to measure. Each file in `cases/` defines one.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// One line for `--list`.
    pub(crate) about: &'static str,
    pub(crate) unit: Unit,
    /// Makes the contenders ready to run: whatever is not to be timed happens
    /// here. One of them is called [`MOBULA`](crate::contender::MOBULA). There
    /// are none where the case needs a Python, and there is none.
    pub(crate) contenders: fn(&Setting) -> Result<Vec<Contender>>,
}

impl Case {
    /// Measures all contenders of this case in alternation, if there are any.
    pub(crate) fn run(&self, setting: &Setting) -> Result<Option<Outcome>> {
        let contenders = (self.contenders)(setting).context("failed to prepare")?;
        if contenders.is_empty() {
            return Ok(None);
        }
        measure::alternate(contenders, setting.rounds()).map(Some)
    }
}

/// What is the same for all cases of one run.
pub(crate) struct Setting {
    /// Threads or processes that each engine may compute on.
    pub(crate) cpus: usize,
    pub(crate) quick: bool,
    /// Without it the engines in Python are left out.
    pub(crate) python: Option<Rc<Python>>,
    /// Whether this process is the round of one contender; see `isolated`.
    pub(crate) alone: bool,
}

impl Setting {
    /// The size of a case's work: `full`, or `quick` on a quick run.
    pub(crate) fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// Odd numbers, so that a median is a measured value.
    fn rounds(&self) -> usize {
        self.size(7, 3)
    }
}
