//! The state of the actor that lives in this process, if one does.
//!
//! Its calls come one at a time, or, where they wait, one or several as the driver lets them: whoever sends them
//! keeps `&mut self` calls apart from all others, as among calls in one process. That is not believed here: a call
//! that does not get the state as it needs it fails.

use std::any::Any;
use std::sync::{Mutex, PoisonError, TryLockError};

use crate::cluster::frame;
use crate::error::Result;
use crate::local::panics;

static STATE: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);

/// The actor was made.
pub(crate) fn put<A: Send + 'static>(actor: A) {
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

/// The actor has ended, or crashed.
pub(crate) fn end() {
    let state = STATE.lock().unwrap_or_else(PoisonError::into_inner).take();
    panics::drop_quietly(state);
}
