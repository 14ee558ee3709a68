//! Where the engine tells `observe` what happens to tasks and actors: one call at the place where it happens.
//! Where no events are recorded, that is one look at a number that lies beside what is read anyway; all else
//! is kept out of line.

use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::function::Call;
use crate::local::cell::AnyRef;
use crate::local::{Local, current};
use crate::observe::{self, EventKind, Number, Recorder};

/// There is a new task, which nobody else has yet; `actor`: whose call it is.
#[inline]
pub(crate) fn submitted(local: &Local, task: &AnyRef, actor: Number) {
    if let Some(recorder) = local.recorder() {
        give_number(recorder, task, actor);
    }
}

#[inline(never)]
fn give_number(recorder: &Arc<Recorder>, task: &AnyRef, actor: Number) {
    let parent = current::number();
    task.set_number(recorder.submitted(task.call(), task.shared_name(), parent, actor));
}

/// A call was made that failed there and then.
pub(crate) fn refused(local: &Local, task: &AnyRef, actor: Number) {
    if local.recorder().is_some() {
        submitted(local, task, actor);
        ended(task.number(), task.failure().as_ref().map(Error::kind));
    }
}

/// There is a new actor.
pub(crate) fn new_actor(local: &Local, call: Call) -> Number {
    let recorder = local.recorder();
    recorder.map_or(Number::NONE, |recorder| recorder.actor_submitted(call, current::number()))
}

/// The task or actor of this number changed its state on this thread.
#[inline]
pub(crate) fn step(number: Number, kind: EventKind) {
    if !number.is_none() {
        record(number, kind);
    }
}

#[inline(never)]
fn record(number: Number, kind: EventKind) {
    // Config allows no more CPUs than a u16 can tell.
    let worker = current::worker().and_then(|worker| u16::try_from(worker).ok());
    observe::record(number, kind, worker);
}

/// It gave a result, or failed.
#[inline]
pub(crate) fn ended(number: Number, failure: Option<ErrorKind>) {
    if !number.is_none() {
        record(number, EventKind::of_end(failure));
    }
}

/// The task that this thread runs is blocked, until this drops.
pub(crate) struct Blocked(Number);

impl Blocked {
    pub(crate) fn here() -> Self {
        let number = current::number();
        step(number, EventKind::Blocked);
        Self(number)
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        step(self.0, EventKind::Resumed);
    }
}
