//! Cancelling: what becomes of a task that somebody, or its caller's end, asks to stop.
//!
//! What has not begun is abandoned there and then, in whatever line it stands. What waits at an await is
//! woken, and dropped on its own thread (`job.rs`, `AsTask`). What computes is told by a flag, and a task
//! that never looks is named when its runtime ends. `family.rs` carries all that to a task's children.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use crate::error::{Error, ErrorKind, Result};
use crate::function::Hop;
use crate::local::cell::{AnyRef, Promise};
use crate::local::family::{self, FamilyId, Watch};
use crate::local::{Local, abroad, current, default, request, runtimes};

/// How many tasks that did not stop are named; further ones are counted.
const NAMED_MAX: usize = 100;

/// Cancels a task, and maybe what it has submitted. True: it had not begun.
pub(crate) fn cancel(any: &AnyRef, children: bool) -> bool {
    any.request_cancel(children) && end_requested(any, children)
}

/// What comes after `request_cancel`.
fn end_requested(any: &AnyRef, children: bool) -> bool {
    if let Some(home) = abroad::home() {
        home.cancel(any, children, false);
    }
    let why = Error::new(ErrorKind::Cancelled, "it was cancelled before it ran");
    // What has not begun has no children.
    if abandon(any, why) {
        return true;
    }
    if children {
        family::cancel_of(any.address());
    }
    any.wake_to_stop();
    false
}

/// As `cancel`, and kills the process that runs the task, and with `children` those that run what it has submitted.
/// False: none runs it.
pub(crate) fn force(any: &AnyRef, children: bool, local: &Local) -> bool {
    // What it was whose family is nobody knows any more once it was told to stop.
    let families = if children { family::of(any.address()) } else { Vec::new() };
    if let Some(home) = abroad::home() {
        home.cancel(any, children, true);
        cancel(any, children);
        return true;
    }
    let kill = |families: &[FamilyId]| {
        local.outside_if_any().is_some_and(|outside| outside.kill(any, families))
    };
    let is_first = any.request_cancel(children);
    // It goes before its children, or could end by itself because they do.
    let killed = kill(&[]);
    if is_first {
        end_requested(any, children);
    }
    kill(&families) || killed
}

/// Lets a task fail that has not begun. False: it has.
fn abandon(any: &AnyRef, why: Error) -> bool {
    let abandoned = any.abandon_if_unstarted(why);
    if abandoned && let Some(local) = runtimes::find(any.home()) {
        request::leave_line(any, &local);
    }
    abandoned
}

/// Why a task that runs, or waits at an await, ends before its time.
pub(crate) fn cancelled_while_running() -> Error {
    Error::new(ErrorKind::Cancelled, "it was cancelled while it ran, and stopped")
}

/// Why a task ends whose process was killed for its sake.
pub(crate) fn killed() -> Error {
    Error::new(ErrorKind::Cancelled, "it was cancelled by force, and its process was killed")
}

/// Why a task does not begin whose caller was cancelled.
pub(crate) fn cancelled_with_caller() -> Error {
    Error::new(ErrorKind::Cancelled, "the task that called it was cancelled before it ran")
}

/// A task that is abandoned when its caller is cancelled.
struct Abandon(AnyRef);

impl Wake for Abandon {
    fn wake(self: Arc<Self>) {
        let _ = abandon(&self.0, cancelled_with_caller());
    }
}

/// Abandons the task, if it has not begun, when the family is cancelled, until the watch drops.
pub(crate) fn abandon_with(family: FamilyId, task: &AnyRef) -> Option<Watch> {
    let watch = family.watch(|| Waker::from(Arc::new(Abandon(task.clone()))))?;
    if family.is_cancelled() {
        let _ = abandon(task, cancelled_with_caller());
    }
    Some(watch)
}

/// The tasks of one runtime that were asked to stop, and did not.
#[derive(Default)]
pub(crate) struct Unheeded(Mutex<(Vec<Hop>, usize)>);

impl Unheeded {
    fn lock(&self) -> MutexGuard<'_, (Vec<Hop>, usize)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, task: Hop) {
        let (named, count) = &mut *self.lock();
        *count += 1;
        if named.len() < NAMED_MAX {
            named.push(task);
        }
    }

    /// Some of them, and how many they are.
    pub(crate) fn get(&self) -> (Vec<Hop>, usize) {
        self.lock().clone()
    }
}

/// Notes a task that ends although it was asked to stop, and did not stop for that: it never looked, or
/// its runtime had to wait for it. `local`: that runtime, where it is not that of the thread's CPU.
#[inline(always)]
pub(crate) fn note_end<T: Send + Sync + 'static>(
    promise: &Promise<T>,
    result: &Result<T>,
    local: Option<&Local>,
) {
    if promise.is_cancelled() {
        note_cancelled(promise, result, local);
    }
}

#[cold]
fn note_cancelled<T: Send + Sync + 'static>(
    promise: &Promise<T>,
    result: &Result<T>,
    local: Option<&Local>,
) {
    let stopped = result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Cancelled);
    let heeded = stopped || promise.has_looked();
    let note = |local: &Local| {
        if !heeded || local.pool().is_closed() {
            local.unheeded().add(promise.hop());
        }
    };
    match (local, current::with_cpu(|cpu| cpu?.local())) {
        (Some(local), _) => note(local),
        (None, Some(local)) => note(&local),
        // Where calls run on the thread that makes them.
        (None, None) => default::with_current_if_any(|local| local.map_or((), |local| note(local))),
    }
}
