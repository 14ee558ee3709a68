//! The calls that a turn has taken out of the mailbox, in order. Most often there is one, and then nothing is
//! allocated for it.

use super::Take;
use crate::local::queue::Entry;

/// How many calls an idle strand keeps memory for.
const KEPT_MAX: usize = 64;

/// The mailbox gives the newest call first, and the oldest runs first: so calls are only put there and taken.
#[derive(Default)]
pub(super) struct Line {
    /// The last to run; None: there is none.
    last: Option<Entry>,
    /// Those before it; the last of them is the first to run.
    before: Vec<Entry>,
}

impl Line {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.before.len() + usize::from(self.last.is_some())
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Entry> {
        self.before.pop().or_else(|| self.last.take())
    }

    /// The first to run.
    pub(super) fn first(&self) -> Option<&Entry> {
        self.before.last().or(self.last.as_ref())
    }

    /// Gives back what a long line has left behind.
    #[inline]
    pub(super) fn shrink(&mut self) {
        if self.before.capacity() > KEPT_MAX {
            self.before = Vec::new();
        }
    }
}

impl Take for Line {
    #[inline]
    fn count(&self) -> usize {
        self.len()
    }

    #[inline]
    fn push_front(&mut self, entry: Entry) {
        match self.last {
            None => self.last = Some(entry),
            Some(_) => self.before.push(entry),
        }
    }
}
