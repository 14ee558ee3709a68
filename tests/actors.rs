//! Actors: state, order, failure and end, of those that compute and those that wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use mobula::prelude::*;

struct Counter {
    value: u64,
    _drops: Drops,
}

/// Says when it is dropped.
#[derive(Clone)]
struct Drops(Arc<AtomicUsize>);

impl Drop for Drops {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[remote(local)]
impl Counter {
    pub fn new(start: u64, drops: Arc<AtomicUsize>) -> Self {
        Self { value: start, _drops: Drops(drops) }
    }

    pub fn add(&mut self, by: u64) -> u64 {
        self.value += by;
        self.value
    }

    pub fn value(&self) -> u64 {
        self.value
    }

    pub fn refuse(&mut self) -> Result<(), String> {
        Err("no".to_owned())
    }

    pub fn explode(&mut self) {
        panic!("boom")
    }

    pub fn wait_for(
        &mut self,
        started: mpsc::Sender<()>,
        gate: Arc<std::sync::Mutex<mpsc::Receiver<()>>>,
    ) {
        started.send(()).unwrap();
        let _ = gate.lock().unwrap().recv();
    }
}

#[remote]
fn identity(x: u64) -> u64 {
    x
}

fn runtimes() -> impl Iterator<Item = Runtime> {
    [(1, Engine::Threads), (2, Engine::Threads), (8, Engine::Threads), (1, Engine::Inline)]
        .into_iter()
        .map(|(cpus, engine)| Runtime::new(Config::new().num_cpus(cpus).engine(engine)).unwrap())
}

fn counter(start: u64) -> (ActorHandle<Counter>, Arc<AtomicUsize>) {
    let drops = Arc::new(AtomicUsize::new(0));
    (Counter::remote(start, Arc::clone(&drops)), drops)
}

#[test]
fn calls_run_in_order_on_one_state() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (counter, _) = counter(10);
        let refs: Vec<_> = (0..1000).map(|_| counter.add(1)).collect();
        assert_eq!(get(refs).unwrap(), (11..=1010).collect::<Vec<_>>());
        assert_eq!(get(counter.value()).unwrap(), 1010);
    }
}

#[test]
fn arguments_may_be_refs_and_order_holds() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (counter, _) = counter(0);
        let refs: Vec<_> = (0..1000)
            .map(|n| if n % 3 == 0 { counter.add(identity::remote(1)) } else { counter.add(1) })
            .collect();
        assert_eq!(get(refs).unwrap(), (1..=1000).collect::<Vec<_>>());
        // Another caller goes past a call that waits for its arguments.
        let theirs = counter.clone();
        let by = mobula::spawn(move || get(theirs.value()).unwrap());
        assert_eq!(get(counter.add(by)).unwrap(), 2000);
    }
}

#[test]
fn many_callers_each_keep_their_order() {
    #[remote(local)]
    fn call(counter: ActorHandle<Counter>) -> bool {
        let seen = get((0..100).map(|_| counter.add(1)).collect::<Vec<_>>()).unwrap();
        seen.is_sorted()
    }
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (counter, _) = counter(0);
        let calls: Vec<_> = (0..100).map(|_| call::remote(counter.clone())).collect();
        assert!(get(calls).unwrap().into_iter().all(|sorted| sorted));
        assert_eq!(get(counter.value()).unwrap(), 10_000);
    }
}

#[test]
fn an_err_is_that_call_s_result_only() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (counter, _) = counter(1);
        let error = get(counter.refuse()).unwrap_err();
        assert_eq!(
            (error.kind(), error.downcast_ref::<String>().unwrap().as_str()),
            (ErrorKind::Task, "no")
        );
        assert_eq!(get(counter.value()).unwrap(), 1);
    }
}

#[test]
fn a_panic_ends_the_actor_and_says_why() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (counter, drops) = counter(1);
        let error = get(counter.explode()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panic);
        let error = get(counter.value()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ActorDied);
        assert!(error.to_string().contains("boom"), "{error}");
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn the_last_handle_ends_it_after_its_calls() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (counter, drops) = counter(0);
        let refs: Vec<_> = (0..100).map(|_| counter.add(identity::remote(1))).collect();
        let another = counter.clone();
        drop(counter);
        drop(another);
        assert_eq!(get(&refs[99]).unwrap(), 100);
        drop(_entered);
        drop(runtime);
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn shutdown_ends_actors_whose_handles_live() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (counter, drops) = counter(0);
        assert_eq!(get(counter.add(1)).unwrap(), 1);
        drop(_entered);
        drop(runtime);
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        let kind = get(counter.add(1)).unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::ShutDown | ErrorKind::ActorDied), "{kind:?}");
    }
}

#[test]
fn kill_spares_the_running_call_only() {
    let runtime = Runtime::new(Config::new().num_cpus(2)).unwrap();
    let _entered = runtime.enter();
    let (counter, drops) = counter(0);
    let (open, gate) = mpsc::channel();
    let (started, runs) = mpsc::channel();
    let running = counter.wait_for(started, Arc::new(std::sync::Mutex::new(gate)));
    runs.recv().unwrap();
    let queued = counter.add(1);
    mobula::kill(&counter);
    drop(open);
    get(running).unwrap();
    assert_eq!(get(queued).unwrap_err().kind(), ErrorKind::ActorDied);
    assert_eq!(get(counter.value()).unwrap_err().kind(), ErrorKind::ActorDied);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[remote]
fn ping(fussy: ActorHandle<Fussy>) -> mobula::Result<u8> {
    get(fussy.ping())
}

#[remote]
fn ping_borrowed(fussy: &ActorHandle<Fussy>) -> mobula::Result<u8> {
    get(fussy.ping())
}

#[test]
fn handles_travel() {
    let runtime = Runtime::new(Config::new().num_cpus(1)).unwrap();
    let _entered = runtime.enter();
    let fussy = Fussy::remote(0);
    assert_eq!(get(ping::remote(fussy.clone())).unwrap(), 1);
    assert_eq!(get(ping::remote(&fussy)).unwrap(), 1);
    assert_eq!(get(ping_borrowed::remote(&fussy)).unwrap(), 1);
    let text = serde_json::to_string(&fussy).unwrap();
    let same: ActorHandle<Fussy> = serde_json::from_str(&text).unwrap();
    assert_eq!(same, fussy);
    assert!(serde_json::from_str::<ActorHandle<Cache>>(&text).is_err(), "of another type");
    drop(fussy);
    assert_eq!(get(same.ping()).unwrap(), 1);
    drop(same);
    assert!(serde_json::from_str::<ActorHandle<Fussy>>(&text).is_err(), "its last handle is gone");
}

struct Selfish;

#[remote(local)]
impl Selfish {
    pub fn new() -> Self {
        Self
    }

    pub fn wait_for_myself(&mut self, me: ActorHandle<Selfish>) -> mobula::Result<()> {
        get(me.ping())
    }

    pub fn ping(&mut self) {}
}

#[test]
fn waiting_for_oneself_is_an_error() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let selfish = Selfish::remote();
        let error = get(selfish.wait_for_myself(selfish.clone())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadlock);
        let text = error.to_string();
        assert!(
            text.contains("`Selfish::wait_for_myself`") && text.contains("`Selfish::ping`"),
            "{text}"
        );
    }
}

struct Fussy;

#[remote]
impl Fussy {
    pub fn new(how: u8) -> Result<Self, String> {
        match how {
            0 => Ok(Self),
            1 => Err("not today".to_owned()),
            _ => panic!("never"),
        }
    }

    pub fn ping(&self) -> u8 {
        1
    }
}

#[test]
fn a_failed_constructor_reaches_every_caller() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        assert_eq!(get(Fussy::remote(0).ping()).unwrap(), 1);
        for (how, why) in [(1, "not today"), (2, "never")] {
            let fussy = Fussy::remote(how);
            for _ in 0..2 {
                let error = get(fussy.ping()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ActorDied);
                assert!(error.to_string().contains(why), "{error}");
            }
        }
    }
}

struct Cache {
    entries: Vec<u64>,
}

#[remote]
impl Cache {
    pub async fn new(first: u64) -> Self {
        tokio::task::yield_now().await;
        Self { entries: vec![first] }
    }

    pub async fn push(&mut self, entry: u64) -> usize {
        tokio::task::yield_now().await;
        self.entries.push(entry);
        self.entries.len()
    }

    pub async fn sum(&self) -> u64 {
        tokio::task::yield_now().await;
        self.entries.iter().sum()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub async fn rendezvous(&self, other: ObjectRef<u64>) -> u64 {
        other.await.unwrap()
    }

    pub async fn explode(&mut self) {
        panic!("boom")
    }

    pub async fn refuse(&self) -> Result<u64, String> {
        Err("no".to_owned())
    }
}

#[test]
fn async_actors_keep_order_and_interleave() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let cache = Cache::remote(identity::remote(1));
        let lengths: Vec<_> = (0..100).map(|n| cache.push(identity::remote(n))).collect();
        assert_eq!(get(lengths).unwrap(), (2..=101).collect::<Vec<_>>());
        assert_eq!(get(cache.sum()).unwrap(), 4951);
        assert_eq!(get(cache.len()).unwrap(), 101);
        assert_eq!(get(cache.refuse()).unwrap_err().kind(), ErrorKind::Task);
        // One `&self` call waits for what another one of the same actor gives.
        let sum = cache.sum();
        assert_eq!(get(cache.rendezvous(put(5))).unwrap(), 5);
        assert_eq!(get(sum).unwrap(), 4951);
    }
}

struct Asks;

#[remote]
impl Asks {
    pub fn new() -> Self {
        Self
    }

    pub async fn blocks_on(&self, other: ActorHandle<Cache>) -> mobula::Result<u64> {
        get(other.sum())
    }

    pub async fn awaits(&self, other: ActorHandle<Cache>) -> mobula::Result<u64> {
        other.sum().await
    }
}

#[test]
fn blocking_the_thread_of_the_awaited_is_an_error() {
    // One CPU, one arbiter: both live on its thread.
    let runtime = Runtime::new(Config::new().num_cpus(1)).unwrap();
    let _entered = runtime.enter();
    let asks = Asks::remote();
    assert_eq!(get(asks.awaits(Cache::remote(1))).unwrap(), 1);
    let error = get(asks.blocks_on(Cache::remote(1))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock);
}

#[test]
fn a_panic_ends_an_async_actor_too() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let cache = Cache::remote(1);
        assert_eq!(get(cache.explode()).unwrap_err().kind(), ErrorKind::Panic);
        let error = get(cache.sum()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ActorDied);
        assert!(error.to_string().contains("boom"), "{error}");
        let cache = Cache::remote(1);
        mobula::kill(&cache);
        assert_eq!(get(cache.sum()).unwrap_err().kind(), ErrorKind::ActorDied);
    }
}
