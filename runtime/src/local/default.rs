//! The process-wide runtime, and which runtime the calls of a thread go to: the one that it entered,
//! else the process-wide one, started with the default settings if need be.

use std::cell::RefCell;
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

thread_local! {
    static RENEWED: RefCell<(u64, Option<Arc<Local>>)> = const { RefCell::new((0, None)) };
}

fn default() -> MutexGuard<'static, Default> {
    DEFAULT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a runtime the process-wide one, if there is none.
pub(crate) fn start(settings: Settings) -> Result<Arc<Local>> {
    let mut default = default();
    if default.local.is_some() {
        let why = if default.implicit {
            "a default runtime was started by an earlier call; call `init` before the first `remote` \
             or `put`"
        } else {
            "the process-wide runtime is already started; drop its guard first, or use `Runtime::new` \
             for a private one"
        };
        return Err(Error::new(ErrorKind::Config, why));
    }
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
    let mut look = Some(look);
    let mut once = |local: &Arc<Local>| (look.take().expect("looks once"))(local);
    if let Some(result) = current::with_entered(|entered| entered.map(&mut once)) {
        return result;
    }
    RENEWED.with(|renewed| {
        // Acquire: pairs with the Release of whoever changed the default.
        let now = GENERATION.load(Ordering::Acquire);
        if let (generation, Some(local)) = &*renewed.borrow()
            && *generation == now
        {
            return once(local);
        }
        let local = start_default();
        let result = once(&local);
        // What was there before is dropped after the borrow has ended.
        drop(renewed.replace((now, Some(local))));
        result
    })
}

/// As `with_current`, but starts nothing.
pub(crate) fn with_current_if_any<R>(look: impl FnOnce(Option<&Arc<Local>>) -> R) -> R {
    current::with_entered(|entered| match entered {
        Some(local) => look(Some(local)),
        None => RENEWED.with(|renewed| match &*renewed.borrow() {
            (generation, Some(local)) if *generation == GENERATION.load(Ordering::Acquire) => {
                look(Some(local))
            }
            _ => {
                let local = default().local.clone();
                look(local.as_ref())
            }
        }),
    })
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
