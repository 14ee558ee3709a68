//! A call of a strand, as the job of its cell. It runs in the strand's turn only, which is what makes the
//! state its own.

use super::Strand;
use super::turn::State;
use crate::error::{Error, ErrorKind, Result};
use crate::local::cell::{Job, Promise};
use crate::local::current::{self, Task};
use crate::local::life::Life;
use crate::local::{cancelling, note, panics};
use crate::millis::Millis;
use crate::observe::EventKind;

/// How a method has the actor's state.
pub(crate) enum Access<'a, A> {
    /// `&mut self`.
    Alone(&'a mut A),
    /// `&self`.
    Shared(&'a A),
}

/// A call. `SHARED`: of a method with `&self`.
pub(crate) struct Method<A: Life, B, const SHARED: bool> {
    strand: *const Strand<A>,
    /// It is told whether it runs for the last time, and then uses the arguments up.
    body: B,
    /// Which try this is, counted from 1.
    attempt: u32,
}

impl<A: Life, B, const SHARED: bool> Method<A, B, SHARED> {
    /// A call of that strand.
    pub(crate) fn new(strand: *const Strand<A>, body: B) -> Self {
        Self { strand, body, attempt: 1 }
    }
}

// SAFETY: the pointer is followed in the strand's turn only, which keeps the strand alive.
unsafe impl<A: Life, B: Send, const SHARED: bool> Send for Method<A, B, SHARED> {}

/// What became of a try.
enum Tried<T> {
    /// The method returned.
    Done(Result<T>),
    /// It panicked, or the state could not be saved after it.
    Crashed(Error),
}

impl<A, T, B, const SHARED: bool> Job<T> for Method<A, B, SHARED>
where
    A: Life,
    T: Send + Sync + 'static,
    B: FnMut(Access<'_, A>, bool) -> Result<T> + Send + 'static,
{
    fn run(mut self, promise: Promise<T>) {
        // SAFETY: we run in the strand's turn, which keeps it alive.
        let strand = unsafe { &*self.strand };
        let last = self.attempt > strand.max_task_retries();
        match self.attempt(strand, &promise, last) {
            Tried::Done(result) => {
                panics::drop_quietly(self);
                promise.complete(result);
            }
            Tried::Crashed(why) => self.crashed(strand, promise, why, last),
        }
    }
}

impl<A: Life, B, const SHARED: bool> Method<A, B, SHARED> {
    /// Runs the method.
    #[inline]
    fn attempt<T: Send + Sync + 'static>(
        &mut self,
        strand: &Strand<A>,
        promise: &Promise<T>,
        last: bool,
    ) -> Tried<T>
    where
        B: FnMut(Access<'_, A>, bool) -> Result<T>,
    {
        let Self { attempt, ref mut body, .. } = *self;
        let task = Task::new(promise.task(), promise.call(), Millis::ONE, self.strand.addr());
        // SAFETY: the turn is ours, and `take_turn` holds no reference into it meanwhile.
        let turn = unsafe { &mut *strand.turn.get() };
        note::step(promise.number(), EventKind::Started);
        let mut panicked = true;
        let result = current::in_task(Task { attempt, ..task }, || {
            let State::Alive(actor) = &mut turn.state else {
                unreachable!("calls run while the actor lives")
            };
            let result = if SHARED {
                body(Access::Shared(actor), last)
            } else {
                let result = body(Access::Alone(actor), last);
                turn.changed()?;
                result
            };
            panicked = false;
            result
        });
        cancelling::note_end(promise, &result, Some(&strand.local));
        let result = result.map_err(|error| error.through(promise.hop().tried(attempt)));
        match result {
            Err(why) if panicked => Tried::Crashed(why),
            result => Tried::Done(result),
        }
    }

    /// The actor crashed; the call fails by that, or is run again when the actor was made anew.
    #[cold]
    fn crashed<T: Send + Sync + 'static>(
        mut self,
        strand: &Strand<A>,
        promise: Promise<T>,
        why: Error,
        last: bool,
    ) where
        Self: Job<T>,
    {
        // SAFETY: as in `attempt`.
        let turn = unsafe { &mut *strand.turn.get() };
        let lives = turn.crash(strand, why.clone(), true);
        if last || !lives {
            panics::drop_quietly(self);
            return promise.complete(Err(why));
        }
        self.attempt += 1;
        note::step(promise.number(), EventKind::Retried { attempt: self.attempt });
        // SAFETY: this is the cell's job, and calls are begun by their entries only.
        match unsafe { promise.put_back(self) } {
            Ok(entry) => {
                if let Some(room) = strand.room() {
                    room.come_back();
                }
                turn.next.push_front(entry);
            }
            Err((job, promise)) => {
                panics::drop_quietly(job);
                let why = Error::new(ErrorKind::Cancelled, "it was cancelled before another try");
                let hop = promise.hop();
                promise.complete(Err(why.through(hop)));
            }
        }
    }
}
