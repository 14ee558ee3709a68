//! The in-process engine.
//!
//! A call becomes a *cell* (`cell.rs`): one allocation with the job, its arguments and a place for the
//! result, whose life is one atomic word (`state.rs`). If its arguments are there, the cell goes into
//! a queue of the *pool* (`pool.rs`); else a small record counts the missing ones (`arguments.rs`).
//! Whoever needs the value waits in the cell's own list (`waiters.rs`, `group.rs`, `waiting.rs`), or
//! runs the task itself. Values stay in their cell until they are shared (`value.rs`).
//!
//! An actor is a mailbox (`strand.rs`) that the pool drains, or an actix arbiter where it waits
//! (`strand/hosted.rs`, `arbiter.rs`).

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use crate::config::{Engine, Settings};
use crate::error::{Error, ErrorKind, Result};
use crate::local::abroad::Outside;
use crate::local::actors::Actors;
use crate::local::arbiter::{Arbiters, Blockings};
use crate::local::cancelling::Unheeded;
use crate::local::cell::AnyRef;
use crate::local::cell::Store;
use crate::local::grant::Grants;
use crate::local::names::Names;
use crate::local::outsider::Tree;
use crate::local::pool::Pool;
use crate::local::queue::Entry;
use crate::local::request::Resources;
use crate::local::stream::Streams;
use crate::observe::{Events, Recorder};
use crate::random::SeedSequence;

pub(crate) mod abroad;
pub(crate) mod actors;
pub(crate) mod arbiter;
pub(crate) mod arguments;
pub(crate) mod blocker;
mod budget;
pub(crate) mod caller;
pub(crate) mod cancelling;
pub(crate) mod cell;
pub(crate) mod completion;
pub(crate) mod counted;
pub(crate) mod current;
mod deadlock;
pub(crate) mod default;
mod deferred;
pub(crate) mod family;
pub(crate) mod grant;
pub(crate) mod group;
pub(crate) mod held_back;
pub(crate) mod ids;
pub(crate) mod job;
mod lending;
pub(crate) mod life;
pub(crate) mod lineage;
mod memory;
pub(crate) mod names;
pub(crate) mod note;
pub(crate) mod objects;
mod outsider;
pub(crate) mod panics;
pub(crate) mod parallel;
pub(crate) mod place;
pub(crate) mod pool;
mod prioritized;
pub(crate) mod queue;
pub(crate) mod request;
pub(crate) mod retries;
mod room;
pub(crate) mod runtimes;
pub(crate) mod shown;
#[cfg(all(test, mobula_loom))]
mod sleep_loom;
mod state;
#[cfg(all(test, mobula_loom))]
mod state_loom;
pub(crate) mod strand;
pub(crate) mod stream;
mod sync;
pub(crate) mod value;
pub(crate) mod waiters;
pub(crate) mod waiting;
pub(crate) mod waits;

/// One runtime: what its threads, its refs' tasks and its guard share.
pub(crate) struct Local {
    settings: Settings,
    /// Where events are recorded.
    recorder: Option<Arc<Recorder>>,
    pool: Pool,
    tokio: OnceLock<tokio::runtime::Handle>,
    /// Behind the handle, until the end.
    tokio_threads: Mutex<Option<tokio::runtime::Runtime>>,
    arbiters: OnceLock<Arbiters>,
    actors: Actors,
    names: Names,
    resources: Resources,
    grants: Grants,
    streams: Streams,
    unheeded: Unheeded,
    /// Where each call has its place, and its random numbers from.
    tree: Tree,
    blockings: Blockings,
    this: Weak<Self>,
    store: Arc<Store>,
    /// Where tasks run, if that is in other processes; made when there is the first.
    outside: OnceLock<Box<dyn Outside>>,
    /// Whether `main` itself started it.
    from_main: AtomicBool,
    /// Told when the runtime closes.
    closing: tokio::sync::Notify,
}

/// How many threads poll async tasks. They wait most of the time, so few are enough.
const TOKIO_THREADS_MAX: usize = 4;
/// How many tasks that compute on less than a CPU run at the same time; the rest wait.
const BLOCKING_THREADS_MAX: usize = 4096;
/// How long a runtime's end waits for tokio's threads, which then have nothing to do.
const TOKIO_END_MAX: Duration = Duration::from_secs(10);
/// How many threads async actors share, likewise.
const ARBITERS_MAX: usize = 4;

impl Local {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        panics::install_hook();
        memory::prepare();
        budget::start();
        if settings.track_objects {
            cell::track();
        }
        abroad::note_runtime(settings.engine.leaves());
        let local = Arc::new_cyclic(|this| Self {
            pool: Pool::new(settings.num_cpus, settings.spin, this),
            tokio: OnceLock::new(),
            tokio_threads: Mutex::new(None),
            arbiters: OnceLock::new(),
            actors: Actors::default(),
            names: Names::default(),
            resources: Resources::new(settings.resources.clone()),
            grants: Grants::default(),
            streams: Streams::default(),
            unheeded: Unheeded::default(),
            tree: Tree::new(SeedSequence::new(settings.seed).into_pool()),
            blockings: Blockings::default(),
            this: Weak::clone(this),
            store: objects::new_store(settings.store.clone()),
            outside: OnceLock::new(),
            from_main: AtomicBool::new(false),
            closing: tokio::sync::Notify::new(),
            recorder: settings.event_buffer.map(Recorder::start),
            settings,
        });
        runtimes::add(&local);
        local
    }

    pub(crate) fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.recorder.as_ref()
    }

    /// The events that were not read yet.
    pub(crate) fn events(&self) -> Events {
        self.recorder.as_ref().map_or_else(Events::none, |recorder| recorder.read())
    }

    /// Nobody reads events any more.
    pub(crate) fn close_events(&self) {
        self.recorder.iter().for_each(|recorder| recorder.close());
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn resources(&self) -> &Resources {
        &self.resources
    }

    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// The streams that are produced here.
    pub(crate) fn streams(&self) -> &Streams {
        &self.streams
    }

    /// The tasks that did not stop when they were asked to.
    pub(crate) fn unheeded(&self) -> &Unheeded {
        &self.unheeded
    }

    /// The tree of its calls.
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The methods that kept an arbiter's thread for too long.
    pub(crate) fn blockings(&self) -> &Blockings {
        &self.blockings
    }

    /// Where its large objects are listed.
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Notes that `main` itself started it, by `init`: then workers come to where it did so.
    pub(crate) fn set_from_main(&self) {
        self.from_main.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_from_main(&self) -> bool {
        self.from_main.load(Ordering::Relaxed)
    }

    /// Where tasks run instead of here.
    pub(crate) fn outside(&self, make: impl FnOnce() -> Box<dyn Outside>) -> &dyn Outside {
        &**self.outside.get_or_init(make)
    }

    /// Where they do, if there was one.
    pub(crate) fn outside_if_any(&self) -> Option<&dyn Outside> {
        self.outside.get().map(|outside| &**outside)
    }

    /// Whether the process that runs the task may be killed, and those that run its `children` with it, or not.
    ///
    /// # Errors
    /// `Engine`, where it may not.
    pub(crate) fn can_kill(&self, task: &AnyRef, children: bool) -> Result<()> {
        // Homes of actors are even, and what is made elsewhere has none.
        let is_of_actor = || {
            let is_here = task.home() != 0 && task.home().is_multiple_of(2);
            is_here || abroad::home().is_some_and(|home| home.is_of_actor(task))
        };
        let message = match self.settings.engine {
            Engine::Ray if is_of_actor() => {
                "`force` kills the process that runs a task, and on the engine `ray` that of an actor is left \
                 alone: cancel its call without `force`, or end the actor by `mobula::kill`"
            }
            Engine::Ray if !children => {
                "`force` with `children(false)` is more than the engine `ray` can do: what a task has submitted ends \
                 with the process that runs the task, and `force` kills that; leave out `force`, or `children(false)`"
            }
            Engine::Ray | Engine::Processes => return Ok(()),
            Engine::Threads | Engine::Inline => {
                "`force` kills the process that runs a task, and the engines `threads` and `inline` \
                 run tasks in this one: use the engine `processes`, or let the task look at `check_cancelled`"
            }
            Engine::Dask | Engine::Ipyparallel => {
                "`force` kills the process that runs a task, and on the engines `dask` and `ipyparallel` that may run \
                 others, too: leave out `force`, and let the task look at `check_cancelled`"
            }
        };
        Err(Error::new(ErrorKind::Engine, message))
    }

    /// Runs `then` when the future is done.
    pub(crate) fn spawn_on_tokio(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(self.tokio().spawn(future));
    }

    /// The actors that live.
    pub(crate) fn actors(&self) -> &Actors {
        &self.actors
    }

    /// Those of them that have names.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Where async actors live.
    pub(crate) fn arbiters(&self) -> &Arbiters {
        self.arbiters
            .get_or_init(|| Arbiters::start(self.settings.num_cpus.min(ARBITERS_MAX), &self.this))
    }

    /// What tells this runtime's tasks from another's.
    pub(crate) fn home(&self) -> usize {
        self.pool.home()
    }

    /// Queues the entry of a fresh task, unless the runtime has ended.
    #[must_use = "call `.now()` where the program's code may run"]
    pub(crate) fn submit(&self, entry: Entry) -> Scheduled {
        if self.pool.is_closed() {
            return Scheduled::Refused(entry);
        }
        self.schedule(entry)
    }

    /// Queues `entry`; with the inline engine it is the caller's to run, at once.
    #[inline]
    #[must_use = "call `.now()` where the program's code may run"]
    pub(crate) fn schedule(&self, entry: Entry) -> Scheduled {
        match self.settings.engine {
            Engine::Inline => Scheduled::Here(entry),
            _ => {
                self.pool.push(entry);
                Scheduled::Queued
            }
        }
    }

    /// As `schedule`, behind everything that is queued.
    #[must_use = "call `.now()` where the program's code may run"]
    pub(crate) fn schedule_last(&self, entry: Entry) -> Scheduled {
        match self.settings.engine {
            Engine::Inline => Scheduled::Here(entry),
            _ => {
                self.pool.push_last(entry);
                Scheduled::Queued
            }
        }
    }

    /// As `schedule`, before or behind whatever has priority 0.
    #[must_use = "call `.now()` where the program's code may run"]
    pub(crate) fn schedule_prioritized(&self, entry: Entry, priority: i32) -> Scheduled {
        match self.settings.engine {
            engine if priority != 0 && engine != Engine::Inline => {
                self.pool.push_prioritized(entry, priority);
                Scheduled::Queued
            }
            _ => self.schedule(entry),
        }
    }

    /// Runs `run` on a thread that may block, without a CPU.
    pub(crate) fn spawn_blocking(self: &Arc<Self>, run: impl FnOnce() + Send + 'static) {
        let guest = pool::Guest::of(self);
        self.tokio().spawn_blocking(move || {
            let _entered = current::enter(Arc::clone(guest.local()));
            run();
        });
    }

    /// Runs `then` after a time, or when the runtime closes. It is dropped unrun where the runtime has
    /// ended.
    pub(crate) fn spawn_timer(
        self: &Arc<Self>,
        after: Duration,
        then: impl FnOnce() + Send + 'static,
    ) {
        let local = Arc::clone(self);
        self.tokio().spawn(async move {
            // Told of the end from here on, so a runtime that has not closed by the next line will tell.
            let closing = local.closing.notified();
            if !local.pool.is_closed() {
                let _ = tokio::time::timeout(after, closing).await;
            }
            then();
        });
    }

    /// Runs a future on tokio whatever the engine, until the runtime ends: nobody waits for it.
    pub(crate) fn spawn_beside(
        &self,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> tokio::task::AbortHandle {
        self.tokio().spawn(future).abort_handle()
    }

    /// Runs a future on tokio; with the inline engine to its end, here and now.
    pub(crate) fn spawn_future(&self, future: impl Future<Output = ()> + Send + 'static) {
        match self.settings.engine {
            Engine::Inline => self.run_to_end(future),
            _ => drop(self.tokio().spawn(future)),
        }
    }

    /// Polls a future here and now, until it is done. Tokio refuses to block on a future inside another; a
    /// thread of its own may.
    pub(crate) fn run_to_end<R: Send>(&self, future: impl Future<Output = R> + Send) -> R {
        if tokio::runtime::Handle::try_current().is_err() {
            return self.tokio().block_on(future);
        }
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| self.tokio().block_on(future));
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn tokio(&self) -> &tokio::runtime::Handle {
        self.tokio.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(self.settings.num_cpus.min(TOKIO_THREADS_MAX))
                .max_blocking_threads(BLOCKING_THREADS_MAX)
                .thread_name("mobula-async")
                .on_thread_start(current::mark_as_tokio)
                .enable_all()
                .build()
                .expect("failed to start the threads for async tasks");
            let handle = runtime.handle().clone();
            *self.tokio_threads() = Some(runtime);
            handle
        })
    }

    fn tokio_threads(&self) -> MutexGuard<'_, Option<tokio::runtime::Runtime>> {
        self.tokio_threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends this runtime. Returns how many tasks never began.
    pub(crate) fn shut_down(&self) -> usize {
        self.pool.refuse();
        self.resources.close();
        self.closing.notify_waiters();
        self.streams.stop_all();
        self.actors.end_all();
        // The pool waits for the strands of actors, which are here; so nothing of theirs may be under way on a cluster.
        if self.settings.engine.is_cluster()
            && let Some(home) = abroad::home()
        {
            home.leave_actors();
        }
        let never_begun = self.pool.close();
        #[cfg(feature = "rayon")]
        self.grants.idle_pools().end();
        self.store.close();
        if let Some(outside) = self.outside.get() {
            outside.shut_down();
        }
        if let Some(arbiters) = self.arbiters.get() {
            arbiters.stop();
        }
        // Here and not in a drop, which may come on one of its own threads. All work is done by now,
        // so there is next to nothing to wait for; and from within an async program one must not.
        if let Some(tokio) = self.tokio_threads().take() {
            match tokio::runtime::Handle::try_current() {
                Ok(_) => tokio.shutdown_background(),
                Err(_) => tokio.shutdown_timeout(TOKIO_END_MAX),
            }
        }
        never_begun
    }
}

/// What became of an entry. What runs the program's code is left to `now`.
pub(crate) enum Scheduled {
    /// Somebody will run it.
    Queued,
    /// It is to run here and now.
    Here(Entry),
    /// The runtime has ended.
    Refused(Entry),
}

impl Scheduled {
    /// Does what is left to do.
    #[inline]
    pub(crate) fn now(self) {
        match self {
            Self::Queued => {}
            Self::Here(entry) => pool::with_stack(|| budget::with(1, || entry.execute())),
            Self::Refused(entry) => drop(entry.abandon(pool::shut_down_before("the call"))),
        }
    }
}
