//! Rayon inside of tasks: as many threads as the task has CPUs.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, ThreadId};

use mobula::prelude::*;
use rayon::prelude::*;

fn runtime(cpus: usize) -> Runtime {
    Runtime::new(Config::new().num_cpus(cpus).seed(1)).unwrap()
}

/// The number of rayon's threads, and how many computed.
fn used() -> (usize, usize) {
    let threads: HashSet<ThreadId> = (0..1000)
        .into_par_iter()
        .map(|item| {
            std::hint::black_box((0..50).fold(item, |x: u64, y| x.wrapping_mul(31) ^ y));
            thread::current().id()
        })
        .collect();
    (rayon::current_num_threads(), threads.len())
}

#[remote]
fn counts() -> (usize, usize) {
    used()
}

#[test]
fn a_task_has_as_many_threads_of_rayon_as_cpus() {
    let runtime = runtime(4);
    let _entered = runtime.enter();
    for _ in 0..20 {
        let narrow: Vec<_> = (0..20).map(|_| counts::remote()).collect();
        assert!(get(narrow).unwrap().into_iter().all(|seen| seen == (1, 1)));
        for cpus in [2, 3, 4] {
            let refs: Vec<_> = (0..3).map(|_| counts::options().num_cpus(cpus).remote()).collect();
            for (threads, used) in get(refs).unwrap() {
                assert_eq!(threads, cpus as usize);
                assert!(used <= threads);
            }
        }
        let less: Vec<_> = [0.0, 0.5].map(|cpus| counts::options().num_cpus(cpus).remote()).into();
        assert_eq!(get(less).unwrap(), [(1, 1), (1, 1)]);
    }
}

/// All parts run at the same time, or none ends.
#[remote(num_cpus = 3)]
fn meets() -> usize {
    let barrier = Barrier::new(3);
    (0..3).into_par_iter().with_max_len(1).map(|_| usize::from(barrier.wait().is_leader())).sum()
}

#[test]
fn the_threads_of_a_wide_task_compute_at_the_same_time() {
    let runtime = runtime(3);
    let _entered = runtime.enter();
    assert_eq!(get((0..20).map(|_| meets::remote()).collect::<Vec<_>>()).unwrap(), [1; 20]);
}

#[remote]
fn child(x: u64) -> u64 {
    (0..x).into_par_iter().sum()
}

/// Waits, draws, asks for its context and computes in parallel by turns.
#[remote(num_cpus = 2, name = "mixed")]
fn mixed(x: u64) -> (u64, u64, usize) {
    let drawn = mobula::rng().integers(0..1000_u64, ()).unwrap();
    let sum: u64 = (0..x).into_par_iter().sum();
    let children = get((0..8).map(child::remote).collect::<Vec<_>>()).unwrap();
    assert_eq!(mobula::context().name(), Some("mixed"));
    assert_eq!(mobula::context().num_cpus(), 2.0);
    let again = get(child::options().num_cpus(2).remote(x)).unwrap();
    assert_eq!(again, sum);
    (drawn, sum + children.iter().sum::<u64>(), used().0)
}

#[test]
fn a_wide_task_is_a_task_like_any_other() {
    let mut drawn = Vec::new();
    for cpus in [2, 4] {
        let runtime = runtime(cpus);
        let _entered = runtime.enter();
        let seen = get((0..20).map(|_| mixed::remote(1000)).collect::<Vec<_>>()).unwrap();
        // 0 + 1 + ... below each of 0 to 7.
        assert!(seen.iter().all(|(_, sum, threads)| (*sum, *threads) == (499_500 + 56, 2)));
        drawn.push(seen.into_iter().map(|(drawn, ..)| drawn).collect::<Vec<_>>());
    }
    assert_eq!(drawn[0], drawn[1]);
}

#[test]
fn a_panic_in_a_wide_task_is_its_error() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    #[remote(num_cpus = 2)]
    fn fails() -> u64 {
        (0..100_u64).into_par_iter().map(|x| if x == 50 { panic!("at fifty") } else { x }).sum()
    }
    for _ in 0..10 {
        let error = get(fails::remote()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panic);
        assert!(error.to_string().contains("at fifty"), "{error}");
    }
    assert_eq!(get(counts::options().num_cpus(2).remote()).unwrap().0, 2);
}

struct Counter;

#[remote]
impl Counter {
    pub fn new() -> Self {
        Self
    }

    pub fn threads(&self) -> usize {
        used().0
    }
}

#[test]
fn actors_and_items_of_maps_have_one_thread() {
    let runtime = runtime(3);
    let _entered = runtime.enter();
    assert_eq!(get(Counter::remote().threads()).unwrap(), 1);
    let all = mobula::map(0..100, |_| used().0).collect::<mobula::Result<Vec<_>>>().unwrap();
    assert!(all.into_iter().all(|threads| threads == 1));
    let shared = Arc::new(7_u64);
    assert_eq!(get(mobula::spawn(move || (0..*shared).into_par_iter().sum::<u64>())).unwrap(), 21);
}

#[test]
fn in_worker_processes_it_is_the_same() {
    let drawn_by = |engine| {
        let runtime = Runtime::new(Config::new().num_cpus(4).seed(1).engine(engine)).unwrap();
        let _entered = runtime.enter();
        let narrow: Vec<_> = (0..20).map(|_| counts::remote()).collect();
        assert!(get(narrow).unwrap().into_iter().all(|seen| seen == (1, 1)));
        for cpus in [2, 3, 1, 4, 0] {
            let wide = counts::options().num_cpus(cpus).remote();
            assert_eq!(get(wide).unwrap().0, cpus.max(1) as usize);
        }
        assert_eq!(get((0..4).map(|_| meets::remote()).collect::<Vec<_>>()).unwrap(), [1; 4]);
        let beside = Counter::options().max_concurrency(2).remote();
        for counter in [Counter::remote(), beside] {
            let threads = (0..4).map(|_| counter.threads()).collect::<Vec<_>>();
            assert_eq!(get(threads).unwrap(), [1; 4]);
        }
        get((0..20).map(|_| mixed::remote(1000)).collect::<Vec<_>>()).unwrap()
    };
    assert_eq!(drawn_by(Engine::Processes), drawn_by(Engine::Threads));
}

#[remote]
fn plain(x: u64) -> u64 {
    x
}

/// Calls and waits on every thread that it has, each time for a task that wants so many CPUs and computes in parallel.
#[remote]
fn calls_inside(items: u64, cpus: f64) -> mobula::Result<u64> {
    let called = (0..items).into_par_iter().map(|item| {
        let sum = get(child::options().num_cpus(cpus).remote(item))?;
        Ok(sum - item.saturating_sub(1) * item / 2 + get(plain::remote(item))?)
    });
    called.sum()
}

/// Whatever those want that are called, and on however many CPUs it is waited for them.
fn call_inside(engine: Engine) {
    for cpus in [2, 4] {
        let config = Config::new().num_cpus(cpus).engine(engine);
        // Not the process-wide one: calls go there from all threads of a task.
        let runtime = Runtime::new(config).unwrap();
        let _entered = runtime.enter();
        for granted in [1.0, 2.0, cpus as f64] {
            for wanted in [1.0, 0.0, 0.5, 2.0, cpus as f64] {
                let call = || calls_inside::options().num_cpus(granted).remote(12, wanted);
                let refs: Vec<_> = (0..3).map(|_| call()).collect();
                assert_eq!(get(refs).unwrap(), [66; 3], "{granted} CPUs wait for {wanted}");
            }
        }
    }
}

#[test]
fn calls_inside_of_parallel_iterators_are_waited_for() {
    call_inside(Engine::Threads);
}

#[test]
fn so_they_are_in_worker_processes() {
    call_inside(Engine::Processes);
}

/// Whether it has CPUs before and after, and what its two parts give.
#[remote(num_cpus = 3)]
fn waits_with_one_thread() -> (bool, Vec<usize>, bool) {
    let before = mobula::context().worker();
    let (tell, told) = sync_channel(1);
    let told = Mutex::new(told);
    let parts = (0..2_usize).into_par_iter().with_max_len(1).map(|part| {
        if part == 0 {
            // It has not ended when what the other calls has.
            return told.lock().unwrap().recv().unwrap();
        }
        let all = get(counts::options().num_cpus(3).remote()).unwrap().0;
        tell.send(all).unwrap();
        all
    });
    let parts = parts.collect();
    (before.is_some(), parts, mobula::context().worker().is_some())
}

#[test]
fn where_one_thread_waits_all_cpus_are_for_others() {
    for engine in [Engine::Threads, Engine::Processes] {
        let runtime = Runtime::new(Config::new().num_cpus(3).engine(engine)).unwrap();
        let _entered = runtime.enter();
        for _ in 0..10 {
            assert_eq!(get(waits_with_one_thread::remote()).unwrap(), (true, vec![3, 3], true));
        }
    }
}

#[test]
fn a_panic_beside_a_wait_is_the_tasks_error() {
    #[remote(num_cpus = 2)]
    fn fails() {
        let both = Barrier::new(2);
        (0..2_u32).into_par_iter().with_max_len(1).for_each(|part| {
            both.wait();
            let got = get(plain::options().num_cpus(2).remote(u64::from(part))).unwrap();
            assert_eq!(got, 0, "the second fails");
        });
    }
    let runtime = runtime(2);
    let _entered = runtime.enter();
    for _ in 0..20 {
        let error = get(fails::remote()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panic);
        assert!(error.to_string().contains("the second fails"), "{error}");
    }
    assert_eq!(get(counts::options().num_cpus(2).remote()).unwrap().0, 2);
}

/// Tells, and gives what it is told.
type Talk = (Sender<()>, Receiver<u64>);
static TALK: Mutex<Option<Talk>> = Mutex::new(None);

#[test]
fn a_runtime_ends_when_the_waits_of_a_tasks_threads_have() {
    #[remote]
    fn talks() -> u64 {
        let (tell, told) = TALK.lock().unwrap().take().unwrap();
        tell.send(()).unwrap();
        told.recv().unwrap()
    }
    #[remote(num_cpus = 2)]
    fn waits() -> mobula::Result<Vec<u64>> {
        let awaited = talks::remote();
        (0..2_u32).into_par_iter().with_max_len(1).map(|_| get(&awaited)).collect()
    }
    let runtime = runtime(2);
    let (tell, has_begun) = channel();
    let (end, told) = channel();
    *TALK.lock().unwrap() = Some((tell, told));
    let waits = {
        let _entered = runtime.enter();
        waits::remote()
    };
    // It has a CPU, which the waits have laid down.
    has_begun.recv().unwrap();
    let ending = thread::spawn(move || runtime.shutdown());
    end.send(7).unwrap();
    assert_eq!(get(waits).unwrap(), [7, 7]);
    drop(ending.join().unwrap());
}

#[test]
fn a_wait_inside_that_cannot_end_is_a_deadlock() {
    #[remote(resource("seat", 1.0))]
    fn sits() {}
    #[remote(num_cpus = 2, resource("seat", 1.0))]
    fn has_the_seat(part_that_waits: u32) -> Vec<bool> {
        let waits = |part| {
            let kind = || get(sits::remote()).map_err(|error| error.kind());
            part == part_that_waits && kind() == Err(ErrorKind::Deadlock)
        };
        let both = Barrier::new(2);
        // Each on a thread of its own.
        let parts = (0..2_u32).into_par_iter().with_max_len(1).map(|part| {
            both.wait();
            waits(part)
        });
        parts.collect()
    }
    for engine in [Engine::Threads, Engine::Processes] {
        let config = Config::new().num_cpus(2).resource("seat", 1.0).engine(engine);
        let runtime = Runtime::new(config).unwrap();
        let _entered = runtime.enter();
        for _ in 0..5 {
            assert_eq!(get(has_the_seat::remote(0)).unwrap(), [true, false]);
            assert_eq!(get(has_the_seat::remote(1)).unwrap(), [false, true]);
        }
    }
}
