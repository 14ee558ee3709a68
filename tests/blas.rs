//! Threads of BLAS: as many as the grant, whatever runs side by side.
//!
//! The number of threads belongs to the process, or to a thread that may be any of the pool's, so these
//! tests run one after the other.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mobula::blas::{self, Scope, Threading};
use mobula::linalg::{Cholesky, UPLO};
use mobula::prelude::*;
use ndarray::Array2;

/// What limits the threads from outside.
const VARIABLES: [&str; 3] = ["OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"];

/// Keeps the other tests away.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn runtime(cpus: usize) -> Runtime {
    Runtime::new(Config::new().num_cpus(cpus)).unwrap()
}

fn inline(cpus: usize) -> Runtime {
    Runtime::new(Config::new().num_cpus(cpus).engine(Engine::Inline)).unwrap()
}

/// As many as asked for, where the library has threads at all.
fn if_any(threads: usize) -> usize {
    if blas::info().scope == Scope::Single { 1 } else { threads }
}

/// The number of threads, when whoever has just ended to compute is no longer counted: it is the expected one
/// then, or else after a long time the wrong one.
fn settled(expected: usize) -> usize {
    let end = Instant::now() + Duration::from_secs(30);
    while blas::num_threads() != expected && Instant::now() < end {
        std::thread::yield_now();
    }
    blas::num_threads()
}

#[remote]
fn threads_here(expected: usize) -> usize {
    settled(expected)
}

#[test]
fn the_library_says_what_it_is() {
    let _alone = alone();
    let info = blas::info();
    assert_eq!(info.library, "OpenBLAS");
    assert!(info.version.starts_with(|first: char| first.is_ascii_digit()), "{info}");
    assert!(!info.core.is_empty());
    assert_eq!(info.threading == Threading::None, info.scope == Scope::Single);
    assert_eq!(info.threading == Threading::OpenMp, info.scope == Scope::PerThread, "{info}");
    assert!(info.to_string().starts_with("OpenBLAS "));
}

#[test]
fn a_task_has_as_many_threads_as_cpus() {
    let _alone = alone();
    for runtime in [runtime(4), inline(4)] {
        let _entered = runtime.enter();
        let outside = blas::num_threads();
        for _ in 0..20 {
            assert_eq!(get(threads_here::remote(1)).unwrap(), 1);
            for cpus in [2, 4, 3] {
                let expected = if_any(cpus as usize);
                let wide = threads_here::options().num_cpus(cpus).remote(expected);
                assert_eq!(get(wide).unwrap(), expected);
            }
            assert_eq!(get(threads_here::options().num_cpus(0.5).remote(1)).unwrap(), 1);
        }
        drop(_entered);
        drop(runtime);
        assert_eq!(blas::num_threads(), outside);
    }
}

struct Solver;

#[remote]
impl Solver {
    pub fn new() -> Self {
        Self
    }

    pub fn threads(&self, expected: usize) -> usize {
        settled(expected)
    }
}

#[test]
fn a_worker_process_has_as_many_threads_as_its_task_has_cpus() {
    let _alone = alone();
    let config = Config::new().num_cpus(4).engine(Engine::Processes);
    let runtime = Runtime::new(config).unwrap();
    let _entered = runtime.enter();
    for _ in 0..3 {
        let narrow: Vec<_> = (0..8).map(|_| threads_here::remote(1)).collect();
        assert_eq!(get(narrow).unwrap(), [1; 8]);
        for cpus in [2, 4, 3] {
            let expected = if_any(cpus as usize);
            let wide = threads_here::options().num_cpus(cpus).remote(expected);
            assert_eq!(get(wide).unwrap(), expected);
        }
    }
    let beside = || Solver::options().max_concurrency(2);
    for solver in [Solver::remote(), beside().remote()] {
        assert_eq!(get([solver.threads(1), solver.threads(1)]).unwrap(), [1, 1]);
    }
    let wide = beside().num_cpus(4).remote();
    assert_eq!(get([wide.threads(if_any(4)), wide.threads(if_any(4))]).unwrap(), [if_any(4); 2]);
}

/// Waits for the others, counts, and waits again, so that all count while all run.
#[remote(local)]
fn beside(barrier: Arc<Barrier>, expected: usize) -> usize {
    barrier.wait();
    let threads = settled(expected);
    barrier.wait();
    threads
}

#[test]
fn tasks_side_by_side_never_have_more_than_their_grants() {
    let _alone = alone();
    for grants in [&[1, 1, 1, 1][..], &[2, 2], &[1, 2, 1], &[3, 1], &[4]] {
        let runtime = runtime(4);
        let _entered = runtime.enter();
        for _ in 0..20 {
            let barrier = Arc::new(Barrier::new(grants.len()));
            let least = *grants.iter().min().unwrap();
            let expected = |grant: i32| match blas::info().scope {
                Scope::Single => 1,
                Scope::ProcessWide => least as usize,
                _ => grant as usize,
            };
            let call = |cpus: &i32| {
                let barrier = Arc::clone(&barrier);
                beside::options().num_cpus(*cpus).remote(barrier, expected(*cpus))
            };
            let refs: Vec<_> = grants.iter().map(call).collect();
            let all: Vec<usize> = grants.iter().copied().map(expected).collect();
            assert_eq!(get(refs).unwrap(), all, "{grants:?}");
        }
    }
}

#[remote(num_cpus = 3)]
fn waits_in_between() -> [usize; 3] {
    let before = settled(if_any(3));
    let child = get(mobula::spawn(blas::num_threads)).unwrap();
    [before, child, settled(if_any(3))]
}

#[test]
fn a_task_that_waits_has_its_threads_again_after() {
    let _alone = alone();
    for cpus in [3, 4] {
        let runtime = runtime(cpus);
        let _entered = runtime.enter();
        for _ in 0..20 {
            let [before, child, after] = get(waits_in_between::remote()).unwrap();
            assert_eq!((before, after), (if_any(3), if_any(3)));
            // It may run on top of the task that waits for it, which has three CPUs.
            assert!(child == 1 || child == if_any(3), "{child}");
        }
    }
}

#[test]
fn with_threads_asks_outside_and_only_lowers_inside() {
    let _alone = alone();
    let before = blas::num_threads();
    for threads in [1, 2, 3] {
        let inner = blas::with_threads(threads, || {
            let outer = blas::num_threads();
            let inner = blas::with_threads(1, blas::num_threads);
            assert_eq!(blas::num_threads(), outer);
            (outer, inner)
        });
        assert_eq!(inner, (if_any(threads), 1));
    }
    let panicked = std::panic::catch_unwind(|| blas::with_threads(3, || panic!("as expected")));
    assert!(panicked.is_err());
    assert_eq!(blas::num_threads(), before);

    let runtime = runtime(2);
    let _entered = runtime.enter();
    let asks = |threads| mobula::spawn(move || blas::with_threads(threads, blas::num_threads));
    assert_eq!(get([asks(1), asks(4)]).unwrap(), [1, 1]);
    #[remote(num_cpus = 2)]
    fn wide(threads: usize, expected: usize) -> usize {
        blas::with_threads(threads, || settled(expected))
    }
    assert_eq!(get([wide::remote(1, 1), wide::remote(4, if_any(2))]).unwrap(), [1, if_any(2)]);
}

#[test]
fn a_limit_holds_inside_and_outside() {
    // In a process of its own: a limit cannot be taken back.
    let child = std::env::var_os("MOBULA_TEST_LIMIT").is_some();
    if !child {
        for (variable, value, says) in [
            ("OPENBLAS_NUM_THREADS", "2", "2"),
            ("MKL_NUM_THREADS", "2", "2"),
            ("OMP_NUM_THREADS", "2", "2"),
            ("OMP_NUM_THREADS", "3,2", "3"),
        ] {
            let mut again = Command::new(std::env::current_exe().unwrap());
            again.args(["--exact", "a_limit_holds_inside_and_outside", "--nocapture"]);
            for other in VARIABLES {
                again.env_remove(other);
            }
            let output =
                again.env(variable, value).env("MOBULA_TEST_LIMIT", says).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{variable}: {text}");
        }
        return;
    }
    let limit = std::env::var("MOBULA_TEST_LIMIT").unwrap().parse().unwrap();
    let runtime = runtime(4);
    let _entered = runtime.enter();
    let of_wide = |expected| get(threads_here::options().num_cpus(4).remote(expected)).unwrap();
    assert_eq!(settled(if_any(limit)), if_any(limit));
    assert_eq!(get(threads_here::remote(1)).unwrap(), 1);
    assert_eq!(of_wide(if_any(limit)), if_any(limit));
    blas::set_num_threads(3);
    assert_eq!(settled(if_any(3)), if_any(3));
    assert_eq!(get(threads_here::remote(1)).unwrap(), 1);
    assert_eq!(of_wide(if_any(3)), if_any(3));
    assert_eq!(blas::with_threads(4, || settled(if_any(4))), if_any(4));
}

/// A positive definite matrix.
fn matrix(n: usize) -> Array2<f64> {
    Array2::from_shape_fn((n, n), |(i, j)| if i == j { n as f64 } else { 1.0 / (1 + i + j) as f64 })
}

/// Multiplies a matrix again and again, factors it, and tells by which thread.
#[remote]
fn compute(a: &Array2<f64>, times: usize) -> String {
    (0..times).for_each(|_| assert!(a.t().dot(a)[[0, 0]] > 0.0));
    assert!(a.cholesky(UPLO::Lower).unwrap()[[0, 0]] > 0.0);
    let this = fs::read_link("/proc/thread-self").unwrap();
    this.file_name().unwrap().to_string_lossy().into_owned()
}

/// The CPU time of each thread of this process, in ticks.
fn cpu_times() -> HashMap<String, u64> {
    let of_task = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        let stat = fs::read_to_string(path.join("stat")).ok()?;
        // Behind the name, which may have anything in it: fields 3 and on; 14 and 15 are the times.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
        Some((path.file_name()?.to_string_lossy().into_owned(), ticks))
    };
    fs::read_dir("/proc/self/task").unwrap().filter_map(of_task).collect()
}

/// How many threads helped those that `run` gives, while it ran: computed for more than a tenth of what the
/// busiest one did.
fn helpers(run: impl FnOnce() -> Vec<String>) -> usize {
    let before = cpu_times();
    let callers = run();
    let after = cpu_times();
    let spent = |(thread, ticks): (&String, &u64)| {
        (thread.clone(), ticks - before.get(thread).copied().unwrap_or(0))
    };
    let spent: Vec<(String, u64)> = after.iter().map(spent).collect();
    let most = spent.iter().map(|(_, ticks)| *ticks).max().unwrap();
    let busy = spent.iter().filter(|(_, ticks)| 10 * ticks > most);
    busy.filter(|(thread, _)| !callers.contains(thread)).count()
}

#[test]
#[cfg(target_os = "linux")]
fn the_system_sees_no_more_threads_than_were_granted() {
    // Each in a process of its own, where no thread of another test computes. How many tasks run at a time is
    // tested elsewhere; here it is who computes beside them.
    const SHAPES: [(&str, usize, &[i32]); 5] = [
        ("narrow", 2, &[1; 8]),
        ("wide", 2, &[2]),
        ("wide of many", 4, &[2]),
        ("widest", 4, &[4]),
        ("mixed", 3, &[1, 2]),
    ];
    let Ok(child) = std::env::var("MOBULA_TEST_SHAPE") else {
        for (name, ..) in SHAPES {
            let mut again = Command::new(std::env::current_exe().unwrap());
            again.args(["--exact", "the_system_sees_no_more_threads_than_were_granted"]);
            for other in VARIABLES {
                again.env_remove(other);
            }
            let output = again.env("MOBULA_TEST_SHAPE", name).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{name}: {text}");
        }
        return;
    };
    let (_, cpus, grants) = SHAPES.into_iter().find(|(name, ..)| *name == child).unwrap();
    let runtime = runtime(cpus);
    let _entered = runtime.enter();
    let a = put(matrix(400));
    let helpers = helpers(|| {
        // Long enough that what threads spend on their start is little beside it.
        let times = 800 / grants.len();
        let call = |cpus: &i32| compute::options().num_cpus(*cpus).remote(&a, times);
        get(grants.iter().map(call).collect::<Vec<_>>()).unwrap()
    });
    let granted: usize = grants.iter().map(|grant| *grant as usize - 1).sum();
    assert!(helpers <= granted, "{helpers} threads beside tasks of {grants:?} on {cpus} CPUs");
    // A wide task alone has some.
    if let [grant @ 2..=64] = grants {
        assert_eq!(helpers > 0, if_any(*grant as usize) > 1, "{helpers} beside {grants:?}");
    }
}
