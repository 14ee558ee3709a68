//! The actors that live, so that a runtime that ends can end them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::{Error, ErrorKind};

/// An actor of any type, as seen by a runtime that ends.
pub(crate) trait EndAtOnce: Send + Sync {
    /// Ends the actor after the calls that run now.
    fn end_at_once(self: Arc<Self>, why: Error);
}

/// The actors of one runtime, by their addresses.
#[derive(Default)]
pub(crate) struct Actors(Mutex<HashMap<usize, Weak<dyn EndAtOnce>>>);

impl Actors {
    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Weak<dyn EndAtOnce>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, address: usize, actor: Weak<dyn EndAtOnce>) {
        self.lock().insert(address, actor);
    }

    pub(crate) fn remove(&self, address: usize) {
        self.lock().remove(&address);
    }

    /// Ends them all: the runtime shuts down.
    pub(crate) fn end_all(&self) {
        let living: Vec<_> = self.lock().values().filter_map(Weak::upgrade).collect();
        for actor in living {
            actor.end_at_once(Error::new(ErrorKind::ShutDown, "the runtime was shut down"));
        }
    }
}
