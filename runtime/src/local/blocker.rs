//! Why a cell is not complete yet, one step at a time. `deadlock.rs` follows the steps to see whether they
//! lead back to where they began, and `api/explain.rs` tells them.

use std::any::Any;
use std::sync::Arc;
use std::thread::ThreadId;

use crate::local::Local;
use crate::local::actors::{Living, Reading};
use crate::local::cell::AnyRef;
use crate::local::counted::Counted;
use crate::local::request::Shortage;
use crate::local::runtimes::{self, Owner};
use crate::local::waits::Waits;

/// What keeps a cell from being complete.
pub(crate) enum Blocker {
    /// It is complete.
    Nothing,
    /// It waits for a CPU of this runtime.
    Cpus(Arc<Local>),
    /// Somebody computes it, or awaits something for it.
    Work,
    /// It is kept by these threads, which sleep: by the one on whose stack it lies, or others of its crew.
    Asleep(Vec<ThreadId>),
    /// These of its arguments are missing.
    Arguments(Vec<AnyRef>),
    /// It is a part of this task's result.
    Whole(AnyRef),
    /// It is in the line for resources.
    Resources(Shortage),
    /// It is a call of an actor.
    Actor {
        actor: Counted<dyn Living>,
        /// The missing arguments of the call and of those that its caller made before it.
        held_back: Option<Vec<AnyRef>>,
        /// Whether it is none, but the actor's life, as which that holds resources until it has ended.
        is_life: bool,
        /// The actor's beginning, if that is still to come.
        birth: Option<AnyRef>,
        /// The thread of the call that has the actor's turn, if it sleeps.
        turn: Option<ThreadId>,
        /// The `&self` calls that keep the mailbox waiting, if they do.
        reading: Option<Reading>,
    },
}

impl Blocker {
    /// What keeps `any`. The caller drops what is added to `kept`, and the blocker, where the program's code
    /// may run.
    pub(crate) fn of(any: &AnyRef, waits: &Waits, kept: &mut Vec<Box<dyn Any>>) -> Self {
        if any.is_complete() {
            return Self::Nothing;
        }
        if let Some(asleep) = waits.place(any.address()) {
            return if asleep.is_empty() { Self::Work } else { Self::Asleep(asleep) };
        }
        if let Some([whole]) = any.producers() {
            return Self::Whole(whole.clone());
        }
        match runtimes::owner(any.home(), kept) {
            Some(Owner::Actor(actor)) => Self::of_call(any, actor, waits),
            owner => match (any.missing_arguments(), owner) {
                (Some(missing), _) if !missing.is_empty() => Self::Arguments(missing),
                (_, Some(Owner::Runtime(local))) => {
                    match local.resources().shortage(any.address()) {
                        // Of an actor's beginning, which counts as running from the start, too.
                        Some(shortage) => Self::Resources(shortage),
                        None if any.is_running() => Self::Work,
                        None => Self::Cpus(local),
                    }
                }
                _ => Self::Work,
            },
        }
    }

    fn of_call(any: &AnyRef, actor: Counted<dyn Living>, waits: &Waits) -> Self {
        let on_arbiter = actor.arbiter();
        // A call of an actor that computes runs only while it has the turn. Whether one of an actor that waits
        // goes on is up to its arbiter's thread.
        if any.is_running() && on_arbiter.is_none() {
            return Self::Work;
        }
        let turn = match on_arbiter {
            Some(number) => waits.arbiter(number),
            None => waits.place(any.home()).and_then(|asleep| asleep.first().copied()),
        };
        let birth = actor.birth().filter(|birth| !birth.is_complete());
        let held_back = actor.missing_before(any.address());
        let reading = actor.reading(any.address()).filter(|_| held_back.is_none());
        let is_life = actor.is_life(any.address());
        Self::Actor { held_back, is_life, birth, turn, reading, actor }
    }
}
