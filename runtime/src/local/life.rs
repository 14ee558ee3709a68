//! The life of an actor, of either kind: what it was promised at its start, how often it may be made anew,
//! and how it ends. Nothing here knows of threads.
//!
//! | from       | by                                             | to                                        |
//! |------------|------------------------------------------------|-------------------------------------------|
//! | not begun  | its constructor returns                        | lives                                     |
//! | not begun  | its constructor fails                          | ended: [`ActorEnd::NotMade`]              |
//! | lives      | a method panics, and there is a restart left   | is made anew; queued calls wait           |
//! | lives      | a method panics, and there is none             | ended: [`ActorEnd::Crashed`]              |
//! | made anew  | constructor and `restore` return               | lives, with its queued calls              |
//! | made anew  | the constructor fails                          | as for a method that panics               |
//! | made anew  | `restore` fails                                | ended: [`ActorEnd::Crashed`]              |
//! | any        | `kill`, `exit_actor`, the runtime's end        | ended, after the calls that run now       |
//! | any        | `stop`, or its last handle goes                | ended, after all calls made so far        |
//!
//! The state is dropped once, by the step that ends the life or crashes it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result, as_failed};
use crate::local::names::ActorName;
use crate::local::pool;
use crate::millis::{Amounts, Millis};

/// How an actor ended; what `handle.watch()` gives; see [`ActorControl`](crate::ActorControl).
///
/// It can be sent to another process, with its errors as text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ActorEnd {
    /// Its last handle was dropped, and all calls are done.
    Unreachable,
    /// It was stopped by `handle.stop()`, and all calls are done.
    Stopped,
    /// It ended itself, by [`exit_actor`](crate::exit_actor).
    Exited,
    /// It was ended by [`kill`](crate::kill).
    Killed,
    /// Its constructor failed, by this, or it could not be started as it was asked to.
    NotMade(#[serde(with = "as_failed")] Error),
    /// A method panicked, or its constructor failed at a restart, and no restart was left; or `restore` failed, which has
    /// used up what was saved.
    #[non_exhaustive]
    Crashed {
        /// The last failure.
        #[serde(with = "as_failed")]
        error: Error,
        /// How often it had been made anew before, or should have been.
        restarts: u32,
    },
    /// Its runtime was shut down.
    ShutDown,
}

impl ActorEnd {
    /// Why the calls of an actor fail that ended so.
    pub(crate) fn to_error(&self, actor: &str) -> Error {
        match self {
            // It never was: there is no place for it.
            Self::NotMade(error) if error.kind() == ErrorKind::Infeasible => error.clone(),
            Self::NotMade(error) => Error::actor_died(actor, None, error.clone()),
            Self::Crashed { error, restarts: 0 } => Error::actor_died(actor, None, error.clone()),
            Self::Crashed { error, restarts } => {
                let s = if *restarts == 1 { "" } else { "s" };
                let after = format!("after {restarts} restart{s}");
                Error::actor_died(actor, Some(&after), error.clone())
            }
            Self::ShutDown => pool::shut_down_before("the call"),
            _ => Error::actor_died(actor, None, Error::new(ErrorKind::ActorDied, self.to_string())),
        }
    }
}

impl fmt::Display for ActorEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("its last handle is gone"),
            Self::Stopped => f.write_str("it was stopped"),
            Self::Exited => f.write_str("it has exited"),
            Self::Killed => f.write_str("it was killed"),
            Self::NotMade(error) => write!(f, "it could not be made: {error}"),
            Self::Crashed { error, restarts: 0 } => write!(f, "it crashed: {error}"),
            Self::Crashed { error, restarts } => {
                write!(f, "it crashed, having been restarted before ({restarts}): {error}")
            }
            Self::ShutDown => f.write_str("its runtime was shut down"),
        }
    }
}

/// What an actor was promised at its start, checked.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) name: Option<ActorName>,
    pub(crate) max_restarts: u32,
    /// The time for which `max_restarts` counts; None: the actor's whole life.
    pub(crate) restart_window: Option<Duration>,
    /// How often a call is run again that crashed the actor.
    pub(crate) max_task_retries: u32,
    /// How many calls may run side by side.
    pub(crate) max_concurrency: Option<u32>,
    /// How many calls may wait.
    pub(crate) max_pending_calls: Option<usize>,
    /// Whether a caller waits where so many do; else its call fails.
    pub(crate) block_when_full: bool,
    /// After how many calls that may change the state it is saved.
    pub(crate) checkpoint_every: u32,
    /// How many CPUs each call is granted, while it runs.
    pub(crate) cpus: Millis,
    /// What it has for its life, before its constructor until it has ended.
    pub(crate) resources: Amounts,
}

impl Terms {
    /// Whether several of its calls may be under way at once.
    pub(crate) fn is_concurrent(&self) -> bool {
        self.max_concurrency.is_some_and(|max| max > 1)
    }
}

/// How often an actor may still be made anew.
#[derive(Debug)]
pub(crate) struct Restarts {
    max: u32,
    window: Option<Duration>,
    /// Of those that count, the times, where there is a window.
    times: VecDeque<Instant>,
    count: u32,
}

impl Restarts {
    pub(crate) fn new(max: u32, window: Option<Duration>) -> Self {
        Self { max, window, times: VecDeque::new(), count: 0 }
    }

    /// How many there have been.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Uses one up. False: there is none left at this time.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let counting = match self.window {
            None => self.count,
            Some(window) => {
                let over = |&then: &Instant| now.saturating_duration_since(then) >= window;
                while self.times.front().is_some_and(over) {
                    self.times.pop_front();
                }
                u32::try_from(self.times.len()).unwrap_or(u32::MAX)
            }
        };
        let left = counting < self.max;
        if left {
            self.count = self.count.saturating_add(1);
            if self.window.is_some() {
                self.times.push_back(now);
            }
        }
        left
    }
}

/// A constructor's outcome, now or later.
pub enum Construct<A> {
    /// Of a `fn new`.
    Now(Result<A>),
    /// Of an `async fn new`.
    Later(Pin<Box<dyn Future<Output = Result<A>>>>),
}

/// That an actor's state is gone although none of its methods panicked here: it lived in another process.
pub(crate) enum Lost {
    /// In the call.
    Within,
    /// Before the call had begun, for this reason.
    Before(Error),
}

thread_local! {
    static LOST: Cell<Option<Lost>> = const { Cell::new(None) };
}

/// Notes that the call which this thread makes, or polls, has shown that.
pub(crate) fn note_lost(lost: Lost) {
    LOST.set(Some(lost));
}

/// Whether the call that this thread has just made, or polled, has shown that.
pub(crate) fn take_lost<A: Life>() -> Option<Lost> {
    if A::AWAY { take_lost_now() } else { None }
}

/// As `take_lost`, of what is known to live in another process.
pub(crate) fn take_lost_now() -> Option<Lost> {
    LOST.take()
}

/// What can live as an actor: how it is made, made anew, and saved in between.
pub(crate) trait Life: Sized + Send + 'static {
    /// What it is made from: its constructor's arguments, as they were passed.
    type Seed: Send + 'static;
    /// What `save` gives.
    type Saved: Send + 'static;
    /// Whether it offers `save` and `restore`.
    const SAVES: bool;
    /// Makes it. Runs the program's code.
    fn make(seed: Self::Seed) -> Result<Construct<Self>>;
    /// The seed once more, where that was prepared to be copied. Runs the program's code.
    fn copy_seed(seed: &Self::Seed) -> Self::Seed;
    /// The state as it is to be after a restart. Runs the program's code.
    fn save(&self) -> Result<Self::Saved>;
    /// Puts that state into an actor just made. Runs the program's code.
    fn restore(&mut self, saved: Self::Saved) -> Result<()>;
    /// Whether this stands for a state in another process, which may be lost.
    const AWAY: bool = false;
    /// Whether it is.
    fn lost(&self) -> Option<Error> {
        None
    }
    /// If its calls wait, how many of them may be under way, unless it was asked for another number.
    const CONCURRENCY: u32 = 1000;
    /// Whether a call that waits goes on to its own end when it is cancelled: it sees to that itself.
    const LASTS: bool = false;
    /// The life is about to end: calls under way that have not begun over there are not to.
    fn take_back(&self) {}
    /// The life ends so, and this is about to be dropped.
    fn ends(&self, _: &ActorEnd) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_count_for_the_whole_life_or_for_a_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut for_life = Restarts::new(2, None);
        assert_eq!([0, 100, 10_000].map(|s| for_life.take(at(s))), [true, true, false]);
        assert_eq!(for_life.count(), 2);
        let mut in_a_minute = Restarts::new(2, Some(Duration::from_secs(60)));
        let taken = [0, 30, 59, 60, 61, 90].map(|s| in_a_minute.take(at(s)));
        assert_eq!(taken, [true, true, false, true, false, true]);
        assert_eq!(in_a_minute.count(), 4);
        assert!(!Restarts::new(0, None).take(start));
    }
}
