//! Who has the turn of a strand that has calls.
//!
//! | flags | the turn                                                          |
//! |-------|-------------------------------------------------------------------|
//! | READY | is offered: whoever takes the flag has it                         |
//! | (none)| is somebody's; or it is parked (`readers.rs`), or there is no call |
//!
//! ENTRY says that an entry of the strand lies in a queue. Whoever takes it out takes the turn, if that is still
//! offered: a thread that waits for a call may have been there before. So an entry may be stale, and then it
//! serves for the next offer; there is never a second one.

use crate::local::sync::{AtomicU64, Ordering};

const READY: u64 = 1;
const ENTRY: u64 = 2;

pub(super) struct Claim(AtomicU64);

impl Claim {
    /// Of a turn that is the caller's.
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The turn's holder gives it to anybody. True: it puts an entry into a queue, for there is none.
    ///
    /// Release: whoever takes the turn sees what was done in it.
    #[must_use]
    pub(super) fn offer(&self) -> bool {
        self.0.fetch_or(READY | ENTRY, Ordering::Release) & ENTRY == 0
    }

    /// Whoever took an entry out of a queue asks for the turn. Acquire: pairs with `offer`.
    #[must_use]
    pub(super) fn take_by_entry(&self) -> bool {
        self.0.fetch_and(!(READY | ENTRY), Ordering::Acquire) & READY != 0
    }

    pub(super) fn is_offered(&self) -> bool {
        self.0.load(Ordering::Relaxed) & READY != 0
    }

    /// Somebody else asks for it. Acquire: pairs with `offer`.
    #[must_use]
    pub(super) fn take(&self) -> bool {
        self.0.fetch_and(!READY, Ordering::Acquire) & READY != 0
    }
}

/// The protocol under every order of its steps.
#[cfg(all(test, mobula_loom))]
mod loom_tests {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU64, Ordering};
    use loom::thread;

    use super::Claim;

    struct Strand {
        claim: Claim,
        entries: AtomicU64,
        turns: UnsafeCell<u64>,
    }

    impl Strand {
        fn offer(&self) {
            if self.claim.offer() {
                assert_eq!(self.entries.fetch_add(1, Ordering::Release), 0, "one entry at most");
            }
        }

        /// The turn: the first holder offers it once more.
        fn turn(&self) {
            let nth = self.turns.with_mut(|turns| {
                // SAFETY: loom checks that the turn is one party's at a time.
                let turns = unsafe { &mut *turns };
                *turns += 1;
                *turns
            });
            if nth < 2 {
                self.offer();
            }
        }

        /// A thread of the pool.
        fn work(&self) {
            let took = self.entries.compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed);
            if took.is_ok() && self.claim.take_by_entry() {
                self.turn();
            }
        }
    }

    #[test]
    fn loom_each_offer_is_taken_once() {
        loom::model(|| {
            let (claim, turns) = (Claim::new(), UnsafeCell::new(0));
            let strand = Arc::new(Strand { claim, entries: AtomicU64::new(0), turns });
            strand.offer();
            let (waits, works) = (Arc::clone(&strand), Arc::clone(&strand));
            let waits = thread::spawn(move || {
                if waits.claim.take() {
                    waits.turn();
                }
            });
            let works = thread::spawn(move || works.work());
            waits.join().unwrap();
            works.join().unwrap();
            // No offer is lost: as long as one is open, there is an entry.
            while strand.claim.is_offered() {
                assert_eq!(strand.entries.load(Ordering::Acquire), 1);
                strand.work();
            }
            strand.turns.with(|turns| {
                // SAFETY: all have ended.
                assert_eq!(unsafe { *turns }, 2);
            });
        });
    }
}
