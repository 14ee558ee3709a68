//! The life of actors that wait: what interleaves and what is alone, crashes, restarts, retries, checkpoints,
//! pressure, names, and every way to end. They share it with those that compute: see `actor_life.rs`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use mobula::ActorEnd;
use mobula::prelude::*;
use tokio::sync::Semaphore;

fn runtimes() -> impl Iterator<Item = Runtime> {
    [(1, Engine::Threads), (2, Engine::Threads), (8, Engine::Threads), (1, Engine::Inline)]
        .into_iter()
        .map(|(cpus, engine)| Runtime::new(Config::new().num_cpus(cpus).engine(engine)).unwrap())
}

/// What the program sees of an actor from outside, and how it lets it go on.
struct Seen {
    made: AtomicUsize,
    dropped: AtomicUsize,
    tried: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    log: Mutex<Vec<u64>>,
    /// Calls that wait take a permit each.
    gate: Semaphore,
    /// Told when a call begins to wait.
    waits: mpsc::Sender<u64>,
}

impl Seen {
    fn new() -> (Arc<Self>, mpsc::Receiver<u64>) {
        let (waits, begun) = mpsc::channel();
        let seen = Self {
            made: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            tried: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            log: Mutex::default(),
            gate: Semaphore::new(0),
            waits,
        };
        (Arc::new(seen), begun)
    }

    fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }

    fn log(&self) -> Vec<u64> {
        self.log.lock().unwrap().clone()
    }
}

struct Counter {
    value: u64,
    seen: Arc<Seen>,
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.seen.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

#[remote(local)]
impl Counter {
    pub async fn new(start: u64, seen: Arc<Seen>) -> Result<Self, String> {
        tokio::task::yield_now().await;
        seen.made.fetch_add(1, Ordering::SeqCst);
        match start {
            404 => Err("no such counter".to_owned()),
            500 => panic!("no counter at all"),
            _ => Ok(Self { value: start, seen }),
        }
    }

    pub async fn add(&mut self, by: u64) -> u64 {
        if by.is_multiple_of(2) {
            tokio::task::yield_now().await;
        }
        assert_ne!(by, 13, "no");
        self.value += by;
        self.value
    }

    /// Does as `add` at the second try.
    pub async fn add_at_last(&mut self, by: u64) -> u64 {
        if self.seen.tried.fetch_add(1, Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
            panic!("not yet");
        }
        self.value += by;
        self.value
    }

    pub fn value(&self) -> u64 {
        self.value
    }

    /// Waits for a permit, among others.
    pub async fn wait(&self, number: u64) -> u64 {
        let now = self.seen.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.seen.most_under_way.fetch_max(now, Ordering::SeqCst);
        self.seen.waits.send(number).unwrap();
        self.seen.gate.acquire().await.unwrap().forget();
        self.seen.under_way.fetch_sub(1, Ordering::SeqCst);
        self.seen.log.lock().unwrap().push(number);
        number
    }

    /// Waits for a permit, alone.
    pub async fn wait_alone(&mut self, number: u64) -> u64 {
        assert_eq!(self.seen.under_way.load(Ordering::SeqCst), 0, "it is not alone");
        self.seen.waits.send(number).unwrap();
        self.seen.gate.acquire().await.unwrap().forget();
        self.seen.log.lock().unwrap().push(number);
        number
    }

    pub async fn explode_among_others(&self) {
        tokio::task::yield_now().await;
        panic!("boom")
    }

    pub async fn leave(&mut self) -> mobula::Result<u64> {
        tokio::task::yield_now().await;
        mobula::exit_actor()?;
        Ok(self.value)
    }

    pub fn checkpoint(&self) -> u64 {
        self.value
    }

    pub fn restore(&mut self, saved: u64) {
        self.value = saved;
    }
}

fn counter(start: u64) -> (ActorHandle<Counter>, Arc<Seen>, mpsc::Receiver<u64>) {
    let (seen, begun) = Seen::new();
    (Counter::remote(start, Arc::clone(&seen)), seen, begun)
}

fn kind_of<T: Clone + Send + Sync + 'static>(object: ObjectRef<T>) -> ErrorKind {
    get(object).map(drop).unwrap_err().kind()
}

#[test]
fn shared_calls_interleave_up_to_max_concurrency() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (seen, begun) = Seen::new();
        let counter = Counter::options().max_concurrency(3).remote(0, Arc::clone(&seen));
        let waits: Vec<_> = (0..10).map(|number| counter.wait(number)).collect();
        for _ in 0..3 {
            begun.recv().unwrap();
        }
        seen.gate.add_permits(10);
        assert_eq!(get(waits).unwrap(), (0..10).collect::<Vec<_>>());
        assert_eq!(seen.most_under_way.load(Ordering::SeqCst), 3);
    }
}

#[test]
fn a_thousand_calls_wait_at_once_unless_told_otherwise() {
    let runtime = Runtime::new(Config::new().num_cpus(2)).unwrap();
    let _entered = runtime.enter();
    let (counter, seen, begun) = counter(0);
    let waits: Vec<_> = (0..1500).map(|number| counter.wait(number)).collect();
    for _ in 0..1000 {
        begun.recv().unwrap();
    }
    seen.gate.add_permits(1500);
    assert_eq!(get(waits).unwrap().len(), 1500);
    assert_eq!(seen.most_under_way.load(Ordering::SeqCst), 1000);
}

#[test]
fn what_is_alone_comes_after_those_before_it_and_before_those_after_it() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (counter, seen, begun) = counter(0);
        let calls = [
            counter.wait(0),
            counter.wait(1),
            counter.wait_alone(2),
            counter.wait_alone(3),
            counter.wait(4),
        ];
        let mut waiting = vec![begun.recv().unwrap(), begun.recv().unwrap()];
        waiting.sort_unstable();
        assert_eq!(waiting, [0, 1]);
        seen.gate.add_permits(1);
        assert!(begun.try_recv().is_err(), "one of the first two still waits");
        seen.gate.add_permits(1);
        for number in 2..5 {
            assert_eq!(begun.recv().unwrap(), number);
            seen.gate.add_permits(1);
        }
        get(calls.to_vec()).unwrap();
        assert_eq!(seen.log()[2..], [2, 3, 4]);
    }
}

#[test]
fn a_crash_restarts_it_and_queued_calls_wait() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (seen, _begun) = Seen::new();
        let counter = Counter::options().max_restarts(2).remote(10, Arc::clone(&seen));
        let calls: Vec<_> = [1, 13, 2, 13, 4].into_iter().map(|by| counter.add(by)).collect();
        assert_eq!(get(&calls[0]).unwrap(), 11);
        assert_eq!(kind_of(calls[1].clone()), ErrorKind::Panic);
        // What the actor had saved is there again.
        assert_eq!(get(&calls[2]).unwrap(), 13);
        assert_eq!(kind_of(calls[3].clone()), ErrorKind::Panic);
        assert_eq!(get(&calls[4]).unwrap(), 17);
        assert_eq!((seen.made.load(Ordering::SeqCst), seen.dropped()), (3, 2));
        // No restart is left.
        let end = counter.watch();
        assert_eq!(kind_of(counter.add(13)), ErrorKind::Panic);
        assert_eq!(kind_of(counter.add(1)), ErrorKind::ActorDied);
        assert!(matches!(get(end).unwrap(), ActorEnd::Crashed { restarts: 2, .. }));
        assert_eq!(seen.dropped(), 3);
    }
}

#[test]
fn restarts_count_in_their_window() {
    let runtime = Runtime::new(Config::new().num_cpus(1)).unwrap();
    let _entered = runtime.enter();
    let (seen, _begun) = Seen::new();
    let hour = Duration::from_secs(3600);
    let counter = Counter::options().max_restarts(1).restart_window(hour).remote(0, seen);
    assert_eq!(kind_of(counter.add(13)), ErrorKind::Panic);
    assert_eq!(get(counter.add(1)).unwrap(), 1);
    assert_eq!(kind_of(counter.add(13)), ErrorKind::Panic);
    assert_eq!(kind_of(counter.add(1)), ErrorKind::ActorDied);
}

#[test]
fn the_crashed_call_may_run_again() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (seen, _begun) = Seen::new();
        let options = Counter::options().max_restarts(1).max_task_retries(1);
        let counter = options.max_pending_calls(100).remote(10, Arc::clone(&seen));
        let (again, next) = (counter.add_at_last(1), counter.add(2));
        assert_eq!((get(again).unwrap(), get(next).unwrap()), (11, 13));
        assert_eq!(seen.tried.load(Ordering::SeqCst), 2);
        // The places of calls were counted right: as many as before fit in.
        let more: Vec<_> = (0..100).map(|_| counter.value()).collect();
        get(more).unwrap();
    }
}

#[test]
fn calls_under_way_survive_another_s_crash() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (seen, begun) = Seen::new();
        let counter = Counter::options().max_restarts(1).remote(5, Arc::clone(&seen));
        let waits = counter.wait(7);
        begun.recv().unwrap();
        // It fails at once, although the state is still borrowed.
        assert_eq!(kind_of(counter.explode_among_others()), ErrorKind::Panic);
        let queued = counter.add(1);
        assert_eq!(seen.dropped(), 0);
        seen.gate.add_permits(1);
        assert_eq!((get(waits).unwrap(), get(queued).unwrap()), (7, 6));
        assert_eq!((seen.made.load(Ordering::SeqCst), seen.dropped()), (2, 1));
    }
}

#[test]
fn a_constructor_that_fails_later_reaches_every_caller() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        for (start, why) in [(404, "no such counter"), (500, "no counter at all")] {
            let (counter, seen, _begun) = counter(start);
            let end = counter.watch();
            for call in [counter.add(1), counter.value()] {
                let error = get(call).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ActorDied);
                assert!(error.to_string().contains(why), "{error}");
            }
            assert!(matches!(get(end).unwrap(), ActorEnd::NotMade(_)));
            assert_eq!(seen.dropped(), 0);
        }
    }
}

#[test]
fn stop_drains_and_watch_tells() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (counter, seen, begun) = counter(0);
        let (waits, end) = (counter.wait(1), counter.watch());
        begun.recv().unwrap();
        let added = counter.add(2);
        let stopped = counter.stop();
        assert_eq!(kind_of(counter.add(3)), ErrorKind::ActorDied);
        assert!(!stopped.is_ready());
        seen.gate.add_permits(1);
        get(stopped).unwrap();
        assert_eq!((get(waits).unwrap(), get(added).unwrap()), (1, 2));
        assert!(matches!(get(end).unwrap(), ActorEnd::Stopped));
        assert_eq!(seen.dropped(), 1);
    }
}

#[test]
fn kill_and_exit_spare_what_runs_only() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (counter, seen, begun) = counter(0);
        let (waits, end) = (counter.wait_alone(1), counter.watch());
        begun.recv().unwrap();
        let queued = counter.add(2);
        mobula::kill(&counter);
        seen.gate.add_permits(1);
        assert_eq!(get(waits).unwrap(), 1);
        assert_eq!(kind_of(queued), ErrorKind::ActorDied);
        assert!(matches!(get(end).unwrap(), ActorEnd::Killed));
        assert_eq!(seen.dropped(), 1);

        let (counter, seen, _begun) = self::counter(9);
        let (left, queued, end) = (counter.leave(), counter.add(2), counter.watch());
        assert_eq!(get(left).unwrap(), 9);
        assert_eq!(kind_of(queued), ErrorKind::ActorDied);
        assert!(matches!(get(end).unwrap(), ActorEnd::Exited));
        assert_eq!(seen.dropped(), 1);
    }
}

#[test]
fn the_last_handle_ends_it_after_its_calls() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (counter, seen, begun) = counter(0);
        let (waits, end) = (counter.wait(1), counter.watch());
        begun.recv().unwrap();
        let added = counter.add(2);
        drop(counter);
        assert!(!end.is_ready());
        seen.gate.add_permits(1);
        assert_eq!((get(waits).unwrap(), get(added).unwrap()), (1, 2));
        assert!(matches!(get(end).unwrap(), ActorEnd::Unreachable));
        assert_eq!(seen.dropped(), 1);
    }
}

#[test]
fn names_are_found() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (seen, _begun) = Seen::new();
        let options = || Counter::options().name("async");
        let counter = options().remote(1, Arc::clone(&seen));
        let same = mobula::get_actor::<Counter>("async").unwrap();
        assert_eq!(get(same.add(2)).unwrap(), 3);
        assert_eq!(options().get_or_create(50, Arc::clone(&seen)), counter);
        assert_eq!(kind_of(options().remote(50, seen).add(1)), ErrorKind::Config);
        drop(same);
        get(counter.stop()).unwrap();
        assert!(mobula::get_actor::<Counter>("async").is_err());
    }
}

#[test]
fn a_full_mailbox_refuses_or_lets_wait() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (seen, begun) = Seen::new();
        let counter = Counter::options().max_pending_calls(2).remote(0, Arc::clone(&seen));
        let waits = counter.wait_alone(1);
        begun.recv().unwrap();
        let queued = [counter.value(), counter.add(1)];
        assert_eq!(kind_of(counter.add(1)), ErrorKind::PendingCallsLimit);
        seen.gate.add_permits(1);
        assert_eq!((get(waits).unwrap(), get(queued.to_vec()).unwrap()), (1, vec![0, 1]));

        let (seen, _begun) = Seen::new();
        let options = Counter::options().max_pending_calls(2).block_when_full();
        let counter = options.remote(0, seen);
        let all: Vec<_> = (0..500).map(|_| counter.add(1)).collect();
        assert_eq!(get(all).unwrap(), (1..=500).collect::<Vec<_>>());
    }
}

#[test]
fn a_waiting_call_can_be_cancelled() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (counter, seen, begun) = counter(0);
        let (alone, queued) = (counter.wait_alone(1), counter.add(1));
        begun.recv().unwrap();
        assert!(cancel(&queued).now());
        assert!(!cancel(&alone).now());
        assert_eq!(kind_of(alone), ErrorKind::Cancelled);
        assert_eq!(kind_of(queued), ErrorKind::Cancelled);
        assert_eq!(get(counter.add(2)).unwrap(), 2);
        drop(seen);
    }
}

#[test]
fn shutdown_ends_it_when_what_runs_is_done() {
    for runtime in runtimes() {
        let entered = runtime.enter();
        let (counter, seen, begun) = counter(0);
        let waits = counter.wait(1);
        begun.recv().unwrap();
        let queued = counter.add(13);
        let (gate, (other, ..)) = (Arc::clone(&seen), self::counter(0));
        drop(entered);
        // It waits for the call that is under way, which goes on when another actor was seen to have ended.
        let opener = std::thread::spawn(move || {
            while get(other.value()).is_ok() {
                std::thread::yield_now();
            }
            gate.gate.add_permits(1);
        });
        runtime.shutdown();
        opener.join().unwrap();
        assert_eq!(get(waits).unwrap(), 1);
        assert!(matches!(kind_of(queued), ErrorKind::ShutDown | ErrorKind::Panic));
        assert_eq!(seen.dropped(), 1);
        assert_eq!(kind_of(counter.value()), ErrorKind::ShutDown);
    }
}

struct Blocker;

#[remote(local)]
impl Blocker {
    pub fn new() -> Self {
        Self
    }

    pub async fn block(&self, gate: Arc<Mutex<mpsc::Receiver<()>>>) {
        let _ = gate.lock().unwrap().recv();
    }
}

#[test]
fn who_blocks_its_thread_is_named() {
    let config = Config::new().num_cpus(1).block_warning(Duration::from_millis(1));
    let runtime = Runtime::new(config).unwrap();
    let entered = runtime.enter();
    let blocker = Blocker::remote();
    let (open, gate) = mpsc::channel();
    let blocked = blocker.block(Arc::new(Mutex::new(gate)));
    while runtime.blocking().is_empty() {
        std::thread::yield_now();
    }
    drop(open);
    get(blocked).unwrap();
    drop(entered);
    let report = runtime.shutdown();
    let [blocking] = &report.blocking[..] else { panic!("{:?}", report.blocking) };
    assert_eq!(blocking.name(), "Blocker::block");
    assert!(blocking.to_string().contains(file!()), "{blocking}");
}
