//! A task that somebody runs, for those who know that it does, such as its own context.
//!
//! A [`RunningTask`] is a pointer without a hold, so it costs nothing to make and to copy; that the task
//! still runs is what each caller promises.

use std::ptr::NonNull;
use std::sync::PoisonError;
use std::sync::atomic::{Ordering, fence};
use std::task::Waker;

use super::{AnyRef, Header};
use crate::function::Hop;
use crate::local::family::{Family, FamilyId};
use crate::local::place::Place;
use crate::observe::Number;

/// A task that somebody runs: good as long as that somebody's promise is.
#[derive(Clone, Copy)]
pub(crate) struct RunningTask(pub(super) NonNull<Header>);

// SAFETY: it reaches what a ref reaches; see `AnyRef`.
unsafe impl Send for RunningTask {}
// SAFETY: as above.
unsafe impl Sync for RunningTask {}

impl RunningTask {
    /// A ref of one's own to the running task.
    ///
    /// # Safety
    /// The task is still running.
    pub(crate) unsafe fn to_ref(self) -> AnyRef {
        // SAFETY: by the caller's promise the cell lives.
        unsafe { self.0.as_ref() }.state.add_ref();
        AnyRef(self.0)
    }

    /// Whether it was asked to stop, or the task that submitted it was; asking is noted.
    ///
    /// # Safety
    /// The task is still running.
    pub(crate) unsafe fn look_whether_cancelled(self) -> bool {
        // SAFETY: by the caller's promise the cell lives.
        unsafe { self.0.as_ref() }.look_whether_cancelled()
    }

    /// Whether it was asked to stop, for others than itself: its asking is noted by `note_looked`.
    ///
    /// # Safety
    /// The task is still running.
    pub(crate) unsafe fn is_cancelled(self) -> bool {
        // SAFETY: by the caller's promise the cell lives.
        unsafe { self.0.as_ref() }.is_cancelled()
    }

    /// Notes that it asked whether it was to stop.
    ///
    /// # Safety
    /// The task is still running.
    pub(crate) unsafe fn note_looked(self) {
        // SAFETY: by the caller's promise the cell lives.
        unsafe { self.0.as_ref() }.state.set_looked();
    }

    /// Lets `waker` be woken when the task is asked to stop; None: nobody any more. Look whether it was
    /// after this, not before.
    ///
    /// # Safety
    /// The task is still running.
    pub(crate) unsafe fn wake_when_cancelled(self, waker: Option<&Waker>) {
        // SAFETY: by the caller's promise the cell lives.
        let extra = unsafe { self.0.as_ref() }.extra_or_new();
        let fresh = waker.cloned();
        let mut kept = extra.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *kept, fresh);
        drop(kept);
        drop(before);
        // Pairs with the fence in `wake_to_stop`.
        fence(Ordering::SeqCst);
    }

    /// What its children belong to, where `own` is its family.
    ///
    /// # Safety
    /// The task is still running.
    #[inline]
    pub(crate) unsafe fn family_of_children(self, own: &Family) -> FamilyId {
        // SAFETY: by the caller's promise the cell lives.
        let header = unsafe { self.0.as_ref() };
        let is_held = || !header.state.load().is_runners_alone();
        let is_cancelled = || header.state.load().cancels_children();
        own.id(self.address(), header.family, is_held, is_cancelled)
    }

    /// Whether it was cancelled together with its children, or as one of another's.
    ///
    /// # Safety
    /// The task is still running.
    pub(crate) unsafe fn cancels_children(self) -> bool {
        // SAFETY: by the caller's promise the cell lives.
        let header = unsafe { self.0.as_ref() };
        header.state.load().cancels_children() || header.family.is_cancelled()
    }

    /// Where in the tree of calls it stands.
    ///
    /// # Safety
    /// The task is still running, and so for as long as `'a`.
    #[inline]
    pub(crate) unsafe fn place<'a>(self) -> &'a Place {
        // SAFETY: by the caller's promise the cell lives.
        &unsafe { self.0.as_ref() }.place
    }

    /// Which runtime's it is, or which actor's, by the address.
    ///
    /// # Safety
    /// The task is still running.
    pub(crate) unsafe fn home(self) -> usize {
        // SAFETY: by the caller's promise the cell lives.
        unsafe { self.0.as_ref() }.home
    }

    /// What submitted it.
    ///
    /// # Safety
    /// The task is still running.
    pub(crate) unsafe fn family(self) -> FamilyId {
        // SAFETY: by the caller's promise the cell lives.
        unsafe { self.0.as_ref() }.family
    }

    /// As [`AnyRef::hop`].
    ///
    /// # Safety
    /// The task is still running.
    pub(crate) unsafe fn hop(self) -> Hop {
        // SAFETY: by the caller's promise the cell lives.
        unsafe { self.0.as_ref() }.hop()
    }

    /// As [`AnyRef::missing_arguments`].
    ///
    /// # Safety
    /// The task is still running, or waits in a line that holds it.
    pub(crate) unsafe fn missing_arguments(self) -> Option<Vec<AnyRef>> {
        // SAFETY: by the caller's promise the cell lives.
        unsafe { self.0.as_ref() }.missing()
    }

    pub(crate) fn address(self) -> usize {
        self.0.as_ptr() as usize
    }

    /// Its number in the stream of events.
    ///
    /// # Safety
    /// The task is still running.
    pub(crate) unsafe fn number(self) -> Number {
        // SAFETY: by the caller's promise the cell lives.
        unsafe { self.0.as_ref() }.number()
    }
}
