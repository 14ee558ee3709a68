//! The calls that a turn has taken out of the mailbox, in order. Most often there is one, and then nothing is
//! allocated for it.

use smallvec::SmallVec;

use super::Take;
use crate::local::queue::Entry;

/// How many calls an idle strand keeps memory for.
const KEPT_MAX: usize = 64;

/// The last is the first to run: so the mailbox, whose newest call comes first, is only copied.
pub(super) struct Line(SmallVec<[Entry; 1]>);

impl Line {
    pub(super) fn new() -> Self {
        Self(SmallVec::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        self.0.pop()
    }

    /// The first to run.
    pub(super) fn first(&self) -> Option<&Entry> {
        self.0.last()
    }

    /// Gives back what a long line has left behind.
    pub(super) fn shrink(&mut self) {
        if self.0.capacity() > KEPT_MAX {
            self.0 = SmallVec::new();
        }
    }
}

impl Take for Line {
    fn count(&self) -> usize {
        self.len()
    }

    fn push_front(&mut self, entry: Entry) {
        self.0.push(entry);
    }
}
