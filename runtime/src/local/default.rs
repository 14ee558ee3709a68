//! The process-wide runtime, and which runtime the calls of a thread go to: the one that it entered,
//! else the process-wide one, started with the default settings if need be.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::{Config, Settings};
use crate::error::{Error, ErrorKind, Result};
use crate::local::{Local, current};

/// The process-wide runtime.
static DEFAULT: Mutex<Default> = Mutex::new(Default { local: None, implicit: false });
/// Counts its changes, so that threads can keep their own ref to it and see when to renew that.
static GENERATION: AtomicU64 = AtomicU64::new(1);

struct Default {
    local: Option<Arc<Local>>,
    /// Started by the first call, not by the program.
    implicit: bool,
}

impl Default {
    fn check_none(&self) -> Result<()> {
        if self.local.is_none() {
            return Ok(());
        }
        let why = if self.implicit {
            "a default runtime was started by an earlier call; call `init` before the first `remote` \
             or `put`"
        } else {
            "the process-wide runtime is already started; drop its guard first, or use `Runtime::new` \
             for a private one"
        };
        Err(Error::new(ErrorKind::Config, why))
    }
}

thread_local! {
    /// The generation that this thread knows, and its runtime, which `KEPT` keeps alive.
    static KNOWN: Cell<(u64, *const Local)> = const { Cell::new((0, ptr::null())) };
    static KEPT: Kept = const { Kept(RefCell::new(None)) };
}

/// Owns the runtime that `KNOWN` points to.
struct Kept(RefCell<Option<Arc<Local>>>);

impl Drop for Kept {
    fn drop(&mut self) {
        KNOWN.set((0, ptr::null()));
    }
}

/// The process-wide runtime, if this thread knows it and it has not changed since.
#[inline]
fn known() -> *const Local {
    let (generation, local) = KNOWN.get();
    // Acquire: pairs with the Release of whoever changed the default.
    if generation == GENERATION.load(Ordering::Acquire) { local } else { ptr::null() }
}

fn default() -> MutexGuard<'static, Default> {
    DEFAULT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks that there is no process-wide runtime.
///
/// # Errors
/// `Config`, if there is one.
pub(crate) fn check_none() -> Result<()> {
    default().check_none()
}

/// Makes a runtime the process-wide one, if there is none.
pub(crate) fn start(settings: Settings) -> Result<Arc<Local>> {
    let mut default = default();
    default.check_none()?;
    let local = Local::new(settings);
    *default = Default { local: Some(Arc::clone(&local)), implicit: false };
    GENERATION.fetch_add(1, Ordering::Release);
    Ok(local)
}

/// Lets another runtime be the process-wide one.
pub(crate) fn forget(local: &Arc<Local>) {
    let mut default = default();
    if default.local.as_ref().is_some_and(|default| Arc::ptr_eq(default, local)) {
        default.local = None;
        GENERATION.fetch_add(1, Ordering::Release);
    }
}

/// Lets `look` see the runtime that calls of this thread go to, started if need be. `look` must not
/// run the program's code, which may change what it sees.
pub(crate) fn with_current<R>(look: impl FnOnce(&Arc<Local>) -> R) -> R {
    // SAFETY: the thread keeps it alive until it enters or gets to know another, which `look` does not.
    unsafe { current::with_local_at(address(), look) }
}

/// Where the runtime is that calls of this thread go to, started if need be.
fn address() -> *const Local {
    let entered = current::entered();
    if !entered.is_null() {
        return entered;
    }
    let known = known();
    if known.is_null() { get_to_know() } else { known }
}

/// Where that runtime was when this thread last looked; null: it knows of none.
#[inline]
pub(super) fn known_address() -> *const Local {
    let entered = current::entered();
    if entered.is_null() { KNOWN.get().1 } else { entered }
}

/// As `with_current`, but starts nothing.
#[inline]
pub(crate) fn with_current_if_any<R>(look: impl FnOnce(Option<&Arc<Local>>) -> R) -> R {
    let entered = current::entered();
    let local = if entered.is_null() { known() } else { entered };
    if local.is_null() {
        let local = default().local.clone();
        return look(local.as_ref());
    }
    // SAFETY: as above.
    unsafe { current::with_local_at(local, |local| look(Some(local))) }
}

/// Lets this thread know the process-wide runtime, started if need be.
#[cold]
fn get_to_know() -> *const Local {
    // Acquire: as in `known`.
    let generation = GENERATION.load(Ordering::Acquire);
    let local = start_default();
    KNOWN.set((generation, Arc::as_ptr(&local)));
    let pointer = Arc::as_ptr(&local);
    // What was there before may end here, which tells threads and runs no code of the program's.
    drop(KEPT.with(|kept| kept.0.replace(Some(local))));
    pointer
}

/// The runtime that calls of this thread go to.
pub(crate) fn current() -> Arc<Local> {
    with_current(Arc::clone)
}

#[cold]
fn start_default() -> Arc<Local> {
    let mut default = default();
    if let Some(local) = &default.local {
        return Arc::clone(local);
    }
    let settings = Config::new()
        .resolve(|name| std::env::var(name).ok())
        .unwrap_or_else(|error| panic!("failed to start the default runtime: {error}"));
    let local = Local::new(settings);
    *default = Default { local: Some(Arc::clone(&local)), implicit: true };
    GENERATION.fetch_add(1, Ordering::Release);
    local
}
