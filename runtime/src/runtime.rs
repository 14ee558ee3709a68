//! The life of a runtime: started, current on some threads, shut down.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::local::{Local, current};

/// The process-wide runtime.
static DEFAULT: Mutex<Default> = Mutex::new(Default { local: None, implicit: false });
/// Counts its changes, so that threads can keep their own ref to it and see when to renew that.
static GENERATION: AtomicU64 = AtomicU64::new(1);

struct Default {
    local: Option<Arc<Local>>,
    /// Started by the first call, not by [`init`].
    implicit: bool,
}

thread_local! {
    static RENEWED: RefCell<(u64, Option<Arc<Local>>)> = const { RefCell::new((0, None)) };
}

fn default() -> MutexGuard<'static, Default> {
    DEFAULT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the process-wide runtime. It ends when the guard drops.
///
/// # Errors
/// `Config` if a setting makes no sense, or if there is a process-wide runtime already.
pub fn init(config: Config) -> Result<Runtime> {
    let settings = config.resolve(|name| std::env::var(name).ok())?;
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
    Ok(Runtime { local, process_wide: true })
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

/// A started runtime. Dropping it shuts it down.
#[must_use = "the runtime ends when this guard drops"]
pub struct Runtime {
    local: Arc<Local>,
    process_wide: bool,
}

impl Runtime {
    /// Starts a private runtime, for threads that [`enter`](Self::enter) it; several may live side by
    /// side.
    ///
    /// # Errors
    /// `Config` if a setting makes no sense.
    pub fn new(config: Config) -> Result<Self> {
        let settings = config.resolve(|name| std::env::var(name).ok())?;
        Ok(Self { local: Local::new(settings), process_wide: false })
    }

    /// Makes this the runtime of the current thread's calls, until the guard drops.
    pub fn enter(&self) -> EnterGuard<'_> {
        EnterGuard { _entered: current::enter(Arc::clone(&self.local)), _runtime: self }
    }

    /// How many tasks compute at the same time.
    pub fn num_cpus(&self) -> usize {
        self.local.settings().num_cpus
    }

    /// How many worker threads there are at the moment: none before there is work, then as many as
    /// CPUs, and more where tasks wait for each other.
    pub fn num_threads(&self) -> usize {
        self.local.pool().threads()
    }

    /// Ends the runtime: no new work is taken, work that has not begun fails with
    /// [`ShutDown`](ErrorKind::ShutDown), running work is waited for.
    pub fn shutdown(self) -> ShutdownReport {
        self.end()
    }

    fn end(&self) -> ShutdownReport {
        if self.process_wide {
            let mut default = default();
            if default.local.as_ref().is_some_and(|local| Arc::ptr_eq(local, &self.local)) {
                default.local = None;
                GENERATION.fetch_add(1, Ordering::Release);
            }
        }
        ShutdownReport { never_begun: self.local.shut_down() }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("settings", self.local.settings()).finish_non_exhaustive()
    }
}

/// Keeps a runtime current on one thread.
#[must_use = "the runtime is current until this guard drops"]
pub struct EnterGuard<'a> {
    _entered: current::Entered,
    _runtime: &'a Runtime,
}

/// What a runtime left behind.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// How many tasks never began.
    pub never_begun: usize,
}
