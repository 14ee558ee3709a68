//! Who waits for whom: the threads that sleep in a wait, what they sleep for, and the tasks on their stacks.
//!
//! It costs nothing until a thread has slept for a while ([`QUIET`]): only then it makes its wait known here,
//! and looks whether the wait can end at all (`deadlock.rs`). What can be seen from here is enough for that:
//!
//! * a wait is known by its thread, which waits for one cell or for any of a group;
//! * a task that lies on the stack of a sleeping thread cannot go on before that thread does, and neither
//!   can an actor whose method that is, nor any actor of an arbiter whose thread sleeps; nor can a task end before
//!   the threads of its crew, where it has one;
//! * all else that keeps a cell is written where it happens, and `blocker.rs` reads it.
//!
//! A circle closes with its last wait, so each wait looks for itself. One thing can close a circle while
//! all sleep: a task enters the line for a resource. Then those who hold resources look again.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::{Thread, ThreadId};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::function::Hop;
use crate::local::cell::AnyRef;
use crate::local::current::Task;
use crate::local::deadlock::{self, Outlook};
use crate::local::group::{GroupWait, Pending};
use crate::local::{arbiter, cancelling, current};

/// How long a wait keeps to itself. Most are over by then.
const QUIET: Duration = Duration::from_millis(1);

static WAITS: LazyLock<Mutex<Waits>> = LazyLock::new(Mutex::default);

pub(crate) fn waits() -> MutexGuard<'static, Waits> {
    // Nothing of the program's runs while it is held.
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The waits that are known.
#[derive(Default)]
pub(crate) struct Waits {
    /// How many there have been.
    count: u64,
    asleep: HashMap<ThreadId, Wait>,
    /// On which stack a task lies that has waited, by the addresses of its cell and of its actor.
    places: HashMap<usize, Place>,
    /// The sleeping threads of a task's crew that do not run it, by the same addresses.
    crews: HashMap<usize, Vec<ThreadId>>,
    /// The threads of the arbiters that have waited.
    arbiters: HashMap<usize, ThreadId>,
    /// The tasks, by their addresses, whose waits here are to end, because they do not run any more over there.
    killed: HashSet<usize>,
}

struct Place {
    thread: ThreadId,
    task: Hop,
}

/// A thread that sleeps.
pub(crate) struct Wait {
    /// The higher the younger.
    pub(super) number: u64,
    pub(super) awaited: Awaited,
    /// Whether it ends by itself, at a deadline.
    pub(super) ends: bool,
    pub(crate) since: Instant,
    /// The task that waits: its cell's address and its name.
    pub(crate) task: (usize, Hop),
    thread: Thread,
    /// Why it is about to fail.
    pub(super) verdict: Option<Error>,
    look_again: bool,
}

/// What a thread waits for. It lies on that thread's stack, and stays as it is while the wait is known.
#[derive(Clone, Copy)]
pub(crate) enum Awaited {
    One(*const AnyRef),
    AnyOf(*const GroupWait),
}

// SAFETY: what the pointers lead to is read under the lock of `WAITS` only, without which the wait does not
// end, and is made of what may be read from any thread.
unsafe impl Send for Awaited {}

impl Wait {
    /// The cells of which one is waited for, looked for among so many; None: one is just being told, and so the
    /// wait may be over.
    pub(crate) fn cells(&self, looks_max: usize) -> Option<Pending> {
        match self.awaited {
            Awaited::One(any) => {
                // SAFETY: the wait is known, so its thread is still in it.
                let refs = vec![unsafe { &*any }.clone()];
                Some(Pending { refs, are_all: true })
            }
            // SAFETY: as above.
            Awaited::AnyOf(group) => unsafe { &*group }.pending(looks_max),
        }
    }
}

impl Waits {
    /// The sleeping threads that the task or the actor at this address is kept by. None: it is not on a stack that we know.
    pub(super) fn place(&self, address: usize) -> Option<Vec<ThreadId>> {
        let stack = self.places.get(&address).map(|place| place.thread);
        let crew = self.crews.get(&address);
        if stack.is_none() && crew.is_none() {
            return None;
        }
        let asleep = stack.filter(|thread| self.asleep.contains_key(thread));
        Some(asleep.into_iter().chain(crew.into_iter().flatten().copied()).collect())
    }

    /// The call that has the turn of the actor at this address, if it has ever waited.
    pub(crate) fn turn(&self, actor: usize) -> Option<&Hop> {
        self.places.get(&actor).map(|place| &place.task)
    }

    /// The thread of the arbiter, if it sleeps.
    pub(super) fn arbiter(&self, number: usize) -> Option<ThreadId> {
        self.arbiters.get(&number).copied().filter(|thread| self.asleep.contains_key(thread))
    }

    pub(crate) fn wait(&self, thread: ThreadId) -> Option<&Wait> {
        self.asleep.get(&thread)
    }

    /// Lets the wait of that thread fail.
    fn condemn(&mut self, thread: ThreadId, why: Error) {
        if let Some(wait) = self.asleep.get_mut(&thread) {
            wait.verdict = Some(why);
            wait.thread.unpark();
        }
    }

    fn enter(&mut self, task: &Task, awaited: Awaited, ends: bool) {
        let thread = std::thread::current();
        let id = thread.id();
        if current::task().is_none() {
            self.crews.entry(task.running.address()).or_default().push(id);
            if task.actor != 0 && !task.shared {
                self.crews.entry(task.actor).or_default().push(id);
            }
        }
        current::make_known(|task| {
            let address = task.running.address();
            // SAFETY: the task is on this thread's stack.
            let name = unsafe { task.running.hop() };
            if task.actor != 0 && !task.shared {
                self.places.insert(task.actor, Place { thread: id, task: name.clone() });
            }
            self.places.insert(address, Place { thread: id, task: name });
        });
        if let Some(number) = arbiter::here() {
            self.arbiters.insert(number, id);
        }
        self.count += 1;
        let wait = Wait {
            number: self.count,
            awaited,
            ends,
            since: Instant::now(),
            // SAFETY: the task is running as long as somebody lets us see it.
            task: (task.running.address(), unsafe { task.running.hop() }),
            thread,
            verdict: None,
            look_again: false,
        };
        self.asleep.insert(id, wait);
    }

    /// The wait of this thread is over. It is the caller's to drop.
    fn leave(&mut self) -> Option<Wait> {
        let id = std::thread::current().id();
        self.crews.retain(|_, threads| {
            threads.retain(|thread| *thread != id);
            !threads.is_empty()
        });
        self.asleep.remove(&id)
    }
}

/// A task that was made known has left its thread's stack.
#[cold]
pub(super) fn forget(task: &Task) {
    let mut waits = waits();
    waits.places.remove(&task.running.address());
    if task.actor != 0 && !task.shared {
        waits.places.remove(&task.actor);
    }
}

/// Lets the waits look again whose tasks are at these addresses: they hold what somebody now waits for.
pub(super) fn look_again(tasks: &[usize]) {
    let mut waits = waits();
    for task in tasks {
        for thread in waits.place(*task).into_iter().flatten() {
            if let Some(wait) = waits.asleep.get_mut(&thread)
                && !wait.ends
                && !std::mem::replace(&mut wait.look_again, true)
            {
                wait.thread.unpark();
            }
        }
    }
}

/// Ends whatever the task at this address waits for, now and until `forget_killed`.
pub(crate) fn end_of_killed(task: usize) {
    let mut waits = waits();
    waits.killed.insert(task);
    for thread in waits.place(task).into_iter().flatten() {
        if let Some(wait) = waits.asleep.get(&thread) {
            wait.thread.unpark();
        }
    }
}

/// The task at this address has ended that was killed.
pub(crate) fn forget_killed(task: usize) {
    waits().killed.remove(&task);
}

/// A wait of this thread, seen by itself: it lasts as long as this does.
pub(super) struct Watch {
    awaited: Awaited,
    ends: bool,
    begun: Instant,
    /// When to look next.
    next: Option<Instant>,
    known: bool,
}

impl Watch {
    /// Watches a wait, which `ends` at a deadline or not. Only tasks are waited for, so a thread that keeps
    /// none keeps nobody waiting, and is not watched.
    ///
    /// # Safety
    /// What is awaited outlives the watch, and is not changed meanwhile.
    pub(super) unsafe fn new(awaited: Awaited, ends: bool) -> Self {
        let begun = Instant::now();
        let next = current::with_task_kept(|_| begun + QUIET);
        Self { awaited, ends, begun, next, known: false }
    }

    /// The thread works for a while; then the wait begins anew to be quiet.
    pub(super) fn suspend(&mut self) {
        if std::mem::take(&mut self.known) {
            let left = waits().leave();
            drop(left);
        }
        self.next = current::with_task_kept(|_| Instant::now() + QUIET);
    }

    /// When to call `look` next, if there is no reason to before.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Whether the wait can still end. It looks only now and then; call it whenever the thread wakes.
    ///
    /// # Errors
    /// `Deadlock`: it cannot. `Cancelled`: who waits was killed.
    pub(super) fn look(&mut self) -> Result<(), Error> {
        if !self.known && self.next.is_none() {
            return Ok(());
        }
        // Dropped after the lock, because a ref's drop may run the program's code.
        let mut kept = Vec::new();
        let mut waits = waits();
        let now = Instant::now();
        let id = std::thread::current().id();
        let is_killed = |task: &Task| waits.killed.contains(&task.running.address());
        if current::with_task_kept(is_killed).unwrap_or(false) {
            return Err(cancelling::killed());
        }
        if let Some(wait) = waits.asleep.get_mut(&id).filter(|_| self.known) {
            if let Some(error) = wait.verdict.take() {
                return Err(error);
            }
            if std::mem::take(&mut wait.look_again) {
                self.next = self.next.or(Some(now + QUIET));
            }
        }
        if self.next.is_none_or(|next| now < next) {
            return Ok(());
        }
        if !std::mem::replace(&mut self.known, true) {
            current::with_task_kept(|task| waits.enter(task, self.awaited, self.ends));
        }
        // The longer it has lasted, the more work the search may be; so looking never costs more than a part
        // of the waiting.
        let slept = now - self.begun;
        self.next = match self.ends || look_around(&mut waits, id, slept, &mut kept) {
            true => None,
            false => Some(now + slept),
        };
        match waits.asleep.get_mut(&id).and_then(|wait| wait.verdict.take()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Looks whether the wait of `thread` can end, and condemns waits until it can, or is itself condemned.
/// False: that was more work than it may be.
fn look_around(
    waits: &mut Waits,
    thread: ThreadId,
    slept: Duration,
    kept: &mut Vec<Box<dyn Any>>,
) -> bool {
    let nodes_max = usize::try_from(slept.as_micros()).unwrap_or(usize::MAX);
    loop {
        match deadlock::outlook(waits, thread, nodes_max, kept) {
            Outlook::Good => return true,
            Outlook::Unclear => return false,
            Outlook::Hopeless { youngest, why } => waits.condemn(youngest, why),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.known {
            let left = waits().leave();
            drop(left);
        }
    }
}
