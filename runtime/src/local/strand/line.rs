//! The calls that a turn has taken out of the mailbox, in order. Most often there is one, and then nothing is
//! allocated for it.

use std::collections::VecDeque;

use super::Take;
use crate::local::queue::Entry;

/// How much memory an idle strand keeps for the next time.
const KEPT_MAX: usize = 64;

pub(super) struct Line {
    /// It goes before the rest.
    first: Option<Entry>,
    rest: VecDeque<Entry>,
}

impl Line {
    pub(super) const fn new() -> Self {
        Self { first: None, rest: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.rest.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        self.first.take().or_else(|| self.rest.pop_front())
    }

    /// Gives back what a long line has left behind.
    pub(super) fn shrink(&mut self) {
        if self.rest.capacity() > KEPT_MAX {
            self.rest = VecDeque::new();
        }
    }
}

impl Take for Line {
    fn count(&self) -> usize {
        self.len()
    }

    fn push_front(&mut self, entry: Entry) {
        if let Some(second) = self.first.replace(entry) {
            self.rest.push_front(second);
        }
    }
}
