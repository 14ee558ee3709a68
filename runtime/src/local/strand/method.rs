//! A call of a strand, as the job of its cell. It runs in the strand's turn only, which is what makes the
//! state its own; or, where the strand has readers, as one of these.

use std::marker::PhantomData;

use super::turn::State;
use super::{CallOf, Strand, Take};
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

/// A call that is tried once. `SHARED`: of a method with `&self`.
pub(crate) struct MethodOnce<A: Life, B, const SHARED: bool> {
    body: B,
    of: PhantomData<fn() -> A>,
}

/// A call that may be tried again.
pub(crate) struct Method<A: Life, B, const SHARED: bool> {
    /// It is told whether it runs for the last time, and then uses the arguments up.
    body: B,
    /// Which try this is, counted from 1.
    attempt: u32,
    /// Whether there is no other, for others have seen what it did.
    once: bool,
    of: PhantomData<fn() -> A>,
}

impl<A: Life, B, const SHARED: bool> MethodOnce<A, B, SHARED> {
    pub(crate) fn new(body: B) -> Self {
        const { assert!(!A::AWAY, "where a call may be lost before it begins, it comes once more") };
        Self { body, of: PhantomData }
    }
}

impl<A: Life, B, const SHARED: bool> Method<A, B, SHARED> {
    pub(crate) fn new(body: B) -> Self {
        Self { body, attempt: 1, once: false, of: PhantomData }
    }

    /// As `new`, of a call that is not run again once it has begun.
    pub(crate) fn once(body: B) -> Self {
        Self { once: true, ..Self::new(body) }
    }
}

/// What became of a try.
enum Tried<T> {
    /// The method returned.
    Done(Result<T>),
    /// It panicked, or the state could not be saved after it; or that was lost in another process, be it before
    /// the call had `begun` there.
    Crashed { why: Error, begun: bool },
}

// SAFETY: it takes its strand to be of that type, and of no other.
unsafe impl<A: Life, B, const SHARED: bool> CallOf<Strand<A>> for MethodOnce<A, B, SHARED> {}
// SAFETY: as above.
unsafe impl<A: Life, B, const SHARED: bool> CallOf<Strand<A>> for Method<A, B, SHARED> {}

impl<A, T, B, const SHARED: bool> Job<T> for MethodOnce<A, B, SHARED>
where
    A: Life,
    T: Send + Sync + 'static,
    B: FnOnce(Access<'_, A>) -> Result<T> + Send + 'static,
{
    const SHARED: bool = SHARED;

    fn run(self, promise: Promise<T>) {
        // SAFETY: whoever runs us keeps the strand alive.
        let strand = unsafe { Strand::<A>::of_call(&promise) };
        match strand.try_call::<T, SHARED>(&promise, 1, self.body) {
            Tried::Done(result) => promise.complete(result),
            Tried::Crashed { why, .. } => {
                // The crash comes before anybody sees that, and calls the actor once more.
                match strand.readers().filter(|_| SHARED) {
                    None => {
                        // SAFETY: the turn is ours, there are no readers, and the try has done with the state.
                        let _ = unsafe { strand.crash_in(&promise, why.clone()) };
                        promise.complete(Err(why));
                    }
                    Some(readers) => {
                        readers.set_crash(why.clone());
                        promise.complete(Err(why));
                        strand.nudge();
                    }
                }
            }
        }
    }
}

impl<A, T, B, const SHARED: bool> Job<T> for Method<A, B, SHARED>
where
    A: Life,
    T: Send + Sync + 'static,
    B: FnMut(Access<'_, A>, bool) -> Result<T> + Send + 'static,
{
    const SHARED: bool = SHARED;

    fn run(mut self, promise: Promise<T>) {
        // SAFETY: as in `MethodOnce`.
        let strand = unsafe { Strand::<A>::of_call(&promise) };
        let last = self.once || self.attempt > strand.max_task_retries();
        let body = |actor: Access<'_, A>| (self.body)(actor, last);
        let tried = strand.try_call::<T, SHARED>(&promise, self.attempt, body);
        match (tried, strand.readers().filter(|_| SHARED)) {
            (Tried::Done(result), _) => {
                panics::drop_quietly(self);
                promise.complete(result);
            }
            (Tried::Crashed { why, begun }, None) => {
                // SAFETY: the turn is ours, there are no readers, and the try has done with the state.
                let (lives, ended) = unsafe { strand.crash_in(&promise, why.clone()) };
                let (why, last) = if begun {
                    (why, last || !lives)
                } else if ended {
                    // It fails like all that have not begun.
                    (strand.why_ended().through(promise.hop()), true)
                } else {
                    // It comes once more as the same try.
                    self.attempt -= 1;
                    (why, false)
                };
                if let Some(entry) = self.end_try(promise, why, last) {
                    strand.come_back();
                    // SAFETY: the turn is ours.
                    unsafe { &mut *strand.computing().hold.get() }.next.push_front(entry);
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

impl<A: Life> Strand<A> {
    /// As `crash`, still within the call that has crashed it: the state's drop may wait for who waits for that.
    ///
    /// # Safety
    /// As for `crash`.
    #[cold]
    unsafe fn crash_in<T: Send + Sync + 'static>(
        &self,
        promise: &Promise<T>,
        why: Error,
    ) -> (bool, bool) {
        let task = Task::new(promise.task(), promise.call(), self.cpus(), promise.home());
        let mut crashed = (false, true);
        let _ = current::in_task(task, || {
            // SAFETY: by the caller's promise.
            crashed = unsafe { self.crash(why) };
            Ok(())
        });
        crashed
    }

    /// Runs a method, as try number `attempt` of a call.
    #[inline]
    fn try_call<T: Send + Sync + 'static, const SHARED: bool>(
        &self,
        promise: &Promise<T>,
        attempt: u32,
        body: impl FnOnce(Access<'_, A>) -> Result<T>,
    ) -> Tried<T> {
        let readers = self.readers().filter(|_| SHARED);
        if let Some(readers) = readers {
            readers.note(promise.task());
        }
        let task = Task::new(promise.task(), promise.call(), self.cpus(), promise.home());
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
        let result = current::in_task(Task { attempt, shared: readers.is_some(), ..task }, || {
            if SHARED {
                // SAFETY: the turn is ours, or we are a reader, so nobody changes the state.
                let actor = alive(unsafe { &*self.computing().state.get() });
                let result = body(Access::Shared(actor));
                panicked = is_lost();
                result
            } else {
                // SAFETY: the turn is ours, and there are no readers.
                let State::Alive(actor) = (unsafe { &mut *self.computing().state.get() }) else {
                    unborn()
                };
                let result = body(Access::Alone(actor));
                if !is_lost() {
                    // SAFETY: the turn is ours, and `run_calls` holds no reference into it meanwhile.
                    unsafe { &mut *self.computing().hold.get() }.changed(actor)?;
                    panicked = false;
                }
                result
            }
        });
        if panicked {
            // It may have shown in what was saved after the call.
            drop(life::take_lost::<A>());
        }
        if let Some(readers) = readers {
            readers.forget(promise.task());
        }
        if let Some(why) = not_begun {
            return Tried::Crashed { why, begun: false };
        }
        cancelling::note_end(promise, &result, Some(&self.local));
        let result = result.map_err(|error| error.through(promise.hop().tried(attempt)));
        match result {
            Err(why) if panicked => Tried::Crashed { why, begun: true },
            result => Tried::Done(result),
        }
    }

    /// A method has crashed the actor. Whether that is made anew, and whether it has ended.
    ///
    /// # Safety
    /// The caller has the turn, there are no readers, and nobody else is at the state.
    #[cold]
    unsafe fn crash(&self, why: Error) -> (bool, bool) {
        // SAFETY: by the caller's promise.
        let state = unsafe { &mut *self.computing().state.get() };
        // SAFETY: as above.
        let hold = unsafe { &mut *self.computing().hold.get() };
        let lives = hold.crash(state, self, why, true);
        (lives, matches!(state, State::Ended))
    }
}

impl<A: Life, B, const SHARED: bool> Method<A, B, SHARED> {
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
