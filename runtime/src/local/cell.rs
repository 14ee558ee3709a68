//! The one allocation that a task, a stored value or a promise is: header, value, and the job until
//! it has run.
//!
//! [`AnyRef`] is a counted reference to a cell of any type, [`Ref<T>`] one to a cell whose value is a
//! `T`; [`Promise<T>`] is the right, and the duty, to complete it. `state.rs` says who may touch
//! what, and its rules S1 to S4 are what the `SAFETY` comments here cite.

use std::any::TypeId;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, needs_drop};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering, fence};
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use crate::error::{Error, ErrorKind};
use crate::function::{Call, Hop};
use crate::local::arguments::Awaited;
use crate::local::cancelling::cancelled_with_caller;
use crate::local::family::{Family, FamilyId};
use crate::local::queue::{Entry, EntryVtable};
use crate::local::state::{Claim, Completed, State};
use crate::local::value::Value;
use crate::local::waiters::WaiterList;
use crate::local::{deferred, ids, memory, note, panics};
use crate::observe::Number;

/// Marks in [`Header::next`] what is a record of arguments: both are aligned to more than 1.
const RECORD: usize = 1;

/// What every cell begins with, whatever its types.
#[repr(C)]
pub(crate) struct Header {
    vtable: &'static Vtable,
    pub(super) state: State,
    pub(super) waiters: UnsafeCell<WaiterList>,
    /// What makes the value, and where the program asked for it.
    call: Call,
    /// Which runtime's queue the task is in, or which actor's mailbox; only compared, never followed.
    home: usize,
    /// The task's number in the stream of events; 0 where none is recorded.
    number: AtomicU64,
    /// What submitted it, if a task did.
    family: FamilyId,
    /// The next in an actor's mailbox; the mailbox's to use. Before that, while arguments are missing,
    /// the record of their coming: then the lowest bit is set.
    pub(super) next: AtomicPtr<Header>,
    /// What few cells have; null until somebody asks.
    extra: AtomicPtr<Extra>,
}

impl Header {
    /// The cell of a task in a queue, or on its way there.
    ///
    /// # Safety
    /// The entry is a task's.
    pub(super) unsafe fn of(entry: &Entry) -> &Self {
        // SAFETY: by the caller's promise; the entry keeps the cell alive.
        unsafe { entry.cast::<Self>().as_ref() }
    }

    pub(super) fn home(&self) -> usize {
        self.home
    }

    /// Why the cell failed, if it is complete and did.
    ///
    /// # Safety
    /// The cell lives.
    pub(super) unsafe fn failure_of(cell: NonNull<Self>) -> Option<Error> {
        // SAFETY: by the caller's promise.
        let header = unsafe { cell.as_ref() };
        // SAFETY: the table belongs to the cell, which is complete if it failed.
        header.state.load().is_failed().then(|| unsafe { (header.vtable.failure)(cell) })?
    }

    /// Lets `missing` see the arguments, until `arrive`.
    pub(super) fn await_arguments(&self, record: NonNull<Awaited>) {
        let record = record.as_ptr().map_addr(|address| address | RECORD);
        // Release: pairs with the Acquire in `missing`.
        self.next.store(record.cast(), Ordering::Release);
    }

    /// The arguments are there, and their record goes; `ready`: whoever waits for the task may run it.
    pub(super) fn arrive(&self, ready: bool) {
        self.state.arrive(ready);
    }

    /// The arguments that are still missing; None: they have all come, or there never were any.
    fn missing(&self) -> Option<Vec<AnyRef>> {
        let before = self.state.lock();
        let missing = (!before.has_arrived()).then(|| {
            // Acquire: pairs with the Release in `await_arguments`.
            let next = self.next.load(Ordering::Acquire);
            let record = NonNull::new(next.map_addr(|address| address & !RECORD).cast())?;
            let claimed = before.is_running() || before.is_complete();
            // SAFETY: without ARRIVED, which is not set to its end while we hold the lock, what is marked
            // as a record is one that lives. The lock also keeps those away who would claim the task.
            (next.addr() & RECORD != 0).then(|| unsafe { Awaited::missing(record, claimed) })
        });
        // SAFETY: we hold the lock (W1).
        let any = !unsafe { &*self.waiters.get() }.is_empty();
        self.state.unlock(any);
        missing.flatten()
    }

    fn extra(&self) -> Option<&Extra> {
        // SAFETY: once set, the extra lives as long as the cell, which whoever has us keeps alive.
        unsafe { self.extra.load(Ordering::Acquire).as_ref() }
    }

    /// Relaxed: it is set before anybody else has the task.
    #[inline]
    fn number(&self) -> Number {
        Number::from_bits(self.number.load(Ordering::Relaxed))
    }

    /// The rarely needed part, made if need be.
    fn extra_or_new(&self) -> &Extra {
        let slot = &self.extra;
        let mut extra = slot.load(Ordering::Acquire);
        if extra.is_null() {
            let fresh = Box::into_raw(Box::<Extra>::default());
            // Release: publishes the fresh extra; Acquire: see another thread's.
            match slot.compare_exchange(extra, fresh, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => extra = fresh,
                Err(other) => {
                    // SAFETY: `fresh` came from a box and was not published.
                    drop(unsafe { Box::from_raw(fresh) });
                    extra = other;
                }
            }
        }
        // SAFETY: once set, the extra lives as long as the cell, which whoever has us keeps alive.
        unsafe { &*extra }
    }

    /// As `is_cancelled`, asked by the task itself, which is noted.
    fn look_whether_cancelled(&self) -> bool {
        let now = self.state.load();
        if !now.has_looked() {
            self.state.set_looked();
        }
        now.cancel_requested() || self.family.is_cancelled()
    }

    /// Whether the task was asked to stop, or the one that submitted it was.
    #[inline]
    fn is_cancelled(&self) -> bool {
        self.state.load().cancel_requested() || self.family.is_cancelled()
    }

    fn hop(&self) -> Hop {
        match self.extra().and_then(|extra| extra.name.get()) {
            Some(name) => self.call.named(Arc::clone(name)),
            None => self.call.into(),
        }
    }
}

/// The rarely needed part of a cell.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) id: std::sync::OnceLock<uuid::Uuid>,
    /// The name that the call was given.
    pub(crate) name: std::sync::OnceLock<Arc<str>>,
    /// For what is made of other tasks' results, such as one part of it: those tasks.
    pub(crate) producers: std::sync::OnceLock<Box<[AnyRef]>>,
    /// Who waits to be told that the task was asked to stop: the task, at an await.
    pub(crate) stopped: std::sync::Mutex<Option<Waker>>,
}

/// What can be done to a cell without knowing its types.
#[repr(C)]
struct Vtable {
    entry: EntryVtable,
    /// Completes a claimed task with an error instead of running it.
    abandon: unsafe fn(NonNull<Header>, Error),
    /// Runs a claimed task.
    run: unsafe fn(NonNull<Header>),
    drop_value: unsafe fn(NonNull<Header>),
    deallocate: unsafe fn(NonNull<Header>),
    value_type: fn() -> TypeId,
    /// Why a complete cell failed, if it did.
    failure: unsafe fn(NonNull<Header>) -> Option<Error>,
    value_needs_drop: bool,
}

/// The part that all cells with a value of type `T` share, whatever their job.
#[repr(C)]
struct Typed<T> {
    header: Header,
    value: UnsafeCell<Value<T>>,
}

impl<T> Typed<T> {
    /// Looks at the value of a complete cell under its lock. None: it is shared; see there.
    fn with_value<R>(&self, look: impl FnOnce(&mut Value<T>) -> R) -> Option<R> {
        let state = &self.header.state;
        let locked = state.lock();
        if !locked.is_complete() || locked.is_shared() {
            state.unlock_and_keep();
            assert!(locked.is_complete(), "the value was looked at before it was there");
            return None;
        }
        // SAFETY: complete, not shared, and we hold the lock (S2).
        let value = unsafe { &mut *self.value.get() };
        let result = look(value);
        state.unlock_value(matches!(value, Value::Shared(_)));
        Some(result)
    }

    /// The value, where it sits in an `Arc` for good. The caller holds a ref.
    fn shared(&self) -> Option<&Arc<T>> {
        if !self.header.state.load().is_shared() {
            return None;
        }
        // SAFETY: it does not change any more while there is a ref (S5).
        match unsafe { &*self.value.get() } {
            Value::Shared(value) => Some(value),
            _ => unreachable!("a shared value sits in an `Arc`"),
        }
    }
}

#[repr(C)]
struct Cell<T, J> {
    typed: Typed<T>,
    job: UnsafeCell<ManuallyDrop<J>>,
}

/// The work of a task: it runs once, on whichever thread, and completes the promise, then or later.
pub(crate) trait Job<T: Send + Sync + 'static>: Send + 'static {
    fn run(self, promise: Promise<T>);
}

/// What cells that were never tasks have for a job.
struct NoJob;

impl<T: Send + Sync + 'static> Job<T> for NoJob {
    fn run(self, _: Promise<T>) {
        unreachable!("a cell without a job is never queued")
    }
}

impl<T: Send + Sync + 'static, J: Job<T>> Cell<T, J> {
    const VTABLE: Vtable = Vtable {
        entry: EntryVtable { execute: Self::execute, abandon: Self::abandon_entry },
        abandon: Self::abandon,
        run: Self::run,
        drop_value: Self::drop_value,
        deallocate: Self::deallocate,
        value_type: TypeId::of::<T>,
        failure: Self::failure,
        value_needs_drop: needs_drop::<T>(),
    };

    fn allocate(
        state: State,
        value: Value<T>,
        job: J,
        home: usize,
        family: FamilyId,
        call: Call,
    ) -> NonNull<Header> {
        let make = || Self {
            typed: Typed {
                header: Header {
                    vtable: &Self::VTABLE,
                    state,
                    waiters: UnsafeCell::default(),
                    call,
                    home,
                    number: AtomicU64::new(0),
                    family,
                    next: AtomicPtr::default(),
                    extra: AtomicPtr::default(),
                },
                value: UnsafeCell::new(value),
            },
            job: UnsafeCell::new(ManuallyDrop::new(job)),
        };
        memory::allocate(make).cast()
    }

    /// # Safety
    /// `cell` was made by `allocate` of this very type and lives.
    unsafe fn of<'a>(cell: NonNull<Header>) -> &'a Self {
        // SAFETY: by the caller's promise, and `repr(C)` puts the header first.
        unsafe { cell.cast::<Self>().as_ref() }
    }

    /// # Safety
    /// As for `of`, and the caller is the runner, which calls this once.
    unsafe fn take_job(cell: NonNull<Header>) -> J {
        // SAFETY: by the caller's promise.
        let this = unsafe { Self::of(cell) };
        // SAFETY: the runner alone touches the job (S1).
        let job = unsafe { &mut *this.job.get() };
        // SAFETY: called once, so the job is still there.
        unsafe { ManuallyDrop::take(job) }
    }

    /// # Safety
    /// As for `of`; the caller gives up the entry.
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
    unsafe fn abandon(cell: NonNull<Header>, error: Error) {
        // SAFETY: by the caller's promise.
        let job = unsafe { Self::take_job(cell) };
        let promise = Promise::<T>::of(cell);
        let task = promise.hop();
        // The arguments go first: whoever sees the failure must not find them still held.
        panics::drop_quietly(job);
        promise.complete(Err(error.through(task)));
    }

    /// # Safety
    /// As for `of`, and by S2 the caller owns the value.
    unsafe fn drop_value(cell: NonNull<Header>) {
        // SAFETY: by the caller's promise.
        let this = unsafe { Self::of(cell) };
        // SAFETY: the value is the caller's (S2).
        let value = unsafe { &mut *this.typed.value.get() };
        panics::drop_quietly(std::mem::replace(value, Value::Empty));
    }

    /// # Safety
    /// As for `of`, and the cell is complete and held.
    unsafe fn failure(cell: NonNull<Header>) -> Option<Error> {
        // SAFETY: by the caller's promise.
        let this = unsafe { Self::of(cell) };
        let failure = |value: &mut Value<T>| match value {
            Value::Failed(error) => Some(error.clone()),
            _ => None,
        };
        this.typed.with_value(failure)?
    }

    /// # Safety
    /// As for `of`, and nobody else has a hold on the cell (S4). Job and value are gone.
    unsafe fn deallocate(cell: NonNull<Header>) {
        // SAFETY: the memory came from `allocate`, and nobody else can reach it.
        unsafe { memory::deallocate(cell.cast::<Self>()) };
    }
}

/// Frees a cell that nobody holds any more.
///
/// # Safety
/// The state said so to the caller (S4).
unsafe fn free(cell: NonNull<Header>) {
    // SAFETY: by the caller's promise the cell is still there, and only ours.
    let header = unsafe { cell.as_ref() };
    // SAFETY: as above.
    unsafe { (header.vtable.drop_value)(cell) };
    // SAFETY: as above.
    unsafe { free_empty(cell) };
}

/// Frees a cell that nobody holds any more, and whose value was taken out.
///
/// # Safety
/// As for `free`.
unsafe fn free_empty(cell: NonNull<Header>) {
    // SAFETY: by the caller's promise the cell is still there, and only ours.
    let header = unsafe { cell.as_ref() };
    let extra = header.extra.load(Ordering::Acquire);
    if !extra.is_null() {
        // SAFETY: `AnyRef::extra` made it from a box, and nobody else can reach it.
        let extra = unsafe { Box::from_raw(extra) };
        if header.state.load().is_findable() {
            // From here on nobody can find the cell; so far nobody could make a ref from none.
            extra.id.get().copied().inspect(ids::forget);
        }
    }
    // SAFETY: as above.
    unsafe { (header.vtable.deallocate)(cell) };
}

/// How a cell's life ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There is a value.
    Ready,
    /// There is an error.
    Failed,
}

/// A counted reference to a cell whose value has any type.
pub(crate) struct AnyRef(NonNull<Header>);

// SAFETY: what a ref reaches is the header, which is made of atomics and of fields guarded by the
// state, and values that are `Send + Sync` themselves (the bounds of `Cell`).
unsafe impl Send for AnyRef {}
// SAFETY: as above.
unsafe impl Sync for AnyRef {}

impl AnyRef {
    pub(super) fn header(&self) -> &Header {
        // SAFETY: a ref keeps its cell alive (S4).
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn address(&self) -> usize {
        self.0.as_ptr() as usize
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.header().state.load().is_complete()
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.header().state.load().is_failed()
    }

    /// How it ended, if it did.
    #[inline]
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        let state = self.header().state.load();
        let outcome = if state.is_failed() { Outcome::Failed } else { Outcome::Ready };
        state.is_complete().then_some(outcome)
    }

    /// Why it failed, if it is complete and did.
    pub(crate) fn failure(&self) -> Option<Error> {
        // SAFETY: we hold the cell.
        unsafe { Header::failure_of(self.0) }
    }

    pub(super) fn pointer(&self) -> NonNull<Header> {
        self.0
    }

    /// Another ref to a cell that somebody holds by a ref.
    ///
    /// # Safety
    /// Somebody does.
    pub(super) unsafe fn of_held(cell: NonNull<Header>) -> Self {
        // SAFETY: by the caller's promise the cell lives.
        unsafe { cell.as_ref() }.state.add_ref();
        Self(cell)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.header().state.load().is_running()
    }

    /// What a mailbox noted when it took the call out: how many came after it.
    pub(super) fn number_in_batch(&self) -> usize {
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
    pub(super) unsafe fn of_entry(entry: &Entry) -> Self {
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
    pub(super) fn make_findable(&self) -> WeakRef {
        self.header().state.set_findable();
        WeakRef(self.0)
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
            Err(()) => drop_shallow(Doomed::LastRef(self.0)),
        }
    }
}

/// A cell that can be found by its id. `ids.rs` keeps it exactly as long as the cell lives.
pub(super) struct WeakRef(NonNull<Header>);

// SAFETY: it reaches the state only, which is atomic.
unsafe impl Send for WeakRef {}
// SAFETY: as above.
unsafe impl Sync for WeakRef {}

impl WeakRef {
    pub(super) fn upgrade(&self) -> Option<AnyRef> {
        // SAFETY: the cell is forgotten before it is freed, under the lock that our caller holds.
        unsafe { self.0.as_ref() }.state.try_add_ref().then_some(AnyRef(self.0))
    }
}

/// A cell that is ours to end.
pub(super) enum Doomed {
    /// By the only ref to it, which is ours: others may still hold its memory.
    LastRef(NonNull<Header>),
    /// Nobody holds it.
    Unheld(NonNull<Header>),
}

/// Ends a cell; values may hold refs, so that takes care not to nest too deep.
fn drop_shallow(doomed: Doomed) {
    let (Doomed::LastRef(cell) | Doomed::Unheld(cell)) = doomed;
    // SAFETY: the cell is ours, so it is there.
    if unsafe { cell.as_ref() }.vtable.value_needs_drop {
        deferred::drop_shallow(doomed);
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        let cell = match *self {
            // SAFETY: nobody holds it.
            Self::Unheld(cell) => return unsafe { free(cell) },
            Self::LastRef(cell) => cell,
        };
        // SAFETY: our ref keeps the cell alive.
        let header = unsafe { cell.as_ref() };
        // SAFETY: ours is the only ref, so the value is ours (S2).
        unsafe { (header.vtable.drop_value)(cell) };
        if header.state.release_last_ref() {
            // SAFETY: the state says that ours was the last hold.
            unsafe { free(cell) };
        }
    }
}

/// A counted reference to a cell whose value is a `T`.
pub(crate) struct Ref<T> {
    any: AnyRef,
    marker: PhantomData<T>,
}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Self {
        Self { any: self.any.clone(), marker: PhantomData }
    }
}

impl<T: Send + Sync + 'static> Ref<T> {
    /// A task, and its entry, which goes into a queue at once if it is `ready`, else when its arguments
    /// are there.
    #[inline]
    pub(crate) fn task<J: Job<T>>(
        job: J,
        ready: bool,
        home: usize,
        family: FamilyId,
        call: Call,
    ) -> (Self, Entry) {
        let cell =
            Cell::<T, _>::allocate(State::task(ready), Value::Empty, job, home, family, call);
        // SAFETY: the state counts one entry for the queue.
        let entry = unsafe { Entry::from_pointer(cell.cast()) };
        (Self::from_cell(cell), entry)
    }

    /// A task that is in no queue: whoever has the second part begins it.
    pub(crate) fn unstarted<J: Job<T>>(
        job: J,
        home: usize,
        family: FamilyId,
        call: Call,
    ) -> (Self, Unstarted<T, J>) {
        let cell =
            Cell::<T, _>::allocate(State::task(false), Value::Empty, job, home, family, call);
        (Self::from_cell(cell), Unstarted { cell, marker: PhantomData })
    }

    /// A cell that is born with its value.
    pub(crate) fn complete(value: Result<T, Error>, call: Call) -> Self {
        Self::from_cell(Cell::allocate(
            State::complete(value.is_err()),
            value.into(),
            NoJob,
            0,
            FamilyId::NONE,
            call,
        ))
    }

    /// A cell, and the right to complete it; `actor`: the address of the one whose call it is, or 0.
    pub(crate) fn promise(call: Call, actor: usize) -> (Self, Promise<T>) {
        let (state, family) = (State::promise(), FamilyId::NONE);
        let cell = Cell::<T, _>::allocate(state, Value::Empty, NoJob, actor, family, call);
        (Self::from_cell(cell), Promise::of(cell))
    }

    fn from_cell(cell: NonNull<Header>) -> Self {
        Self { any: AnyRef(cell), marker: PhantomData }
    }

    /// None: the cell's value is no `T`.
    pub(crate) fn from_any(any: AnyRef) -> Option<Self> {
        (any.value_type() == TypeId::of::<T>()).then_some(Self { any, marker: PhantomData })
    }

    fn typed(&self) -> &Typed<T> {
        // SAFETY: every cell of a `Ref<T>` begins with a `Typed<T>`, and we keep it alive.
        unsafe { self.any.0.cast().as_ref() }
    }

    /// The value of a complete cell, moved into an `Arc` the first time.
    pub(crate) fn share(&self) -> Result<&Arc<T>, Error> {
        if self.typed().shared().is_none() {
            self.typed().with_value(Value::share).transpose()?;
        }
        Ok(self.shared())
    }

    /// The value of a cell that was shared before.
    pub(crate) fn shared(&self) -> &Arc<T> {
        self.typed().shared().expect("the value was shared before")
    }

    /// The value of a complete cell; moved out where this is the last ref, else a copy.
    pub(crate) fn into_owned(self) -> Result<T, Error>
    where
        T: Clone,
    {
        match self.take_if_sole() {
            Ok(value) => value.into_owned(),
            Err(shared) => shared.copy_and_release(),
        }
    }

    fn copy_and_release(self) -> Result<T, Error>
    where
        T: Clone,
    {
        let state = &self.any.header().state;
        if !state.load().is_shared() && Value::<T>::IS_PLAIN {
            let locked = state.lock();
            // SAFETY: complete, and we hold the lock (S2).
            let value = unsafe { &*self.typed().value.get() };
            if let Some(bits) = (!locked.is_shared()).then(|| value.copy_of_bits()).flatten() {
                // The lock and the ref go in one step.
                let last = state.unlock_and_release_ref();
                let cell = ManuallyDrop::new(self).any.0;
                if last {
                    drop_shallow(Doomed::Unheld(cell));
                }
                return Ok(T::clone(&bits));
            }
            state.unlock_and_keep();
        }
        self.to_owned()
    }

    /// A copy of the value of a complete cell.
    pub(crate) fn to_owned(&self) -> Result<T, Error>
    where
        T: Clone,
    {
        // What is cloned is the program's code, so it runs without the lock.
        match self.typed().with_value(|value| value.copy_of_bits()).flatten() {
            Some(bits) => Ok(T::clone(&bits)),
            None => Ok(T::clone(self.share()?)),
        }
    }

    /// Takes the value out of a complete cell, whatever other refs there are: they must be such that
    /// nobody asks them for the value.
    pub(crate) fn take_value(&self) -> Value<T> {
        let taken = self.typed().with_value(|value| std::mem::replace(value, Value::Empty));
        taken.expect("nobody shares what is to be taken")
    }

    /// Takes the value out if this is the only ref to it; else gives the ref back.
    pub(crate) fn take_if_sole(self) -> Result<Value<T>, Self> {
        if !self.any.header().state.load().is_sole_and_complete() {
            return Err(self);
        }
        // SAFETY: ours is the only ref, so the value is ours (S2).
        let value = unsafe { &mut *self.typed().value.get() };
        let value = std::mem::replace(value, Value::Empty);
        let cell = ManuallyDrop::new(self).any.0;
        // SAFETY: our ref keeps the cell alive.
        if unsafe { cell.as_ref() }.state.release_last_ref() {
            // SAFETY: the state says that ours was the last hold, and the value is out.
            unsafe { free_empty(cell) };
        }
        Ok(value)
    }
}

impl<T> Ref<T> {
    pub(crate) fn any(&self) -> &AnyRef {
        &self.any
    }

    pub(crate) fn into_any(self) -> AnyRef {
        self.any
    }
}

/// The right to begin a task that is in no queue. Until then it can be cancelled like any other; dropped
/// without, it fails.
pub(crate) struct Unstarted<T: Send + Sync + 'static, J: Job<T>> {
    cell: NonNull<Header>,
    marker: PhantomData<(T, J)>,
}

// SAFETY: it is the entry of a task, which is `Send` as its job is.
unsafe impl<T: Send + Sync + 'static, J: Job<T>> Send for Unstarted<T, J> {}

impl<T: Send + Sync + 'static, J: Job<T>> Unstarted<T, J> {
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

fn dropped() -> Error {
    Error::new(ErrorKind::Cancelled, "the work was dropped before it was done")
}

/// The right to complete a cell, and the duty: dropped without, it completes the cell with an error,
/// so that nobody waits for ever.
pub(crate) struct Promise<T: Send + Sync + 'static> {
    cell: NonNull<Header>,
    marker: PhantomData<T>,
}

// SAFETY: a promise writes one `T`, from whichever thread.
unsafe impl<T: Send + Sync + 'static> Send for Promise<T> {}
// SAFETY: a shared promise gives out plain data only.
unsafe impl<T: Send + Sync + 'static> Sync for Promise<T> {}

impl<T: Send + Sync + 'static> Promise<T> {
    /// Of a cell whose runner the caller is.
    fn of(cell: NonNull<Header>) -> Self {
        Self { cell, marker: PhantomData }
    }

    fn header(&self) -> &Header {
        // SAFETY: RUNNING is set, which keeps the cell alive (S4).
        unsafe { self.cell.as_ref() }
    }

    pub(crate) fn call(&self) -> Call {
        self.header().call
    }

    /// The call by the name it goes by.
    pub(crate) fn hop(&self) -> Hop {
        self.header().hop()
    }

    /// Whether the task was asked to stop, or the one that submitted it was.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.header().is_cancelled()
    }

    /// Whether it ever asked if it was to stop.
    pub(crate) fn has_looked(&self) -> bool {
        self.header().state.load().has_looked()
    }

    /// The running task, for the context: valid while the promise is.
    pub(crate) fn task(&self) -> RunningTask {
        RunningTask(self.cell)
    }

    /// Its number in the stream of events.
    #[inline]
    pub(crate) fn number(&self) -> Number {
        self.header().number()
    }

    /// Puts a job back for another try, and gives the entry by which it begins. Err: somebody asked the
    /// task to stop, so there is none.
    ///
    /// # Safety
    /// The cell was made with a job of type `J`, and the promise came of its entry.
    pub(crate) unsafe fn put_back<J: Job<T>>(self, job: J) -> Result<Entry, (J, Self)> {
        // SAFETY: by the caller's promise, and RUNNING keeps the cell alive.
        let place = unsafe { Cell::<T, J>::of(self.cell) }.job.get();
        // SAFETY: the runner alone touches the job, which it took out before (S1).
        unsafe { *place = ManuallyDrop::new(job) };
        if !self.header().state.put_back() {
            // SAFETY: we are the runner still, and put the job there just now.
            return Err((unsafe { Cell::<T, J>::take_job(self.cell) }, self));
        }
        // The duty to complete goes to whoever claims the task next.
        let cell = ManuallyDrop::new(self).cell;
        // SAFETY: the state counts the entry.
        Ok(unsafe { Entry::from_pointer(cell.cast()) })
    }

    /// Writes the value and tells whoever waits for it.
    pub(crate) fn complete(self, value: Result<T, Error>) {
        let this = ManuallyDrop::new(self);
        let cell = this.cell;
        let failure = value.as_ref().err().map(Error::kind);
        // SAFETY: RUNNING keeps the cell alive, and the promise is the runner's (S1).
        let typed = unsafe { cell.cast::<Typed<T>>().as_ref() };
        // SAFETY: as above; what is overwritten is `Empty`, which owns nothing.
        unsafe { typed.value.get().write(value.into()) };
        // Before anybody can see the value: who has it finds its event.
        note::ended(this.header().number(), failure);
        let state = &this.header().state;
        let free_it = match state.finish(failure.is_some()) {
            Completed::Done => false,
            Completed::Free => true,
            Completed::TellWaiters => {
                // SAFETY: RUNNING keeps the cell alive.
                unsafe { WaiterList::tell_all(cell) };
                state.release_runner()
            }
        };
        if free_it {
            // SAFETY: the state says that ours was the last hold.
            unsafe { free(cell) };
        }
    }
}

impl<T: Send + Sync + 'static> Drop for Promise<T> {
    fn drop(&mut self) {
        Self::of(self.cell).complete(Err(dropped()));
    }
}

/// A task that somebody runs: good as long as that somebody's promise is.
#[derive(Clone, Copy)]
pub(crate) struct RunningTask(NonNull<Header>);

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
        own.id(self.address(), header.family, || header.state.load().cancels_children())
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
