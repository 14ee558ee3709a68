//! A call of a strand, as the job of its cell. It runs in the strand's turn only, which is what makes the
//! state its own; or, where the strand has readers, as one of these.

use super::turn::State;
use super::{Strand, Take};
use crate::error::{Error, ErrorKind, Result};
use crate::local::cell::{Job, Promise};
use crate::local::current::{self, Task};
use crate::local::life::{self, Life, Lost};
use crate::local::queue::Entry;
use crate::local::{cancelling, note, panics};
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
    /// Whether there is no other.
    once: bool,
}

impl<A: Life, B, const SHARED: bool> Method<A, B, SHARED> {
    /// A call of that strand.
    pub(crate) fn new(strand: *const Strand<A>, body: B) -> Self {
        Self { strand, body, attempt: 1, once: false }
    }

    /// As `new`, of a call that is not run again: others have seen what it did.
    pub(crate) fn once(strand: *const Strand<A>, body: B) -> Self {
        Self { once: true, ..Self::new(strand, body) }
    }
}

// SAFETY: the pointer is followed where the call runs only, and whoever runs it keeps the strand alive.
unsafe impl<A: Life, B: Send, const SHARED: bool> Send for Method<A, B, SHARED> {}

/// What became of a try.
enum Tried<T> {
    /// The method returned.
    Done(Result<T>),
    /// It panicked, or the state could not be saved after it; or that was lost in another process, be it before
    /// the call had `begun` there.
    Crashed { why: Error, begun: bool },
}

impl<A, T, B, const SHARED: bool> Job<T> for Method<A, B, SHARED>
where
    A: Life,
    T: Send + Sync + 'static,
    B: FnMut(Access<'_, A>, bool) -> Result<T> + Send + 'static,
{
    const SHARED: bool = SHARED;

    fn run(mut self, promise: Promise<T>) {
        // SAFETY: whoever runs us keeps the strand alive.
        let strand = unsafe { &*self.strand };
        let last = self.once || self.attempt > strand.max_task_retries();
        let readers = strand.readers().filter(|_| SHARED);
        if let Some(readers) = readers {
            readers.note(promise.task());
        }
        let tried = self.attempt(strand, &promise, last);
        if let Some(readers) = readers {
            readers.forget(promise.task());
        }
        match (tried, readers) {
            (Tried::Done(result), _) => {
                panics::drop_quietly(self);
                promise.complete(result);
            }
            (Tried::Crashed { why, begun }, None) => {
                // SAFETY: the turn is ours, there are no readers, and `attempt` has done with the state.
                let state = unsafe { &mut *strand.computing().state.get() };
                // SAFETY: as above.
                let hold = unsafe { &mut *strand.computing().hold.get() };
                let lives = hold.crash(state, strand, why.clone(), true);
                let (why, last) = match &*state {
                    _ if begun => (why, last || !lives),
                    // It fails like all that have not begun.
                    State::Ended => (strand.why_ended().through(promise.hop()), true),
                    _ => {
                        // It comes once more as the same try.
                        self.attempt -= 1;
                        (why, false)
                    }
                };
                if let Some(entry) = self.end_try(promise, why, last) {
                    strand.come_back();
                    hold.next.push_front(entry);
                }
            }
            (Tried::Crashed { why, begun }, Some(readers)) => {
                // Before anybody sees that, and calls the actor once more.
                readers.set_crash(why.clone());
                // What had not begun comes once more as the same try.
                self.attempt -= u32::from(!begun);
                let last = last && begun;
                if let Some(entry) = self.end_try(promise, why, last) {
                    strand.come_back();
                    readers.run_again(entry);
                }
                strand.nudge();
            }
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
        let shared = SHARED && strand.readers().is_some();
        let task = Task::new(promise.task(), promise.call(), strand.cpus(), self.strand.addr());
        note::step(promise.number(), EventKind::Started);
        let mut panicked = true;
        let mut not_begun = None;
        let mut is_lost = || {
            let lost = life::take_lost::<A>();
            let is_lost = lost.is_some();
            if let Some(Lost::Before(why)) = lost {
                not_begun = Some(why);
            }
            is_lost
        };
        let result = current::in_task(Task { attempt, shared, ..task }, || {
            if SHARED {
                // SAFETY: the turn is ours, or we are a reader, so nobody changes the state.
                let actor = alive(unsafe { &*strand.computing().state.get() });
                let result = body(Access::Shared(actor), last);
                panicked = is_lost();
                result
            } else {
                // SAFETY: the turn is ours, and there are no readers.
                let State::Alive(actor) = (unsafe { &mut *strand.computing().state.get() }) else {
                    unborn()
                };
                let result = body(Access::Alone(actor), last);
                if !is_lost() {
                    // SAFETY: the turn is ours, and `run_calls` holds no reference into it meanwhile.
                    unsafe { &mut *strand.computing().hold.get() }.changed(actor)?;
                    panicked = false;
                }
                result
            }
        });
        if panicked {
            // It may have shown in what was saved after the call.
            drop(life::take_lost::<A>());
        }
        if let Some(why) = not_begun {
            return Tried::Crashed { why, begun: false };
        }
        cancelling::note_end(promise, &result, Some(&strand.local));
        let result = result.map_err(|error| error.through(promise.hop().tried(attempt)));
        match result {
            Err(why) if panicked => Tried::Crashed { why, begun: true },
            result => Tried::Done(result),
        }
    }

    /// The call fails by the crash that it is, or waits for another try by the entry that this gives.
    #[cold]
    fn end_try<T: Send + Sync + 'static>(
        mut self,
        promise: Promise<T>,
        why: Error,
        last: bool,
    ) -> Option<Entry>
    where
        Self: Job<T>,
    {
        if last {
            panics::drop_quietly(self);
            promise.complete(Err(why));
            return None;
        }
        self.attempt += 1;
        note::step(promise.number(), EventKind::Retried { attempt: self.attempt });
        // SAFETY: this is the cell's job, and calls are begun by their entries only.
        match unsafe { promise.put_back(self) } {
            Ok(entry) => Some(entry),
            Err((job, promise)) => {
                panics::drop_quietly(job);
                let why = Error::new(ErrorKind::Cancelled, "it was cancelled before another try");
                let hop = promise.hop();
                promise.complete(Err(why.through(hop)));
                None
            }
        }
    }
}

fn alive<A: Life>(state: &State<A>) -> &A {
    match state {
        State::Alive(actor) => actor,
        _ => unborn(),
    }
}

#[cold]
fn unborn() -> ! {
    unreachable!("calls run while the actor lives")
}
