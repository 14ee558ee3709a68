//! The actors that live, so that a runtime that ends can end them, and the way from an actor's id to its
//! handle.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use dashmap::DashMap;
use uuid::Uuid;

use crate::error::{Error, ErrorKind};
use crate::function::Call;
use crate::local::cell::AnyRef;

/// An actor of any type.
pub(crate) trait Living: Send + Sync {
    /// Ends the actor after the calls that run now.
    fn end_at_once(self: Arc<Self>, why: Error);
    /// Its name and where it was started.
    fn call(&self) -> Call;
    /// See [`HeldBack::missing_before`](crate::local::held_back::HeldBack::missing_before).
    fn missing_before(&self, call: usize) -> Option<Vec<AnyRef>>;
    /// Its beginning, if that had to wait for arguments.
    fn birth(&self) -> Option<AnyRef>;
    /// How many calls are before this one in the mailbox, beside the one that runs.
    fn ahead(&self, call: &AnyRef) -> Option<usize>;
}

/// The actors of one runtime, by their addresses.
#[derive(Default)]
pub(crate) struct Actors(Mutex<HashMap<usize, Weak<dyn Living>>>);

impl Actors {
    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Weak<dyn Living>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, address: usize, actor: Weak<dyn Living>) {
        self.lock().insert(address, actor);
    }

    pub(crate) fn find(&self, address: usize) -> Option<Arc<dyn Living>> {
        self.lock().get(&address)?.upgrade()
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

/// The actors whose handles were serialized: weak refs of their own types, by id.
static FINDABLE: LazyLock<DashMap<Uuid, Box<dyn Any + Send + Sync>>> = LazyLock::new(DashMap::new);

/// An actor's id, made when somebody asks, and forgotten when the actor goes.
#[derive(Default)]
pub(crate) struct Identity(OnceLock<Uuid>);

impl Identity {
    /// The id; from now on `find` gives what `weak` makes.
    pub(crate) fn findable<W: Any + Send + Sync>(&self, weak: impl FnOnce() -> W) -> Uuid {
        *self.0.get_or_init(|| {
            let id = Uuid::new_v4();
            FINDABLE.insert(id, Box::new(weak()));
            id
        })
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.0.get().map(|id| FINDABLE.remove(id));
    }
}

/// What was made findable under that id, if it is a `W` and `upgrade` can use it.
pub(crate) fn find<W: Any, H>(id: Uuid, upgrade: impl FnOnce(&W) -> Option<H>) -> Option<H> {
    let found = FINDABLE.get(&id)?;
    upgrade(found.downcast_ref::<W>()?)
}
