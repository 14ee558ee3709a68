//! The runtimes that live: a cell knows only the address of its runtime or actor, and this is the way from
//! there to either, for those who explain what it waits for.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::local::Local;
use crate::local::actors::Living;
use crate::local::counted::Counted;

/// By their homes.
static LIVING: Mutex<Vec<(usize, Weak<Local>)>> = Mutex::new(Vec::new());

/// Whose a cell is.
pub(crate) enum Owner {
    Runtime(Arc<Local>),
    Actor(Counted<dyn Living>),
}

/// Notes a runtime that has started, and forgets those that are gone.
pub(super) fn add(local: &Arc<Local>) {
    let mut living = LIVING.lock().unwrap_or_else(PoisonError::into_inner);
    living.retain(|(_, other)| other.strong_count() > 0);
    living.push((local.home(), Arc::downgrade(local)));
}

/// All of them.
pub(crate) fn all() -> Vec<Arc<Local>> {
    let living = LIVING.lock().unwrap_or_else(PoisonError::into_inner);
    living.iter().filter_map(|(_, local)| local.upgrade()).collect()
}

/// The runtime whose home that is, if it lives.
pub(crate) fn find(home: usize) -> Option<Arc<Local>> {
    let living = LIVING.lock().unwrap_or_else(PoisonError::into_inner);
    living.iter().find(|(other, _)| *other == home)?.1.upgrade()
}

/// The runtime whose home that is, or that of the actor at this address.
pub(crate) fn of(address: usize) -> Option<Arc<Local>> {
    let is_it =
        |local: &Arc<Local>| local.home() == address || local.actors().find(address).is_some();
    all().into_iter().find(is_it)
}

/// The runtime or the actor at this address, if it lives. The caller drops what is added to `kept` where
/// the program's code may run: it may be the last hold on something.
pub(crate) fn owner(address: usize, kept: &mut Vec<Box<dyn Any>>) -> Option<Owner> {
    if address == 0 {
        return None;
    }
    let living = LIVING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, local)) = living.iter().find(|(home, _)| *home == address) {
        let local = local.upgrade()?;
        kept.push(Box::new(Arc::clone(&local)));
        return Some(Owner::Runtime(local));
    }
    living.iter().filter_map(|(_, local)| local.upgrade()).find_map(|local| {
        let found = local.actors().find(address);
        kept.push(Box::new(local));
        let actor = found?;
        kept.push(Box::new(Counted::clone(&actor)));
        Some(Owner::Actor(actor))
    })
}
