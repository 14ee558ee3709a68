//! The `&self` calls of an actor that run side by side, where it has `max_concurrency`.
//!
//! Whoever has the turn lets a reader in, passes the turn on, and then runs the reader's call itself. It
//! cannot go on where there is no place for one more reader, or where it has a `&mut self` call, a crash or
//! an end, which want the state alone. Then it *parks* the turn: it is nobody's until a reader leaves that
//! makes what is wanted true, and that one has it from there.
//!
//! | `word`         | the turn                                                               |
//! |----------------|------------------------------------------------------------------------|
//! | count          | is somebody's, or is offered, or there is no call; so many readers run |
//! | count + FULL   | is parked; the next reader to leave takes it                           |
//! | count + ALONE  | is parked; the last reader to leave takes it                           |
//!
//! A reader that panics notes the crash and leaves. The turn's holder sees to it when none is left: then the calls that
//! are run again come before all that have not begun.
//!
//! Only the turn's holder counts up, and only readers count down. Parking and leaving are one atomic step
//! each, so either the holder sees that the reader has left, or the reader sees that the turn is parked.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::local::actors::Reading;
use crate::local::cell::RunningTask;
use crate::local::queue::Entry;
use crate::local::sync::{AtomicU64, Ordering};

const FULL: u64 = 1 << 40;
const ALONE: u64 = 1 << 41;
const COUNT: u64 = FULL - 1;

pub(super) struct Readers {
    max: u64,
    word: AtomicU64,
    /// Their calls, which are running as long as they are here.
    running: Mutex<Vec<RunningTask>>,
    /// That one or several crashed the actor, until the turn sees to that.
    crash: Mutex<Option<Crash>>,
    crashed: AtomicBool,
}

/// Readers have crashed the actor, together.
pub(super) struct Crash {
    /// Why the first did.
    pub(super) why: Error,
    /// Their calls that are run again, before all that have not begun. They ran side by side, so they have no order among
    /// themselves.
    pub(super) again: Vec<Entry>,
}

/// What a parked turn waits for.
#[derive(Clone, Copy)]
pub(super) enum Until {
    /// A place for one more reader.
    Place,
    /// That no reader is left.
    Alone,
}

impl Readers {
    pub(super) fn new(max: u32) -> Self {
        let (running, crash) = Default::default();
        Self {
            max: max.into(),
            word: AtomicU64::new(0),
            running,
            crash,
            crashed: AtomicBool::new(false),
        }
    }

    /// The turn's holder lets one more in. False: there are as many as may be.
    pub(super) fn enter(&self) -> bool {
        // Relaxed: whoever has the turn has seen all that entered, and the others only leave.
        let enters = self.word.load(Ordering::Relaxed) < self.max;
        if enters {
            self.word.fetch_add(1, Ordering::Relaxed);
        }
        enters
    }

    /// The turn's holder wants to wait. True: the turn is parked, and not the caller's any more; false: there
    /// is nothing to wait for.
    #[must_use]
    pub(super) fn park(&self, until: Until) -> bool {
        let (enough, flag) = match until {
            Until::Place => (self.max - 1, FULL),
            Until::Alone => (0, ALONE),
        };
        // Acquire, here and below: pairs with `leave`, whose reader has done with the state.
        let mut now = self.word.load(Ordering::Acquire);
        while now > enough {
            // Release: the reader that takes the turn sees what the caller did in it.
            match self.word.compare_exchange_weak(
                now,
                now | flag,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return true,
                Err(seen) => now = seen,
            }
        }
        false
    }

    /// A reader is done. True: the turn was parked, and is the caller's now.
    #[must_use]
    pub(super) fn leave(&self) -> bool {
        let mut now = self.word.load(Ordering::Relaxed);
        loop {
            let left = (now & COUNT) - 1;
            let takes = now & FULL != 0 || (now & ALONE != 0 && left == 0);
            let next = if takes { left } else { (now & !COUNT) | left };
            // AcqRel: pairs with `park`, both ways.
            match self.word.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return takes,
                Err(seen) => now = seen,
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, Vec<RunningTask>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call that runs, until `forget`.
    pub(super) fn note(&self, call: RunningTask) {
        self.running().push(call);
    }

    /// The call is about to be complete.
    pub(super) fn forget(&self, call: RunningTask) {
        let mut running = self.running();
        if let Some(place) = running.iter().position(|other| other.address() == call.address()) {
            running.swap_remove(place);
        }
    }

    /// What a parked turn waits for; None: it is not parked. `all`: what the actor's end waits for.
    pub(super) fn reading(&self, all: bool) -> Option<Reading> {
        let running = self.running();
        let all = match self.word.load(Ordering::Acquire) & !COUNT {
            _ if all => true,
            0 => return None,
            flags => flags & ALONE != 0,
        };
        if running.is_empty() {
            return None;
        }
        // SAFETY: a call leaves the list before it is complete, and we hold the lock.
        let calls = running.iter().map(|call| unsafe { call.to_ref() }).collect();
        Some(Reading { calls, all })
    }

    fn crash(&self) -> MutexGuard<'_, Option<Crash>> {
        self.crash.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader has crashed the actor.
    pub(super) fn set_crash(&self, why: Error) {
        self.crash().get_or_insert(Crash { why, again: Vec::new() });
        // SeqCst: the turn looks for it as for what a nudge is about.
        self.crashed.store(true, Ordering::SeqCst);
    }

    /// The call of that reader, which has not left, so nobody has taken the crash, is run again.
    pub(super) fn run_again(&self, call: Entry) {
        self.crash().as_mut().expect("it has crashed the actor").again.push(call);
    }

    pub(super) fn has_crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst)
    }

    /// The turn's holder sees to it, when there are no readers.
    pub(super) fn take_crash(&self) -> Option<Crash> {
        self.crashed.store(false, Ordering::SeqCst);
        self.crash().take()
    }
}

/// The protocol under every order of its steps.
#[cfg(all(test, mobula_loom))]
mod loom_tests {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    use super::{Readers, Until};

    struct Actor {
        readers: Readers,
        state: UnsafeCell<u32>,
    }

    impl Actor {
        fn read(&self) {
            self.state.with(|state| {
                // SAFETY: loom checks that nobody writes meanwhile.
                let _ = unsafe { *state };
            });
        }

        fn write(&self) {
            self.state.with_mut(|state| {
                // SAFETY: loom checks that nobody else is at it.
                unsafe { *state += 1 };
            });
        }
    }

    /// Two readers and a writer: the turn is parked or not, and exactly one party writes, alone.
    #[test]
    fn loom_a_writer_is_alone() {
        loom::model(|| {
            let actor = Arc::new(Actor { readers: Readers::new(2), state: UnsafeCell::new(0) });
            assert!(actor.readers.enter() && actor.readers.enter() && !actor.readers.enter());
            let read = |actor: Arc<Actor>| {
                move || {
                    actor.read();
                    let takes = actor.readers.leave();
                    if takes {
                        actor.write();
                    }
                    takes
                }
            };
            let threads = [thread::spawn(read(actor.clone())), thread::spawn(read(actor.clone()))];
            let parked = actor.readers.park(Until::Alone);
            if !parked {
                actor.write();
            }
            let taken = threads.into_iter().map(|thread| thread.join().unwrap());
            assert_eq!(taken.filter(|&takes| takes).count(), usize::from(parked));
            actor.state.with(|state| {
                // SAFETY: all have ended.
                assert_eq!(unsafe { *state }, 1);
            });
        });
    }

    /// Where all places are taken, the turn goes to the first that leaves, and to no other.
    #[test]
    fn loom_a_place_is_waited_for_once() {
        loom::model(|| {
            let actor = Arc::new(Actor { readers: Readers::new(2), state: UnsafeCell::new(0) });
            assert!(actor.readers.enter() && actor.readers.enter());
            let leave = |actor: Arc<Actor>| {
                move || {
                    let takes = actor.readers.leave();
                    if takes {
                        assert!(actor.readers.enter());
                        assert!(!actor.readers.leave());
                    }
                    takes
                }
            };
            let threads =
                [thread::spawn(leave(actor.clone())), thread::spawn(leave(actor.clone()))];
            let parked = actor.readers.park(Until::Place);
            if !parked {
                assert!(actor.readers.enter());
                assert!(!actor.readers.leave());
            }
            let taken = threads.into_iter().map(|thread| thread.join().unwrap());
            assert_eq!(taken.filter(|&takes| takes).count(), usize::from(parked));
        });
    }
}
