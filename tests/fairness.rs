//! Fairness: work that makes more work without end keeps no other work waiting for ever.
//!
//! In each test something goes on until an outside task has told it to stop, which that can do only if it
//! gets its turn. A test that fails does not end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use mobula::prelude::*;

/// Told to stop, or not yet.
#[derive(Clone, Default)]
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn now(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_now(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Tells its chains to stop when the test fails, so that the runtime can end.
struct StopAtEnd(Stop);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        self.0.now();
    }
}

fn runtime(cpus: usize) -> Runtime {
    Runtime::new(Config::new().num_cpus(cpus)).unwrap()
}

/// Begins its successor, until it is told to stop.
#[remote(local)]
fn chain(stop: Stop, cpus: f64) {
    if !stop.is_now() {
        start_chain(&stop, cpus);
    }
}

fn start_chain(stop: &Stop, cpus: f64) {
    drop(chain::options().num_cpus(cpus).remote(stop.clone(), cpus));
}

/// Keeps about so many of its kind in the queues.
#[remote(local)]
fn tree(stop: Stop, living: Arc<AtomicUsize>) {
    const LIVING_MAX: usize = 2000;
    living.fetch_sub(1, Ordering::SeqCst);
    let children = if living.load(Ordering::SeqCst) < LIVING_MAX { 2 } else { 1 };
    for _ in 0..children {
        if !stop.is_now() {
            living.fetch_add(1, Ordering::SeqCst);
            drop(tree::remote(stop.clone(), Arc::clone(&living)));
        }
    }
}

#[remote(local)]
fn tell(stop: Stop) {
    stop.now();
}

#[remote(local)]
async fn tell_later(stop: Stop) {
    tokio::time::sleep(Duration::from_millis(1)).await;
    stop.now();
}

struct Teller;

#[remote(local)]
impl Teller {
    pub fn new() -> Self {
        Self
    }

    pub fn tell(&mut self, stop: Stop) {
        stop.now();
    }

    /// Calls itself, so that its mailbox is never empty.
    pub fn talk(&mut self, me: ActorHandle<Teller>, stop: Stop) {
        if !stop.is_now() {
            drop(me.talk(me.clone(), stop));
        }
    }
}

/// Starts what goes on and on, on all CPUs: each kind in turn.
type Start = fn(usize, &Stop);

const STARTS: [Start; 5] = [
    |cpus, stop| (0..cpus).for_each(|_| start_chain(stop, 1.0)),
    |cpus, stop| (0..2 * cpus).for_each(|_| start_chain(stop, 0.5)),
    // Two chains at once on each CPU leave no moment at which it is not used.
    |cpus, stop| (0..4 * cpus).for_each(|_| start_chain(stop, 0.25)),
    |cpus, stop| {
        let living = Arc::new(AtomicUsize::new(cpus));
        (0..cpus).for_each(|_| drop(tree::remote(stop.clone(), Arc::clone(&living))));
    },
    |cpus, stop| {
        for _ in 0..cpus {
            let teller = Teller::remote();
            drop(teller.talk(teller.clone(), stop.clone()));
        }
    },
];

/// Waits on this thread, which does not run the task itself then.
fn wait_for(task: ObjectRef<()>) {
    assert_eq!(wait(std::slice::from_ref(&task), 1, None).0.len(), 1);
    get(task).unwrap();
}

/// Sees that what `call` makes, in the face of each kind of endless work, gets its turn.
fn assert_gets_its_turn(call: impl Fn(Stop, usize) -> ObjectRef<()>) {
    for cpus in [1, 2] {
        for start in STARTS {
            let runtime = runtime(cpus);
            let _entered = runtime.enter();
            let stop = Stop::default();
            let _at_end = StopAtEnd(stop.clone());
            start(cpus, &stop);
            wait_for(call(stop.clone(), cpus));
        }
    }
}

#[test]
fn a_task_from_outside_gets_its_turn() {
    assert_gets_its_turn(|stop, _| tell::remote(stop));
}

#[test]
fn a_task_whose_argument_comes_later_gets_its_turn() {
    assert_gets_its_turn(|stop, _| tell::remote(mobula::spawn(move || stop)));
}

#[test]
fn a_task_with_a_priority_gets_its_turn() {
    assert_gets_its_turn(|stop, _| tell::options().priority(1).remote(stop));
}

#[test]
fn a_task_with_a_time_limit_gets_its_turn() {
    let limit = Duration::from_secs(86_400);
    assert_gets_its_turn(|stop, _| tell::options().timeout(limit).remote(stop));
}

#[test]
fn a_task_on_a_part_of_a_cpu_gets_its_turn() {
    assert_gets_its_turn(|stop, _| tell::options().num_cpus(0.75).remote(stop));
}

#[test]
fn a_task_on_all_cpus_gets_its_turn() {
    assert_gets_its_turn(|stop, cpus| tell::options().num_cpus(cpus as f64).remote(stop));
}

#[test]
fn a_timer_gets_its_turn() {
    assert_gets_its_turn(|stop, _| tell_later::remote(stop));
}

#[test]
fn an_actor_gets_its_turn() {
    assert_gets_its_turn(|stop, _| Teller::remote().tell(stop));
}

#[test]
fn a_time_limit_passes_while_all_cpus_are_busy() {
    #[remote(local, timeout = "1ms")]
    fn until_stopped() -> mobula::Result<()> {
        loop {
            mobula::check_cancelled()?;
            std::hint::spin_loop();
        }
    }
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let stop = Stop::default();
    let _at_end = StopAtEnd(stop.clone());
    STARTS[0](2, &stop);
    let task = until_stopped::remote();
    assert_eq!(wait(std::slice::from_ref(&task), 1, None).0.len(), 1);
    assert_eq!(get(task).unwrap_err().kind(), ErrorKind::TimeLimit);
}

#[remote(local)]
fn note(order: &Mutex<Vec<usize>>, number: usize) {
    order.lock().unwrap().push(number);
}

#[remote(local)]
fn meet(barrier: &Barrier) {
    barrier.wait();
}

/// The order in which one CPU runs what came from outside while it was busy.
fn order_of(call: impl Fn(Arc<Mutex<Vec<usize>>>, usize) -> ObjectRef<()>) -> Vec<usize> {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let order = Arc::new(Mutex::new(Vec::new()));
    let barrier = Arc::new(Barrier::new(2));
    let busy = meet::remote(Arc::clone(&barrier));
    let tasks: Vec<_> = (0..2000).map(|number| call(Arc::clone(&order), number)).collect();
    barrier.wait();
    assert_eq!(wait(&tasks, tasks.len(), None).0.len(), tasks.len());
    get(busy).unwrap();
    let order = order.lock().unwrap();
    order.clone()
}

#[test]
fn what_comes_first_is_about_the_first_to_run() {
    // A thread takes tasks from outside in batches of up to 32, and now and then a further one before
    // it has run all of the last.
    const DISPLACED_MAX: usize = 64;
    let order = order_of(|order, number| note::remote(order, number));
    let displaced = order.iter().enumerate().map(|(place, number)| place.abs_diff(*number));
    assert!(displaced.max().unwrap() <= DISPLACED_MAX, "{order:?}");
}

#[test]
fn what_comes_first_with_a_priority_is_the_first_to_run_with_it() {
    for priority in [-3, 3] {
        let call = |order, number| note::options().priority(priority).remote(order, number);
        assert!(order_of(call).is_sorted());
    }
}

#[test]
fn parts_of_a_cpu_are_given_in_the_order_of_their_asking() {
    // Each takes the most of a CPU, so that they run one after the other.
    let order = order_of(|order, number| note::options().num_cpus(0.75).remote(order, number));
    assert!(order.is_sorted(), "{order:?}");
}
