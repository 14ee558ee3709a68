//! Catching what the program's code panics with, and where.
//!
//! A caught payload does not know its line; only the panic hook sees it. So the first runtime puts a
//! hook in front of the one that is there: it notes the line for this thread and then calls that one.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::error::{Error, Result};

thread_local! {
    static RAISED_AT: Cell<Option<String>> = const { Cell::new(None) };
}

/// Puts the hook in place, once for the process.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string);
            let _ = RAISED_AT.try_with(|slot| slot.set(place));
            next(info);
        }));
    });
}

/// Runs the program's code; a panic becomes an error.
pub(crate) fn catch<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    // Whatever the closure touched is dropped with it or reported as failed, so nobody sees it half
    // done: that is what `AssertUnwindSafe` asks us to be sure of.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| Err(to_error(payload)))
}

/// Drops what the program made. If that panics, the hook has told it, and there is nobody to tell it to.
pub(crate) fn drop_quietly<T>(value: T) {
    if std::mem::needs_drop::<T>() {
        let _ = catch(|| {
            drop(value);
            Ok(())
        });
    }
}

/// The error that a caught panic becomes.
pub(crate) fn to_error(payload: Box<dyn Any + Send>) -> Error {
    let message = match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => match payload.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(payload) => {
                // Its drop may panic in turn; leaking it is the lesser evil.
                std::mem::forget(payload);
                "a value that is no text".to_owned()
            }
        },
    };
    Error::from_panic(message, RAISED_AT.take())
}
