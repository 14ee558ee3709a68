//! Refs to cells of any type.
//!
//! [`AnyRef`] is a counted reference: it keeps its cell alive (S4), and what it can ask or do needs the
//! header and its table only. [`WeakRef`] keeps nothing alive, and becomes an `AnyRef` while there is one.

use std::any::TypeId;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use uuid::Uuid;

use super::doomed::{Doomed, drop_shallow};
use super::{Extra, Header, RunningTask};
use crate::error::Error;
use crate::function::{Call, Hop};
use crate::local::family::FamilyId;
use crate::local::ids;
use crate::local::queue::Entry;
use crate::observe::Number;
use crate::store::Struck;

/// How a cell's life ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There is a value.
    Ready,
    /// There is an error.
    Failed,
}

/// A counted reference to a cell whose value has any type.
pub(crate) struct AnyRef(pub(super) NonNull<Header>);

// SAFETY: what a ref reaches is the header, which is made of atomics and of fields guarded by the
// state, and values that are `Send + Sync` themselves (the bounds of `Cell`).
unsafe impl Send for AnyRef {}
// SAFETY: as above.
unsafe impl Sync for AnyRef {}

impl AnyRef {
    pub(in crate::local) fn header(&self) -> &Header {
        // SAFETY: a ref keeps its cell alive (S4).
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn address(&self) -> usize {
        self.0.as_ptr() as usize
    }

    pub(crate) fn is_complete(&self) -> bool {
        #[cfg(test)]
        looks::count();
        self.header().state.load().is_complete()
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.header().state.load().is_failed()
    }

    /// How it ended, if it did.
    #[inline]
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        #[cfg(test)]
        looks::count();
        let state = self.header().state.load();
        let outcome = if state.is_failed() { Outcome::Failed } else { Outcome::Ready };
        state.is_complete().then_some(outcome)
    }

    /// Why it failed, if it is complete and did.
    pub(crate) fn failure(&self) -> Option<Error> {
        // SAFETY: we hold the cell.
        unsafe { Header::failure_of(self.0) }
    }

    pub(in crate::local) fn pointer(&self) -> NonNull<Header> {
        self.0
    }

    /// Another ref to a cell that somebody holds by a ref.
    ///
    /// # Safety
    /// Somebody does.
    pub(in crate::local) unsafe fn of_held(cell: NonNull<Header>) -> Self {
        // SAFETY: by the caller's promise the cell lives.
        unsafe { cell.as_ref() }.state.add_ref();
        Self(cell)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.header().state.load().is_running()
    }

    /// What a mailbox noted when it took the call out: how many came after it.
    pub(in crate::local) fn number_in_batch(&self) -> usize {
        self.header().next.load(Ordering::Relaxed).addr() / 2
    }

    /// The arguments that are still missing; None: they have all come, or there never were any.
    pub(crate) fn missing_arguments(&self) -> Option<Vec<Self>> {
        self.header().missing()
    }

    /// The task without a hold on it.
    pub(crate) fn unheld(&self) -> RunningTask {
        RunningTask(self.0)
    }

    /// What makes, or made, the value, and where the program asked for it.
    pub(crate) fn call(&self) -> Call {
        self.header().call
    }

    /// The call by the name it goes by.
    pub(crate) fn hop(&self) -> Hop {
        self.header().hop()
    }

    /// The name that the call was given.
    pub(crate) fn given_name(&self) -> Option<&str> {
        Some(self.shared_name()?)
    }

    /// That name, to be shared.
    pub(crate) fn shared_name(&self) -> Option<&Arc<str>> {
        self.header().extra()?.name.get()
    }

    /// Gives a task that nobody else has yet its number in the stream of events.
    pub(crate) fn set_number(&self, number: Number) {
        self.header().number.store(number.to_bits(), Ordering::Relaxed);
    }

    /// Its number in the stream of events.
    pub(crate) fn number(&self) -> Number {
        self.header().number()
    }

    pub(crate) fn value_type(&self) -> TypeId {
        (self.header().vtable.value_type)()
    }

    pub(crate) fn extra(&self) -> &Extra {
        self.header().extra_or_new()
    }

    /// Its id, if somebody has asked for it.
    pub(crate) fn known_id(&self) -> Option<Uuid> {
        self.header().extra()?.id.get().copied()
    }

    /// The tasks whose results this is made of.
    pub(crate) fn producers(&self) -> Option<&[Self]> {
        Some(self.header().extra()?.producers.get()?)
    }

    /// Whether the task sits unstarted in the queues of the runtime `home`.
    pub(crate) fn is_claimable_at(&self, home: usize) -> bool {
        self.header().home == home && self.header().state.load().is_claimable()
    }

    /// The address of the runtime or of the actor whose task it is.
    pub(crate) fn home(&self) -> usize {
        self.header().home
    }

    /// A ref to the task that waits in a queue by this entry.
    ///
    /// # Safety
    /// It is a task's entry, not that of an actor's turn.
    pub(in crate::local) unsafe fn of_entry(entry: &Entry) -> Self {
        let cell = entry.cast::<Header>();
        // SAFETY: the entry keeps the cell alive (S4).
        unsafe { cell.as_ref() }.state.add_ref();
        Self(cell)
    }

    /// Whether `entry` is this cell's place in a queue.
    pub(crate) fn is_entry(&self, entry: &Entry) -> bool {
        self.0.cast() == entry.pointer()
    }

    /// Runs the task on this thread, unless somebody else has it.
    pub(crate) fn run_if_unstarted(&self) -> bool {
        let won = self.header().state.claim_by_ref(false);
        if won {
            // SAFETY: we are the runner.
            unsafe { (self.header().vtable.run)(self.0) };
        }
        won
    }

    /// Completes the task with `error`, unless it has begun.
    pub(crate) fn abandon_if_unstarted(&self, error: Error) -> bool {
        let won = self.header().state.claim_by_ref(true);
        if won {
            // SAFETY: we are the runner.
            unsafe { (self.header().vtable.abandon)(self.0, error) };
        }
        won
    }

    /// Lets refs to the cell be made from the returned one.
    pub(in crate::local) fn make_findable(&self) -> WeakRef {
        self.header().state.set_findable();
        WeakRef(self.0)
    }

    /// Lets the complete object not be found by its id any more, if this is the only ref to it. False: it is not.
    #[cold]
    pub(super) fn hide_if_sole(&self) -> bool {
        self.known_id().is_some_and(|id| ids::hide_if_sole(&id))
    }

    /// Whether it was asked to stop, or the task that submitted it was; asking is noted.
    pub(crate) fn look_whether_cancelled(&self) -> bool {
        self.header().look_whether_cancelled()
    }

    /// Asks it to stop, and maybe its children. False: it is complete.
    pub(crate) fn request_cancel(&self, children: bool) -> bool {
        self.header().state.request_cancel(children)
    }

    /// Wakes the task if it waits at an await, after `request_cancel`.
    pub(crate) fn wake_to_stop(&self) {
        // Pairs with the fence in `RunningTask::wake_when_cancelled`: it sees the flag, or we its waker.
        fence(Ordering::SeqCst);
        if let Some(extra) = self.header().extra() {
            let waker = extra.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone();
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// What submitted it.
    pub(crate) fn family(&self) -> FamilyId {
        self.header().family
    }
}

impl AnyRef {
    /// Gives up what seems to be the only ref to a listed value.
    #[cold]
    fn drop_stored(&self) {
        let header = self.header();
        match header.strike_if_sole(false) {
            Struck::Shared if header.state.release_any_ref() => {
                drop_shallow(Doomed::Unheld(self.0));
            }
            Struck::Shared => {}
            Struck::InMemory | Struck::OnDisk(_) => drop_shallow(Doomed::LastRef(self.0)),
        }
    }
}

impl Clone for AnyRef {
    fn clone(&self) -> Self {
        self.header().state.add_ref();
        Self(self.0)
    }
}

impl Drop for AnyRef {
    fn drop(&mut self) {
        match self.header().state.release_ref() {
            Ok(false) => {}
            Ok(true) => drop_shallow(Doomed::Unheld(self.0)),
            Err(last) if last.is_stored() => self.drop_stored(),
            Err(_) => drop_shallow(Doomed::LastRef(self.0)),
        }
    }
}

/// A cell that can be found by its id. `ids.rs` keeps it exactly as long as the cell lives.
pub(in crate::local) struct WeakRef(NonNull<Header>);

// SAFETY: it reaches the state only, which is atomic.
unsafe impl Send for WeakRef {}
// SAFETY: as above.
unsafe impl Sync for WeakRef {}

impl WeakRef {
    pub(in crate::local) fn upgrade(&self) -> Option<AnyRef> {
        // SAFETY: the cell is forgotten before it is freed, under the lock that our caller holds.
        unsafe { self.0.as_ref() }.state.try_add_ref().then(|| AnyRef(self.0))
    }

    /// Lets no more refs be made from it, if there is only one. False: there are others.
    pub(in crate::local) fn hide_if_sole(&self) -> bool {
        // SAFETY: as above.
        let state = unsafe { &self.0.as_ref().state };
        let sole = state.load().is_sole_but_findable();
        if sole {
            state.clear_findable();
        }
        sole
    }

    /// Whether it is this cell.
    pub(super) fn is_of(&self, cell: NonNull<Header>) -> bool {
        self.0 == cell
    }

    /// Whether nobody has a ref.
    pub(in crate::local) fn is_unheld(&self) -> bool {
        // SAFETY: as above.
        unsafe { self.0.as_ref() }.state.load().is_unheld()
    }
}

/// How often this thread has looked whether a cell is complete: what waits cost, counted.
#[cfg(test)]
pub(crate) mod looks {
    use std::cell::Cell;

    thread_local! {
        static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        LOOKS.set(LOOKS.get() + 1);
    }

    /// How many looks `work` takes.
    pub(crate) fn of<R>(work: impl FnOnce() -> R) -> (R, usize) {
        let before = LOOKS.get();
        let result = work();
        (result, LOOKS.get() - before)
    }
}
