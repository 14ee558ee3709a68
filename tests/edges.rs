//! The edges: drops that panic, runtimes that end in odd places, waits that could never end.

use std::sync::{Arc, Mutex, mpsc};

use mobula::prelude::*;

/// Panics when it is dropped.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[remote(local)]
fn arm() -> Grenade {
    Grenade
}

#[remote]
fn one() -> u64 {
    1
}

#[remote]
fn fail() -> Result<u64, String> {
    Err("failed".to_owned())
}

#[remote]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

fn runtime(cpus: usize) -> Runtime {
    Runtime::new(Config::new().num_cpus(cpus)).unwrap()
}

#[test]
fn a_drop_that_panics_costs_nothing_but_itself() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    struct Holder;
    #[remote(local)]
    impl Holder {
        pub fn new() -> Self {
            Self
        }
        pub fn arm(&mut self) -> Grenade {
            Grenade
        }
        pub fn ping(&self) -> u64 {
            1
        }
    }
    let holder = Holder::remote();
    for _ in 0..10 {
        drop(arm::remote());
        drop(holder.arm());
    }
    assert_eq!(get((holder.ping(), one::remote())).unwrap(), (1, 1));
}

#[test]
fn an_argument_that_panics_when_dropped_stops_no_other_failure() {
    #[remote(local)]
    fn with_grenade(_grenade: &Grenade, _x: u64) {}
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let (open, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    #[remote(local)]
    fn late_failure(gate: &Mutex<mpsc::Receiver<()>>) -> Result<u64, String> {
        let _ = gate.lock().unwrap().recv();
        Err("late".to_owned())
    }
    let cause = late_failure::remote(gate);
    let lost: Vec<_> = (0..10).map(|_| with_grenade::remote(Grenade, &cause)).collect();
    let also = add::remote(&cause, 1);
    drop(open);
    for lost in lost {
        assert_eq!(get(lost).unwrap_err().downcast_ref::<String>().unwrap(), "late");
    }
    assert_eq!(get(also).unwrap_err().downcast_ref::<String>().unwrap(), "late");
}

#[test]
fn a_runtime_may_be_dropped_in_its_own_task() {
    let runtime = runtime(1);
    let slot = Arc::new(Mutex::new(None));
    let task = {
        let _entered = runtime.enter();
        let slot = Arc::clone(&slot);
        let (go, wait) = mpsc::channel::<()>();
        let task = mobula::spawn(move || {
            wait.recv().unwrap();
            drop::<Option<Runtime>>(slot.lock().unwrap().take());
            7
        });
        drop(_entered);
        (task, go)
    };
    *slot.lock().unwrap() = Some(runtime);
    task.1.send(()).unwrap();
    assert_eq!(get(task.0).unwrap(), 7);
}

#[test]
fn a_runtime_may_end_in_an_async_program() {
    #[remote]
    async fn wait_a_moment() -> u64 {
        tokio::task::yield_now().await;
        1
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    tokio.block_on(async {
        for _ in 0..10 {
            let runtime = runtime(1);
            let entered = runtime.enter();
            let object = wait_a_moment::remote();
            drop(entered);
            assert_eq!((&object).await.unwrap(), 1);
            drop(runtime);
        }
    });
}

#[test]
fn shutdown_waits_for_async_tasks_that_have_begun() {
    #[remote(local)]
    async fn slow(done: mpsc::Sender<u64>) {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        done.send(1).unwrap();
    }
    let runtime = runtime(1);
    let entered = runtime.enter();
    let (done, finished) = mpsc::channel();
    let task = slow::remote(done);
    drop(entered);
    let report = runtime.shutdown();
    let ended = get(task);
    assert_eq!(report.never_begun == 0, ended.is_ok());
    assert_eq!(ended.is_ok(), finished.try_recv().is_ok());
}

#[test]
fn an_early_failure_shows_at_once() {
    #[remote(local)]
    fn hold(gate: &Mutex<mpsc::Receiver<()>>) -> u64 {
        let _ = gate.lock().unwrap().recv();
        1
    }
    for cpus in [1, 2] {
        let runtime = runtime(cpus);
        let _entered = runtime.enter();
        let (open, gate) = mpsc::channel::<()>();
        let refs = [fail::remote(), hold::remote(Arc::new(Mutex::new(gate)))];
        assert_eq!(get(&refs).unwrap_err().kind(), ErrorKind::Task);
        drop(open);
        assert_eq!(get(&refs[1]).unwrap(), 1);
    }
}

struct Back;

#[remote(local)]
impl Back {
    pub fn new() -> Self {
        Self
    }

    pub fn through_a_task(&mut self, me: ActorHandle<Back>) -> mobula::Result<u64> {
        get(mobula::spawn(move || get(me.ping())))?
    }

    pub fn ping(&mut self) -> u64 {
        1
    }
}

#[test]
fn a_wait_for_what_waits_below_is_an_error() {
    let runtime = Runtime::new(Config::new().num_cpus(1).engine(Engine::Inline)).unwrap();
    let _entered = runtime.enter();
    let back = Back::remote();
    let error = get(back.through_a_task(back.clone())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock);
}

#[test]
fn a_long_chain_of_findable_objects_drops_without_overflow() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Link(Option<ObjectRef<Link>>);
    let last = (0..300_000).fold(put(Link(None)), |chain, _| {
        serde_json::to_string(&chain).unwrap();
        put(Link(Some(chain)))
    });
    drop(last);
}

#[test]
fn a_dropped_map_leaves_its_waits() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    for _ in 0..100 {
        let mut map = mobula::map(0..1000u64, |x| x + 1).unordered().chunk_size(1);
        assert!(map.next().is_some());
        drop(map);
    }
}

#[test]
fn actors_of_an_ended_runtime_refuse_their_calls() {
    struct Late;
    #[remote]
    impl Late {
        pub fn new() -> Self {
            Self
        }
        pub async fn ping(&self) -> u64 {
            1
        }
    }
    let runtime = runtime(1);
    let (before, during) = {
        let _entered = runtime.enter();
        let before = Late::remote();
        assert_eq!(get(before.ping()).unwrap(), 1);
        let (sender, receiver) = mpsc::channel::<()>();
        let handle = before.clone();
        let late = std::thread::spawn(move || {
            receiver.recv().unwrap();
            get(handle.ping()).unwrap_err().kind()
        });
        (sender, late)
    };
    drop(runtime);
    before.send(()).unwrap();
    assert!(matches!(during.join().unwrap(), ErrorKind::ShutDown | ErrorKind::ActorDied));
}
