//! Entries that have a priority: a heap behind a lock, because few have one. Those above 0 go before
//! all without, those below 0 behind.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::local::queue::Entry;

/// The entries by priority, the highest first, and for one priority in the order of their coming.
#[derive(Default)]
pub(crate) struct Prioritized {
    entries: Mutex<Entries>,
    /// How many there are in all, and how many above 0: read without the lock, at each turn.
    count: AtomicUsize,
    urgent: AtomicUsize,
}

#[derive(Default)]
struct Entries {
    by_priority: BTreeMap<(Reverse<i32>, u64), Entry>,
    pushed: u64,
}

impl Prioritized {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, entry: Entry, priority: i32) {
        let mut entries = self.lock();
        let number = entries.pushed;
        entries.pushed += 1;
        entries.by_priority.insert((Reverse(priority), number), entry);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.urgent.fetch_add(usize::from(priority > 0), Ordering::Relaxed);
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is one above 0.
    #[inline]
    pub(crate) fn has_urgent(&self) -> bool {
        self.urgent.load(Ordering::Relaxed) > 0
    }

    /// The first, if its priority is above 0.
    pub(crate) fn pop_urgent(&self) -> Option<Entry> {
        self.pop(|priority| priority > 0)
    }

    /// The first.
    pub(crate) fn pop_any(&self) -> Option<Entry> {
        if self.is_empty() {
            return None;
        }
        self.pop(|_| true)
    }

    fn pop(&self, wanted: impl Fn(i32) -> bool) -> Option<Entry> {
        let mut entries = self.lock();
        let first = entries.by_priority.first_entry()?;
        let Reverse(priority) = first.key().0;
        if !wanted(priority) {
            return None;
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.urgent.fetch_sub(usize::from(priority > 0), Ordering::Relaxed);
        Some(first.remove())
    }
}
