//! Limits: how many compute at the same time, how many threads that takes, how deep tasks may nest, and
//! what is refused because there will never be so much.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use mobula::prelude::*;

fn runtime(cpus: usize) -> Runtime {
    Runtime::new(Config::new().num_cpus(cpus).resource("gpu", 2.0)).unwrap()
}

/// Counts CPUs in use, in thousandths, and the most there were.
#[derive(Default)]
struct Meter {
    now: AtomicU64,
    most: AtomicU64,
}

impl Meter {
    /// Computes a little, on as many CPUs as the running task was granted.
    fn compute(&self) {
        let granted = (mobula::context().num_cpus() * 1000.0).round() as u64;
        let now = self.now.fetch_add(granted, Ordering::SeqCst) + granted;
        self.most.fetch_max(now, Ordering::SeqCst);
        std::hint::black_box((0..1000).fold(0u64, |x, y| std::hint::black_box(x ^ y)));
        self.now.fetch_sub(granted, Ordering::SeqCst);
    }
}

/// Computes, waits for children of all kinds, and computes again.
#[remote(local)]
fn compute(meter: Arc<Meter>, depth: u64, cpus: u64) {
    meter.compute();
    if depth > 0 {
        let below = |granted: f64| {
            compute::options().num_cpus(granted).remote(Arc::clone(&meter), depth - 1, cpus)
        };
        let actor = Computes::remote(Arc::clone(&meter));
        let mut children = vec![below(1.0), below(0.5), below(0.001), below(0.0)];
        children.extend([below(cpus as f64), actor.compute()]);
        if depth.is_multiple_of(2) {
            // By the group wait, which never runs them on this thread.
            assert_eq!(wait(&children, children.len(), None).0.len(), children.len());
        }
        children.into_iter().for_each(|child| get(child).unwrap());
    }
    meter.compute();
}

struct Computes(Arc<Meter>);

#[remote(local)]
impl Computes {
    pub fn new(meter: Arc<Meter>) -> Self {
        Self(meter)
    }

    pub fn compute(&mut self) {
        self.0.compute();
        get(compute::remote(Arc::clone(&self.0), 0, 1)).unwrap();
        self.0.compute();
    }
}

#[test]
fn never_more_than_num_cpus_compute() {
    for cpus in [1, 2, 3, 5] {
        let runtime = runtime(cpus);
        let _entered = runtime.enter();
        let meter = Arc::new(Meter::default());
        let call = |depth| compute::remote(Arc::clone(&meter), depth, cpus as u64);
        get((0..4).map(call).collect::<Vec<_>>()).unwrap();
        assert!(meter.most.load(Ordering::SeqCst) <= 1000 * cpus as u64);
        assert_eq!(meter.now.load(Ordering::SeqCst), 0);
    }
}

#[remote(local)]
fn meet(barrier: &Barrier) {
    barrier.wait();
}

#[test]
fn fractions_share_a_cpu() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    for (cpus, count) in [(0.5, 2), (0.25, 4), (0.001, 1000)] {
        // They all run at the same time, or this never ends.
        let barrier = Arc::new(Barrier::new(count));
        let call = || meet::options().num_cpus(cpus).remote(Arc::clone(&barrier));
        get((0..count).map(|_| call()).collect::<Vec<_>>()).unwrap();
    }
}

#[test]
fn a_task_on_no_cpu_runs_beside_those_that_have_them_all() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    for granted in [1.0, 2.0] {
        let count = 2 / granted as usize;
        let barrier = Arc::new(Barrier::new(count + 20));
        let call = |cpus: f64| meet::options().num_cpus(cpus).remote(Arc::clone(&barrier));
        let mut all: Vec<_> = (0..count).map(|_| call(granted)).collect();
        all.extend((0..20).map(|_| call(0.0)));
        get(all).unwrap();
    }
}

#[test]
fn blocked_tasks_give_back_whatever_they_were_granted() {
    #[remote(local)]
    fn parent(cpus: f64) -> f64 {
        let child = mobula::spawn(move || cpus);
        // By the group wait, which never runs the child on this thread.
        assert_eq!(wait(std::slice::from_ref(&child), 1, None).0.len(), 1);
        get(child).unwrap() + mobula::context().num_cpus()
    }
    let runtime = runtime(2);
    let _entered = runtime.enter();
    for cpus in [0.0, 0.5, 1.0, 2.0] {
        let refs: Vec<_> = (0..20).map(|_| parent::options().num_cpus(cpus).remote(cpus)).collect();
        assert_eq!(get(refs).unwrap(), vec![2.0 * cpus; 20]);
    }
}

#[test]
fn a_task_on_any_cpus_can_wait_for_one_that_takes_them_all() {
    #[remote(local)]
    fn all() -> f64 {
        mobula::context().num_cpus()
    }
    #[remote(local)]
    fn child(cpus: f64) -> f64 {
        let all = all::options().num_cpus(cpus).remote();
        assert_eq!(wait(std::slice::from_ref(&all), 1, None).0.len(), 1);
        get(all).unwrap()
    }
    // Some of its children it runs itself, if there is an idle CPU.
    #[remote(local)]
    fn parent(cpus: f64) -> f64 {
        let children: Vec<_> = (0..6).map(|_| child::remote(cpus)).collect();
        get(children).unwrap().into_iter().sum::<f64>() / 6.0
    }
    let runtime = runtime(3);
    let _entered = runtime.enter();
    for granted in [0.0, 0.001, 0.5, 1.0, 2.0, 3.0] {
        for _ in 0..100 {
            let call = || parent::options().num_cpus(granted).remote(3.0);
            assert_eq!(get_timeout(call(), FOR_EVER).unwrap(), 3.0);
            assert_eq!(get([call(), parent::remote(3.0)]).unwrap(), [3.0; 2]);
        }
    }
}

/// How a task waits for the next.
#[derive(Clone, Copy)]
enum Way {
    Get,
    GetWithin,
    Wait,
    AsCompleted,
}

const FOR_EVER: Duration = Duration::from_secs(86_400);

/// As many tasks as it is deep, each waiting for the next; the last meets others twice.
#[remote(local)]
fn descend(depth: u32, way: Way, bottom: Arc<Barrier>) -> u32 {
    if depth == 0 {
        bottom.wait();
        bottom.wait();
        return 0;
    }
    let below = descend::remote(depth - 1, way, bottom);
    match way {
        Way::Get => {}
        Way::GetWithin => drop(get_timeout(&below, FOR_EVER)),
        Way::Wait => assert_eq!(wait(std::slice::from_ref(&below), 1, None).0.len(), 1),
        Way::AsCompleted => assert_eq!(as_completed([&below]).count(), 1),
    }
    get(below).unwrap() + 1
}

#[test]
fn two_thousand_blocked_tasks_end_on_one_cpu() {
    const DEPTH: u32 = 2000;
    let runtime = runtime(1);
    let _entered = runtime.enter();
    // What can run on the thread that waits for it needs no other. Else each blocked task keeps its own,
    // up to a limit; beyond that, threads work on top of what waits.
    const EXTRA_THREADS_MAX: usize = 256;
    for (way, threads_max) in [
        (Way::Get, 2),
        (Way::Wait, 2),
        (Way::AsCompleted, 2),
        (Way::GetWithin, 1 + EXTRA_THREADS_MAX),
    ] {
        let bottom = Arc::new(Barrier::new(2));
        let top = descend::remote(DEPTH, way, Arc::clone(&bottom));
        bottom.wait();
        let threads = runtime.num_threads();
        bottom.wait();
        assert_eq!(get(top).unwrap(), DEPTH);
        assert!(threads <= threads_max, "{threads} threads");
    }
    // Only a few of them stay for the next time.
    while runtime.num_threads() > 50 {
        std::thread::yield_now();
    }
}

#[test]
fn nesting_does_not_overflow_the_stack() {
    for (cpus, engine, depth) in
        [(1, Engine::Threads, 100_000), (2, Engine::Threads, 20_000), (1, Engine::Inline, 20_000)]
    {
        let runtime = Runtime::new(Config::new().num_cpus(cpus).engine(engine)).unwrap();
        let _entered = runtime.enter();
        let nobody_else = Arc::new(Barrier::new(1));
        assert_eq!(get(descend::remote(depth, Way::Get, nobody_else)).unwrap(), depth);
    }
}

#[remote]
fn nothing() {}

#[test]
fn what_can_never_be_had_is_refused_with_both_numbers() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let refused = |call: ObjectRef<()>, numbers: [&str; 2]| {
        let error = get(call).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Infeasible);
        let text = error.to_string();
        assert!(numbers.iter().all(|number| text.contains(number)), "{text}");
        assert!(text.contains("`nothing`") && text.contains("limits.rs"), "{text}");
    };
    refused(nothing::options().num_cpus(3).remote(), ["num_cpus = 3", "has 2"]);
    refused(nothing::options().resource("gpu", 2.5).remote(), ["\"gpu\" = 2.5", "has 2"]);
    refused(nothing::options().resource("tpu", 1.0).remote(), ["\"tpu\" = 1", "has 0"]);
    for senseless in [-1.0, 1.5, 0.0001, f64::NAN, f64::INFINITY] {
        let error = get(nothing::options().num_cpus(senseless).remote()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}
