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

/// The refs that something will wait for, collected in the record of that wait. There is none as long as
/// there is no ref.
#[derive(Default)]
pub(crate) struct Refs(Option<NonNull<Awaited>>);

// SAFETY: the record is this one's alone, and is made of what may go to other threads.
unsafe impl Send for Refs {}

impl Refs {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn add(&mut self, any: &AnyRef) {
        let record = *self.0.get_or_insert_with(|| {
            memory::allocate(|| Awaited {
                missing: AtomicUsize::new(1),
                then: Then::Nothing,
                arguments: SmallVec::new(),
            })
        });
        let node = Node::new(Waiter::Argument(record));
        // SAFETY: nobody else knows the record yet, and no node is listed, so they may still move.
        unsafe { &mut *record.as_ptr() }.arguments.push((any.clone(), node));
    }

    /// The refs themselves, for whoever waits in another way.
    pub(crate) fn into_vec(mut self) -> Vec<AnyRef> {
        let Some(record) = self.0.take() else { return Vec::new() };
        // SAFETY: nobody else knows the record, and it is read once.
        let Awaited { arguments, .. } = unsafe { record.read() };
        // SAFETY: it came from `allocate`, and what was in it is out.
        unsafe { memory::deallocate(record) };
        arguments.into_iter().map(|(argument, _)| argument).collect()
    }
}

impl FromIterator<AnyRef> for Refs {
    fn from_iter<I: IntoIterator<Item = AnyRef>>(refs: I) -> Self {
        let mut all = Self::default();
        refs.into_iter().for_each(|any| all.add(&any));
        all
    }
}

impl Drop for Refs {
    fn drop(&mut self) {
        if self.0.is_some() {
            drop(std::mem::take(self).into_vec());
        }
    }
}

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
        let then = std::mem::replace(&mut record.then, Then::Nothing);
        // SAFETY: it came from `allocate`; what was in it is out, and the arguments hold nothing.
        unsafe { memory::deallocate(this) };
        then.happen(failure);
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
