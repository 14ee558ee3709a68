//! How many threads the libraries that a task calls may use: as many as the task has CPUs.
//!
//! Whoever begins to compute says so here, and whoever ends or gets more CPUs; not for each task, but where a
//! thread finds work after it had none, sleeps, or collects CPUs. Without a feature that has such a library
//! nothing of this is there.

/// From now on this thread computes with so many CPUs; 0: it does not. Gives what was before.
#[inline]
pub(super) fn computes_with(cpus: usize) -> usize {
    #[cfg(feature = "linalg")]
    return crate::blas::computes_with(cpus);
    #[cfg(not(feature = "linalg"))]
    return cpus;
}

/// Runs `run` with so many CPUs, on a thread that holds none.
#[inline]
pub(super) fn with<R>(cpus: usize, run: impl FnOnce() -> R) -> R {
    struct Before(usize);
    impl Drop for Before {
        fn drop(&mut self) {
            computes_with(self.0);
        }
    }
    let _before = Before(computes_with(cpus));
    run()
}

/// This thread is a runtime's own, and has no CPU for what it runs.
#[inline]
pub(super) fn waits() {
    #[cfg(feature = "linalg")]
    crate::blas::waits();
}

/// Lets the libraries find out what they are.
pub(super) fn start() {
    #[cfg(feature = "linalg")]
    crate::blas::start();
}
