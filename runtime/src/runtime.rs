//! The life of a runtime: started, current on some threads, shut down.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::cluster::{self, is_main_thread, worker};
use crate::config::Config;
use crate::error::Result;
use crate::function::Hop;
use crate::local::arbiter::Blocking;
use crate::local::{Local, current, default};
use crate::observe::Events;
use crate::store::{Memory, ObjectInfo};

/// Starts the process-wide runtime. It ends when the guard drops.
///
/// With [`Engine::Processes`](crate::Engine::Processes) the workers are this very program, started again with the
/// same arguments. Where `main` itself calls `init`, each of them runs `main` up to this call, which then
/// serves and never returns: so what `main` sets up before is there, and should be little. Where another thread
/// calls it, as in a test, a worker serves before `main` begins.
///
/// # Errors
/// `Config` if a setting makes no sense, or if there is a process-wide runtime already.
pub fn init(config: Config) -> Result<Runtime> {
    worker::serve_if_worker();
    let mut settings = config.resolve(|name| std::env::var(name).ok())?;
    default::check_none()?;
    cluster::prepare(&mut settings, is_main_thread())?;
    let local = default::start(settings)?;
    if is_main_thread() {
        local.set_from_main();
    }
    Ok(Runtime { local, process_wide: true })
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
        let mut settings = config.resolve(|name| std::env::var(name).ok())?;
        cluster::prepare(&mut settings, false)?;
        Ok(Self { local: Local::new(settings), process_wide: false })
    }

    /// Makes this the runtime of the current thread's calls, until the guard drops. Where several guards are there, the
    /// runtime that was entered last is current, in whatever order they drop.
    pub fn enter(&self) -> EnterGuard<'_> {
        EnterGuard { _visited: current::visit(Arc::clone(&self.local)), _runtime: self }
    }

    /// How many tasks compute at the same time.
    pub fn num_cpus(&self) -> usize {
        self.local.settings().num_cpus
    }

    /// The seed of this runtime's random numbers: the one that was configured, else the one from the
    /// operating system. With [`Config::seed`] it makes the same numbers again.
    pub fn seed(&self) -> u64 {
        self.local.settings().seed
    }

    /// How many worker threads there are at the moment: none before there is work, then as many as
    /// CPUs, and more where tasks wait for something, up to 256 more. Where so many wait, the last of them
    /// works meanwhile, on top of its own task, which then goes on when that work is done.
    pub fn num_threads(&self) -> usize {
        self.local.pool().threads()
    }

    /// The events recorded up to now that were not read yet, in order: each is given once, whoever reads. None
    /// where [`Config::events`] is off. An event of what happened before is among them: that of a task whose
    /// result was seen, for one.
    ///
    /// ```
    /// use mobula::prelude::*;
    /// use mobula::EventKind;
    ///
    /// #[remote]
    /// fn square(x: u64) -> u64 {
    ///     x * x
    /// }
    ///
    /// let runtime = Runtime::new(Config::new().num_cpus(2).events(true))?;
    /// let _entered = runtime.enter();
    /// mobula::get(square::remote(3))?;
    ///
    /// let events: Vec<_> = runtime.events().collect();
    /// let kinds: Vec<_> = events.iter().map(|event| event.kind()).collect();
    /// assert_eq!(kinds, [EventKind::Submitted, EventKind::Started, EventKind::Finished]);
    /// assert!(events.iter().all(|event| event.name() == Some("square")));
    /// let took = events[2].time() - events[1].time();
    /// println!("it took {took:?}, and was called at {}", events[0].called_at().unwrap());
    /// # Ok::<(), mobula::Error>(())
    /// ```
    pub fn events(&self) -> Events {
        self.local.events()
    }

    /// How much memory the objects of this runtime take.
    ///
    /// ```
    /// use mobula::prelude::*;
    ///
    /// let runtime = Runtime::new(Config::new().object_store_memory(1 << 20))?;
    /// let _entered = runtime.enter();
    /// let values = mobula::put(vec![0u8; 10_000]);
    /// let memory = runtime.memory();
    /// assert_eq!((memory.limit, memory.objects), (1 << 20, 1));
    /// assert!(memory.used >= 10_000);
    /// # drop(values);
    /// # Ok::<(), mobula::Error>(())
    /// ```
    pub fn memory(&self) -> Memory {
        self.local.store().memory()
    }

    /// Ends the runtime: no new work is taken, work that has not begun fails with
    /// [`ShutDown`](crate::ErrorKind::ShutDown), running work is waited for. On a cluster
    /// it is not: all that is not done fails, and only the `Drop` of actors that have nothing to do is waited for.
    pub fn shutdown(self) -> ShutdownReport {
        let never_begun = self.end();
        let (named, unheeded_count) = self.local.unheeded().get();
        ShutdownReport {
            never_begun,
            most_threads: self.local.pool().threads_most(),
            events: self.events(),
            unheeded: named.into_iter().map(Unheeded).collect(),
            unheeded_count,
            blocking: self.blocking(),
            leaked: self.local.store().objects(),
        }
    }

    /// The methods of async actors in this process that have kept their thread, and so all other async actors there, for
    /// longer than [`Config::block_warning`] allows: the first hundred. Other processes name them on their standard error
    /// stream only.
    pub fn blocking(&self) -> Vec<Blocking> {
        self.local.blockings().get()
    }

    /// Returns how many tasks never began.
    fn end(&self) -> usize {
        if self.process_wide {
            default::forget(&self.local);
        }
        let never_begun = self.local.shut_down();
        cluster::finish(self.local.settings());
        never_begun
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.end();
        self.local.close_events();
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
    _visited: current::Visited,
    _runtime: &'a Runtime,
}

/// What a runtime left behind.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// How many tasks, and calls of actors, never began.
    pub never_begun: usize,
    /// The most worker threads that there were at a time.
    pub most_threads: usize,
    /// The events that nobody had read, those of the end included; see [`Runtime::events`].
    pub events: Events,
    /// Tasks that computed on although they, or the tasks that submitted them, had been cancelled: they
    /// ended without ever asking, by [`check_cancelled`](crate::check_cancelled) for one, or still ran
    /// when the shutdown began. The first hundred of them.
    pub unheeded: Vec<Unheeded>,
    /// How many there were.
    pub unheeded_count: usize,
    /// The methods of async actors that blocked their thread; see [`Runtime::blocking`].
    pub blocking: Vec<Blocking>,
    /// The objects that somebody still has a ref to, the largest first: those of 1 KiB and more. They live on
    /// as long as the refs do.
    pub leaked: Vec<ObjectInfo>,
}

/// A task that did not stop when it was cancelled. Shown with the place that it was called from.
#[derive(Clone)]
pub struct Unheeded(Hop);

impl Unheeded {
    /// Its name: its function's, unless the call was given one.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Where it was called from.
    pub fn called_at(&self) -> &'static Location<'static> {
        self.0.called_at()
    }
}

impl fmt::Display for Unheeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Unheeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
