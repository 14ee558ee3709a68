//! Threads of BLAS that fit the grant: linear algebra in tasks without more threads than CPUs.
//!
//! With the feature `linalg` there are [`mobula::linalg`](crate::linalg), which is `ndarray_linalg` on the
//! system's OpenBLAS, and this control of OpenBLAS's threads. A task computes with as many of them as it was
//! granted CPUs: tasks of one CPU side by side use one each, a task with `num_cpus = 4` uses four, and the
//! sum never passes the runtime's CPUs.
//!
//! ```
//! use mobula::linalg::{Cholesky, UPLO};
//! use mobula::prelude::*;
//! use ndarray::Array2;
//!
//! #[remote(num_cpus = 2)]
//! fn factor(a: &Array2<f64>) -> mobula::Result<f64> {
//!     assert!(mobula::blas::num_threads() <= 2);
//!     let l = a.cholesky(UPLO::Lower).expect("it is positive definite");
//!     Ok(l[[0, 0]])
//! }
//!
//! let runtime = Runtime::new(Config::new().num_cpus(2))?;
//! let _entered = runtime.enter();
//! assert_eq!(mobula::get(factor::remote(4.0 * Array2::<f64>::eye(8)))?, 2.0);
//! println!("{}", mobula::blas::info());
//! # Ok::<(), mobula::Error>(())
//! ```
//!
//! # How many threads a call has
//!
//! * In a task, the CPUs that the task was granted; a part of one counts as one. A task in a worker process has what the
//!   driver has granted it, and one on a cluster what it asked the cluster for.
//! * Outside of tasks, what OpenBLAS finds, which is the CPUs of this process.
//! * Neither has more than [`set_num_threads`] says, or else `OPENBLAS_NUM_THREADS`, `MKL_NUM_THREADS` or
//!   `OMP_NUM_THREADS`, the first of these that is set when the first runtime starts.
//! * [`with_threads`] says it for some calls: outside of tasks as it likes, in a task up to the grant.
//!
//! # What the library can do
//!
//! How far that holds for tasks with different grants side by side depends on OpenBLAS, which is asked when it
//! is first used; [`Info::scope`] tells. That a function of the right name is there does not decide: up to
//! 0.3.32 `openblas_set_num_threads_local` of a build with threads of its own changes the whole process.
//!
//! | scope | OpenBLAS | what each call has |
//! |---|---|---|
//! | [`PerThread`](Scope::PerThread) | built with OpenMP, or with a setting that is the thread's | its own task's number |
//! | [`ProcessWide`](Scope::ProcessWide) | with threads of its own (Debian's default) | the least number of those that compute at the moment it begins |
//! | [`Single`](Scope::Single) | built without threads | one |
//!
//! So on a process-wide OpenBLAS no call has more threads than its task was granted, and a task of four CPUs
//! has four while all that computes beside it has as many; beside a task of one CPU it has one, too. Its
//! threads look for work for some milliseconds after a call before they sleep, and calls with several threads
//! take turns.
//!
//! A call of the program's own threads, outside of tasks, is nobody's grant: while tasks compute, a
//! process-wide OpenBLAS gives it their number.

mod budget;
mod library;

use std::fmt;
use std::sync::LazyLock;

use self::budget::Asked;
pub(crate) use self::budget::{computes_with, waits};
use self::library::LIBRARY;

/// How many threads a call of BLAS has that begins here and now.
pub fn num_threads() -> usize {
    LIBRARY.num_threads()
}

/// Sets the most threads that a call has which says nothing else: in tasks, and outside. 0 is taken for 1.
/// On an OpenBLAS that counts [per thread](Scope::PerThread), a thread learns it when it next begins to
/// compute.
pub fn set_num_threads(threads: usize) {
    budget::set_limit(threads.max(1));
}

/// Runs `calls` with so many threads for each call: outside of tasks as many as asked for, in a task at most
/// as many as it has CPUs. 0 is taken for 1.
///
/// ```
/// use mobula::blas;
///
/// let sum = blas::with_threads(1, || {
///     assert_eq!(blas::num_threads(), 1);
///     ndarray::arr1(&[1.0, 2.0]).dot(&ndarray::arr1(&[3.0, 4.0]))
/// });
/// assert_eq!(sum, 11.0);
/// ```
pub fn with_threads<R>(threads: usize, calls: impl FnOnce() -> R) -> R {
    let _asked = Asked::new(threads.max(1));
    calls()
}

/// Looks what the library is, if nobody did.
pub(crate) fn start() {
    LazyLock::force(&LIBRARY);
}

/// The library, as it was found.
pub fn info() -> Info {
    LIBRARY.info()
}

/// Which library computes, and how. Shows as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Its name: `OpenBLAS`.
    pub library: &'static str,
    /// Its version, such as `0.3.21`.
    pub version: String,
    /// The kind of core that its kernels were made for, such as `Zen` or `SkylakeX`.
    pub core: String,
    /// Where its threads come from.
    pub threading: Threading,
    /// Whose the number of threads is.
    pub scope: Scope,
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { library, version, core, threading, scope } = self;
        let threading = match threading {
            Threading::None => "without threads",
            Threading::Own => "with threads of its own",
            Threading::OpenMp => "with OpenMP",
        };
        let scope = match scope {
            Scope::Single => "",
            Scope::ProcessWide => ", counted for the process",
            Scope::PerThread => ", counted for each thread",
        };
        write!(f, "{library} {version} for {core}, {threading}{scope}")
    }
}

/// Where the threads of a BLAS come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Threading {
    /// There are none.
    None,
    /// It starts its own.
    Own,
    /// OpenMP's.
    OpenMp,
}

/// Whose the number of threads is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// There is nothing to count.
    Single,
    /// One number for the whole process.
    ProcessWide,
    /// A number for each thread that calls.
    PerThread,
}
