//! A call of an actor that waits, as the job of its cell: polled in the turn in which it begins, and by the
//! arbiter after that.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::turn::Away;
use super::{Crash, Hosted, State, StateCell, go_on};
use crate::error::{Error, ErrorKind, Result};
use crate::local::cell::{Job, Promise};
use crate::local::counted::Counted;
use crate::local::current::{self, Own, Task};
use crate::local::job::AsTask;
use crate::local::life::{self, ActorEnd, Life, Lost};
use crate::local::pool::Guest;
use crate::local::queue::Entry;
use crate::local::strand::CallOf;
use crate::local::{cancelling, note, panics};
use crate::millis::Millis;
use crate::observe::EventKind;

/// A future that borrows the actor; it stays on the actor's thread.
pub type Borrowing<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// A method: how it borrows the state, and what it does with it.
pub enum Body<A, H, T> {
    /// `fn(&mut self)`
    Alone(fn(&mut A, H) -> Result<T>),
    /// `fn(&self)`
    Shared(fn(&A, H) -> Result<T>),
    /// `async fn(&mut self)`
    AloneLater(for<'a> fn(&'a mut A, H) -> Borrowing<'a, T>),
    /// `async fn(&self)`
    SharedLater(for<'a> fn(&'a A, H) -> Borrowing<'a, T>),
}

impl<A, H, T> Body<A, H, T> {
    fn is_alone(&self) -> bool {
        matches!(self, Self::Alone(_) | Self::AloneLater(_))
    }
}

/// A call: a method, and what makes its arguments.
pub(crate) struct Call<A: Life, R, H, T> {
    /// It is told whether that is for the last time, and then uses up what it makes them of.
    resolve: R,
    body: Body<A, H, T>,
    /// Which try this is, counted from 1.
    attempt: u32,
    /// Whether there is no other.
    once: bool,
    /// Its number among the calls that have begun.
    number: u64,
}

// SAFETY: it takes its strand to be of that type, and of no other.
unsafe impl<A: Life, R, H, T> CallOf<Hosted<A>> for Call<A, R, H, T> {}

/// What a method has done when it was called.
enum Begun<T> {
    Done(T),
    /// It waits, for `'static` as far as the compiler knows: H1 keeps what it borrows.
    Waits(Borrowing<'static, T>),
}

/// How a try has ended, beside its result.
pub(super) enum Fate {
    Returned,
    /// It panicked, or the state was lost in it.
    Crashed,
    /// The state was lost in another process before the call had begun there.
    NotBegun(Error),
}

impl Fate {
    /// That of a try which `returned` or panicked, where the state may have been `lost`.
    fn of(returned: bool, lost: Option<Lost>) -> Self {
        match lost {
            Some(Lost::Before(why)) if returned => Self::NotBegun(why),
            None if returned => Self::Returned,
            _ => Self::Crashed,
        }
    }
}

impl<A: Life, R, H, T> Call<A, R, H, T> {
    pub(crate) fn new(resolve: R, body: Body<A, H, T>) -> Self {
        Self { resolve, body, attempt: 1, once: false, number: 0 }
    }

    /// As `new`, of a call that is not run again: others have seen what it did.
    pub(crate) fn once(resolve: R, body: Body<A, H, T>) -> Self {
        Self { once: true, ..Self::new(resolve, body) }
    }
}

impl<A, R, H, T> Job<T> for Call<A, R, H, T>
where
    A: Life,
    H: 'static,
    T: Send + Sync + 'static,
    R: FnMut(bool) -> Result<H> + Send + 'static,
{
    fn run(mut self, promise: Promise<T>) {
        // SAFETY: we run in the strand's turn, which keeps it alive.
        let strand = unsafe { Hosted::<A>::of_call(&promise) };
        let alone = self.body.is_alone();
        if alone && strand.aside.under_way.count() > 0 {
            return self.let_others_end(strand, promise);
        }
        // SAFETY: the turn is ours, and `take_turn_or_leave` holds no reference into it meanwhile.
        let turn = unsafe { &mut *strand.turn.get() };
        let State::Alive(state) = &turn.state else {
            unreachable!("calls run while the actor lives")
        };
        let state = Arc::clone(state);
        turn.begun += 1;
        self.number = turn.begun;
        let last = self.is_last(strand);
        let task = Task::new(promise.task(), promise.call(), Millis::default(), promise.home());
        let task = Task { attempt: self.attempt, ..task };
        note::step(promise.number(), EventKind::Started);
        let (mut own, mut returned) = (Own::default(), false);
        let polled = strand.aside.home.pulse().poll(promise.call());
        let begun = current::in_task_with(&task, &mut own, || {
            // SAFETY: it is ours to call the method by (H1): if that needs the state alone, none is under way.
            let begun = unsafe { self.begin(&state, last) };
            if alone && matches!(begun, Ok(Begun::Done(_))) {
                // SAFETY: the method has returned, so the state may be shared.
                turn.changed(unsafe { state.shared() })?;
            }
            returned = true;
            begun
        });
        let fate = Fate::of(returned, life::take_lost::<A>());
        drop(polled);
        match begun {
            Ok(Begun::Done(value)) => self.end(strand, promise, Ok(value), fate, 0),
            Err(why) => self.end(strand, promise, Err(why), fate, 0),
            Ok(Begun::Waits(future)) => {
                let future = AsTask::begun(task, Arc::clone(&strand.local), future, own);
                let future = if A::LASTS { future.lasting() } else { future };
                if alone {
                    turn.given_away = true;
                    actix::spawn(self.wait_alone(Away::new(strand), state, promise, future));
                } else {
                    let under_way = UnderWay::new(strand);
                    actix::spawn(self.wait_among_others(under_way, state, promise, future));
                }
            }
        }
    }
}

impl<A, R, H, T> Call<A, R, H, T>
where
    A: Life,
    H: 'static,
    T: Send + Sync + 'static,
    R: FnMut(bool) -> Result<H> + Send + 'static,
{
    fn is_last(&self, strand: &Hosted<A>) -> bool {
        self.once || self.attempt > strand.max_task_retries()
    }

    /// Calls the method, and polls what that gives once.
    ///
    /// # Safety
    /// The method may borrow the state as it does until it is done (H1).
    unsafe fn begin(&mut self, state: &StateCell<A>, last: bool) -> Result<Begun<T>> {
        let held = (self.resolve)(last)?;
        let mut future = match self.body {
            Body::Alone(method) => {
                // SAFETY: by the caller's promise.
                let actor = unsafe { state.alone() };
                return method(actor, held).map(Begun::Done);
            }
            Body::Shared(method) => {
                // SAFETY: as above.
                let actor = unsafe { state.shared() };
                return method(actor, held).map(Begun::Done);
            }
            // SAFETY: as above.
            Body::AloneLater(method) => method(unsafe { state.alone() }, held),
            // SAFETY: as above.
            Body::SharedLater(method) => method(unsafe { state.shared() }, held),
        };
        // Whoever polls it next brings a waker.
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.map(Begun::Done),
            Poll::Pending => Ok(Begun::Waits(future)),
        }
    }

    /// It has to be alone, and is not: it begins once those under way have ended.
    #[cold]
    fn let_others_end(self, strand: &Hosted<A>, promise: Promise<T>) {
        // SAFETY: we run in the strand's turn.
        let turn = unsafe { &mut *strand.turn.get() };
        if let Some(entry) = self.put_back(promise, "it was cancelled before it ran") {
            if let Some(room) = strand.room() {
                room.come_back();
            }
            turn.next.push_front(entry);
            turn.lets_end = true;
        }
    }

    /// The entry by which it begins once more. None: it was `cancelled` meanwhile, and that is its end.
    fn put_back(self, promise: Promise<T>, cancelled: &str) -> Option<Entry> {
        // SAFETY: this is the cell's job, and calls are begun by their entries only.
        match unsafe { promise.put_back(self) } {
            Ok(entry) => Some(entry),
            Err((job, promise)) => {
                panics::drop_quietly(job);
                let why = Error::new(ErrorKind::Cancelled, cancelled).through(promise.hop());
                promise.complete(Err(why));
                None
            }
        }
    }

    /// Awaits the rest of a `&mut self` method, which has the turn meanwhile.
    async fn wait_alone(
        self,
        mut away: Away<A>,
        state: Arc<StateCell<A>>,
        promise: Promise<T>,
        future: AsTask<Borrowing<'static, T>>,
    ) {
        let strand = away.strand().to_counted();
        let (result, mut fate) = polled(&strand, promise.call(), future).await;
        let task = Task::new(promise.task(), promise.call(), Millis::default(), promise.home());
        let result = match result {
            Ok(value) => {
                let mut returned = false;
                let saved = current::in_task(Task { attempt: self.attempt, ..task }, || {
                    // SAFETY: the method has returned, so the state may be shared.
                    away.turn().changed(unsafe { state.shared() })?;
                    returned = true;
                    Ok(value)
                });
                fate = Fate::of(returned, life::take_lost::<A>());
                saved
            }
            Err(why) => Err(why),
        };
        away.turn();
        drop(state);
        self.end(&strand, promise, result, fate, 0);
    }

    /// Awaits the rest of a `&self` method, while others go on.
    async fn wait_among_others(
        self,
        mut under_way: UnderWay<A>,
        state: Arc<StateCell<A>>,
        promise: Promise<T>,
        future: AsTask<Borrowing<'static, T>>,
    ) {
        let strand = Counted::clone(&under_way.strand);
        let (result, fate) = polled(&strand, promise.call(), future).await;
        drop(state);
        self.end(&strand, promise, result, fate, 1);
        under_way.done = true;
    }

    /// The try is over; `counted`: whether it counts among those under way.
    fn end(
        self,
        strand: &Hosted<A>,
        promise: Promise<T>,
        result: Result<T>,
        fate: Fate,
        counted: usize,
    ) {
        if let Fate::NotBegun(why) = fate {
            return self.not_begun(strand, promise, why);
        }
        cancelling::note_end(&promise, &result, Some(&strand.local));
        match result.map_err(|error| error.through(promise.hop().tried(self.attempt))) {
            Err(why) if matches!(fate, Fate::Crashed) => {
                let others = strand.aside.under_way.count() > counted;
                self.crashed(strand, promise, why, others);
            }
            Err(why) if was_taken_back(strand, &promise, &why) => {
                panics::drop_quietly(self);
                let why = strand.why_ended().through(promise.hop());
                promise.complete(Err(why));
            }
            result => {
                panics::drop_quietly(self);
                promise.complete(result);
            }
        }
    }

    /// The actor crashed: the call fails by that, or is run again when the actor was made anew.
    #[cold]
    fn crashed(mut self, strand: &Hosted<A>, promise: Promise<T>, why: Error, others: bool) {
        let (number, last) = (self.number, self.is_last(strand));
        if last && others {
            // They may take long, and this call's end is clear.
            panics::drop_quietly(self);
            promise.complete(Err(why.clone()));
            return strand.aside.add_crash(Crash { number, why, then: Box::new(|_| None) });
        }
        let failure = why.clone();
        let then = Box::new(move |lives: bool| {
            if last || !lives {
                panics::drop_quietly(self);
                promise.complete(Err(failure));
                return None;
            }
            self.attempt += 1;
            note::step(promise.number(), EventKind::Retried { attempt: self.attempt });
            self.put_back(promise, "it was cancelled before another try")
        });
        strand.aside.add_crash(Crash { number, why, then });
    }

    /// The actor crashed before: the call waits for the next one, as those in the mailbox do.
    #[cold]
    fn not_begun(self, strand: &Hosted<A>, promise: Promise<T>, why: Error) {
        let number = self.number;
        let then = Box::new(move |lives: bool| {
            if lives {
                return self.put_back(promise, "it was cancelled before it ran");
            }
            // SAFETY: this is told in the strand's turn, which keeps it alive.
            let strand = unsafe { Hosted::<A>::of_call(&promise) };
            let why = strand.why_ended().through(promise.hop());
            panics::drop_quietly(self);
            promise.complete(Err(why));
            None
        });
        strand.aside.add_crash(Crash { number, why, then });
    }
}

/// Whether a call failed by this because its actor ends, and not because somebody cancelled it.
fn was_taken_back<A, T>(strand: &Hosted<A>, promise: &Promise<T>, why: &Error) -> bool
where
    A: Life,
    T: Send + Sync + 'static,
{
    A::LASTS
        && why.kind() == ErrorKind::Cancelled
        && strand.end.get().is_some()
        && !promise.is_cancelled()
}

/// Polls what waits until it is done.
pub(super) async fn polled<A: Life, T>(
    strand: &Hosted<A>,
    call: crate::function::Call,
    mut future: AsTask<Borrowing<'static, T>>,
) -> (Result<T>, Fate) {
    let mut lost = None;
    let result = poll_fn(|context| {
        let _polled = strand.aside.home.pulse().poll(call);
        let polled = Pin::new(&mut future).poll(context);
        lost = life::take_lost::<A>();
        polled
    });
    let result = result.await;
    (result, Fate::of(future.has_returned(), lost))
}

/// A call that goes on without the turn. At its end the turn goes on that was held for it.
struct UnderWay<A: Life> {
    strand: Counted<Hosted<A>>,
    done: bool,
    _guest: Guest,
}

impl<A: Life> UnderWay<A> {
    /// One more of that strand, whose turn the caller has.
    fn new(strand: &Hosted<A>) -> Self {
        strand.aside.under_way.begin();
        let strand = strand.to_counted();
        let guest = Guest::of(&strand.local);
        Self { strand, done: false, _guest: guest }
    }
}

impl<A: Life> Drop for UnderWay<A> {
    fn drop(&mut self) {
        if !self.done {
            // Its arbiter has stopped.
            let _ = self.strand.end.set(Box::new(ActorEnd::ShutDown));
        }
        if self.strand.aside.under_way.end() {
            go_on(&self.strand);
        } else if self.strand.aside.has_crashed() {
            self.strand.nudge();
        }
    }
}
