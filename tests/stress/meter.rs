//! How many CPUs are computed on, which is never more than there are; and how much was done.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::counted::{Counted, combine};

/// CPUs that are computed on, in thousandths, and the most there were in this round.
static COMPUTING: AtomicU64 = AtomicU64::new(0);
static MOST: AtomicU64 = AtomicU64::new(0);
/// Calls of tasks and of actors, by the programs and by their tasks.
static CALLS: AtomicU64 = AtomicU64::new(0);
/// Whatever else shows that something goes on.
static STEPS: AtomicU64 = AtomicU64::new(0);

/// How long a task computes, at least: long enough for others to come in between.
const TURNS: u64 = 50;

/// The most CPUs that were computed on since it was last asked, in thousandths.
pub(crate) fn most_computing() -> u64 {
    MOST.swap(0, Ordering::SeqCst)
}

/// Computes something of these values, on the CPUs that the running task was granted.
pub(crate) fn compute(values: impl IntoIterator<Item = u64>) -> Counted {
    struct Leave(u64);
    impl Drop for Leave {
        fn drop(&mut self) {
            COMPUTING.fetch_sub(self.0, Ordering::SeqCst);
        }
    }
    let granted = (mobula::context().num_cpus() * 1000.0).round() as u64;
    let now = COMPUTING.fetch_add(granted, Ordering::SeqCst) + granted;
    let _leave = Leave(granted);
    MOST.fetch_max(now, Ordering::SeqCst);
    std::hint::black_box((0..TURNS).fold(now, |sum, turn| sum ^ std::hint::black_box(turn)));
    step();
    Counted::new(combine(values))
}

/// Counts a call that is about to be made.
pub(crate) fn call() {
    CALLS.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

/// Notes that something went on.
pub(crate) fn step() {
    STEPS.fetch_add(1, Ordering::Relaxed);
}

/// A number that grows as long as anything goes on.
pub(crate) fn progress() -> u64 {
    STEPS.load(Ordering::Relaxed) + calls()
}
