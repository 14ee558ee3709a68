//! Mailboxes with a limit.

use std::sync::{Arc, Mutex, mpsc};

use mobula::prelude::*;

type Gate = Arc<Mutex<mpsc::Receiver<()>>>;

struct Slow(u64);

#[remote(local)]
impl Slow {
    pub fn new() -> Self {
        Self(0)
    }

    pub fn wait_for(&mut self, started: mpsc::Sender<()>, gate: Gate) {
        started.send(()).unwrap();
        let _ = gate.lock().unwrap().recv();
    }

    pub fn add(&mut self, by: u64) -> u64 {
        self.0 += by;
        self.0
    }

    pub fn call_oneself(&mut self, me: ActorHandle<Slow>) -> mobula::Result<Vec<u64>> {
        // As often as it takes to find all places taken.
        let calls: Vec<_> = (0..3).map(|_| me.add(1)).collect();
        get(&calls[2..])
    }
}

/// An actor that is at work until the sender is dropped.
fn busy(slow: &ActorHandle<Slow>) -> (mpsc::Sender<()>, ObjectRef<()>) {
    let ((open, gate), (started, runs)) = (mpsc::channel(), mpsc::channel());
    let running = slow.wait_for(started, Arc::new(Mutex::new(gate)));
    runs.recv().unwrap();
    (open, running)
}

#[test]
fn a_full_mailbox_fails_fast() {
    for cpus in [1, 2, 8] {
        let runtime = Runtime::new(Config::new().num_cpus(cpus)).unwrap();
        let _entered = runtime.enter();
        let slow = Slow::options().max_pending_calls(2).remote();
        let (open, running) = busy(&slow);
        let waiting = [slow.add(1), slow.add(1)];
        for _ in 0..3 {
            let error = get(slow.add(1)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PendingCallsLimit);
            assert!(error.retry_may_help());
            assert!(error.to_string().contains("2 calls"), "{error}");
        }
        drop(open);
        get(running).unwrap();
        assert_eq!(get(waiting).unwrap(), [1, 2]);
        assert_eq!(get(slow.add(1)).unwrap(), 3);
    }
}

#[test]
fn a_caller_waits_for_its_place() {
    for cpus in [1, 2, 8] {
        let runtime = Runtime::new(Config::new().num_cpus(cpus)).unwrap();
        let slow = Slow::options().max_pending_calls(2).block_when_full();
        let slow = {
            let _entered = runtime.enter();
            slow.remote()
        };
        let (open, running) = busy(&slow);
        let callers: Vec<_> = std::thread::scope(|scope| {
            let call = || {
                let _entered = runtime.enter();
                (0..100).map(|_| slow.add(1)).collect::<Vec<_>>()
            };
            let callers: Vec<_> = (0..4).map(|_| scope.spawn(call)).collect();
            drop(open);
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        get(running).unwrap();
        for calls in callers {
            assert!(get(calls).unwrap().is_sorted(), "the order of one caller's calls");
        }
        let _entered = runtime.enter();
        assert_eq!(get(slow.add(0)).unwrap(), 400);
    }
}

#[test]
fn tasks_wait_for_their_places_without_a_cpu() {
    #[remote(local)]
    fn call(slow: ActorHandle<Slow>) -> mobula::Result<u64> {
        let mut calls: Vec<_> = (0..50).map(|_| slow.add(1)).collect();
        get(calls.remove(49))
    }
    for cpus in [1, 2, 8] {
        let runtime = Runtime::new(Config::new().num_cpus(cpus)).unwrap();
        let _entered = runtime.enter();
        let slow = Slow::options().max_pending_calls(1).block_when_full().remote();
        let calls: Vec<_> = (0..20).map(|_| call::remote(slow.clone())).collect();
        assert_eq!(get(calls).unwrap().into_iter().max().unwrap(), 1000);
    }
}

#[test]
fn a_place_that_can_never_come_is_a_deadlock() {
    for (cpus, engine) in [(1, Engine::Threads), (2, Engine::Threads), (1, Engine::Inline)] {
        let runtime = Runtime::new(Config::new().num_cpus(cpus).engine(engine)).unwrap();
        let _entered = runtime.enter();
        let slow = Slow::options().max_pending_calls(2).block_when_full().remote();
        let error = get(slow.call_oneself(slow.clone())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadlock);
        let text = error.to_string();
        assert!(text.contains("`Slow::call_oneself`") && text.contains("`Slow::add`"), "{text}");
        assert_eq!(get(slow.add(0)).unwrap(), 2);
    }
}

#[test]
fn whoever_waits_for_a_place_hears_of_the_end() {
    for cpus in [1, 2, 8] {
        let runtime = Runtime::new(Config::new().num_cpus(cpus)).unwrap();
        let _entered = runtime.enter();
        let slow = Slow::options().max_pending_calls(1).block_when_full().remote();
        let (open, running) = busy(&slow);
        let refs: Vec<_> = std::thread::scope(|scope| {
            let call = || (slow.add(1), slow.add(1));
            let callers: Vec<_> = (0..4).map(|_| scope.spawn(call)).collect();
            mobula::kill(&slow);
            drop(open);
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        get(running).unwrap();
        for (first, second) in refs {
            assert_eq!(get(first).unwrap_err().kind(), ErrorKind::ActorDied);
            assert_eq!(get(second).unwrap_err().kind(), ErrorKind::ActorDied);
        }
    }
}
