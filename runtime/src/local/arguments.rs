//! What is to happen when some refs are complete: a task is queued whose arguments they are. It holds
//! no thread meanwhile, only a count of the refs still missing.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use crate::error::{Error, ErrorKind};
use crate::local::cell::{AnyRef, Header};
use crate::local::queue::Entry;
use crate::local::request::Claim;
use crate::local::waiters::{Node, Waiter};
use crate::local::{abroad, default, memory, pool, runtimes};

/// Most tasks have few arguments that are not there yet; so many need no memory of their own.
const FEW: usize = 4;

/// The refs that something will wait for, collected in the record of that wait. There is none as long as
/// there is no ref.
///
/// The record does not count as a ref. Until `when_ready`, and until all have arrived or the task was
/// claimed, the refs are held by whoever waits: the job of a task has them among its arguments. A cell that
/// is not complete lives until it has told those who wait for it, even if nobody holds a ref any more.
#[derive(Default)]
pub(crate) struct Refs(Option<NonNull<Awaited>>);

// SAFETY: the record is this one's alone, and is made of what may go to other threads.
unsafe impl Send for Refs {}

impl Refs {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn add(&mut self, any: &AnyRef) {
        let record = *self.0.get_or_insert_with(|| {
            memory::allocate(|| Awaited {
                missing: AtomicUsize::new(1),
                then: Then::Nothing,
                failure: OnceLock::new(),
                held: Vec::new(),
                arguments: SmallVec::new(),
            })
        });
        let node = Node::new(Waiter::Argument(record));
        // SAFETY: nobody else knows the record yet, and no node is listed, so they may still move.
        unsafe { &mut *record.as_ptr() }.arguments.push((any.pointer(), node));
    }

    /// Refs of one's own, for whoever waits in another way.
    ///
    /// # Safety
    /// Whoever waits still holds the refs.
    pub(crate) unsafe fn to_vec(&self) -> Vec<AnyRef> {
        let Some(record) = self.0 else { return Vec::new() };
        // SAFETY: the record is ours.
        let arguments = unsafe { record.as_ref() }.arguments.iter();
        // SAFETY: by the caller's promise.
        arguments.map(|(argument, _)| unsafe { AnyRef::of_held(*argument) }).collect()
    }
}

impl Drop for Refs {
    #[inline]
    fn drop(&mut self) {
        #[inline(never)]
        fn free(record: NonNull<Awaited>) {
            // SAFETY: nobody else knows the record, and it is read once.
            drop(unsafe { record.read() });
            // SAFETY: it came from `allocate`, and what was in it is out.
            unsafe { memory::deallocate(record) };
        }
        self.0.take().into_iter().for_each(free);
    }
}

/// The record of one wait: it lives until the last argument has arrived.
pub(crate) struct Awaited {
    /// How many have not arrived; one more while the record is being made.
    missing: AtomicUsize,
    then: Then,
    /// Why one of them failed.
    failure: OnceLock<Error>,
    /// Refs to them, where it is no task that waits.
    held: Vec<AnyRef>,
    arguments: SmallVec<[(NonNull<Header>, Node); FEW]>,
}

/// What happens then.
pub(crate) enum Then {
    /// It is not known yet, or has happened.
    Nothing,
    /// The task goes into its runtime's queue.
    Queue(Entry),
    /// As `Queue`, once it has what it asked for.
    Claim(Entry, Arc<Claim>),
    /// Something short, none of the program's code, runs on the completing thread. It is what the cell,
    /// if there is one, waits for.
    Run(Option<AnyRef>, Box<dyn FnOnce() + Send + Sync>),
}

impl Then {
    /// The cell that waits.
    fn cell(&self) -> Option<&Header> {
        match self {
            // SAFETY: it is a task's, and keeps it.
            Self::Queue(entry) | Self::Claim(entry, _) => Some(unsafe { Header::of(entry) }),
            Self::Run(cell, _) => cell.as_ref().map(AnyRef::header),
            Self::Nothing => None,
        }
    }

    /// The arguments are there, or one of them failed.
    fn happen(self, failure: Option<Error>) {
        match (self, failure) {
            (Self::Queue(entry) | Self::Claim(entry, _), Some(error)) => fail(entry, error),
            (Self::Queue(entry), None) => queue(entry),
            (Self::Claim(entry, claim), None) => claim.queue(entry),
            (Self::Run(cell, run), _) => {
                drop(cell);
                run();
            }
            (Self::Nothing, _) => {}
        }
    }
}

impl Awaited {
    /// Sees to `then` when all of `arguments` are complete.
    pub(crate) fn when_ready(mut arguments: Refs, then: Then) {
        let Some(record) = arguments.0.take() else {
            if let Some(cell) = then.cell() {
                cell.arrive(matches!(then, Then::Queue(_)));
            }
            return then.happen(None);
        };
        // What is made here only lends the record.
        let lent = ManuallyDrop::new(Refs(Some(record)));
        // SAFETY: whoever waits still holds the refs.
        let refs = || unsafe { lent.to_vec() };
        if abroad::home().is_some() {
            refs().iter().for_each(abroad::subscribe);
        }
        if let Then::Run(..) = then {
            // SAFETY: nobody else knows the record yet.
            unsafe { &mut *record.as_ptr() }.held = refs();
        }
        {
            // SAFETY: nobody else knows the record yet.
            let record = unsafe { &mut *record.as_ptr() };
            *record.missing.get_mut() += record.arguments.len();
            record.then = then;
        }
        // SAFETY: our own count keeps the record there until the end of this function.
        if let Some(cell) = unsafe { record.as_ref() }.then.cell() {
            cell.await_arguments(record);
        }
        // SAFETY: as above.
        for (argument, node) in &unsafe { record.as_ref() }.arguments {
            // SAFETY: whoever waits holds a ref.
            let cell = unsafe { argument.as_ref() };
            // SAFETY: the record keeps the node in its place until all nodes were told.
            if !unsafe { cell.add_waiter(node) } {
                // SAFETY: this argument was not counted yet, and it is complete.
                unsafe { Self::argument_arrived(record, *argument) };
            }
        }
        // SAFETY: our own count, given up once.
        unsafe { Self::one_arrived(record) };
    }

    /// Those that have not come.
    ///
    /// # Safety
    /// The record lives. Unless the cell that waits is `claimed`, it is not while this runs.
    pub(super) unsafe fn missing(this: NonNull<Self>, claimed: bool) -> Vec<AnyRef> {
        // SAFETY: by the caller's promise.
        let record = unsafe { this.as_ref() };
        let mut missing = match record.then {
            Then::Run(..) => record.held.clone(),
            _ if claimed => Vec::new(),
            _ => {
                let arguments = record.arguments.iter();
                // SAFETY: the task was not claimed, so its job has the refs.
                arguments.map(|(argument, _)| unsafe { AnyRef::of_held(*argument) }).collect()
            }
        };
        missing.retain(|any| !any.is_complete());
        missing
    }

    /// # Safety
    /// As for `one_arrived`; the argument is complete, and lives.
    pub(crate) unsafe fn argument_arrived(this: NonNull<Self>, argument: NonNull<Header>) {
        // SAFETY: by the caller's promise.
        if let Some(error) = unsafe { Header::failure_of(argument) } {
            // SAFETY: by the caller's promise.
            let _ = unsafe { this.as_ref() }.failure.set(error);
        }
        // SAFETY: by the caller's promise.
        unsafe { Self::one_arrived(this) };
    }

    /// # Safety
    /// The record lives: each count is given up once, and this is one of them.
    unsafe fn one_arrived(this: NonNull<Self>) {
        // SAFETY: by the caller's promise.
        let record = unsafe { this.as_ref() };
        // AcqRel: the last one sees all that the others did.
        if record.missing.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        if let Some(cell) = record.then.cell() {
            // After this nobody but us knows the record.
            let ready = record.failure.get().is_none() && matches!(record.then, Then::Queue(..));
            cell.arrive(ready);
        }
        // SAFETY: nobody else has a count, so the record is ours, and it is read once.
        let Self { then, failure, held, arguments, .. } = unsafe { this.read() };
        // SAFETY: it came from `allocate`, and what was in it is out.
        unsafe { memory::deallocate(this) };
        // Before anything happens, so that it may find itself the last holder.
        drop((held, arguments));
        then.happen(failure.into_inner());
    }
}

/// Queues a task where it belongs. Most often that is the runtime of this thread; else the one that the cell
/// names, if that still lives.
fn queue(entry: Entry) {
    // SAFETY: the entry is a task's, and keeps it.
    let home = unsafe { Header::of(&entry) }.home();
    let scheduled = default::with_current_if_any(|local| match local {
        Some(local) if local.home() == home => Ok(local.schedule(entry)),
        _ => Err(entry),
    });
    match scheduled {
        Ok(scheduled) => scheduled.now(),
        Err(entry) => match runtimes::find(home) {
            Some(local) => local.schedule(entry).now(),
            None => fail(entry, pool::shut_down_before("its arguments were there")),
        },
    }
}

/// Fails a task, which is counted where that is because its runtime ends.
fn abandon(entry: Entry, error: Error) {
    // SAFETY: the entry is a task's, and keeps it.
    let home = unsafe { Header::of(&entry) }.home();
    let may_end = error.kind() == ErrorKind::ShutDown;
    if entry.abandon(error) && may_end {
        let ends = runtimes::find(home).filter(|local| local.pool().is_closed());
        ends.inspect(|local| local.pool().count_never_begun());
    }
}

/// Fails a task whose argument failed: that takes no CPU, so it need not wait for one. A chain of a
/// million such tasks must not take a million stack frames either, so inner failures wait for the
/// outermost.
pub(crate) fn fail(entry: Entry, error: Error) {
    thread_local! {
        static WAITING: RefCell<Option<Vec<(Entry, Error)>>> = const { RefCell::new(None) };
    }
    let mut next = WAITING.with_borrow_mut(|waiting| match waiting {
        Some(waiting) => {
            waiting.push((entry, error));
            None
        }
        None => {
            *waiting = Some(Vec::new());
            Some((entry, error))
        }
    });
    while let Some((entry, error)) = next {
        abandon(entry, error);
        next = WAITING.with_borrow_mut(|waiting| {
            let more = waiting.as_mut().and_then(Vec::pop);
            if more.is_none() {
                *waiting = None;
            }
            more
        });
    }
}
