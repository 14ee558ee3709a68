//! Rayon inside of tasks, bounded by the grant.
//!
//! Rayon computes on the pool that the calling thread belongs to, else on a pool of the whole process. So each
//! worker is the one thread of a pool of its own: whatever a task of one CPU asks of rayon runs on that thread.
//! A task that was granted another number of CPUs runs on a pool with as many threads, which no other task has
//! meanwhile, so that no thread of it comes upon another task's work. Where that is several threads they are its
//! *crew* (`parallel/crew.rs`): each may make calls and wait for them.
//!
//! Without the feature `rayon` a worker is a plain thread, and nothing is moved.

use std::io;
#[cfg(feature = "rayon")]
use std::panic::{self, AssertUnwindSafe};
#[cfg(feature = "rayon")]
use std::sync::{Arc, Mutex, PoisonError, mpsc};

#[cfg(feature = "rayon")]
use rayon_core::{ThreadPool, ThreadPoolBuilder};

#[cfg(feature = "rayon")]
use crate::local::parallel::crew::{Berth, Crew};
#[cfg(feature = "rayon")]
use crate::local::{Local, current};

#[cfg(feature = "rayon")]
pub(crate) mod crew;

/// Starts a worker.
#[cfg(not(feature = "rayon"))]
pub(super) fn start(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name).spawn(work).map(drop)
}

/// Starts a worker, as the one thread of its pool, which ends with its work.
#[cfg(feature = "rayon")]
pub(super) fn start(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let pool = ThreadPoolBuilder::new().num_threads(1).thread_name(move |_| name.clone()).build();
    pool.map_err(io::Error::other)?.spawn(work);
    Ok(())
}

/// Makes this thread the one of a pool of its own, as workers are. Where that fails it has what the process has.
#[cfg(feature = "rayon")]
pub(super) fn settle() {
    let own = ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    // It is there as long as the thread.
    std::mem::forget(own);
}

/// Whether what this thread asks of rayon has so many threads, which are its own.
#[cfg(feature = "rayon")]
pub(super) fn is_settled(threads: usize) -> bool {
    rayon_core::current_thread_index().is_some() && rayon_core::current_num_threads() == threads
}

/// Threads of rayon for one task at a time, which are the runtime's as long as they live.
#[cfg(feature = "rayon")]
struct Threads {
    count: usize,
    pool: ThreadPool,
    berth: Berth,
}

#[cfg(feature = "rayon")]
impl Threads {
    /// None: there are no more threads to be had.
    fn start(local: &Arc<Local>, count: usize) -> Option<Self> {
        let berth = Berth::default();
        let (local, theirs) = (Arc::clone(local), berth.clone());
        let pool = ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|_| "mobula-rayon".to_owned())
            .start_handler(move |_| {
                current::enter_for_ever(Arc::clone(&local));
                theirs.board();
            })
            .build();
        Some(Self { count, pool: pool.ok()?, berth })
    }

    /// Runs `run` on one of them, while this thread sleeps. With rayon's own `install` it would begin meanwhile what
    /// else it has split its work into: without a CPU, and if that waits, it keeps those that come back with `run`.
    fn call<R: Send>(&self, run: impl FnOnce() -> R + Send) -> R {
        let (sender, result) = mpsc::channel();
        let job: Box<dyn FnOnce() + Send + '_> = Box::new(move || {
            // A panic would end the process, and is the caller's.
            let _ = sender.send(panic::catch_unwind(AssertUnwindSafe(run)));
        });
        // SAFETY: `run` has been used up when its result is here, and this waits for that.
        let job: Box<dyn FnOnce() + Send + 'static> = unsafe { std::mem::transmute(job) };
        self.pool.spawn(job);
        result
            .recv()
            .expect("a job tells its result")
            .unwrap_or_else(|why| panic::resume_unwind(why))
    }
}

/// The threads that no task is on.
#[cfg(feature = "rayon")]
#[derive(Default)]
pub(crate) struct Idle(Mutex<Vec<Threads>>);

#[cfg(feature = "rayon")]
impl Idle {
    fn take(&self, count: usize) -> Option<Threads> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = idle.iter().position(|threads| threads.count == count)?;
        Some(idle.swap_remove(place))
    }

    fn put(&self, threads: Threads) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(threads);
    }

    /// Lets them end, which keep the runtime alive.
    pub(crate) fn end(&self) {
        let idle = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        drop(idle);
    }
}

/// Runs `run` where rayon has so many threads; here, if there are no more threads to be had.
#[cfg(feature = "rayon")]
pub(super) fn within<R: Send>(
    local: &Arc<Local>,
    count: usize,
    run: impl FnOnce() -> R + Send,
) -> R {
    let idle = local.grants().idle_pools();
    let Some(threads) = idle.take(count).or_else(|| Threads::start(local, count)) else {
        return run();
    };
    let held = current::take_held();
    let run = || panic::catch_unwind(AssertUnwindSafe(run));
    let (result, held) = threads.call(|| {
        if count > 1 {
            return Crew::run(local, &threads.berth, held, run);
        }
        current::hold(held);
        let result = run();
        (result, current::take_held())
    });
    current::hold(held);
    if !local.pool().is_closed() {
        idle.put(threads);
    }
    result.unwrap_or_else(|why| panic::resume_unwind(why))
}
