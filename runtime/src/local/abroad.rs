//! Tasks in other processes, as the engine in this one sees them.
//!
//! In the driver a runtime may have an [`Outside`]: where its tasks run instead of here. In a worker there is a
//! [`Home`]: where the objects are whose values have not come. Both are implemented above, in `cluster`.

use std::any::Any;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use uuid::Uuid;

use crate::error::Result;
use crate::local::cell::AnyRef;
use crate::local::family::FamilyId;
use crate::local::queue::Entry;
use crate::local::waiting::Ended;

/// Where the tasks of a runtime run, if that is not in this process.
pub(crate) trait Outside: Send + Sync {
    /// Runs tasks that this thread waits for, of which `next` gives the entries.
    fn run_all(&self, next: &mut dyn FnMut() -> Option<Entry>);
    /// Kills whatever runs the task, and what runs tasks of these families. False: nothing runs the task.
    fn kill(&self, task: &AnyRef, families: &[FamilyId]) -> bool;
    /// Ends all of it. Nothing runs there any more.
    fn shut_down(&self);
    /// For those above, who know what it is.
    fn as_any(&self) -> &dyn Any;
}

/// Where the objects are that a worker knows only by their ids.
pub(crate) trait Home: Send + Sync {
    /// Waits until all of `refs` are complete, or until one that has failed and all before it are, or,
    /// where `any` is enough, one of them. None: this thread is to wait here, and the values will come.
    fn bring(
        &self,
        refs: &[&AnyRef],
        any: bool,
        deadline: Option<Instant>,
    ) -> Option<Result<(), Ended>>;
    /// Lets the value come, sooner or later.
    fn subscribe(&self, any: &AnyRef);
    /// As `subscribe`, for who asks again and again: if the value has come before this, it is complete after it.
    fn look(&self, any: &AnyRef);
    /// Cancels a task that was submitted from here.
    fn cancel(&self, any: &AnyRef, children: bool, force: bool);
    /// Whether it is known to be a call of an actor that others run.
    fn is_of_actor(&self, any: &AnyRef) -> bool;
    /// The id of the task that this process runs, as its caller knows it.
    fn task_id(&self, task: &AnyRef) -> Option<Uuid>;
    /// The last ref of this process to the object of that id is gone.
    fn let_go(&self, id: &Uuid);
    /// The number of the CPU that this process computes on.
    fn cpu(&self) -> Option<usize>;
    /// If what this process runs is a call of an actor, how often that was made anew.
    fn restarts(&self) -> Option<u32>;
    /// Ends the actor whose call this process runs, after that. False: it is none.
    fn exit_actor(&self) -> bool;
    /// In a driver: its runtime ends, and nobody waits for what actors elsewhere have not done.
    fn leave_actors(&self) {}
}

/// Whether calls can leave this process. Until the first runtime is there nobody knows.
static USED: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const NEVER: u8 = 1;
const MAYBE: u8 = 2;

/// Whether the runtime of a call has to be looked at, because some runtime's calls leave this process.
#[inline]
pub(crate) fn is_used() -> bool {
    USED.load(Ordering::Relaxed) != NEVER
}

/// There is a new runtime; `leaves`: whose calls leave this process.
pub(super) fn note_runtime(leaves: bool) {
    if leaves {
        USED.store(MAYBE, Ordering::Relaxed);
    } else {
        let _ = USED.compare_exchange(UNKNOWN, NEVER, Ordering::Relaxed, Ordering::Relaxed);
    }
}

static HOME: OnceLock<&'static dyn Home> = OnceLock::new();

/// Where this process gets objects from, if it is a worker or has joined a cluster.
#[inline]
pub(crate) fn home() -> Option<&'static dyn Home> {
    HOME.get().copied()
}

/// Lets the value come, if it is elsewhere: somebody here waits for it.
#[inline]
pub(super) fn subscribe(any: &AnyRef) {
    if let Some(home) = home() {
        home.subscribe(any);
    }
}

/// Makes this process one that gets objects from there, for good.
pub(crate) fn set_home(home: &'static dyn Home) {
    assert!(HOME.set(home).is_ok(), "a process has one home");
}
