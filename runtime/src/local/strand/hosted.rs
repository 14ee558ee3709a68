//! Actors that wait. Such an actor is a strand like any other (`strand.rs`): the same mailbox, handles, names
//! and ends. But it has its turns on the thread of an arbiter, and what is done in them may wait:
//!
//! - A call is polled at once, in the turn. One that is done by then, as most are, is complete: no task was
//!   made for it, and nobody woken.
//! - A `&self` call that has to wait becomes a task of the arbiter, and is *under way*; the turn goes on
//!   without it. So `&self` calls interleave at their awaits, up to `max_concurrency`.
//! - A `&mut self` call begins when none is under way. If it has to wait, it takes the turn with it, and gives
//!   it back at its end. So does a constructor.
//! - A turn that cannot go on before a call under way ends is *held*: it is left to whichever ends next.
//!
//! | the turn is  | whose                                        | what lets it go on                           |
//! |--------------|----------------------------------------------|----------------------------------------------|
//! | idle         | nobody's: the mailbox says IDLE              | a call, or a nudge, which queues the strand  |
//! | queued       | the arbiter's                                | the arbiter                                  |
//! | taken        | the thread's that is in `take`               |                                              |
//! | given away   | a `&mut self` call's, or a constructor's     | its end                                      |
//! | held         | nobody's: [`UnderWay`] says HELD             | the end of a call that is under way, or a    |
//! |              |                                              | `kill`, where calls can be taken back        |
//!
//! H1. The state is borrowed by calls under way and by the call that runs, and by nothing else. It is dropped,
//!     or put in another's place, only in a turn, when none is under way.
//! H2. A turn is held only while a call is under way, and the end of that call takes it, or who ends the actor, in
//!     one step on one word.
//! H3. Calls run on the arbiter's thread only. Where the arbiter has stopped, whoever would have queued the
//!     strand takes its turn, and all that is left to do is to fail the calls.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::local::Local;
use crate::local::arbiter::Home;
use crate::local::counted::Counted;
use crate::local::current;
use crate::local::life::{ActorEnd, Life, Terms};
use crate::local::place::Place;
use crate::local::pool::Guest;
use crate::local::queue::Entry;
use crate::local::strand::birth::Birth;
use crate::local::strand::turn::Supervised;
use crate::local::strand::{CALLS_PER_TURN, Kind, Left, Side, Strand, StrandHandle};

mod call;
mod turn;
mod under_way;

pub(crate) use self::call::Call;
pub use self::call::{Body, Borrowing};
use self::under_way::UnderWay;

/// An actor that waits.
pub(crate) type Hosted<A> = Strand<A, Waits<A>>;
/// A counted handle of one.
pub(crate) type HostedHandle<A> = StrandHandle<A, Waits<A>>;

/// What belongs to the turn of an actor that waits.
pub(crate) struct Waits<A: Life> {
    state: State<A>,
    /// Calls taken out of the mailbox, in order.
    next: VecDeque<Entry>,
    birth: Birth,
    supervised: Option<Box<Supervised<A>>>,
    concurrency: usize,
    /// Whether the call that ran last took the turn with it.
    given_away: bool,
    /// Whether the first call waits for those under way to end.
    lets_end: bool,
    /// How many calls have begun.
    begun: u64,
    /// Whether those that had not begun elsewhere were taken back.
    took_back: bool,
}

enum State<A: Life> {
    /// What it is to be made from; None: a copy of what is kept for restarts.
    Unborn(Option<A::Seed>),
    Alive(Arc<StateCell<A>>),
    /// It is being made, for the first time or `anew`.
    Making {
        anew: bool,
    },
    /// It is to be made anew.
    Crashed,
    Ended,
}

/// The state, in its place for as long as a call borrows it (H1).
struct StateCell<A>(UnsafeCell<A>);

// SAFETY: it is borrowed on the arbiter's thread only, and dropped when nothing borrows it (H1, H3).
unsafe impl<A: Send> Send for StateCell<A> {}
// SAFETY: as above.
unsafe impl<A: Send> Sync for StateCell<A> {}

impl<A> StateCell<A> {
    fn new(state: A) -> Arc<Self> {
        Arc::new(Self(UnsafeCell::new(state)))
    }

    /// # Safety
    /// Nobody borrows it alone for as long as the borrow is used (H1).
    unsafe fn shared<'a>(&self) -> &'a A {
        // SAFETY: by the caller's promise.
        unsafe { &*self.0.get() }
    }

    /// # Safety
    /// Nobody else borrows it for as long as the borrow is used (H1).
    unsafe fn alone<'a>(&self) -> &'a mut A {
        // SAFETY: by the caller's promise.
        unsafe { &mut *self.0.get() }
    }
}

/// What the turn shares with the calls that are under way.
pub(crate) struct Aside {
    home: Arc<Home>,
    under_way: UnderWay,
    /// Whether there are crashes that no turn has seen.
    crashed: AtomicBool,
    crashes: Mutex<Vec<Crash>>,
}

/// A call that panicked, or that could not begin because the state was lost elsewhere.
struct Crash {
    /// Its number among the calls that have begun here.
    number: u64,
    why: Error,
    /// Told whether the actor is made anew, gives the call for another try, if it gets one; else fails it.
    then: Box<dyn FnOnce(bool) -> Option<Entry> + Send>,
}

impl Aside {
    fn add_crash(&self, crash: Crash) {
        self.crashes.lock().unwrap_or_else(PoisonError::into_inner).push(crash);
        // Release: pairs with `has_crashed`.
        self.crashed.store(true, Ordering::Release);
    }

    fn has_crashed(&self) -> bool {
        // Acquire: pairs with `add_crash`.
        self.crashed.load(Ordering::Acquire)
    }

    fn take_crashes(&self) -> Vec<Crash> {
        self.crashed.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.crashes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<A: Life> Kind<A> for Waits<A> {
    type Aside = Aside;
    const IN_ORDER: bool = false;
    const OFFERS: bool = false;

    fn new(seed: A::Seed, terms: Option<&Terms>, place: Place) -> Self {
        let (seed, supervised) = Supervised::of(seed, terms);
        let concurrency = terms.and_then(|terms| terms.max_concurrency).unwrap_or(A::CONCURRENCY);
        Self {
            state: State::Unborn(seed),
            next: VecDeque::new(),
            birth: Birth::new(place),
            supervised,
            concurrency: concurrency as usize,
            given_away: false,
            lets_end: false,
            begun: 0,
            took_back: false,
        }
    }

    fn aside(local: &Arc<Local>) -> Aside {
        Aside {
            home: local.arbiters().pick(),
            under_way: UnderWay::default(),
            crashed: AtomicBool::new(false),
            crashes: Mutex::default(),
        }
    }

    fn birth(&mut self) -> &mut Birth {
        &mut self.birth
    }

    fn queue(strand: &Hosted<A>, _: Side) {
        let home = Arc::clone(&strand.aside.home);
        let queued = Queued { guest: Guest::of(&strand.local), strand: Some(strand.to_counted()) };
        home.run(move || queued.take_turn());
    }

    fn queue_posted(strand: &Hosted<A>) {
        Self::queue(strand, Side::Front);
    }

    unsafe fn take(strand: &Hosted<A>, calls_max: usize) -> Left {
        // SAFETY: by the caller's promise.
        unsafe { strand.take_turn_or_leave(calls_max) }
    }

    fn hurry(strand: &Hosted<A>) {
        if A::LASTS && strand.aside.under_way.take_held() {
            Self::queue(strand, Side::Front);
        }
    }

    fn arbiter(aside: &Aside) -> Option<usize> {
        Some(aside.home.number())
    }
}

/// A strand on its way to its arbiter. Dropped there, or where the arbiter has stopped, its actor ends.
struct Queued<A: Life> {
    strand: Option<Counted<Hosted<A>>>,
    guest: Guest,
}

impl<A: Life> Queued<A> {
    fn take_turn(mut self) {
        if let Some(strand) = self.strand.take() {
            let _entered = current::enter(Arc::clone(self.guest.local()));
            strand.have_turn();
        }
    }
}

impl<A: Life> Drop for Queued<A> {
    fn drop(&mut self) {
        if let Some(strand) = self.strand.take() {
            let _ = strand.end.set(Box::new(ActorEnd::ShutDown));
            // SAFETY: a strand on its way has its turn with it.
            let left = unsafe { Waits::take(&strand, usize::MAX) };
            debug_assert!(!matches!(left, Left::More), "a turn without bound leaves nothing");
        }
    }
}

/// The turn as it comes back from what took it along, or was held for: goes on on this thread.
fn go_on<A: Life>(strand: &Hosted<A>) {
    let _entered = current::enter(Arc::clone(&strand.local));
    strand.have_turn();
}

impl<A: Life> Hosted<A> {
    /// Has the turn, which is the caller's, for a while.
    fn have_turn(&self) {
        // SAFETY: only who has the turn calls this.
        if let Left::More = unsafe { Waits::take(self, CALLS_PER_TURN) } {
            Waits::queue(self, Side::Back);
        }
    }
}
