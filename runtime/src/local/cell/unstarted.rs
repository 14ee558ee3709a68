//! A task that is in no queue, and waits for whoever has the right to begin it.
//!
//! It is an entry of which the type of the job is known, so that its holder gets the job itself.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use super::doomed::free;
use super::promise::dropped;
use super::{Cell, Header, Job, Promise};
use crate::local::cancelling::cancelled_with_caller;
use crate::local::queue::Entry;
use crate::local::state::Claim;

/// The right to begin a task that is in no queue. Until then it can be cancelled like any other; dropped
/// without, it fails.
pub(crate) struct Unstarted<T: Send + Sync + 'static, J: Job<T>> {
    pub(super) cell: NonNull<Header>,
    pub(super) marker: PhantomData<(T, J)>,
}

// SAFETY: it is the entry of a task, which is `Send` as its job is.
unsafe impl<T: Send + Sync + 'static, J: Job<T>> Send for Unstarted<T, J> {}

impl<T: Send + Sync + 'static, J: Job<T>> Unstarted<T, J> {
    /// Whether somebody has a ref to it, or may find it by its id.
    pub(crate) fn is_wanted(&self) -> bool {
        // SAFETY: our entry keeps the cell alive.
        let now = unsafe { self.cell.as_ref() }.state.load();
        !now.is_unheld() || now.is_findable()
    }

    /// The job, and the promise to complete the task; None: it was cancelled.
    pub(crate) fn begin(self) -> Option<(J, Promise<T>)> {
        let cell = ManuallyDrop::new(self).cell;
        // SAFETY: our entry keeps the cell alive.
        let header = unsafe { cell.as_ref() };
        match header.state.claim_by_entry() {
            Claim::Won if header.family.is_cancelled() => {
                // SAFETY: we are the runner.
                unsafe { Cell::<T, J>::abandon(cell, cancelled_with_caller()) };
                None
            }
            // SAFETY: we are the runner.
            Claim::Won => Some((unsafe { Cell::<T, J>::take_job(cell) }, Promise::of(cell))),
            Claim::LostAndFree => {
                // SAFETY: the state says that ours was the last hold.
                unsafe { free(cell) };
                None
            }
            Claim::Lost => None,
        }
    }
}

impl<T: Send + Sync + 'static, J: Job<T>> Drop for Unstarted<T, J> {
    fn drop(&mut self) {
        // SAFETY: the state counted an entry for us.
        let entry = unsafe { Entry::from_pointer(self.cell.cast()) };
        let _ = entry.abandon(dropped());
    }
}
