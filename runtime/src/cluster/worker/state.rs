//! The state of the actor that lives in this process, if one does.
//!
//! Its calls come one at a time, on the process's first thread; or, where they wait, side by side, on that of an
//! arbiter. Whoever sends them keeps `&mut self` calls apart from all others, but that is not believed here: each call
//! has the state by a lock.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use tokio::sync::RwLock;

use crate::cluster::frame;
use crate::error::Result;
use crate::local::panics;

static STATE: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);

/// The actor was made.
pub(crate) fn put<A: Send + 'static>(actor: A) {
    *lives() = Some(TypeId::of::<A>());
    let before = STATE.lock().unwrap_or_else(PoisonError::into_inner).replace(Box::new(actor));
    panics::drop_quietly(before);
}

/// Lets a call have it.
///
/// # Errors
/// `Engine`: it is not here, or another call has it.
pub(crate) fn with<A: 'static, R>(run: impl FnOnce(&mut A) -> Result<R>) -> Result<R> {
    let mut state = match STATE.try_lock() {
        Ok(state) => state,
        // A call before this one has panicked.
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return Err(frame::garbled("two calls of one actor")),
    };
    let actor = state.as_mut().and_then(|state| state.downcast_mut());
    run(actor.ok_or_else(|| frame::garbled("a call of an actor that is not here"))?)
}

thread_local! {
    /// The state of an actor whose calls wait, on its thread: an `Rc<RwLock<A>>`.
    static SHARED: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// The actor was made, whose calls wait.
pub(crate) fn share<A: 'static>(actor: A) {
    *lives() = Some(TypeId::of::<A>());
    let before = SHARED.replace(Some(Box::new(Rc::new(RwLock::new(actor)))));
    panics::drop_quietly(before);
}

/// It, for a call.
///
/// # Errors
/// `Engine`: it is not here.
pub(crate) fn shared<A: 'static>() -> Result<Rc<RwLock<A>>> {
    let shared =
        SHARED.with_borrow(|state| state.as_ref()?.downcast_ref::<Rc<RwLock<A>>>().cloned());
    shared.ok_or_else(|| frame::garbled("a call of an actor that is not here"))
}

/// It has ended, or crashed: it goes with the last call that has it.
pub(crate) fn end_shared() {
    let shared = SHARED.take();
    if shared.is_some() {
        *lives() = None;
    }
    panics::drop_quietly(shared);
}

/// The type of the actor that lives here.
static LIVES: Mutex<Option<TypeId>> = Mutex::new(None);
/// Held while an actor is made whose calls wait.
pub(crate) static MAKING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn lives() -> MutexGuard<'static, Option<TypeId>> {
    LIVES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether one lives here, and whether it is of this type.
pub(crate) fn is_there<A: 'static>() -> Option<bool> {
    lives().map(|lives| lives == TypeId::of::<A>())
}

/// The actor has ended, or crashed.
pub(crate) fn end() {
    let state = STATE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if state.is_some() {
        *lives() = None;
    }
    panics::drop_quietly(state);
}
