//! What each CPU computes, for whoever asks (`api/explain.rs`): a few words that the thread which holds the
//! CPU writes as it goes, and anybody may read.
//!
//! To write them costs two plain stores when a task begins and two when it ends. A clock for each task would
//! cost more than some tasks do, so it is read once in many turns, and after the CPU was idle: what computes
//! now began after that.

use std::ptr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::function::Function;
use crate::local::current::Task;

/// When the clock began.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What one CPU computes. The words may be a moment apart from each other, so they are for telling only.
#[derive(Default)]
pub(crate) struct Shown {
    /// The address of the task's cell, to compare; 0: it computes none.
    task: AtomicUsize,
    function: AtomicPtr<Function>,
    /// When the clock was read last, in microseconds.
    clock: AtomicU64,
}

impl Shown {
    /// The CPU computes this task from now on, or none.
    #[inline]
    pub(super) fn set(&self, task: Option<&Task>) {
        let (address, function) = match task {
            Some(task) => (task.running.address(), ptr::from_ref(task.call.function).cast_mut()),
            None => (0, ptr::null_mut()),
        };
        self.function.store(function, Ordering::Relaxed);
        self.task.store(address, Ordering::Relaxed);
    }

    /// Reads the clock.
    pub(super) fn tick(&self) {
        let micros = START.elapsed().as_micros();
        self.clock.store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether it computes the task whose cell is at this address.
    pub(crate) fn is_at(&self, task: usize) -> bool {
        self.task.load(Ordering::Relaxed) == task
    }

    /// The function that it computes.
    pub(crate) fn function(&self) -> Option<&'static Function> {
        // SAFETY: `set` stores pointers to statics only.
        unsafe { self.function.load(Ordering::Relaxed).as_ref() }
    }

    /// For how long the task has been there at most.
    pub(crate) fn at_most(&self) -> Duration {
        let clock = Duration::from_micros(self.clock.load(Ordering::Relaxed));
        START.elapsed().saturating_sub(clock)
    }
}
