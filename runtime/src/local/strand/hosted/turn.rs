//! The turn of an actor that waits: what is done in it beside the calls.

use std::mem;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::call::{Borrowing, polled};
use super::{Crash, Hosted, State, StateCell, Waits, go_on};
use crate::error::{Error, Result};
use crate::local::cell::Promise;
use crate::local::counted::Counted;
use crate::local::current::{self, Own, Task};
use crate::local::job::AsTask;
use crate::local::life::{ActorEnd, Construct, Life};
use crate::local::pool::Guest;
use crate::local::strand::Left;
use crate::local::strand::mail::Settled;
use crate::local::{note, panics};
use crate::millis::Millis;
use crate::observe::EventKind;

/// Whether a turn may go on to the next call.
enum Prepared {
    Yes,
    /// That has to be asked again.
    Again,
    /// The turn is held, or was given away.
    Left,
}

impl<A: Life> Hosted<A> {
    /// As [`Kind::take`](super::Kind::take).
    ///
    /// # Safety
    /// The caller has the turn.
    pub(super) unsafe fn take_turn_or_leave(&self, calls_max: usize) -> Left {
        let pointer = self.turn.get();
        for _ in 0..calls_max {
            // SAFETY: the turn is ours. References into it end before a call runs, because the call makes
            // its own: see `call.rs`.
            let turn = unsafe { &mut *pointer };
            match turn.prepare(self) {
                Prepared::Yes => {}
                Prepared::Again => continue,
                Prepared::Left => return Left::Nothing,
            }
            if turn.next.is_empty() {
                match self.next_mail(turn) {
                    Prepared::Yes => {}
                    Prepared::Again => continue,
                    Prepared::Left => return Left::Nothing,
                }
            }
            let count = self.aside.under_way.count();
            if count >= turn.concurrency {
                match self.hold(turn, count) {
                    true => return Left::Nothing,
                    false => continue,
                }
            }
            let Some(entry) = turn.next.pop_front() else { continue };
            if let Some(room) = self.room() {
                room.leave();
            }
            match &turn.state {
                State::Ended => self.abandon_call(entry),
                _ => entry.execute(),
            }
            // SAFETY: as above. What took the turn with it is a task of this very thread, and did not run yet.
            let turn = unsafe { &mut *pointer };
            if turn.given_away {
                return Left::Nothing;
            }
            if mem::take(&mut turn.lets_end) {
                let count = self.aside.under_way.count();
                if count > 0 && self.hold(turn, count) {
                    return Left::Nothing;
                }
            }
        }
        Left::More
    }

    /// Leaves the turn to whichever call ends next, if there are `count` still, or to who ends the actor. False: it goes
    /// on, and is still the caller's.
    fn hold(&self, turn: &Waits<A>, count: usize) -> bool {
        if !self.aside.under_way.hold(count) {
            return false;
        }
        // Whoever ends the actor writes that down, and then takes a turn that is held (`hurry`). The fence pairs with the
        // one in `nudge`, which is in between, or in `look_after`, which follows a call: so one of the two sees the other.
        fence(Ordering::SeqCst);
        let hurries =
            A::LASTS && self.end.get().is_some() && (!turn.took_back || self.mail.has_calls());
        !(hurries && self.aside.under_way.take_held())
    }

    /// Takes what is in the mailbox, or ends the actor that no call can come to any more.
    fn next_mail(&self, turn: &mut Waits<A>) -> Prepared {
        let alive = matches!(turn.state, State::Alive(_));
        if self.take_mail(&mut turn.next, false) == Settled::Not {
            return Prepared::Yes;
        }
        // The turn is over: from here on `turn` may be another's, unless it becomes ours again.
        if !alive || !self.is_to_end() || !self.mail.wake() {
            return Prepared::Left;
        }
        if self.end.get().is_none() && self.mail.has_calls() {
            return Prepared::Again;
        }
        let count = self.aside.under_way.count();
        if count > 0 {
            return turn.hold(self, count);
        }
        turn.end(self, self.end_of_calls());
        Prepared::Again
    }
}

impl<A: Life> Waits<A> {
    /// Leaves the turn to whichever call ends next.
    fn hold(&mut self, strand: &Hosted<A>, count: usize) -> Prepared {
        if strand.hold(self, count) { Prepared::Left } else { Prepared::Again }
    }

    /// Ends the actor if it is told to, and makes it if it has to be made.
    #[inline]
    fn prepare(&mut self, strand: &Hosted<A>) -> Prepared {
        let crashed = strand.aside.has_crashed();
        match self.state {
            State::Alive(_) if !crashed && strand.end.get().is_none() && self.lost().is_none() => {
                Prepared::Yes
            }
            State::Ended if !crashed => Prepared::Yes,
            _ => self.change(strand),
        }
    }

    /// Why the state is gone, where it lives in another process.
    fn lost(&self) -> Option<Error> {
        match &self.state {
            // SAFETY: who asks has the turn, and no call has the state alone but by taking the turn along.
            State::Alive(state) if A::AWAY => unsafe { state.shared() }.lost(),
            _ => None,
        }
    }

    #[cold]
    fn change(&mut self, strand: &Hosted<A>) -> Prepared {
        let count = strand.aside.under_way.count();
        if count > 0 {
            if A::LASTS && strand.end.get().is_some() {
                self.take_back();
                self.abandon_waiting(strand);
            }
            return self.hold(strand, count);
        }
        if let Some(how) = strand.end.get() {
            self.end(strand, ActorEnd::clone(how));
        }
        self.see_crashes(strand);
        if let Some(why) = self.lost() {
            self.crash(strand, why, true);
        }
        match self.state {
            State::Unborn(_) => self.begin(strand),
            State::Crashed => self.begin_anew(strand),
            State::Making { .. } => unreachable!("who makes the actor has the turn"),
            State::Alive(_) | State::Ended => Prepared::Yes,
        }
    }

    /// The actor is to end: calls that were sent to another process and have not begun there are not to.
    fn take_back(&mut self) {
        if !mem::replace(&mut self.took_back, true)
            && let State::Alive(state) = &self.state
        {
            // SAFETY: as in `lost`.
            unsafe { state.shared() }.take_back();
        }
    }

    /// The actor is to end: calls that wait here fail, for one that is under way may wait for what comes of them.
    fn abandon_waiting(&mut self, strand: &Hosted<A>) {
        if strand.mail.has_calls() {
            let settled = strand.take_mail(&mut self.next, false);
            debug_assert!(settled == Settled::Not, "there are calls");
        }
        while let Some(entry) = self.next.pop_front() {
            if let Some(room) = strand.room() {
                room.leave();
            }
            strand.abandon_call(entry);
        }
    }

    /// Calls have panicked, one or several together: that is one crash. Those that are run again are so
    /// before all others.
    fn see_crashes(&mut self, strand: &Hosted<A>) {
        let mut crashes = strand.aside.take_crashes();
        // They may end in another order than they began in.
        crashes.sort_by_key(|crash| crash.number);
        let Some(Crash { why, .. }) = crashes.first() else { return };
        let lives = self.crash(strand, why.clone(), true);
        let again: Vec<_> = crashes.into_iter().filter_map(|crash| (crash.then)(lives)).collect();
        for entry in again.into_iter().rev() {
            if let Some(room) = strand.room() {
                room.come_back();
            }
            self.next.push_front(entry);
        }
    }

    /// Makes the actor for the first time.
    fn begin(&mut self, strand: &Hosted<A>) -> Prepared {
        let State::Unborn(seed) = mem::replace(&mut self.state, State::Making { anew: false })
        else {
            unreachable!("an actor begins once")
        };
        note::step(strand.number, EventKind::Started);
        let promise = self.birth.begin(strand.call);
        self.make(strand, seed, promise)
    }

    /// Makes the actor once more after a crash.
    fn begin_anew(&mut self, strand: &Hosted<A>) -> Prepared {
        self.state = State::Making { anew: true };
        let restarts = self.supervised.as_ref().map(|supervised| supervised.restarts.count());
        restarts.into_iter().for_each(|count| strand.count_restart(count));
        let promise = self.birth.begin(strand.call);
        self.make(strand, None, promise)
    }

    /// Runs the constructor; `seed`: what for, unless that is kept. If it has to wait, it takes the turn along.
    fn make(
        &mut self,
        strand: &Hosted<A>,
        seed: Option<A::Seed>,
        promise: Promise<()>,
    ) -> Prepared {
        enum Made<A> {
            Now(A),
            Later(Borrowing<'static, A>),
        }
        let task = constructor(strand, &promise);
        let mut own = Own::default();
        let polled = strand.aside.home.pulse().poll(strand.call);
        let made = current::in_task_with(&task, &mut own, || {
            let kept = self.supervised.as_ref().map(|supervised| &supervised.seed);
            let seed = seed.or_else(|| kept.map(A::copy_seed));
            match A::make(seed.expect("an actor has a seed, or one that is kept"))? {
                Construct::Now(made) => made.map(Made::Now),
                Construct::Later(mut future) => {
                    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                        Poll::Ready(made) => made.map(Made::Now),
                        Poll::Pending => Ok(Made::Later(future)),
                    }
                }
            }
        });
        drop(polled);
        let made = match made {
            Ok(Made::Later(future)) => {
                self.given_away = true;
                let future = AsTask::begun(task, Arc::clone(&strand.local), future, own);
                actix::spawn(make_later(Away::new(strand), promise, future));
                return Prepared::Left;
            }
            Ok(Made::Now(actor)) => Ok(actor),
            Err(why) => Err(why),
        };
        self.made(strand, &promise, made);
        promise.complete(Ok(()));
        Prepared::Again
    }

    /// The constructor has returned.
    fn made(&mut self, strand: &Hosted<A>, promise: &Promise<()>, made: Result<A>) {
        let State::Making { anew } = self.state else {
            unreachable!("an actor that was made was being made")
        };
        if !anew {
            match made {
                Ok(actor) => {
                    note::step(strand.number, EventKind::ActorStarted);
                    self.state = State::Alive(StateCell::new(actor));
                }
                Err(why) => {
                    note::ended(strand.number, Some(why.kind()));
                    self.end(strand, ActorEnd::NotMade(why.through(strand.call)));
                }
            }
            return;
        }
        let Some(supervised) = &mut self.supervised else {
            unreachable!("an actor that is not to be made anew ends when it crashes")
        };
        let had_saved = supervised.saved.is_some();
        let made = made.and_then(|mut actor| {
            current::in_task(constructor(strand, promise), || {
                supervised.restore(&mut actor)?;
                Ok(actor)
            })
        });
        match made {
            Ok(actor) => {
                supervised.changes = 0;
                note::step(strand.number, EventKind::ActorRestarted);
                self.state = State::Alive(StateCell::new(actor));
            }
            Err(why) => {
                // Without what was saved it would begin with less than it had.
                let lost = had_saved && supervised.saved.is_none();
                self.crash(strand, why.through(strand.call), !lost);
            }
        }
    }

    /// The actor failed: its state is dropped, and it is made anew if there is a restart left and it `may`,
    /// else it ends. True: it is made anew.
    fn crash(&mut self, strand: &Hosted<A>, why: Error, may: bool) -> bool {
        if matches!(self.state, State::Ended) {
            return false;
        }
        let restarts = self.supervised.as_mut().map(|supervised| &mut supervised.restarts);
        let before = restarts.as_ref().map_or(0, |restarts| restarts.count());
        let again = may && restarts.is_some_and(|restarts| restarts.take(Instant::now()));
        if again {
            let state = mem::replace(&mut self.state, State::Crashed);
            strand.drop_as_task(&self.birth, Millis::default(), state);
        } else {
            self.end(strand, ActorEnd::Crashed { error: why, restarts: before });
        }
        again
    }

    /// A call that may have changed the state has returned: saves that, if it is time to.
    pub(super) fn changed(&mut self, actor: &A) -> Result<()> {
        match &mut self.supervised {
            Some(supervised) if A::SAVES => supervised.changed(actor),
            _ => Ok(()),
        }
    }

    /// Ends the actor, if it has not ended, and drops its state. None of its calls is under way.
    fn end(&mut self, strand: &Hosted<A>, how: ActorEnd) {
        if matches!(self.state, State::Ended) {
            return;
        }
        let how = strand.ends(how);
        if let State::Alive(state) = &self.state {
            // SAFETY: as in `lost`.
            unsafe { state.shared() }.ends(how);
        }
        let state = mem::replace(&mut self.state, State::Ended);
        strand.drop_as_task(&self.birth, Millis::default(), state);
        panics::drop_quietly(self.supervised.take());
        self.birth.give_up();
        strand.has_ended();
    }
}

/// The task as which the constructor runs.
fn constructor<A: Life>(strand: &Hosted<A>, promise: &Promise<()>) -> Task {
    Task::new(promise.task(), strand.call, Millis::default(), ptr::from_ref(strand).addr())
}

/// A turn in the hands of what waits. Dropped, it goes on; if what waits was dropped before it was done, because
/// its arbiter has stopped, the actor ends.
pub(super) struct Away<A: Life> {
    strand: Counted<Hosted<A>>,
    done: bool,
    _guest: Guest,
}

impl<A: Life> Away<A> {
    /// Of a strand whose turn was given away.
    pub(super) fn new(strand: &Hosted<A>) -> Self {
        let strand = strand.to_counted();
        let guest = Guest::of(&strand.local);
        Self { strand, done: false, _guest: guest }
    }

    pub(super) fn strand(&self) -> &Hosted<A> {
        &self.strand
    }

    /// What waited is done: the turn is there again.
    pub(super) fn turn(&mut self) -> &mut Waits<A> {
        self.done = true;
        // SAFETY: the turn was given away to us, and we give it on when we drop.
        let turn = unsafe { &mut *self.strand.turn.get() };
        turn.given_away = false;
        turn
    }
}

impl<A: Life> Drop for Away<A> {
    fn drop(&mut self) {
        if !self.done {
            let _ = self.strand.end.set(Box::new(ActorEnd::ShutDown));
            let strand = Counted::clone(&self.strand);
            let turn = self.turn();
            // Whatever was being made will not be.
            if matches!(turn.state, State::Making { .. }) {
                turn.end(&strand, ActorEnd::ShutDown);
            }
        }
        go_on(&self.strand);
    }
}

/// Awaits a constructor that waits.
async fn make_later<A: Life>(
    mut away: Away<A>,
    promise: Promise<()>,
    future: AsTask<Borrowing<'static, A>>,
) {
    let strand = away.strand().to_counted();
    let (made, _) = polled(&strand, strand.call, future).await;
    away.turn().made(&strand, &promise, made);
    promise.complete(Ok(()));
}
