//! The state of the actor that lives in this process, if one does.
//!
//! Its calls come one at a time, on the process's first thread; or side by side: where they wait, on that of an arbiter,
//! and where they compute, on threads of their own. Whoever sends them keeps `&mut self` calls apart from all others, but that is not believed here: each call
//! has the state by a lock.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

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

/// The state of an actor whose calls compute side by side: an `RwLock<A>`.
static BESIDE: Mutex<Option<Arc<dyn Any + Send + Sync>>> = Mutex::new(None);

fn beside() -> MutexGuard<'static, Option<Arc<dyn Any + Send + Sync>>> {
    BESIDE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The actor was made, whose calls compute side by side: an `RwLock<A>`.
pub(crate) fn put_beside<A: 'static>(actor: Arc<dyn Any + Send + Sync>) {
    *lives() = Some(TypeId::of::<A>());
    let before = beside().replace(actor);
    panics::drop_quietly(before);
}

/// Whether such a one lives here.
pub(crate) fn is_beside() -> bool {
    beside().is_some()
}

fn with_beside<A: 'static, R>(run: impl FnOnce(&std::sync::RwLock<A>) -> Result<R>) -> Result<R> {
    let state = beside().clone();
    let lock = state.as_deref().and_then(|state| (state as &dyn Any).downcast_ref());
    run(lock.ok_or_else(|| frame::garbled("a call of an actor that is not here"))?)
}

/// Lets a call have it beside others.
///
/// # Errors
/// `Engine`: it is not here.
pub(crate) fn read<A: 'static, R>(run: impl FnOnce(&A) -> Result<R>) -> Result<R> {
    // A call that has panicked with it has crashed the actor: those that are under way go on, as in one process.
    with_beside(|state| run(&state.read().unwrap_or_else(PoisonError::into_inner)))
}

/// Lets a call have it alone.
///
/// # Errors
/// As those of `read`.
pub(crate) fn write<A: 'static, R>(run: impl FnOnce(&mut A) -> Result<R>) -> Result<R> {
    with_beside(|state| run(&mut state.write().unwrap_or_else(PoisonError::into_inner)))
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
    let beside = beside().take();
    if state.is_some() || beside.is_some() {
        *lives() = None;
    }
    panics::drop_quietly(state);
    panics::drop_quietly(beside);
}
