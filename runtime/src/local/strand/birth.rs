//! The call of an actor's constructor: where it stands in the tree of calls, and who is told that it is done. As such a
//! call its state is dropped, too.

use crate::function::Call;
use crate::local::caller::Origin;
use crate::local::cell::{AnyRef, Promise, Ref};
use crate::local::place::Place;
use crate::random::Pool;

/// Behind all that a constructor calls.
const ENDING: u64 = u64::MAX;

pub(crate) struct Birth {
    /// A restart draws the same random numbers.
    place: Place,
    /// Tells that the actor has begun, where somebody may ask.
    promise: Option<Promise<()>>,
}

impl Birth {
    pub(super) fn new(place: Place) -> Self {
        Self { place, promise: None }
    }

    /// What completes when the actor has begun, or has ended without; `home`: of its runtime, in which it may have to
    /// wait for resources.
    pub(super) fn announce(&mut self, call: Call, home: usize) -> AnyRef {
        let (birth, promise) = self.task(call, home);
        self.promise = Some(promise);
        birth.into_any()
    }

    /// The constructor's call, as the task that is to run now.
    pub(super) fn begin(&mut self, call: Call) -> Promise<()> {
        self.promise.take().unwrap_or_else(|| self.task(call, 0).1)
    }

    /// The call as which the state is dropped. It draws other random numbers than the constructor.
    pub(super) fn ending(&self, call: Call, root: &Pool) -> Promise<()> {
        let place = self.place.child(ENDING, root);
        Self { place, promise: None }.task(call, 0).1
    }

    /// The actor has ended: nobody need wait for it to begin.
    pub(super) fn give_up(&mut self) {
        if let Some(promise) = self.promise.take() {
            promise.complete(Ok(()));
        }
    }

    fn task(&self, call: Call, home: usize) -> (Ref<()>, Promise<()>) {
        let origin = Origin { place: self.place.clone(), ..Origin::NONE };
        Ref::birth(origin, call, home)
    }
}
