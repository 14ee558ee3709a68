//! A strand's turn: the right to touch the actor's state, and what is done with it between two calls.

use std::cell::UnsafeCell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::birth::Birth;
use super::line::Line;
use super::mail::Settled;
use super::readers::{Crash, Readers, Until};
use super::{CALLS_PER_TURN, Kind, Left, Side, Strand, Take};
use crate::error::{Error, Result};
use crate::local::actors::Reading;
use crate::local::cell::{AnyRef, Header, Promise};
use crate::local::current::{self, Task};
use crate::local::life::{ActorEnd, Construct, Life, Restarts, Terms};
use crate::local::place::Place;
use crate::local::pool::Guest;
use crate::local::queue::Entry;
use crate::local::{Local, default, grant, note, panics, pool};
use crate::millis::Millis;
use crate::observe::EventKind;

/// What an actor that computes has of its own. The turn's parts are cells, because others look at the rest
/// meanwhile. The order is that of [`Strand`]: what is seldom looked at comes last.
#[repr(C)]
pub(crate) struct Turn<A: Life> {
    /// Where `&self` calls may run side by side.
    pub(super) readers: Option<Box<Readers>>,
    /// Read by whoever has the turn, and by readers; changed by the turn's holder, while there are none.
    pub(super) state: UnsafeCell<State<A>>,
    /// The turn's holder's.
    pub(super) hold: UnsafeCell<Hold<A>>,
}

/// What belongs to whoever has the turn, beside the actor's state.
#[repr(C)]
pub(super) struct Hold<A: Life> {
    /// Calls taken out of the mailbox.
    pub(super) next: Line,
    supervised: Option<Box<Supervised<A>>>,
    birth: Birth,
}

pub(super) enum State<A: Life> {
    /// What it is to be made from; None: a copy of what is kept for restarts.
    Unborn(Option<A::Seed>),
    Alive(A),
    /// It is to be made anew.
    Crashed,
    Ended,
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
    const OFFERS: bool = true;

    fn new(seed: A::Seed, terms: Option<&Terms>, place: Place) -> Self {
        let (seed, supervised) = Supervised::of(seed, terms);
        let hold = Hold { next: Line::default(), birth: Birth::new(place), supervised };
        let readers = terms.and_then(|terms| terms.max_concurrency);
        Self {
            readers: readers.map(|max| Box::new(Readers::new(max))),
            hold: UnsafeCell::new(hold),
            state: UnsafeCell::new(State::Unborn(seed)),
        }
    }

    fn aside(_: &Arc<Local>) {}

    fn birth(&mut self) -> &mut Birth {
        &mut self.hold.get_mut().birth
    }

    fn queue(strand: &Strand<A>, side: Side) {
        if strand.mail.offer() {
            strand.put_into_queue(side);
        }
    }

    fn queue_posted(strand: &Strand<A>) {
        strand.put_into_queue(Side::Front);
    }

    unsafe fn take(strand: &Strand<A>, calls_max: usize) -> Left {
        let cpus = strand.cpus();
        if cpus == Millis::ONE || strand.end.get().is_some() {
            loop {
                // SAFETY: by the caller's promise.
                let left = unsafe { strand.run_calls(calls_max, None) };
                // To queue the strand for nobody's sake would but take it to another CPU.
                if !matches!(left, Left::More) || !strand.local.pool().may_go_on() {
                    return left;
                }
            }
        }
        // Where the turn is left, the strand may be gone.
        let local = Arc::clone(&strand.local);
        // SAFETY: as above.
        grant::with_cpus(&local, cpus, || unsafe { strand.run_calls(calls_max, None) })
    }

    fn help(strand: &Strand<A>, call: &AnyRef) {
        // What is granted other than one CPU has its turn where that is.
        if !strand.mail.is_offered() || strand.cpus() != Millis::ONE {
            return;
        }
        let run = || {
            if !strand.mail.take_offered() {
                return;
            }
            // SAFETY: the turn is ours.
            match unsafe { strand.run_calls(CALLS_PER_TURN, Some(call)) } {
                Left::More => Self::queue(strand, Side::Back),
                Left::Nothing => {}
                // SAFETY: it is ours to give up, and we have another hold.
                Left::Closed => unsafe { Strand::let_go(strand) },
            }
        };
        // Without a CPU to be had, it stays offered.
        let _ = pool::with_a_cpu(&strand.local, || pool::with_stack(run));
    }

    fn reading(strand: &Strand<A>, all: bool) -> Option<Reading> {
        strand.readers()?.reading(all)
    }

    fn has_crashed(strand: &Strand<A>) -> bool {
        strand.readers().is_some_and(Readers::has_crashed)
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

impl<A: Life> Hold<A> {
    /// Does what there is to do beside calls: ends the actor if it is told to, sees to a reader's crash, and
    /// makes the actor if it has to be made. There are no readers. False: there is more to do.
    #[cold]
    fn change(&mut self, state: &mut State<A>, strand: &Strand<A>) -> bool {
        if let Some(how) = strand.end.get() {
            self.end(state, strand, ActorEnd::clone(how));
        }
        let crash = strand.readers().and_then(Readers::take_crash);
        if let Some(Crash { why, again }) = crash {
            if matches!(state, State::Alive(_)) {
                self.crash(state, strand, why, true);
            }
            again.into_iter().for_each(|entry| self.next.push_front(entry));
        }
        if let State::Alive(actor) = state
            && let Some(why) = actor.lost()
        {
            self.crash(state, strand, why, true);
        }
        match state {
            State::Unborn(_) => self.begin(state, strand),
            State::Crashed => self.begin_anew(state, strand),
            State::Alive(_) | State::Ended => {}
        }
        !matches!(state, State::Crashed)
    }

    /// Makes the actor for the first time.
    fn begin(&mut self, state: &mut State<A>, strand: &Strand<A>) {
        let State::Unborn(seed) = std::mem::replace(state, State::Crashed) else {
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
                *state = State::Alive(actor);
            }
            Err(why) => {
                note::ended(strand.number, Some(why.kind()));
                self.end(state, strand, ActorEnd::NotMade(why.through(strand.call)));
            }
        }
        promise.complete(Ok(()));
    }

    /// Makes the actor once more after a crash.
    fn begin_anew(&mut self, state: &mut State<A>, strand: &Strand<A>) {
        let promise = self.birth.begin(strand.call);
        let Some(supervised) = &mut self.supervised else {
            unreachable!("an actor that is not to be made anew ends when it crashes")
        };
        strand.count_restart(supervised.restarts.count());
        let had_saved = supervised.saved.is_some();
        let made = in_constructor(strand, &promise, || {
            let mut actor = make::<A>(A::copy_seed(&supervised.seed))?;
            supervised.restore(&mut actor)?;
            Ok(actor)
        });
        promise.complete(Ok(()));
        match made {
            Ok(actor) => {
                supervised.changes = 0;
                note::step(strand.number, EventKind::ActorRestarted);
                *state = State::Alive(actor);
            }
            Err(why) => {
                // Without what was saved it would begin with less than it had.
                let lost = had_saved && supervised.saved.is_none();
                self.crash(state, strand, why.through(strand.call), !lost);
            }
        }
    }

    /// The actor failed: its state is dropped, and it is made anew if there is a restart left and it `may`,
    /// else it ends. True: it is made anew.
    pub(super) fn crash(
        &mut self,
        state: &mut State<A>,
        strand: &Strand<A>,
        why: Error,
        may: bool,
    ) -> bool {
        let restarts = self.supervised.as_mut().map(|supervised| &mut supervised.restarts);
        let before = restarts.as_ref().map_or(0, |restarts| restarts.count());
        let again = may && restarts.is_some_and(|restarts| restarts.take(Instant::now()));
        if again {
            let state = std::mem::replace(state, State::Crashed);
            strand.drop_as_task(&self.birth, strand.cpus(), state);
        } else {
            self.end(state, strand, ActorEnd::Crashed { error: why, restarts: before });
        }
        again
    }

    /// A call that may have changed the state has returned: saves that, if it is time to.
    pub(super) fn changed(&mut self, actor: &A) -> Result<()> {
        match self.supervised.as_mut().filter(|_| A::SAVES) {
            Some(supervised) => supervised.changed(actor),
            None => Ok(()),
        }
    }

    /// Ends the actor, if it has not ended, and drops its state.
    pub(super) fn end(&mut self, state: &mut State<A>, strand: &Strand<A>, how: ActorEnd) {
        if matches!(state, State::Ended) {
            return;
        }
        let how = strand.ends(how);
        if let State::Alive(actor) = &*state {
            actor.ends(how);
        }
        let state = std::mem::replace(state, State::Ended);
        // A turn that ends the actor is granted no more.
        strand.drop_as_task(&self.birth, Millis::ONE, state);
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
    let task = Task::new(promise.task(), strand.call, strand.cpus(), actor);
    current::in_task(task, run)
}

/// What is done of what there is to do beside calls.
enum Attended {
    All,
    Part,
    /// It has to wait for readers, and the turn is another's.
    Parked,
}

impl<A: Life> Strand<A> {
    /// What it has as an actor that computes.
    pub(super) fn computing(&self) -> &Turn<A> {
        // SAFETY: it is borrowed otherwise only before anybody knows the strand. Its parts are cells.
        unsafe { &*self.turn.get() }
    }

    pub(super) fn readers(&self) -> Option<&Readers> {
        self.computing().readers.as_deref()
    }

    /// Puts the strand into the pool's queue, with its turn for whoever finds it there.
    fn put_into_queue(&self, side: Side) {
        let put = |local: &Arc<Local>| match side {
            Side::Front => local.schedule(self.entry()),
            Side::Back => local.schedule_last(self.entry()),
        };
        // As soon as the entry is there, somebody may have had the last turn, and the strand be gone. So the runtime
        // is to be held otherwise; most often it is this thread's.
        let own = &self.local;
        let cpus = self.cpus();
        if cpus < Millis::ONE {
            // While a guest is there the runtime does not end, or it has closed before, which shows.
            let guest = Guest::of(own);
            if !guest.local().pool().is_closed() {
                return grant::queue(guest.local(), self.entry(), cpus, 0);
            }
        }
        let here =
            |local: Option<&Arc<Local>>| local.filter(|local| Arc::ptr_eq(local, own)).map(put);
        let scheduled = default::with_current_if_any(here);
        scheduled.unwrap_or_else(|| put(&Arc::clone(own))).now();
    }

    /// Runs up to `calls_max` calls, until this one is complete.
    ///
    /// # Safety
    /// The caller has the turn.
    #[inline]
    unsafe fn run_calls(&self, calls_max: usize, until: Option<&AnyRef>) -> Left {
        let mut left = calls_max;
        while left > 0 {
            left -= 1;
            // SAFETY: the turn is ours. References into it and the state end before a call runs, because the
            // call makes its own: see `method.rs`.
            match unsafe { self.attend() } {
                Attended::All => {}
                Attended::Part => continue,
                Attended::Parked => return Left::Nothing,
            }
            // SAFETY: the turn is ours.
            match unsafe { self.has_next() } {
                Settled::Not => {}
                Settled::Closed { releases: true } => return Left::Closed,
                Settled::Closed { .. } | Settled::Idle => return Left::Nothing,
            }
            // SAFETY: as above.
            if until.is_some_and(|call| call.is_complete() || unsafe { self.reads_another(call) }) {
                return Left::More;
            }
            // SAFETY: as above.
            if !unsafe { self.run_next() } {
                return Left::Nothing;
            }
        }
        Left::More
    }

    /// Sees to what changes the state beside calls.
    ///
    /// # Safety
    /// The caller has the turn.
    #[inline]
    unsafe fn attend(&self) -> Attended {
        // SAFETY: the turn's holder may read the state.
        let state = unsafe { &*self.computing().state.get() };
        let lives = match state {
            State::Alive(actor) => !A::AWAY || actor.lost().is_none(),
            _ => false,
        };
        let calm = self.end.get().is_none() && lives;
        if (calm && !self.has_crash()) || matches!(state, State::Ended) {
            return Attended::All;
        }
        if self.park(Until::Alone) {
            return Attended::Parked;
        }
        // SAFETY: the turn is ours, and there are no readers.
        let state = unsafe { &mut *self.computing().state.get() };
        // SAFETY: the turn is ours.
        match unsafe { &mut *self.computing().hold.get() }.change(state, self) {
            true => Attended::All,
            false => Attended::Part,
        }
    }

    /// Whether there is something to do, or else what became of the turn.
    ///
    /// # Safety
    /// The caller has the turn.
    #[inline]
    unsafe fn has_next(&self) -> Settled {
        // SAFETY: by the caller's promise.
        if !unsafe { &*self.computing().hold.get() }.next.is_empty() {
            return Settled::Not;
        }
        // SAFETY: by the caller's promise, and there is none.
        unsafe { self.fetch() }
    }

    /// Takes calls out of the mailbox, or else tells what became of the turn.
    ///
    /// # Safety
    /// The caller has the turn, and has run what it took before.
    unsafe fn fetch(&self) -> Settled {
        // SAFETY: by the caller's promise.
        let next = &mut unsafe { &mut *self.computing().hold.get() }.next;
        // SAFETY: by the caller's promise.
        let state = unsafe { &*self.computing().state.get() };
        let (alive, ended) = (matches!(state, State::Alive(_)), matches!(state, State::Ended));
        next.shrink();
        let settled = self.take_mail(next, ended);
        // Where the turn is over, it may be another's from here on, unless it becomes ours again.
        if settled != Settled::Idle || !alive || !self.is_to_end() || !self.mail.wake() {
            return settled;
        }
        // A call may have come in between, which goes first.
        if !self.mail.has_calls() {
            // A reader's call may be run again.
            if self.park(Until::Alone) {
                return Settled::Idle;
            }
            self.end_without_calls();
        }
        Settled::Not
    }

    /// Whether the next call is a reader, and not this one: that need not wait for it, so whoever waits for this one is not
    /// to run it.
    ///
    /// # Safety
    /// The caller has the turn.
    unsafe fn reads_another(&self, call: &AnyRef) -> bool {
        if self.readers().is_none() {
            return false;
        }
        // SAFETY: by the caller's promise.
        let next = unsafe { &*self.computing().hold.get() }.next.first();
        next.is_some_and(|next| {
            // SAFETY: what is in a mailbox is a task's entry.
            unsafe { Header::of(next) }.is_shared_call() && !call.is_entry(next)
        })
    }

    /// No call can come any more, so the actor is to end. Whoever calls this has the turn.
    fn end_without_calls(&self) {
        // After a reader's crash there is another way to go on.
        if !self.has_crash() {
            // Only the first end counts. The turn sees to it.
            let _ = self.ends(self.end_of_calls());
        }
    }

    /// Runs the next call, if there is one. False: another has the turn.
    ///
    /// # Safety
    /// The caller has the turn.
    #[inline]
    unsafe fn run_next(&self) -> bool {
        // SAFETY: by the caller's promise; the reference ends before a call runs.
        let next = &mut unsafe { &mut *self.computing().hold.get() }.next;
        let Some(entry) = next.pop() else { return true };
        // SAFETY: the turn's holder may read the state.
        let state = unsafe { &*self.computing().state.get() };
        if let (State::Alive(_), Some(readers)) = (state, self.readers()) {
            // SAFETY: what is in a mailbox is a task's entry.
            if unsafe { Header::of(&entry) }.is_shared_call() {
                if readers.enter() {
                    self.count_begun(next.len());
                    // SAFETY: by the caller's promise.
                    unsafe { self.pass_on(readers) };
                    entry.execute();
                    return readers.leave();
                }
                next.push_front(entry);
                return !readers.park(Until::Place);
            }
            next.push_front(entry);
            if readers.park(Until::Alone) {
                return false;
            }
            // The last of them may have crashed the actor, and comes first then.
            if readers.has_crashed() {
                return true;
            }
            let entry = next.pop();
            self.count_begun(next.len());
            entry.into_iter().for_each(Entry::execute);
            return true;
        }
        self.count_begun(next.len());
        match state {
            State::Ended => self.abandon_call(entry),
            _ => entry.execute(),
        }
        true
    }

    /// A call leaves the mailbox, in which so many are left of those that were taken with it.
    fn count_begun(&self, left: usize) {
        let begun = self.batch.size.load(Ordering::Relaxed).saturating_sub(left);
        self.batch.begun.store(begun, Ordering::Relaxed);
        if let Some(room) = self.room() {
            room.leave();
        }
    }

    /// Gives the turn up, for the caller is about to read: to whoever is next, or to nobody where there is
    /// nothing to do.
    ///
    /// # Safety
    /// The caller has the turn, and has entered.
    unsafe fn pass_on(&self, readers: &Readers) {
        // SAFETY: by the caller's promise.
        if unsafe { self.has_next() } == Settled::Not && !readers.park(Until::Place) {
            self.queue();
        }
    }

    /// True: there are readers, and the turn is parked until they are done.
    fn park(&self, until: Until) -> bool {
        self.readers().is_some_and(|readers| readers.park(until))
    }

    fn has_crash(&self) -> bool {
        self.readers().is_some_and(Readers::has_crashed)
    }
}
