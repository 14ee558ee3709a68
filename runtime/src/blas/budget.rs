//! Who computes with how many CPUs, and what that makes of the number of BLAS threads.
//!
//! The pool tells when a thread begins or ends to compute, or gets more CPUs: not for each task, but when it
//! finds work after it had none, sleeps in a wait, or collects CPUs. Where OpenBLAS counts for each thread,
//! that thread's number follows. Where it counts for the process, there is a book of all who compute, and the
//! number is the least of what they may have.

use std::cell::Cell;
use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use super::Scope;
use super::library::LIBRARY;

/// What a thread may have.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Allowance {
    /// The CPUs that it computes with; 0: it runs no task.
    cpus: usize,
    /// What `with_threads` asked for; 0: nothing.
    asked: usize,
}

impl Allowance {
    const NONE: Self = Self { cpus: 0, asked: 0 };

    /// How many threads that makes. None: nobody has said anything, and no task is run.
    fn threads(self, limit: usize) -> Option<usize> {
        let said = if self.asked > 0 { self.asked } else { limit };
        match (self.cpus, said) {
            (0, _) => (self.asked > 0).then_some(self.asked),
            (cpus, 0) => Some(cpus),
            (cpus, said) => Some(cpus.min(said)),
        }
    }
}

thread_local! {
    static OWN: Cell<Allowance> = const { Cell::new(Allowance::NONE) };
    static WAITS: Cell<bool> = const { Cell::new(false) };
}

/// The most threads of calls that say nothing else; 0: no limit.
pub(super) static LIMIT: LazyLock<AtomicUsize> =
    LazyLock::new(|| AtomicUsize::new(limit_of_environment()));

/// OpenBLAS itself knows the first and the last of these.
fn limit_of_environment() -> usize {
    let variables = ["OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"];
    let number = |name| env::var(name).ok()?.split(',').next()?.trim().parse().ok();
    variables
        .into_iter()
        .find_map(|name| number(name).filter(|&threads: &usize| threads > 0))
        .unwrap_or(0)
}

/// The book of a library that counts for the process.
static BOOK: Mutex<Book> = Mutex::new(Book { allowances: Vec::new(), set: 0 });

struct Book {
    /// Of the threads that have one.
    allowances: Vec<Allowance>,
    /// What the library was told last; 0: nothing.
    set: usize,
}

fn book() -> MutexGuard<'static, Book> {
    BOOK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number where nobody computes and nobody has asked.
fn outside(limit: usize) -> usize {
    match limit {
        0 => LIBRARY.default(),
        limit => limit,
    }
}

impl Book {
    fn change(&mut self, before: Allowance, after: Allowance) {
        if let Some(place) = self.allowances.iter().position(|other| *other == before) {
            self.allowances.swap_remove(place);
        }
        if after != Allowance::NONE {
            self.allowances.push(after);
        }
        self.set();
    }

    fn set(&mut self) {
        let limit = LIMIT.load(Ordering::Relaxed);
        let least = self.allowances.iter().filter_map(|other| other.threads(limit)).min();
        let threads = least.unwrap_or_else(|| outside(limit));
        if self.set != threads {
            self.set = threads;
            LIBRARY.set_num_threads(threads);
        }
    }
}

/// This thread may have something else now.
fn change(after: Allowance) {
    let before = OWN.replace(after);
    if before == after {
        return;
    }
    match LIBRARY.scope() {
        Scope::Single => {}
        Scope::ProcessWide => book().change(before, after),
        Scope::PerThread => {
            let limit = LIMIT.load(Ordering::Relaxed);
            let outside = || if WAITS.get() { 1 } else { outside(limit) };
            LIBRARY.set_num_threads(after.threads(limit).unwrap_or_else(outside));
        }
    }
}

/// From now on this thread computes with so many CPUs; 0: it does not. Gives what was before.
pub(crate) fn computes_with(cpus: usize) -> usize {
    let before = OWN.get();
    change(Allowance { cpus, ..before });
    before.cpus
}

/// This thread waits, and has no CPU for what it computes all the same.
pub(crate) fn waits() {
    WAITS.set(true);
    if LIBRARY.scope() == Scope::PerThread {
        LIBRARY.set_num_threads(1);
    }
}

pub(super) fn set_limit(threads: usize) {
    LIMIT.store(threads, Ordering::Relaxed);
    match LIBRARY.scope() {
        Scope::Single => {}
        Scope::ProcessWide => book().set(),
        Scope::PerThread => {
            let own = OWN.get().threads(threads);
            LIBRARY.set_num_threads(own.unwrap_or(threads));
        }
    }
}

/// While it is there, this thread has asked for so many threads.
pub(super) struct Asked {
    before: usize,
}

impl Asked {
    pub(super) fn new(threads: usize) -> Self {
        let own = OWN.get();
        change(Allowance { asked: threads, ..own });
        Self { before: own.asked }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        change(Allowance { asked: self.before, ..OWN.get() });
    }
}
