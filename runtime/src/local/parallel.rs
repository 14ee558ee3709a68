//! Rayon inside of tasks, bounded by the grant.
//!
//! Rayon computes on the pool that the calling thread belongs to, else on a pool of the whole process. So each
//! worker is the one thread of a pool of its own: whatever a task of one CPU asks of rayon runs on that thread.
//! A task that was granted another number of CPUs runs on a pool with as many threads, which no other task has
//! meanwhile, so that no thread of it comes upon another task's work. It takes along what its thread holds.
//!
//! Without the feature `rayon` a worker is a plain thread, and nothing is moved.

use std::io;
#[cfg(feature = "rayon")]
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "rayon")]
use rayon_core::{ThreadPool, ThreadPoolBuilder};

#[cfg(feature = "rayon")]
use crate::local::{Local, current};

/// Starts a worker.
#[cfg(not(feature = "rayon"))]
pub(super) fn start(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name).spawn(work).map(drop)
}

/// Starts a worker, as the one thread of its pool, which ends with its work.
#[cfg(feature = "rayon")]
pub(super) fn start(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let pool = build(1, move || name.clone()).map_err(io::Error::other)?;
    pool.spawn(work);
    Ok(())
}

#[cfg(feature = "rayon")]
fn build(
    threads: usize,
    name: impl Fn() -> String + 'static,
) -> Result<ThreadPool, rayon_core::ThreadPoolBuildError> {
    ThreadPoolBuilder::new().num_threads(threads).thread_name(move |_| name()).build()
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

/// The pools of a runtime that no task is on, each with its number of threads.
#[cfg(feature = "rayon")]
#[derive(Default)]
pub(crate) struct Idle(Mutex<Vec<(usize, ThreadPool)>>);

#[cfg(feature = "rayon")]
impl Idle {
    fn take(&self, threads: usize) -> Option<ThreadPool> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = idle.iter().position(|(other, _)| *other == threads)?;
        Some(idle.swap_remove(place).1)
    }

    fn put(&self, threads: usize, pool: ThreadPool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((threads, pool));
    }
}

/// Runs `run` where rayon has so many threads; here, if there are no more threads to be had.
#[cfg(feature = "rayon")]
pub(super) fn within<R: Send>(
    local: &Arc<Local>,
    threads: usize,
    run: impl FnOnce() -> R + Send,
) -> R {
    let idle = local.grants().idle_pools();
    let fresh = || build(threads, || "mobula-rayon".to_owned()).ok();
    let Some(pool) = idle.take(threads).or_else(fresh) else { return run() };
    let held = current::take_held();
    let (result, held) = pool.install(|| {
        let _entered = current::enter(Arc::clone(local));
        current::hold(held);
        let result = run();
        (result, current::take_held())
    });
    current::hold(held);
    idle.put(threads, pool);
    result
}
