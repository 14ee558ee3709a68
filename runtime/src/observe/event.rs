//! Events as readers get them.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::ErrorKind;
use crate::observe::reader::About;
use crate::observe::recorder::Thread;

/// What happened to a task or an actor.
///
/// A call of an actor's method is a task, too. An actor itself has a number as tasks have, under which its
/// constructor runs: `Submitted`, `Started`, then `ActorStarted` where that succeeded, else `Failed`, and at
/// last `ActorEnded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// The call was made.
    Submitted,
    /// It began to run.
    Started,
    /// It waits for another, and has laid its CPU down.
    Blocked,
    /// Its wait is over, and it has a CPU again.
    Resumed,
    /// It gave a result. Nothing comes after.
    Finished,
    /// It failed, maybe before it began, as its argument did. For a task nothing comes after.
    Failed(ErrorKind),
    /// It is to be run again.
    Retried {
        /// Which run is the next, where the first is 1.
        attempt: u32,
    },
    /// It was cancelled, before it began or while it ran. Nothing comes after.
    Cancelled,
    /// The actor lives.
    ActorStarted,
    /// The actor lives again, made anew from its constructor's arguments.
    ActorRestarted,
    /// The actor is gone. Nothing comes after.
    ActorEnded,
}

/// One change of the state of a task or an actor; see [`Runtime::events`](crate::Runtime::events).
#[derive(Clone)]
pub struct Event {
    nanos: u64,
    kind: EventKind,
    task: u64,
    about: Option<About>,
    worker: Option<u16>,
    thread: Arc<Thread>,
}

impl EventKind {
    /// What became of a task that ended.
    pub(crate) fn of_end(failure: Option<ErrorKind>) -> Self {
        match failure {
            None => Self::Finished,
            Some(ErrorKind::Cancelled) => Self::Cancelled,
            Some(kind) => Self::Failed(kind),
        }
    }

    /// Whether no further event of a task comes after it.
    pub(super) fn ends_task(self) -> bool {
        matches!(self, Self::Finished | Self::Failed(_) | Self::Cancelled | Self::ActorEnded)
    }
}

impl Event {
    pub(super) fn new(
        nanos: u64,
        kind: EventKind,
        task: u64,
        about: Option<About>,
        worker: Option<u16>,
        thread: Arc<Thread>,
    ) -> Self {
        Self { nanos, kind, task, about, worker, thread }
    }

    /// When it happened: how long after [`Events::started_at`]. Each event has its own reading of the
    /// clock, so two that are near each other are told apart to well below a microsecond, unless a thread was
    /// interrupted just then.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// What happened.
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// The number of the task or the actor it happened to. A runtime gives each its own, but not in the order
    /// of their submission.
    pub fn task(&self) -> u64 {
        self.task
    }

    /// The number of the task that made the call; None: it was made outside of tasks.
    pub fn parent(&self) -> Option<u64> {
        Some(self.about.as_ref()?.parent).filter(|&parent| parent != 0)
    }

    /// The number of the actor that was called; an actor's own number for itself.
    pub fn actor(&self) -> Option<u64> {
        Some(self.about.as_ref()?.actor).filter(|&actor| actor != 0)
    }

    /// The name that the call was given, else the function's. None: the event of its submission was
    /// dropped, so only its number is known.
    pub fn name(&self) -> Option<&str> {
        let about = self.about.as_ref()?;
        Some(about.name.as_deref().unwrap_or(about.call.function.name()))
    }

    /// The function that was called, as written, or the actor's type; None as for [`name`](Self::name).
    pub fn function(&self) -> Option<&'static str> {
        Some(self.about.as_ref()?.call.function.name())
    }

    /// The path of the module that holds the function; None as for [`name`](Self::name).
    pub fn module(&self) -> Option<&'static str> {
        Some(self.about.as_ref()?.call.function.module())
    }

    /// The file and the line of the call; None as for [`name`](Self::name).
    pub fn called_at(&self) -> Option<&'static Location<'static>> {
        Some(self.about.as_ref()?.call.called_at)
    }

    /// The number of the CPU that the thread held, as [`Context::worker`](crate::Context::worker) gives it. None:
    /// it held none, as where an async task is polled.
    pub fn worker(&self) -> Option<usize> {
        self.worker.map(usize::from)
    }

    /// The name of the thread on which it happened.
    pub fn thread(&self) -> &str {
        &self.thread.name
    }

    /// The number of that thread, from 0, in the order of their first events. Several threads may have the
    /// same name.
    pub fn thread_number(&self) -> usize {
        self.thread.number
    }

    /// Which run of the task it belongs to, counted from 1; for [`Retried`](EventKind::Retried) the next one.
    pub fn attempt(&self) -> u32 {
        self.about.as_ref().map_or(1, |about| about.attempt)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name().unwrap_or("?");
        write!(
            f,
            "{:?} {:?} of {} `{name}` on {:?}",
            self.time(),
            self.kind,
            self.task,
            self.thread()
        )
    }
}

/// Events in the order of their times, and how many are missing.
#[derive(Clone)]
pub struct Events {
    events: std::vec::IntoIter<Event>,
    dropped: u64,
    started_at: SystemTime,
}

impl Events {
    pub(super) fn new(events: Vec<Event>, dropped: u64, started_at: SystemTime) -> Self {
        Self { events: events.into_iter(), dropped, started_at }
    }

    /// Those of a runtime that records none.
    pub(crate) fn none() -> Self {
        Self::new(Vec::new(), 0, SystemTime::now())
    }

    /// How many events of the runtime were dropped since its start, because a thread's buffer was full.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The time of day from which [`Event::time`] counts: when the runtime began to record.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// Those that were not taken from this iterator yet.
    pub fn as_slice(&self) -> &[Event] {
        self.events.as_slice()
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.events.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.events.size_hint()
    }
}

impl ExactSizeIterator for Events {}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("events", &self.as_slice())
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}
