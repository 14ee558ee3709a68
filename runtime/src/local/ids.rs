//! Ids of objects, made when somebody asks, and the way back from an id to its object.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use uuid::Uuid;

use crate::local::abroad;
use crate::local::cell::{AnyRef, WeakRef};

/// The objects that were serialized: only those can be asked for by their id.
static FINDABLE: LazyLock<DashMap<Uuid, WeakRef>> = LazyLock::new(DashMap::new);

pub(crate) fn id_of(any: &AnyRef) -> Uuid {
    let of_task = || abroad::home().and_then(|home| home.task_id(any));
    *any.extra().id.get_or_init(|| of_task().unwrap_or_else(Uuid::new_v4))
}

/// Makes the object findable by its id, as long as it has a ref. An object of that id that has none, and waits for a
/// value for nobody, is not found any more.
pub(crate) fn make_findable(any: &AnyRef) -> Uuid {
    let id = id_of(any);
    match FINDABLE.entry(id) {
        Entry::Occupied(mut before) if before.get().is_unheld() => {
            before.insert(any.make_findable());
        }
        Entry::Occupied(_) => {}
        Entry::Vacant(place) => {
            place.insert(any.make_findable());
        }
    }
    id
}

/// To look for an object of an id and to make one if there is none, or to end one that has no ref, is one thread's at a
/// time.
pub(crate) fn making() -> MutexGuard<'static, ()> {
    static MAKING: Mutex<()> = Mutex::new(());
    MAKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The object of that id, if it still has a ref.
pub(crate) fn find(id: Uuid) -> Option<AnyRef> {
    // The entry's lock keeps `forget`, and with it the end of the cell, waiting.
    FINDABLE.get(&id)?.upgrade()
}

/// Whether the object of that id still exists.
pub(crate) fn is_there(id: &Uuid) -> bool {
    FINDABLE.contains_key(id)
}

/// Lets the object of that id not be found any more, if nobody has a ref to it. The cell lives.
pub(crate) fn forget_if_unheld(id: &Uuid) -> bool {
    // Under the entry's lock nobody makes a ref from it.
    FINDABLE.remove_if(id, |_, weak| weak.is_unheld()).is_some()
}

/// Lets the object of that id not be found any more, if the caller's ref to it is the only one.
pub(super) fn hide_if_sole(id: &Uuid) -> bool {
    // As in `forget_if_unheld`.
    let hidden = FINDABLE.remove_if(id, |_, weak| weak.hide_if_sole()).is_some();
    if hidden {
        let_go(id);
    }
    hidden
}

/// The object of that id is about to go. Another may have the id by now.
pub(super) fn forget(id: &Uuid, is_it: impl Fn(&WeakRef) -> bool) {
    if FINDABLE.remove_if(id, |_, weak| is_it(weak)).is_some() {
        let_go(id);
    }
}

fn let_go(id: &Uuid) {
    if let Some(home) = abroad::home() {
        home.let_go(id);
    }
}
