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
use crate::local::actors::Living;
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
    pub(super) fn take_resources(self: &Arc<Self>) {
        let Some(lease) = self.lease() else { return self.queue_first() };
        // None: it was ended before.
        if let (Some(claim), Some(birth)) = (lease.claim(), self.birth()) {
            let life = lease.life.get_or_init(|| self.tell_at_end(self.call, |_| ()).into_any());
            let actor = Arc::clone(self) as Arc<dyn Living>;
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
