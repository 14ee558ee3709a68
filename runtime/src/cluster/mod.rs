//! Tasks in other processes.
//!
//! A call stays typed until its task has its turn: cells, refs, waiters, resources, retries and cancelling are
//! those of `local`, and so is the count of CPUs, since a thread of the pool stays with each task for as long
//! as a worker computes it. Only the innermost step is another: instead of calling the function, the thread
//! turns name and arguments into bytes ([`Cargo`]), has an [`Engine`] run them, and turns the answer into
//! the result. What a task asks for meanwhile, to call a function or to get an object, the same thread does
//! for it, as the task: so a wait over there is a wait here, which lays the CPU down, runs what is awaited
//! and finds deadlocks.
//!
//! - `registry` which functions there are, by name;
//! - `placement` what a call may ask for of the nodes of a cluster; `detached` actors that outlive their programs;
//! - `argument`, `coder`, `frame`, `channel` what crosses, and how; `arena`, `turn` the memory that both see;
//! - `calls` those of an actor that are under way;
//! - `processes` the engine whose workers are children of this process, and the process of each actor;
//! - `worker` the other side: a process that serves.
//!
//! An engine that reaches a cluster has its own way to bring bytes to a worker; the registry, what crosses and
//! the worker are the same.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

pub(crate) mod argument;
pub(crate) mod channel;
pub(crate) mod coder;
pub(crate) mod detached;
pub(crate) mod frame;
pub(crate) mod placement;
pub(crate) mod registry;
pub(crate) mod upstream;
pub(crate) mod worker;

mod arena;
mod bridge;
mod calls;
mod processes;
mod turn;

use crate::cluster::argument::{Asked, Packing, What};
use crate::cluster::processes::Processes;
use crate::cluster::registry::Registered;
use crate::cluster::upstream::Upstream;
use crate::config::{Engine as Choice, Settings};
use crate::error::{Error, ErrorKind, Failed, Result};
use crate::local::abroad::Outside;
use crate::local::cell::AnyRef;
use crate::local::current::Task;
use crate::local::runtimes::{self, Owner};
use crate::local::{Local, default, ids};
use crate::millis::Millis;

/// A call on its way to another process.
pub(crate) trait Cargo {
    /// What is called.
    fn function(&self) -> &'static Registered;
    /// Packs the arguments. Called for each try.
    fn pack(&self, packing: &mut Packing<'_>) -> Result<()>;
}

/// The answer to a call: the bytes of the result, or why there is none.
pub(crate) type Answer<'a> = std::result::Result<&'a [u8], Failed>;

/// An answer that was taken out of where it arrived.
pub(crate) struct Reply {
    pub(crate) outcome: std::result::Result<Vec<u8>, Failed>,
    /// What its process has let go of, and the bytes may name: kept until they are read.
    pub(crate) kept: Vec<What>,
}

impl Reply {
    /// Has it read by `take`.
    pub(crate) fn take(self, take: &mut dyn FnMut(Answer<'_>) -> Result<()>) -> Result<()> {
        let taken = match self.outcome {
            Ok(bytes) => take(Ok(&bytes)),
            Err(failed) => take(Err(failed)),
        };
        drop(self.kept);
        taken
    }
}

/// What came of a call that gives a stream.
pub(crate) enum Progress {
    Item(Reply),
    End(Reply),
}

impl Progress {
    /// Has it read by `take` if it is an item. False: it is the end, which is no failure.
    fn take_item(self, take: &mut dyn FnMut(Answer<'_>) -> Result<()>) -> Result<bool> {
        match self {
            Self::Item(reply) => reply.take(take).map(|()| true),
            Self::End(reply) => {
                reply.take(&mut |answer| answer.map(drop).map_err(error_of)).map(|()| false)
            }
        }
    }
}

/// Why an item is of no use.
fn no_stream() -> Error {
    frame::garbled("an item came of what is no stream")
}

/// A task with all that belongs to it, which may be sent ahead while others run.
pub(crate) trait Parcel: Cargo + Send {
    /// The task, which runs until this ends in one of the ways below.
    fn task(&self) -> Task;
    /// Its worker comes to it.
    fn begins(&self);
    /// It is done.
    fn done(self: Box<Self>, answer: Answer<'_>);
    /// It failed, with an error of ours.
    fn failed(self: Box<Self>, error: Error);
    /// It has not begun, and goes back into the queue.
    ///
    /// # Safety
    /// This thread began it by its entry.
    unsafe fn put_back(self: Box<Self>, local: &Arc<Local>);
}

/// What runs calls in other processes.
pub(crate) trait Engine: Outside {
    /// Runs a call that this thread runs as the task `task`, and hands over the answer while it lies where it
    /// arrived.
    ///
    /// # Errors
    /// `WorkerCrashed`, if the process died that ran it; `Engine`; those of encoding; those of `take`.
    fn call(
        &self,
        cargo: &dyn Cargo,
        task: &Task,
        take: &mut dyn FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<()>;
    /// Runs a task that this thread has begun, and maybe others after it.
    fn run(&self, parcel: Box<dyn Parcel>);
    /// Makes an actor in a process of its own, by a call that this thread runs as the task `task`.
    ///
    /// # Errors
    /// Those of `call`; `Engine`, if this engine has no actors.
    fn host(&self, cargo: &dyn Cargo, task: &Task) -> Result<Box<dyn Host>>;
    /// Begins a stream that this thread produces as `task`.
    ///
    /// # Errors
    /// As for `call`; `Engine`, if this engine has no streams.
    fn source(&self, cargo: &dyn Cargo, task: &Task) -> Result<Box<dyn Source>>;
}

/// A process that produces a stream. Dropped before that has ended, it is killed; that of an actor ends it first.
pub(crate) trait Source: Send {
    /// Hands over the next item, whose producer this thread runs as `task`. False: there is none.
    ///
    /// # Errors
    /// As for [`Engine::call`]; what the producer failed with.
    fn next(&mut self, task: &Task, take: &mut dyn FnMut(Answer<'_>) -> Result<()>)
    -> Result<bool>;
    /// No more items are wanted: lets the producer end.
    fn stop(&mut self, task: &Task);
}

/// The process in which an actor lives. Dropped, it ends, and the state with it.
pub(crate) trait Host: Send + Sync {
    /// Runs a call of the actor, as [`Engine::call`] does. Calls come one at a time, until `listen`. That the actor is lost by it
    /// is noted for this thread ([`note_lost`](crate::local::life::note_lost)).
    ///
    /// # Errors
    /// As those of `Engine::call`.
    fn call(
        &self,
        cargo: &dyn Cargo,
        task: &Task,
        take: &mut dyn FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<()>;
    /// Whether calls of the actor may give streams.
    ///
    /// # Errors
    /// `Engine`: why not.
    fn may_stream(&self) -> Result<()> {
        Ok(())
    }
    /// Whether the actor is gone, by a crash in a call or between two.
    fn lost(&self) -> Option<Error>;
    /// Lets calls come side by side from now on: those that wait, by `send`; or, if they `compute`, by `call`.
    ///
    /// # Errors
    /// `Engine`, if that cannot be.
    fn listen(&self, task: &Task, compute: bool) -> Result<()>;
    /// Sends a call that this thread polls as the task `task`, and gives what tells it from others.
    ///
    /// # Errors
    /// Those of encoding; `WorkerCrashed`, if the process is gone.
    fn send(&self, cargo: &dyn Cargo, task: &Task) -> Result<u64>;
    /// What came of such a call, once; `waker` is told when there is something. As for `call` a loss is noted.
    fn poll(&self, sent: u64, waker: &Waker) -> Poll<Result<Reply>> {
        self.poll_stream(sent, waker).map(|progress| match progress? {
            Progress::End(reply) => Ok(reply),
            Progress::Item(_) => {
                self.give_up(sent);
                Err(no_stream())
            }
        })
    }
    /// As `poll`, of a call that gives a stream: each of its items, and then its end.
    fn poll_stream(&self, sent: u64, waker: &Waker) -> Poll<Result<Progress>>;
    /// Lets a call that gives a stream go on, whose item was taken.
    fn more(&self, sent: u64);
    /// Begins a stream of the actor's that this thread produces as `task`. As for `call` a loss is noted.
    ///
    /// # Errors
    /// As those of `call`.
    fn source(&self, cargo: &dyn Cargo, task: &Task) -> Result<Box<dyn Source + '_>>;
    /// Nobody waits for the call any more: it is to stop.
    fn give_up(&self, sent: u64);
    /// Asks a call to stop that somebody waits for, and maybe what it has submitted.
    fn cancel(&self, _sent: u64, _children: bool) {}
    /// Asks all calls to stop that were sent and have not begun.
    fn take_back(&self) {}
    /// Dropped from now on, the actor goes on without this program, if it is one of those that can.
    fn leave(&self) {}
}

/// The engine of a runtime whose tasks run in other processes.
///
/// # Errors
/// `Engine`, in a worker, which has none of its own.
pub(crate) fn engine(local: &Arc<Local>) -> Result<&dyn Engine> {
    if worker::is_worker() {
        return Err(engine_error("a worker runs no tasks of its own"));
    }
    let outside = local.outside(|| Box::new(Processes::new(local)));
    let processes = outside.as_any().downcast_ref::<Processes>();
    Ok(processes.expect("a runtime has one engine"))
}

/// Makes an actor in another process, by a call that this thread runs as the task `task`; or finds it, where it is one
/// that outlives its programs. `in_turn`: whether its calls run one after the other, in the order in which they are sent; that
/// and `asked` are for clusters.
///
/// # Errors
/// Those of [`Engine::call`].
pub(crate) fn host(
    local: &Arc<Local>,
    cargo: &dyn Cargo,
    task: &Task,
    in_turn: bool,
    asked: Option<&Asked>,
) -> Result<Box<dyn Host>> {
    if local.settings().engine.is_cluster() {
        return bridge::host(local, cargo, task, in_turn, asked);
    }
    engine(local)?.host(cargo, task)
}

/// Sees to it that the engine has what it needs: for a cluster, that this process has joined it.
///
/// # Errors
/// `Engine`, if it has not.
pub(crate) fn prepare(settings: &mut Settings, from_init: bool) -> Result<()> {
    if settings.engine.is_cluster() {
        return bridge::join(settings, from_init);
    }
    if settings.engine == Choice::Processes && !cfg!(target_os = "linux") {
        return Err(engine_error("the engine `processes` needs Linux: use the engine `threads`"));
    }
    Ok(())
}

/// Whether this is the thread that runs `main`.
pub(crate) fn is_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

/// Whether calls of this runtime leave this process: for a worker of its own, for the driver, or for a cluster.
pub(crate) fn leaves(local: &Local) -> bool {
    local.settings().engine.leaves()
}

/// Where calls of this thread's runtime go to be run by others. None: to workers of its own.
///
/// # Errors
/// `Engine`, if that is a cluster and it cannot be joined.
pub(crate) fn way_out() -> Result<Option<&'static dyn Upstream>> {
    if !worker::is_worker() {
        if !default::with_current(|local| local.settings().engine.is_cluster()) {
            return Ok(None);
        }
        // A runtime that a first call started has not joined yet.
        if !bridge::has_joined() {
            bridge::join(&mut default::current().settings().clone(), false)?;
        }
    }
    Ok(upstream::upstream())
}

/// Who has the actors of this thread's runtime: the driver, where this is its worker. None: this process.
///
/// # Errors
/// `Engine`, if the engine has no place for the actor, or cannot be joined.
pub(crate) fn way_to_actors(actor: &str) -> Result<Option<&'static dyn Upstream>> {
    if !is_over_bridge() {
        return way_out();
    }
    let engine = default::with_current(|local| local.settings().engine);
    if engine != Choice::Ray {
        return Err(engine_error(format!(
            "the engine `{}` has no place where an actor could live: use the engine `threads`, `processes` or `ray` \
             for `{actor}`",
            engine.name()
        )));
    }
    let way = way_out()?;
    Ok(way.filter(|_| worker::is_worker()))
}

/// The way to a Python that calls functions.
///
/// # Errors
/// `Engine`, if the engine has none, or cannot be joined.
pub(crate) fn way_to_python() -> Result<&'static dyn Upstream> {
    let engine = default::with_current(|local| local.settings().engine);
    let way = if engine.is_cluster() { way_out()? } else { None };
    way.ok_or_else(|| {
        engine_error(format!(
            "the engine `{}` has no Python to call functions of: use the engine `ray`, `dask` or `ipyparallel`",
            engine.name()
        ))
    })
}

/// The way to Ray, for what it alone has.
///
/// # Errors
/// `Engine`, on other engines, or if it cannot be joined.
pub(crate) fn way_to_ray(what: &str) -> Result<&'static dyn Upstream> {
    let engine = default::with_current(|local| local.settings().engine);
    let way = if engine == Choice::Ray { way_out()? } else { None };
    way.ok_or_else(|| {
        let name = engine.name();
        engine_error(format!("the engine `{name}` has no {what}: use the engine `ray`"))
    })
}

/// The runtime has ended.
pub(crate) fn finish(settings: &Settings) {
    if settings.engine.is_cluster() {
        bridge::leave();
    }
}

/// Whether calls of this thread's runtime go over the bridge. Then who makes one notes it on the way of its failure;
/// otherwise a driver does so for its workers.
pub(crate) fn is_over_bridge() -> bool {
    default::with_current(|local| is_bridged(local))
}

/// Whether the value is known to be on the cluster, or is here.
pub(crate) fn is_there(any: &AnyRef) -> bool {
    any.is_complete() || bridge::is_there(any)
}

/// The objects inside of what was packed that only this process has, and that are not there yet. To a cluster they go with
/// their values.
pub(crate) fn missing_inside(packing: &Packing<'_>) -> Vec<AnyRef> {
    if packing.held.is_empty() || !is_over_bridge() {
        return Vec::new();
    }
    let inside = packing.held.iter().filter_map(|held| ids::find(held.id));
    inside.filter(|any| !any.is_complete() && !bridge::is_known(any)).collect()
}

/// As `is_over_bridge`, of this runtime.
pub(crate) fn is_bridged(local: &Local) -> bool {
    local.settings().engine.is_cluster()
}

/// Fails what cannot leave this process, by name.
pub(crate) fn stays(what: &str) -> Error {
    let engine = default::with_current(|local| local.settings().engine.name());
    engine_error(format!(
        "{what}, and the engine `{engine}` runs it in another process: use the engine `threads`"
    ))
}

/// The error as it was on the other side, with the function's own error value, if that could cross.
pub(crate) fn error_of(failed: Failed) -> Error {
    let value = failed.value.as_ref();
    let decoded = value.and_then(|(function, bytes)| {
        let function = registry::find(function).ok()?;
        (function.failure)(bytes)
    });
    Error::from_failed(failed, decoded)
}

fn engine_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Engine, message)
}

/// What a task can learn about itself, over there.
fn about(task: &Task, local: &Local) -> frame::About {
    // SAFETY: whoever has the task runs it.
    let any = unsafe { task.running.to_ref() };
    // SAFETY: as above.
    let place = unsafe { task.running.place() };
    let mut kept = Vec::new();
    let restarts = match runtimes::owner(task.actor, &mut kept) {
        Some(Owner::Actor(actor)) => Some(actor.restarts()),
        _ => None,
    };
    frame::About {
        name: any.given_name().map(str::to_owned),
        attempt: task.attempt,
        cpus: Millis::as_f64(task.cpus),
        worker: crate::local::current::worker(),
        place: place.pool(local.tree().root()).to_words(),
        restarts,
        time_limit: task.limit.as_ref().map(|limit| limit.left().max(Duration::from_nanos(1))),
    }
}
