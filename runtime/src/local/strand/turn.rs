//! A strand's turn: the right to touch the actor's state, and what is done with it between two calls.

use std::collections::VecDeque;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::birth::Birth;
use super::{Kind, Side, Strand};
use crate::error::{Error, Result};
use crate::local::cell::Promise;
use crate::local::current::{self, Task};
use crate::local::life::{ActorEnd, Construct, Life, Restarts, Terms};
use crate::local::place::Place;
use crate::local::queue::Entry;
use crate::local::{Local, note, panics};
use crate::millis::Millis;
use crate::observe::EventKind;

/// What belongs to whoever has the turn.
pub(crate) struct Turn<A: Life> {
    pub(super) state: State<A>,
    /// Calls taken out of the mailbox, in order.
    pub(super) next: VecDeque<Entry>,
    birth: Birth,
    supervised: Option<Box<Supervised<A>>>,
}

pub(super) enum State<A: Life> {
    /// What it is to be made from; None: a copy of what is kept for restarts.
    Unborn(Option<A::Seed>),
    Alive(A),
    /// It is to be made anew.
    Crashed,
    Ended(Error),
}

/// What it takes to make an actor anew.
pub(crate) struct Supervised<A: Life> {
    pub(crate) seed: A::Seed,
    pub(crate) restarts: Restarts,
    /// What the actor saved last.
    pub(crate) saved: Option<A::Saved>,
    /// How many calls may have changed the state since.
    pub(crate) changes: u32,
    checkpoint_every: u32,
}

impl<A: Life> Kind<A> for Turn<A> {
    type Aside = ();
    const IN_ORDER: bool = true;

    fn new(seed: A::Seed, terms: Option<&Terms>, place: Place) -> Self {
        let (seed, supervised) = Supervised::of(seed, terms);
        let (next, birth) = (VecDeque::new(), Birth::new(place));
        Self { state: State::Unborn(seed), next, birth, supervised }
    }

    fn aside(_: &Arc<Local>) {}

    fn birth(&mut self) -> &mut Birth {
        &mut self.birth
    }

    fn queue(strand: Arc<Strand<A>>, side: Side) {
        let local = Arc::clone(&strand.local);
        let entry = strand.into_entry();
        match side {
            Side::Front => local.schedule(entry),
            Side::Back => local.schedule_last(entry),
        }
        .now();
    }

    unsafe fn take(strand: &Strand<A>, calls_max: usize) -> bool {
        // SAFETY: by the caller's promise.
        unsafe { strand.take_turn(calls_max) }
    }
}

impl<A: Life> Supervised<A> {
    /// Of an actor that is to be made from `seed`; gives that back where it is needed once only.
    pub(crate) fn of(seed: A::Seed, terms: Option<&Terms>) -> (Option<A::Seed>, Option<Box<Self>>) {
        let Some(terms) = terms.filter(|terms| terms.max_restarts > 0) else {
            return (Some(seed), None);
        };
        let supervised = Self {
            seed,
            restarts: Restarts::new(terms.max_restarts, terms.restart_window),
            saved: None,
            changes: 0,
            checkpoint_every: terms.checkpoint_every,
        };
        (None, Some(Box::new(supervised)))
    }

    /// A call that may have changed the state has returned: saves that, if it is time to.
    pub(crate) fn changed(&mut self, actor: &A) -> Result<()> {
        self.changes += 1;
        if self.changes >= self.checkpoint_every {
            self.changes = 0;
            self.saved = Some(actor.save()?);
        }
        Ok(())
    }

    /// Puts what was saved last into an actor that was made anew. Runs the program's code.
    pub(crate) fn restore(&mut self, actor: &mut A) -> Result<()> {
        if let Some(saved) = self.saved.take() {
            actor.restore(saved)?;
            // What was saved is used up, and may be needed again.
            self.saved = Some(actor.save()?);
        }
        Ok(())
    }
}

impl<A: Life> Turn<A> {
    /// Ends the actor if it is told to, and makes it if it has to be made. False: that has to be asked
    /// again.
    #[inline]
    pub(super) fn prepare(&mut self, strand: &Strand<A>) -> bool {
        if strand.end.get().is_none() && matches!(self.state, State::Alive(_)) {
            return true;
        }
        self.change(strand)
    }

    #[cold]
    fn change(&mut self, strand: &Strand<A>) -> bool {
        if let Some(how) = strand.end.get() {
            self.end(strand, ActorEnd::clone(how));
        }
        match self.state {
            State::Unborn(_) => self.begin(strand),
            State::Crashed => self.begin_anew(strand),
            State::Alive(_) | State::Ended(_) => {}
        }
        !matches!(self.state, State::Crashed)
    }

    /// Makes the actor for the first time.
    fn begin(&mut self, strand: &Strand<A>) {
        let State::Unborn(seed) = std::mem::replace(&mut self.state, State::Crashed) else {
            unreachable!("an actor begins once")
        };
        note::step(strand.number, EventKind::Started);
        let promise = self.birth.begin(strand.call);
        let kept = self.supervised.as_ref().map(|supervised| &supervised.seed);
        let made = in_constructor(strand, &promise, || {
            let seed = seed.or_else(|| kept.map(A::copy_seed));
            make(seed.expect("an actor has a seed, or one that is kept"))
        });
        match made {
            Ok(actor) => {
                note::step(strand.number, EventKind::ActorStarted);
                self.state = State::Alive(actor);
            }
            Err(why) => {
                note::ended(strand.number, Some(why.kind()));
                self.end(strand, ActorEnd::NotMade(why.through(strand.call)));
            }
        }
        promise.complete(Ok(()));
    }

    /// Makes the actor once more after a crash.
    fn begin_anew(&mut self, strand: &Strand<A>) {
        let promise = self.birth.begin(strand.call);
        let Some(supervised) = &mut self.supervised else {
            unreachable!("an actor that is not to be made anew ends when it crashes")
        };
        let had_saved = supervised.saved.is_some();
        let made = in_constructor(strand, &promise, || {
            let mut actor = make::<A>(A::copy_seed(&supervised.seed))?;
            supervised.restore(&mut actor)?;
            Ok(actor)
        });
        promise.complete(Ok(()));
        match made {
            Ok(actor) => {
                strand.count_restart(supervised.restarts.count());
                supervised.changes = 0;
                note::step(strand.number, EventKind::ActorRestarted);
                self.state = State::Alive(actor);
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
    pub(super) fn crash(&mut self, strand: &Strand<A>, why: Error, may: bool) -> bool {
        let restarts = self.supervised.as_mut().map(|supervised| &mut supervised.restarts);
        let before = restarts.as_ref().map_or(0, |restarts| restarts.count());
        let again = may && restarts.is_some_and(|restarts| restarts.take(Instant::now()));
        if again {
            panics::drop_quietly(std::mem::replace(&mut self.state, State::Crashed));
        } else {
            self.end(strand, ActorEnd::Crashed { error: why, restarts: before });
        }
        again
    }

    /// A call that may have changed the state has returned: saves that, if it is time to.
    pub(super) fn changed(&mut self) -> Result<()> {
        if !A::SAVES {
            return Ok(());
        }
        let (State::Alive(actor), Some(supervised)) = (&self.state, &mut self.supervised) else {
            return Ok(());
        };
        supervised.changed(actor)
    }

    /// Ends the actor, if it has not ended, and drops its state.
    pub(super) fn end(&mut self, strand: &Strand<A>, how: ActorEnd) {
        if matches!(self.state, State::Ended(_)) {
            return;
        }
        let ended = State::Ended(strand.ends(how).to_error(strand.name()));
        panics::drop_quietly(std::mem::replace(&mut self.state, ended));
        panics::drop_quietly(self.supervised.take());
        self.birth.give_up();
        strand.has_ended();
    }
}

fn make<A: Life>(seed: A::Seed) -> Result<A> {
    match A::make(seed)? {
        Construct::Now(actor) => actor,
        Construct::Later(_) => unreachable!("an async constructor makes an async actor"),
    }
}

/// Runs what makes an actor, as a task.
fn in_constructor<A: Life>(
    strand: &Strand<A>,
    promise: &Promise<()>,
    run: impl FnOnce() -> Result<A>,
) -> Result<A> {
    let actor = ptr::from_ref(strand).addr();
    let task = Task::new(promise.task(), strand.call, Millis::ONE, actor);
    current::in_task(task, run)
}

impl<A: Life> Strand<A> {
    /// Runs up to `calls_max` calls. True: there are more, and the turn is still ours.
    ///
    /// # Safety
    /// The caller has the turn.
    pub(super) unsafe fn take_turn(&self, calls_max: usize) -> bool {
        let pointer = self.turn.get();
        for _ in 0..calls_max {
            // SAFETY: the turn is ours. References into it end before a call runs, because the call makes
            // its own: see `method.rs`.
            let turn = unsafe { &mut *pointer };
            if !turn.prepare(self) {
                continue;
            }
            if turn.next.is_empty() && !self.next_mail(turn) {
                return false;
            }
            let Some(entry) = turn.next.pop_front() else {
                continue;
            };
            let begun = self.batch.size.load(Ordering::Relaxed).saturating_sub(turn.next.len());
            self.batch.begun.store(begun, Ordering::Relaxed);
            if let Some(room) = self.room() {
                room.leave();
            }
            match &turn.state {
                State::Ended(why) => drop(entry.abandon(why.clone())),
                _ => entry.execute(),
            }
        }
        true
    }

    /// Takes what is in the mailbox, or ends the actor that no call can come to any more. False: there was
    /// nothing, and the turn is over.
    fn next_mail(&self, turn: &mut Turn<A>) -> bool {
        let alive = matches!(turn.state, State::Alive(_));
        if self.take_mail(&mut turn.next) {
            return true;
        }
        // The turn is over: from here on `turn` may be another's, unless it becomes ours again.
        if !alive || !self.is_to_end() || !self.wake() {
            return false;
        }
        if self.end.get().is_none() && self.has_mail() {
            return true;
        }
        turn.end(self, self.end_of_calls());
        true
    }
}
