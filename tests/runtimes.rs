//! Runtimes: started, entered, side by side, shut down; what tasks know of themselves.

use std::cell::RefCell;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use futures::channel::oneshot;
use mobula::prelude::*;

#[remote]
fn one() -> u64 {
    1
}

#[remote]
fn adds(one: u64) -> u64 {
    one + 1
}

#[remote(local)]
fn hold(gate: Arc<Mutex<mpsc::Receiver<()>>>, started: mpsc::Sender<()>) -> u64 {
    let _ = started.send(());
    let _ = gate.lock().unwrap().recv();
    mobula::get(one::remote()).map_or(0, |one| one + 1)
}

#[test]
fn one_process_wide_runtime_at_a_time() {
    let runtime = mobula::init(Config::new().num_cpus(2)).unwrap();
    assert_eq!(runtime.num_cpus(), 2);
    let error = mobula::init(Config::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(get(one::remote()).unwrap(), 1);
    drop(runtime);
    let runtime = mobula::init(Config::new().num_cpus(1)).unwrap();
    assert_eq!(get(one::remote()).unwrap(), 1);
    drop(runtime);
}

#[test]
fn runtimes_live_side_by_side() {
    let (a, b) = (Runtime::new(Config::new().num_cpus(1)), Runtime::new(Config::new().num_cpus(3)));
    let (a, b) = (a.unwrap(), b.unwrap());
    #[remote]
    fn children() -> u64 {
        get((0..10).map(|_| one::remote()).collect::<Vec<_>>()).unwrap().iter().sum()
    }
    let theirs = {
        let _entered = a.enter();
        children::remote()
    };
    let _entered = b.enter();
    #[remote]
    fn add(a: u64, b: u64) -> u64 {
        a + b
    }
    assert_eq!(get(add::remote(theirs, children::remote())).unwrap(), 20);
}

/// How many CPUs the runtime has that calls of this thread go to, up to three.
fn cpus() -> Option<usize> {
    (1..=3).rev().find(|cpus| get(one::options().num_cpus(*cpus as f64).remote()).is_ok())
}

#[test]
fn guards_drop_in_any_order() {
    let runtimes = [1, 2, 3].map(|cpus| Runtime::new(Config::new().num_cpus(cpus)).unwrap());
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let _last_of_all = runtimes[1].enter();
        let mut guards = runtimes.each_ref().map(|runtime| Some(runtime.enter()));
        for dropped in order {
            guards[dropped] = None;
            let left = guards.iter().rposition(Option::is_some).map_or(2, |last| last + 1);
            assert_eq!(cpus(), Some(left), "{order:?}, {dropped}");
        }
        // What is entered now is no concern of those that are gone.
        let _entered = runtimes[2].enter();
        assert_eq!(cpus(), Some(3));
    }
}

#[test]
fn a_guard_that_outlives_its_task_is_of_the_task_alone() {
    thread_local! {
        static LEFT: RefCell<Vec<mobula::EnterGuard<'static>>> = const { RefCell::new(Vec::new()) };
    }
    #[remote(local)]
    async fn leaves_a_guard() {
        let other = Runtime::new(Config::new().num_cpus(3)).unwrap();
        LEFT.with_borrow_mut(|left| left.push(Box::leak(Box::new(other)).enter()));
    }
    let runtime = Runtime::new(Config::new().num_cpus(2).engine(Engine::Inline)).unwrap();
    let entered = runtime.enter();
    get(leaves_a_guard::remote()).unwrap();
    assert_eq!(cpus(), Some(2));
    LEFT.take();
    assert_eq!(cpus(), Some(2));
    drop(entered);
}

#[test]
fn shutdown_cancels_what_waits_and_joins_what_runs() {
    let runtime = Runtime::new(Config::new().num_cpus(1)).unwrap();
    let entered = runtime.enter();
    let (open, gate) = mpsc::channel();
    let (started, running) = mpsc::channel();
    let held = hold::remote(Arc::new(Mutex::new(gate)), started);
    running.recv().unwrap();
    let queued: Vec<_> = (0..10).map(|_| one::remote()).collect();
    drop(entered);
    let report = std::thread::scope(|scope| {
        let shutdown = scope.spawn(|| runtime.shutdown());
        // The queued ones fail while the running one still runs.
        for queued in queued {
            assert_eq!(get(queued).unwrap_err().kind(), ErrorKind::ShutDown);
        }
        drop(open);
        shutdown.join().unwrap()
    });
    assert_eq!(report.never_begun, 10);
    assert_eq!(get(held).unwrap(), 0, "its own calls are refused");
}

struct Busy;

#[remote(local)]
impl Busy {
    pub fn new() -> Self {
        Self
    }

    pub fn hold(&mut self, gate: Arc<Mutex<mpsc::Receiver<()>>>, started: mpsc::Sender<()>) {
        let _ = started.send(());
        let _ = gate.lock().unwrap().recv();
    }

    pub fn add(&self, one: u64) -> u64 {
        one + 1
    }
}

struct Waiting;

#[remote(local)]
impl Waiting {
    pub fn new() -> Self {
        Self
    }

    pub async fn hold(&mut self, gate: oneshot::Receiver<()>, started: mpsc::Sender<()>) {
        let _ = started.send(());
        let _ = gate.await;
    }

    pub async fn one(&self) -> u64 {
        1
    }
}

#[test]
fn what_never_began_is_counted() {
    let runtime = Runtime::new(Config::new().num_cpus(1)).unwrap();
    let entered = runtime.enter();
    let (open, gate) = mpsc::channel();
    let (let_go, waits) = oneshot::channel();
    let (started, running) = mpsc::channel();
    let (busy, waiting) = (Busy::remote(), Waiting::remote());
    let begun =
        (busy.hold(Arc::new(Mutex::new(gate)), started.clone()), waiting.hold(waits, started));
    assert_eq!((running.recv(), running.recv()), (Ok(()), Ok(())));
    let queued = one::remote();
    let calls = [busy.add(&queued), busy.add(1), waiting.one(), waiting.one()];
    let refs: Vec<_> = (0..3).map(|_| adds::remote(&queued)).chain(calls).collect();
    drop(entered);
    let report = std::thread::scope(|scope| {
        let shutdown = scope.spawn(|| runtime.shutdown());
        assert_eq!(get(queued).unwrap_err().kind(), ErrorKind::ShutDown);
        drop((open, let_go));
        shutdown.join().unwrap()
    });
    get(begun).unwrap();
    assert_eq!(report.never_begun, 1 + refs.len());
    for never in refs {
        assert_eq!(get(never).unwrap_err().kind(), ErrorKind::ShutDown);
    }
}

#[test]
fn a_task_knows_itself() {
    #[remote]
    fn ask() -> (Option<String>, bool, u32, f64) {
        let context = mobula::context();
        (
            context.name().map(str::to_owned),
            context.worker().is_some(),
            context.attempt(),
            context.num_cpus(),
        )
    }
    let runtime = Runtime::new(Config::new().num_cpus(1)).unwrap();
    let _entered = runtime.enter();
    let (name, on_worker, attempt, cpus) = get(ask::remote()).unwrap();
    assert_eq!((name.as_deref(), on_worker, attempt, cpus), (Some("ask"), true, 1, 1.0));
    #[remote(local)]
    fn id() -> Option<mobula::ObjectId> {
        mobula::context().task_id()
    }
    let task = id::remote();
    assert_eq!(get(&task).unwrap(), Some(task.id()));
    assert!(mobula::context().task_id().is_none());
}

#[test]
fn a_runtime_may_end_in_another_s_task() {
    let outer = Runtime::new(Config::new().num_cpus(2)).unwrap();
    let _entered = outer.enter();
    #[remote]
    fn inner() -> u64 {
        let runtime = Runtime::new(Config::new().num_cpus(2)).unwrap();
        let _entered = runtime.enter();
        get(one::remote()).unwrap()
    }
    let refs: Vec<_> = (0..10).map(|_| inner::remote()).collect();
    assert_eq!(get(refs).unwrap(), vec![1; 10]);
}

#[test]
fn threads_start_with_work_and_end_with_the_runtime() {
    let runtime = Runtime::new(Config::new().num_cpus(4)).unwrap();
    assert_eq!(runtime.num_threads(), 0);
    let _entered = runtime.enter();
    get((0..1000).map(|_| one::remote()).collect::<Vec<_>>()).unwrap();
    assert!(runtime.num_threads() <= 4);
}
