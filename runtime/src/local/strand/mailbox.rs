//! The mailbox of a strand: calls are posted one by one, and the turn takes them all.

use std::collections::VecDeque;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::mail::Settled;
use super::{Kind, Strand};
use crate::local::cell::{AnyRef, Header};
use crate::local::life::Life;
use crate::local::queue::Entry;
use crate::local::sync::spin;

/// What the turn last took out of the mailbox, for those who ask for a call's place. Only the turn writes
/// the first two, one plain store for each call.
#[derive(Default)]
pub(super) struct Batch {
    /// How many calls. Each knows how many of them came after it: that is in its `next`, doubled.
    pub(super) size: AtomicUsize,
    pub(super) begun: AtomicUsize,
    /// Threads that walk the mailbox: the turn runs nothing of what it took meanwhile.
    watchers: AtomicUsize,
}

/// What a turn puts the calls in that it takes out of the mailbox.
pub(super) trait Take {
    fn count(&self) -> usize;
    /// Puts a call before all others.
    fn push_front(&mut self, entry: Entry);
}

impl Take for VecDeque<Entry> {
    fn count(&self) -> usize {
        self.len()
    }

    fn push_front(&mut self, entry: Entry) {
        Self::push_front(self, entry);
    }
}

impl<A: Life, T: Kind<A>> Strand<A, T> {
    /// Puts a call into the mailbox. True: the strand was idle, and the caller lets it be [queued](Kind::queue_posted).
    #[must_use]
    pub(super) fn post(&self, entry: Entry) -> bool {
        let cell = entry.cast::<Header>();
        self.mail.post(cell, T::OFFERS, |below| {
            // SAFETY: the entry keeps the cell alive, and is still ours.
            unsafe { cell.as_ref() }.next.store(below, Ordering::Relaxed);
        })
    }

    /// Takes what is in the mailbox, or ends the turn; `last`: for good, if no call can come.
    pub(super) fn take_mail(&self, into: &mut impl Take, last: bool) -> Settled {
        let last = last && self.handles.load(Ordering::SeqCst) == 0;
        let settled = self.mail.settle(last);
        if settled != Settled::Not {
            return settled;
        }
        // It pairs with `ahead`, which counts itself among the watchers and then looks at the mailbox. Either it
        // finds nothing of this there, or we find it.
        let mut newest = self.mail.take();
        let mut tries = 0;
        while self.batch.watchers.load(Ordering::SeqCst) > 0 {
            spin(&mut tries);
        }
        while let Some(cell) = NonNull::new(newest) {
            // SAFETY: what is in the mailbox is kept alive by its entry.
            let next = &unsafe { cell.as_ref() }.next;
            newest = next.load(Ordering::Relaxed);
            next.store(ptr::without_provenance_mut(2 * into.count()), Ordering::Relaxed);
            // SAFETY: `post` put the entry there, and we hand its hold on.
            into.push_front(unsafe { Entry::from_pointer(cell.cast()) });
        }
        self.batch.begun.store(0, Ordering::Relaxed);
        self.batch.size.store(into.count(), Ordering::Relaxed);
        settled
    }

    /// How many calls are before this one that have not begun.
    pub(super) fn ahead(&self, call: &AnyRef) -> Option<usize> {
        struct Leave<'a>(&'a AtomicUsize);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                // Release: the turn goes on after we have read what it then runs.
                self.0.fetch_sub(1, Ordering::Release);
            }
        }
        let Batch { size, begun, watchers } = &self.batch;
        let left = || size.load(Ordering::Relaxed).checked_sub(begun.load(Ordering::Relaxed));
        watchers.fetch_add(1, Ordering::SeqCst);
        let leave = Leave(watchers);
        let mut next = self.mail.newest();
        let mut older = None;
        while let Some(cell) = NonNull::new(next) {
            older = match older {
                None => (cell.as_ptr() as usize == call.address()).then_some(0),
                Some(count) => Some(count + 1),
            };
            // SAFETY: what is in the mailbox when we look stays there, or with a turn that waits for us.
            next = unsafe { cell.as_ref() }.next.load(Ordering::Relaxed);
        }
        drop(leave);
        match older {
            Some(older) => Some(left()? + older),
            // Taken out: of those that were taken with it, less those that came after it.
            None => left()?.checked_sub(call.number_in_batch() + 1),
        }
    }

    /// Call `number` of `caller` has its arguments: posts all that now may go.
    pub(super) fn release(&self, caller: usize, number: usize) {
        let mut idle = false;
        self.rare().held_back.release(caller, number, |entry| idle |= self.post(entry));
        if idle {
            T::queue_posted(self);
        } else {
            // Whoever stops the actor may wait for nothing to be held back any more.
            self.nudge();
        }
    }
}
