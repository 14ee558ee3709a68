//! The one allocation that a task, a stored value or a promise is: a header, and the job until it has run,
//! then in its place the value.
//!
//! In memory a [`Cell`] is a [`Header`], which is the same for all, and then the job or the value. So who
//! knows no types can use a cell by its header, and by the [`Vtable`] which that names; who knows the
//! value's type, as a [`Typed`]; and only the table's functions know the job's, which lies there in an
//! [`Undone`]. Both begin with the header, and `repr(C)` keeps it there.
//!
//! The program never sees a cell, but one of these, each of which is a pointer to it and a right:
//!
//! - [`AnyRef`] is a counted reference to a cell of any type, [`WeakRef`] one that counts for nothing;
//! - [`Ref<T>`] is a counted reference to a cell whose value is a `T`;
//! - [`Unstarted`] is the right to begin a task that is in no queue;
//! - [`Promise<T>`] is the right, and the duty, to complete a cell;
//! - [`RunningTask`] is a look at a task while it runs;
//! - [`Doomed`] is what is left to be dropped and freed.
//!
//! Values that are large are also in the books of the object store, which see cells as `stored.rs` shows
//! them.
//!
//! `state.rs` says who may touch what, and its rules S1 to S6 are what the `SAFETY` comments here and in
//! the modules below cite.

mod any;
mod doomed;
mod promise;
mod refs;
mod running;
mod stored;
mod table;
mod tracked;
mod unstarted;

use std::any::TypeId;
use std::cell::UnsafeCell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::task::Waker;

pub(super) use self::any::WeakRef;
#[cfg(test)]
pub(crate) use self::any::looks;
pub(crate) use self::any::{AnyRef, Outcome};
pub(super) use self::doomed::Doomed;
pub(crate) use self::promise::Promise;
pub(crate) use self::refs::Ref;
pub(crate) use self::running::RunningTask;
pub(crate) use self::stored::{Store, Stored, may_be_stored};
pub(crate) use self::tracked::{all as tracked, turn_on as track};
pub(crate) use self::unstarted::Unstarted;
use crate::error::Error;
use crate::function::{Call, Hop};
use crate::local::arguments::Awaited;
use crate::local::family::FamilyId;
use crate::local::lineage::Lineage;
use crate::local::place::Place;
use crate::local::queue::{Entry, EntryVtable};
use crate::local::state::State;
use crate::local::value::Value;
use crate::local::waiters::WaiterList;
use crate::observe::Number;
use crate::store::Any;
use crate::wire::Held;

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
    /// Which runtime's queue the task is in, or which actor's mailbox. Compared, and followed by nobody but the actor's
    /// calls where they run.
    home: usize,
    /// The task's number in the stream of events; 0 where none is recorded.
    number: AtomicU64,
    /// What submitted it, if a task did.
    family: FamilyId,
    /// Where in the tree of calls it stands; gone with the memory.
    place: ManuallyDrop<Place>,
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

    /// See [`Job::SHARED`].
    pub(super) fn is_shared_call(&self) -> bool {
        self.vtable.shared
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
        let Some(extra) = self.extra() else { return self.call.into() };
        let hop = match extra.name.get() {
            Some(name) => self.call.named(Arc::clone(name)),
            None => self.call.into(),
        };
        hop.at(extra.stands_at.get())
    }
}

/// What is known of a call that was made in another process.
#[derive(Clone)]
pub(crate) struct Elsewhere {
    /// The id that its result has there, if it is to be that of the task, too.
    pub(crate) id: Option<uuid::Uuid>,
    /// Where it stands.
    pub(crate) at: Arc<str>,
}

/// The rarely needed part of a cell.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) id: std::sync::OnceLock<uuid::Uuid>,
    /// The name that the call was given.
    pub(crate) name: std::sync::OnceLock<Arc<str>>,
    /// Where the call stands, if it was made in another process.
    pub(crate) stands_at: std::sync::OnceLock<Arc<str>>,
    /// How the value is encoded, where it may go to another process.
    pub(crate) encode: std::sync::OnceLock<EncodeValue>,
    /// For what is made of other tasks' results, such as one part of it: those tasks.
    pub(crate) producers: std::sync::OnceLock<Box<[AnyRef]>>,
    /// Who waits to be told that the task was asked to stop: the task, at an await.
    pub(crate) stopped: std::sync::Mutex<Option<Waker>>,
    /// The value's place in the books of the object store.
    stored: std::sync::OnceLock<Stored>,
    /// How that is made again if it is lost.
    lineage: std::sync::OnceLock<Lineage>,
}

impl Extra {
    /// Before the call can begin: then it may be asked for its id.
    pub(crate) fn note_elsewhere(&self, Elsewhere { id, at }: Elsewhere) {
        let _ = id.map(|id| self.id.set(id));
        let _ = self.stands_at.set(at);
    }
}

/// Encodes the value of a complete cell, and gives what has to live as long as the bytes do.
pub(crate) type EncodeValue = fn(&AnyRef, &mut dyn std::io::Write) -> Result<Vec<Held>, Error>;

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
    /// What the object store asks of a value that it has listed: whether somebody reads it, the value to be
    /// written, to let go of it, and to have it back.
    is_read: unsafe fn(NonNull<Header>) -> bool,
    lend: unsafe fn(NonNull<Header>) -> Option<Any>,
    evict: unsafe fn(NonNull<Header>) -> bool,
    put_back: unsafe fn(NonNull<Header>, Any),
    /// Why a complete cell failed, if it did.
    failure: unsafe fn(NonNull<Header>) -> Option<Error>,
    value_needs_drop: bool,
    /// How many bytes a value has, without what it owns.
    value_bytes: usize,
    /// See [`Job::SHARED`].
    shared: bool,
}

/// What a cell with a value of type `T` is once it has that, whatever its job was.
#[repr(C)]
struct Typed<T> {
    header: Header,
    /// There from COMPLETE on (S2).
    value: UnsafeCell<MaybeUninit<Value<T>>>,
}

impl<T> Typed<T> {
    fn value(&self) -> *mut Value<T> {
        self.value.get().cast()
    }

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
        let value = unsafe { &mut *self.value() };
        let result = look(value);
        match value {
            Value::Failed(_) if locked.is_stored() => {
                // It could not be brought back from disk.
                state.set_failed();
                state.unlock_and_keep();
            }
            Value::Shared(_) if !locked.is_stored() => state.unlock_value(true),
            _ => state.unlock_value(false),
        }
        Some(result)
    }

    /// The value, where it sits in an `Arc` for good. The caller holds a ref.
    fn shared(&self) -> Option<&Arc<T>> {
        if !self.header.state.load().is_shared() {
            return None;
        }
        // SAFETY: it does not change any more while there is a ref (S5).
        match unsafe { &*self.value() } {
            Value::Shared(value) => Some(value),
            _ => unreachable!("a shared value sits in an `Arc`"),
        }
    }
}

/// What a cell is whose job is not done.
#[repr(C)]
struct Undone<J> {
    header: Header,
    /// There until the runner takes it out (S1).
    job: UnsafeCell<MaybeUninit<J>>,
}

/// The memory of a cell: the value takes the place of the job.
#[repr(C)]
union Cell<T, J> {
    undone: ManuallyDrop<Undone<J>>,
    typed: ManuallyDrop<Typed<T>>,
}

/// The work of a task: it runs once, on whichever thread, and completes the promise, then or later.
pub(crate) trait Job<T: Send + Sync + 'static>: Send + 'static {
    /// Whether it is a call of an actor that may run beside others: of a method with `&self`.
    const SHARED: bool = false;
    /// Whether another process runs it, and it may be sent there ahead of its turn.
    const IS_SENT: bool = false;
    fn run(self, promise: Promise<T>);
}

/// What cells that were never tasks have for a job.
struct NoJob;

impl<T: Send + Sync + 'static> Job<T> for NoJob {
    fn run(self, _: Promise<T>) {
        unreachable!("a cell without a job is never queued")
    }
}
