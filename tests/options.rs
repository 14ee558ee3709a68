//! Options: CPUs other than one, resources, priorities, limits, names.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
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
    fn compute(&self, millis: u64) {
        self.most
            .fetch_max(self.now.fetch_add(millis, Ordering::SeqCst) + millis, Ordering::SeqCst);
        std::hint::black_box((0..2000).fold(0u64, |x, y| x ^ y));
        self.now.fetch_sub(millis, Ordering::SeqCst);
    }
}

#[remote(local)]
fn compute(meter: &Meter, millis: u64) {
    meter.compute(millis);
}

#[remote(local, num_cpus = 2)]
fn wide(meter: &Meter, nested: u64) {
    meter.compute(2000);
    if nested > 0 {
        let meter = Arc::new(Meter::default());
        let inner = wide::remote(Arc::clone(&meter), nested - 1);
        let single = compute::remote(Arc::clone(&meter), 1000);
        assert_eq!(wait(&[inner, single], 2, None).0.len(), 2);
    }
    meter.compute(2000);
}

#[test]
fn granted_cpus_never_pass_what_there_are() {
    for cpus in [2, 3, 5] {
        let runtime = runtime(cpus);
        let _entered = runtime.enter();
        let meter = Arc::new(Meter::default());
        let refs: Vec<ObjectRef<()>> = (0..300)
            .map(|n| match n % 4 {
                0 => compute::remote(Arc::clone(&meter), 1000),
                1 => compute::options().num_cpus(0.5).remote(Arc::clone(&meter), 500),
                2 => compute::options().num_cpus(0.001).remote(Arc::clone(&meter), 1),
                _ => wide::remote(Arc::clone(&meter), n % 3),
            })
            .collect();
        get(refs).unwrap();
        assert!(meter.most.load(Ordering::SeqCst) <= 1000 * cpus as u64);
        assert_eq!(meter.now.load(Ordering::SeqCst), 0);
    }
}

#[remote(local)]
fn meet(barrier: &Barrier) {
    barrier.wait();
}

#[test]
fn fractions_share_a_cpu_and_none_takes_none() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    for (cpus, count) in [(0.5, 2), (0.25, 4), (0.0, 20)] {
        // They all run at the same time, or this never ends.
        let barrier = Arc::new(Barrier::new(count));
        let call = || meet::options().num_cpus(cpus).remote(Arc::clone(&barrier));
        get((0..count).map(|_| call()).collect::<Vec<_>>()).unwrap();
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
fn resources_are_counted() {
    let runtime = runtime(4);
    let _entered = runtime.enter();
    let now = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    #[remote(local, resource("gpu", 1))]
    fn on_gpu(counts: &(AtomicUsize, AtomicUsize)) {
        counts.1.fetch_max(counts.0.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::hint::black_box((0..5000).fold(0u64, |x, y| x ^ y));
        counts.0.fetch_sub(1, Ordering::SeqCst);
    }
    let refs: Vec<_> = (0..200).map(|_| on_gpu::remote(Arc::clone(&now))).collect();
    for cancelled in refs.iter().rev().take(50) {
        cancel(cancelled);
    }
    for result in refs {
        assert!(get(result).map_or_else(|error| error.kind() == ErrorKind::Cancelled, |()| true));
    }
    assert!(now.1.load(Ordering::SeqCst) <= 2);
    // All of it is back.
    get(on_gpu::options().resource("gpu", 2.0).remote(now)).unwrap();
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
        assert!(text.contains("`nothing`") && text.contains("options.rs"), "{text}");
    };
    refused(nothing::options().num_cpus(3).remote(), ["3", "2"]);
    refused(nothing::options().resource("gpu", 2.5).remote(), ["2.5", "2"]);
    refused(nothing::options().resource("tpu", 1.0).remote(), ["\"tpu\"", "0"]);
    for senseless in [-1.0, 1.5, 0.0001, f64::NAN] {
        let error = get(nothing::options().num_cpus(senseless).remote()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

#[test]
fn higher_priorities_go_first() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let order = Arc::new(Mutex::new(Vec::new()));
    #[remote(local)]
    fn note(order: &Mutex<Vec<i32>>, priority: i32) {
        order.lock().unwrap().push(priority);
    }
    let barrier = Arc::new(Barrier::new(2));
    let held = meet::remote(Arc::clone(&barrier));
    let refs: Vec<_> = [-1, 0, 5, 1, -2, 0, 5]
        .map(|priority| note::options().priority(priority).remote(Arc::clone(&order), priority))
        .into();
    barrier.wait();
    assert_eq!(wait(&refs, refs.len(), None).0.len(), refs.len());
    get(held).unwrap();
    assert_eq!(*order.lock().unwrap(), [5, 5, 1, 0, 0, -1, -2]);
}

#[test]
fn all_options_together() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let call = nothing::options().num_cpus(0.5).resource("gpu", 1.0).max_retries(5);
    let call = call.timeout(Duration::from_secs(600)).priority(1).name("x");
    get(call.remote()).unwrap();
}

#[test]
fn a_task_that_passes_its_time_limit_fails() {
    #[remote(local, timeout = "5ms")]
    fn endless() -> mobula::Result<()> {
        loop {
            mobula::check_cancelled()?;
            std::thread::yield_now();
        }
    }
    #[remote(timeout = "5ms")]
    async fn endless_wait() {
        std::future::pending().await
    }
    let runtime = runtime(1);
    let _entered = runtime.enter();
    for call in [endless::remote(), endless_wait::remote()] {
        let error = get(call).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimeLimit);
        assert!(error.to_string().contains("5ms"), "{error}");
    }
    let in_time = nothing::options().timeout(Duration::from_secs(600)).remote();
    get(in_time).unwrap();
}

#[test]
fn a_task_has_the_name_it_was_given() {
    #[remote]
    fn name() -> Option<String> {
        mobula::context().name().map(str::to_owned)
    }
    #[remote]
    fn explode() {
        panic!("boom")
    }
    let runtime = runtime(1);
    let _entered = runtime.enter();
    assert_eq!(get(name::remote()).unwrap().as_deref(), Some("name"));
    assert_eq!(get(name::options().name("mine").remote()).unwrap().as_deref(), Some("mine"));
    let error = get(explode::options().name("mine").remote()).unwrap_err();
    assert!(error.to_string().contains("`mine`"), "{error}");
}
