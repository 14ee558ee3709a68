//! What a running task can ask about itself.

use std::num::NonZeroUsize;

use crate::api::object::ObjectId;
use crate::error::Result;
use crate::local::cell::AnyRef;
use crate::local::job::TimeLimit;
use crate::local::runtimes::{self, Owner};
use crate::local::{abroad, cancelling, current, ids};
use crate::millis::Millis;

/// A task, or a call of an actor, as it sees itself.
#[derive(Debug)]
pub struct Context {
    running: Option<Running>,
    worker: Option<usize>,
    /// In a process that runs a call of an actor for another: how often that was made anew.
    restarts: Option<u32>,
}

struct Running {
    task: AnyRef,
    actor: Option<NonZeroUsize>,
    cpus: Millis,
    attempt: u32,
    limit: Option<TimeLimit>,
}

/// What runs here. Outside of tasks too there is a context: of nothing.
///
/// ```
/// use mobula::prelude::*;
///
/// #[remote]
/// fn who() -> Option<String> {
///     mobula::context().name().map(str::to_owned)
/// }
///
/// assert_eq!(mobula::get(who::remote())?.as_deref(), Some("who"));
/// assert_eq!(mobula::context().name(), None);
/// # Ok::<(), mobula::Error>(())
/// ```
pub fn context() -> Context {
    let running = current::task().map(|task| Running {
        // SAFETY: the thread is running the task at this very moment.
        task: unsafe { task.running.to_ref() },
        actor: NonZeroUsize::new(task.actor),
        cpus: task.cpus,
        attempt: task.attempt,
        limit: task.limit,
    });
    let worker = current::worker().or_else(|| running.as_ref().and_then(|_| abroad::home()?.cpu()));
    let restarts = running.as_ref().and_then(|_| abroad::home()?.restarts());
    Context { running, worker, restarts }
}

/// Whether somebody cancelled this task, or the one that submitted it, or its time is over: an error
/// then, to be passed on with `?`.
///
/// # Errors
/// `Cancelled` if somebody did, `TimeLimit` if its time is over.
pub fn check_cancelled() -> Result<()> {
    let Some(task) = current::task() else { return Ok(()) };
    // SAFETY: the thread is running the task at this very moment.
    if unsafe { task.running.look_whether_cancelled() } {
        return Err(cancelling::cancelled_while_running());
    }
    task.check_time()
}

impl Context {
    /// The id of the task, which is that of its result; None outside of tasks.
    pub fn task_id(&self) -> Option<ObjectId> {
        Some(ObjectId::from(ids::id_of(&self.running.as_ref()?.task)))
    }

    /// The name of the task: its function's, unless the call was given one.
    pub fn name(&self) -> Option<&str> {
        let task = &self.running.as_ref()?.task;
        Some(task.given_name().unwrap_or(task.call().function.name()))
    }

    /// Which try this is, counted from 1; 1 outside of tasks.
    pub fn attempt(&self) -> u32 {
        self.running.as_ref().map_or(1, |running| running.attempt)
    }

    /// The number of the CPU that it computes on, from 0; None where it waits, as async tasks do.
    pub fn worker(&self) -> Option<usize> {
        self.worker
    }

    /// How many CPUs it was granted; none outside of tasks.
    pub fn num_cpus(&self) -> f64 {
        self.running.as_ref().map_or(0.0, |running| running.cpus.as_f64())
    }

    /// Whether it is a call of an actor.
    pub fn is_actor(&self) -> bool {
        self.restarts.is_some()
            || self.running.as_ref().is_some_and(|running| running.actor.is_some())
    }

    /// How often the actor whose call it is was made anew after a crash; 0 where it is no actor's. A constructor that makes
    /// it anew counts itself, and those before it that failed.
    pub fn restarts(&self) -> u32 {
        if let Some(restarts) = self.restarts {
            return restarts;
        }
        let actor = self.running.as_ref().and_then(|running| running.actor);
        let mut kept = Vec::new();
        match runtimes::owner(actor.map_or(0, NonZeroUsize::get), &mut kept) {
            Some(Owner::Actor(actor)) => actor.restarts(),
            _ => 0,
        }
    }

    /// Whether somebody cancelled it, or the task that submitted it, or its time is over.
    pub fn is_cancelled(&self) -> bool {
        self.running.as_ref().is_some_and(Running::is_cancelled)
    }
}

impl Running {
    fn is_cancelled(&self) -> bool {
        self.task.look_whether_cancelled() || self.limit.as_ref().is_some_and(TimeLimit::is_over)
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.task.hop())
    }
}
