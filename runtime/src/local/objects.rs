//! The object stores of the runtimes of this process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::config::StoreSettings;
use crate::local::cell::{self, Store};
use crate::store::{self, Files, ObjectInfo};

/// A store outlives its runtime as long as there are objects in it.
static STORES: Mutex<Vec<Weak<Store>>> = Mutex::new(Vec::new());

fn stores() -> MutexGuard<'static, Vec<Weak<Store>>> {
    STORES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The store of a new runtime. What dead processes left where its files would go is removed.
pub(super) fn new_store(settings: StoreSettings) -> Arc<Store> {
    store::remove_leftovers(&settings.spill_dir);
    let store = Store::new(settings, Box::new(Files));
    let mut stores = stores();
    stores.retain(|other| other.strong_count() > 0);
    stores.push(Arc::downgrade(&store));
    store
}

/// The objects of all runtimes that are listed or noted, the largest first.
pub(crate) fn all() -> Vec<ObjectInfo> {
    let stores: Vec<_> = stores().iter().filter_map(Weak::upgrade).collect();
    let mut objects = cell::tracked();
    objects.extend(stores.iter().flat_map(|store| store.objects()));
    objects.sort_by_key(|object| std::cmp::Reverse(object.size()));
    objects
}
