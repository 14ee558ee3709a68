//! What is to happen when some refs are complete: a task is queued whose arguments they are. It holds
//! no thread meanwhile, only a count of the refs still missing.

use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::SmallVec;

use crate::error::Error;
use crate::local::cell::{AnyRef, Header};
use crate::local::queue::Entry;
use crate::local::request::Claim;
use crate::local::waiters::{Node, Waiter};
use crate::local::{default, memory, pool, runtimes};

/// Most tasks have few arguments that are not there yet; so many need no memory of their own.
const FEW: usize = 4;

/// The refs that something waits for.
pub(crate) type Refs = SmallVec<[AnyRef; FEW]>;

/// The record of one wait: it lives until the last argument has arrived.
pub(crate) struct Awaited {
    /// How many have not arrived; one more while the record is being made.
    missing: AtomicUsize,
    then: Then,
    /// The refs are held by the task's arguments and here: the task may be cancelled meanwhile.
    arguments: SmallVec<[(AnyRef, Node); FEW]>,
}

/// What happens then.
pub(crate) enum Then {
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
        }
    }
}

impl Awaited {
    /// Sees to `then` when all of `arguments` are complete.
    pub(crate) fn when_ready(arguments: Refs, then: Then) {
        let record = memory::allocate(|| Self {
            missing: AtomicUsize::new(arguments.len() + 1),
            then,
            arguments: SmallVec::with_capacity(arguments.len()),
        });
        let argument = |argument| (argument, Node::new(Waiter::Argument(record)));
        // SAFETY: nobody else knows the record yet.
        unsafe { &mut *record.as_ptr() }.arguments.extend(arguments.into_iter().map(argument));
        // SAFETY: our own count keeps the record there until the end of this function.
        if let Some(cell) = unsafe { record.as_ref() }.then.cell() {
            cell.await_arguments(record);
        }
        // SAFETY: as above.
        for (argument, node) in &unsafe { record.as_ref() }.arguments {
            // SAFETY: the record keeps the node in its place until all nodes were told.
            if !unsafe { argument.add_waiter(node) } {
                // SAFETY: this argument was not counted yet.
                unsafe { Self::one_arrived(record) };
            }
        }
        // SAFETY: our own count, given up once.
        unsafe { Self::one_arrived(record) };
    }

    /// Those that have not come.
    ///
    /// # Safety
    /// The record lives.
    pub(super) unsafe fn missing(this: NonNull<Self>) -> Vec<AnyRef> {
        // SAFETY: by the caller's promise.
        let arguments = unsafe { this.as_ref() }.arguments.iter();
        arguments.map(|(argument, _)| argument).filter(|any| !any.is_complete()).cloned().collect()
    }

    /// # Safety
    /// The record lives: each count is given up once, and this is one of them.
    pub(crate) unsafe fn one_arrived(this: NonNull<Self>) {
        // SAFETY: by the caller's promise.
        let record = unsafe { this.as_ref() };
        // AcqRel: the last one sees all that the others did.
        if record.missing.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let failure = record.arguments.iter().find_map(|(argument, _)| argument.failure());
        if let Some(cell) = record.then.cell() {
            // After this nobody but us knows the record. Who helps may now begin the task, a moment before
            // our refs to its arguments go: then it finds itself one holder of several.
            cell.arrive(failure.is_none() && matches!(record.then, Then::Queue(..)));
        }
        // SAFETY: nobody else has a count, so the record is ours.
        let record = unsafe { &mut *this.as_ptr() };
        // Our refs go before the task starts, so that it may find itself the last holder.
        record.arguments.clear();
        // SAFETY: it is read once, because the memory goes now.
        let then = unsafe { (&raw const record.then).read() };
        // SAFETY: it came from `allocate`; what was in it is out, and the arguments hold nothing.
        unsafe { memory::deallocate(this) };
        match (then, failure) {
            (Then::Queue(entry) | Then::Claim(entry, _), Some(error)) => fail(entry, error),
            (Then::Queue(entry), None) => queue(entry),
            (Then::Claim(entry, claim), None) => claim.queue(entry),
            (Then::Run(cell, run), _) => {
                drop(cell);
                run();
            }
        }
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
        let _ = entry.abandon(error);
        next = WAITING.with_borrow_mut(|waiting| {
            let more = waiting.as_mut().and_then(Vec::pop);
            if more.is_none() {
                *waiting = None;
            }
            more
        });
    }
}
