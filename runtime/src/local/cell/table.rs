//! How cells are made, and what their table does: to run, to abandon, to drop and to free, each for a
//! value of type `T` and a job of type `J`.
//!
//! The types are known where a cell is made; afterwards only its table knows them, so every function here
//! relies on being called with a cell of its own types.

use std::any::TypeId;
use std::cell::UnsafeCell;
use std::mem::{ManuallyDrop, MaybeUninit, needs_drop};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU64};

use super::doomed::free;
use super::{Cell, Header, Job, Promise, Typed, Undone, Vtable};
use crate::error::Error;
use crate::function::Call;
use crate::local::caller::Origin;
use crate::local::cancelling::cancelled_with_caller;
use crate::local::queue::{Entry, EntryVtable};
use crate::local::state::{Claim, State};
use crate::local::value::Value;
use crate::local::{memory, panics};

impl<T: Send + Sync + 'static, J: Job<T>> Cell<T, J> {
    const VTABLE: Vtable = Vtable {
        entry: EntryVtable {
            execute: Self::execute,
            abandon: Self::abandon_entry,
            is_sent: J::IS_SENT,
        },
        abandon: Self::abandon,
        run: Self::run,
        drop_value: Self::drop_value,
        deallocate: Self::deallocate,
        value_type: TypeId::of::<T>,
        is_read: Typed::<T>::is_read,
        lend: Typed::<T>::lend,
        evict: Typed::<T>::evict,
        put_back: Typed::<T>::put_back,
        failure: Self::failure,
        value_needs_drop: needs_drop::<T>(),
        value_bytes: size_of::<T>(),
        shared: J::SHARED,
    };

    /// One whose job is still to be done.
    pub(super) fn undone(
        state: State,
        job: J,
        home: usize,
        origin: Origin,
        call: Call,
    ) -> NonNull<Header> {
        let make = || Undone {
            header: Self::header(state, home, origin, call),
            job: UnsafeCell::new(MaybeUninit::new(job)),
        };
        memory::allocate_for::<Self, _>(make).cast()
    }

    /// One that is born with its value.
    pub(super) fn done(state: State, value: Value<T>, call: Call) -> NonNull<Header> {
        let make = || Typed {
            header: Self::header(state, 0, Origin::NONE, call),
            value: UnsafeCell::new(MaybeUninit::new(value)),
        };
        memory::allocate_for::<Self, _>(make).cast()
    }

    #[inline]
    fn header(state: State, home: usize, Origin { family, place }: Origin, call: Call) -> Header {
        Header {
            vtable: &Self::VTABLE,
            state,
            waiters: UnsafeCell::default(),
            call,
            home,
            number: AtomicU64::new(0),
            family,
            place: ManuallyDrop::new(place),
            next: AtomicPtr::default(),
            extra: AtomicPtr::default(),
        }
    }

    /// Where the job is.
    ///
    /// # Safety
    /// `cell` was made here, with these very types, and lives.
    pub(super) unsafe fn job(cell: NonNull<Header>) -> *mut J {
        // SAFETY: by the caller's promise.
        unsafe { cell.cast::<Undone<J>>().as_ref() }.job.get().cast()
    }

    /// # Safety
    /// As for `job`, and the caller is the runner, which calls this once.
    pub(super) unsafe fn take_job(cell: NonNull<Header>) -> J {
        // SAFETY: by the caller's promise.
        let job = unsafe { Self::job(cell) };
        // SAFETY: the runner alone touches the job (S1), which is there still.
        unsafe { job.read() }
    }

    /// # Safety
    /// As for `job`; the caller gives up the entry.
    unsafe fn execute(entry: Entry) {
        let cell = entry.cast::<Header>();
        // SAFETY: the entry keeps the cell alive.
        match unsafe { cell.as_ref() }.state.claim_by_entry() {
            // SAFETY: we are the runner.
            Claim::Won => unsafe { Self::run(cell) },
            // SAFETY: the state says that ours was the last hold.
            Claim::LostAndFree => unsafe { free(cell) },
            Claim::Lost => {}
        }
    }

    /// # Safety
    /// As for `execute`.
    unsafe fn abandon_entry(entry: Entry, error: Error) -> bool {
        let cell = entry.cast::<Header>();
        // SAFETY: the entry keeps the cell alive.
        let claim = unsafe { cell.as_ref() }.state.claim_by_entry();
        match claim {
            // SAFETY: we are the runner.
            Claim::Won => unsafe { Self::abandon(cell, error) },
            // SAFETY: the state says that ours was the last hold.
            Claim::LostAndFree => unsafe { free(cell) },
            Claim::Lost => {}
        }
        claim == Claim::Won
    }

    /// # Safety
    /// As for `take_job`.
    unsafe fn run(cell: NonNull<Header>) {
        // SAFETY: by the caller's promise it is there, and RUNNING keeps it so.
        if unsafe { cell.as_ref() }.family.is_cancelled() {
            // SAFETY: by the caller's promise.
            return unsafe { Self::abandon(cell, cancelled_with_caller()) };
        }
        // SAFETY: by the caller's promise.
        let job = unsafe { Self::take_job(cell) };
        job.run(Promise::of(cell));
    }

    /// # Safety
    /// As for `take_job`.
    pub(super) unsafe fn abandon(cell: NonNull<Header>, error: Error) {
        // SAFETY: by the caller's promise.
        let job = unsafe { Self::take_job(cell) };
        let promise = Promise::<T>::of(cell);
        let task = promise.hop();
        // The arguments go first: whoever sees the failure must not find them still held.
        panics::drop_quietly(job);
        promise.complete(Err(error.through(task)));
    }

    /// # Safety
    /// As for `job`, and by S2 the caller owns the value.
    unsafe fn drop_value(cell: NonNull<Header>) {
        // SAFETY: by the caller's promise, and every cell of these types is such a one.
        let typed = unsafe { cell.cast::<Typed<T>>().as_ref() };
        // SAFETY: the value is the caller's (S2).
        let value = unsafe { &mut *typed.value() };
        panics::drop_quietly(std::mem::replace(value, Value::Empty));
    }

    /// # Safety
    /// As for `job`, and the cell is complete and held.
    unsafe fn failure(cell: NonNull<Header>) -> Option<Error> {
        // SAFETY: as in `drop_value`.
        let typed = unsafe { cell.cast::<Typed<T>>().as_ref() };
        let failure = |value: &mut Value<T>| match value {
            Value::Failed(error) => Some(error.clone()),
            _ => None,
        };
        typed.with_value(failure)?
    }

    /// # Safety
    /// As for `job`, and nobody else has a hold on the cell (S4). Job and value are gone.
    unsafe fn deallocate(cell: NonNull<Header>) {
        // SAFETY: the memory came from `allocate_for`, and nobody else can reach it.
        unsafe { memory::deallocate(cell.cast::<Self>()) };
    }
}
