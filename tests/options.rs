//! Options: CPUs other than one, resources, priorities, limits, names.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use mobula::prelude::*;

fn runtime(cpus: usize) -> Runtime {
    Runtime::new(Config::new().num_cpus(cpus).resource("gpu", 2.0)).unwrap()
}

#[remote(local)]
fn meet(barrier: &Barrier) {
    barrier.wait();
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
fn nothing_is_asked_for_by_a_zero() {
    for engine in [Engine::Threads, Engine::Inline] {
        let config = Config::new().num_cpus(1).resource("gpu", 2.0).engine(engine);
        let runtime = Runtime::new(config).unwrap();
        let _entered = runtime.enter();
        // Be it of what the runtime does not have, or be it said after another amount.
        get(nothing::options().resource("gpu", 0).resource("qpu", 0).remote()).unwrap();
        get(nothing::options().resource("qpu", 1).resource("qpu", 0).remote()).unwrap();
        let error = get(nothing::options().resource("qpu", 0).resource("qpu", 1).remote());
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Infeasible);
    }
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
