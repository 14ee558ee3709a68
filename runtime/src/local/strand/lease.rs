//! What an actor has for its life: the resources that it asked for at its start.
//!
//! It waits for them before it begins, in the line in which tasks wait (`request.rs`), and meanwhile it is as one whose
//! arguments are missing: in no queue, its calls in its mailbox. They go back when it has ended, whatever ended it; a
//! restart keeps them.
//!
//! | the actor                      | its place in the line | `unqueued` | the claim                            |
//! |--------------------------------|-----------------------|------------|--------------------------------------|
//! | waits for its arguments        | none yet              | true       | has taken nothing                    |
//! | waits for its resources        | there                 | true       | has taken nothing                    |
//! | lives                          | none any more         | false      | has taken them                       |
//! | is ended while it waits        | given up by that      | false      | has taken nothing, or gives it back  |
//! | has ended                      | none                  | false      | gone, and what it took with it       |
//!
//! Whoever sets `unqueued` back gives the strand its first turn: who gives it its resources, or who ends it. The latter
//! writes the end down and then looks into the line; who enters the line looks for an end after that. So nothing that
//! has ended stays there, where it would keep others waiting.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{Kind, Strand};
use crate::local::Local;
use crate::local::actors::Living as _;
use crate::local::cell::AnyRef;
use crate::local::life::{Life, Terms};
use crate::local::request::Claim;

/// Of an actor that asked for resources.
pub(super) struct Lease {
    /// None: the actor has ended.
    claim: Mutex<Option<Arc<Claim>>>,
    /// Completes when the actor has ended: as that it holds what it has.
    life: OnceLock<AnyRef>,
}

impl Lease {
    /// None: nothing was asked for.
    pub(super) fn of(terms: &Terms, local: &Arc<Local>) -> Option<Box<Self>> {
        let claim = || Claim::of_actor(terms.resources.clone(), local);
        let lease = || Self { claim: Mutex::new(Some(claim())), life: OnceLock::new() };
        (!terms.resources.is_empty()).then(|| Box::new(lease()))
    }

    fn claim(&self) -> Option<Arc<Claim>> {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The actor has ended.
    pub(super) fn give_back(&self) {
        let claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Without the lock: others may now begin.
        drop(claim);
    }
}

impl<A: Life, T: Kind<A>> Strand<A, T> {
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.asked.as_ref()?.lease.as_deref()
    }

    /// Its arguments are there: lets the actor begin once it has its resources, too.
    pub(super) fn take_resources(&self) {
        let Some(lease) = self.lease() else { return self.queue_first() };
        // None: it was ended before.
        if let (Some(claim), Some(birth)) = (lease.claim(), self.birth()) {
            let life = lease.life.get_or_init(|| self.tell_at_end(self.call, |_| ()).into_any());
            let actor = self.to_counted().of_any_type();
            claim.queue_actor(actor, birth, life.clone());
            if self.end.get().is_some() {
                claim.leave_line();
            }
        }
    }

    /// The actor's end is written down: it waits for no resources.
    pub(super) fn leave_line(&self) {
        if let Some(claim) = self.lease().and_then(Lease::claim) {
            claim.leave_line();
        }
    }

    /// Whether this is the cell as which the actor holds what it has.
    pub(super) fn is_life(&self, cell: usize) -> bool {
        let life = self.lease().and_then(|lease| lease.life.get());
        life.is_some_and(|life| life.address() == cell)
    }
}

/// Entering the line, coming to its head and being ended, under every order of their steps.
///
/// This is a model: the same steps by the same means, but a claim is a flag, and a first turn is only counted.
#[cfg(all(test, mobula_loom))]
mod loom_tests {
    use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    struct Counter {
        free: usize,
        in_line: bool,
        taken: bool,
    }

    struct Model {
        counter: Mutex<Counter>,
        end: AtomicBool,
        unqueued: AtomicBool,
        turns: AtomicUsize,
    }

    impl Model {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                counter: Mutex::new(Counter { free: 0, in_line: false, taken: false }),
                end: AtomicBool::new(false),
                unqueued: AtomicBool::new(true),
                turns: AtomicUsize::new(0),
            })
        }

        fn queue_first(&self) {
            if self.unqueued.swap(false, Ordering::AcqRel) {
                self.turns.fetch_add(1, Ordering::Relaxed);
            }
        }

        fn leave_line(&self) {
            self.counter.lock().unwrap().in_line = false;
        }

        fn take_resources(&self) {
            let mut counter = self.counter.lock().unwrap();
            let takes = counter.free > 0;
            if takes {
                (counter.free, counter.taken) = (0, true);
            } else {
                counter.in_line = true;
            }
            drop(counter);
            if takes {
                self.queue_first();
            }
            if self.end.load(Ordering::Acquire) {
                self.leave_line();
            }
        }

        /// Another gives back what it had.
        fn give_back(&self) {
            let mut counter = self.counter.lock().unwrap();
            counter.free = 1;
            let admits = std::mem::take(&mut counter.in_line);
            if admits {
                (counter.free, counter.taken) = (0, true);
            }
            drop(counter);
            if admits {
                self.queue_first();
            }
        }

        fn kill(&self) {
            self.end.store(true, Ordering::Release);
            self.leave_line();
            self.queue_first();
        }
    }

    #[test]
    fn loom_what_has_ended_is_in_no_line() {
        loom::model(|| {
            let model = Model::new();
            let (enters, gives) = (Arc::clone(&model), Arc::clone(&model));
            let enters = thread::spawn(move || enters.take_resources());
            let gives = thread::spawn(move || gives.give_back());
            model.kill();
            enters.join().unwrap();
            gives.join().unwrap();
            let Counter { free, in_line, taken } = *model.counter.lock().unwrap();
            assert!(!in_line, "nobody waits behind it");
            assert_eq!(free + usize::from(taken), 1, "it is free, or goes back with the claim");
            assert_eq!(model.turns.load(Ordering::Relaxed), 1, "it has one first turn");
        });
    }

    /// Nobody ends it: it begins, with what it asked for.
    #[test]
    fn loom_who_is_in_the_line_begins() {
        loom::model(|| {
            let model = Model::new();
            let gives = Arc::clone(&model);
            let gives = thread::spawn(move || gives.give_back());
            model.take_resources();
            gives.join().unwrap();
            let Counter { in_line, taken, .. } = *model.counter.lock().unwrap();
            assert!(!in_line && taken);
            assert_eq!(model.turns.load(Ordering::Relaxed), 1);
        });
    }
}
