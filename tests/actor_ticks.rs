//! What reaches actors beside calls by their handles: methods that are called every so often, and streams.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use mobula::ActorEnd;
use mobula::prelude::*;

fn runtimes() -> impl Iterator<Item = Runtime> {
    [(1, Engine::Threads), (2, Engine::Threads), (8, Engine::Threads), (1, Engine::Inline)]
        .into_iter()
        .map(|(cpus, engine)| Runtime::new(Config::new().num_cpus(cpus).engine(engine)).unwrap())
}

struct Clock {
    ticks: u64,
    told: mpsc::Sender<u64>,
}

#[remote(local)]
impl Clock {
    pub fn new(told: mpsc::Sender<u64>) -> Self {
        Self { ticks: 0, told }
    }

    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    #[remote(every = "1ms")]
    fn tick(&mut self) -> Result<(), String> {
        self.ticks += 1;
        // Who started it may have seen enough.
        self.told.send(self.ticks).map_err(|error| error.to_string())
    }
}

struct AsyncClock(Clock);

#[remote(local)]
impl AsyncClock {
    pub fn new(told: mpsc::Sender<u64>) -> Self {
        Self(Clock { ticks: 0, told })
    }

    /// On the handle, too.
    #[remote(every = std::time::Duration::from_millis(1))]
    pub async fn tick(&mut self) {
        tokio::task::yield_now().await;
        let _ = self.0.tick();
    }
}

#[test]
fn ticks_come_one_after_the_other_and_end_with_the_actor() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (told, ticks) = mpsc::channel();
        let clock = Clock::remote(told);
        assert!((1..=5).all(|tick| ticks.recv() == Ok(tick)));
        assert!(get(clock.ticks()).unwrap() >= 5);
        // They do not keep it.
        let end = clock.watch();
        drop(clock);
        assert!(matches!(get(end).unwrap(), ActorEnd::Unreachable));
        // The state is gone, and with it the sender.
        ticks.iter().for_each(drop);
        assert_eq!(ticks.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }
}

#[test]
fn async_ticks_may_wait_and_may_be_called() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (told, ticks) = mpsc::channel();
        let clock = AsyncClock::remote(told);
        assert!((1..=5).all(|tick| ticks.recv() == Ok(tick)));
        get(clock.tick()).unwrap();
        get(clock.stop()).unwrap();
        ticks.iter().for_each(drop);
        assert_eq!(ticks.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }
}

struct Shaky {
    made: Arc<AtomicUsize>,
}

#[remote(local, max_restarts = 2)]
impl Shaky {
    pub fn new(made: Arc<AtomicUsize>) -> Self {
        made.fetch_add(1, Ordering::SeqCst);
        Self { made }
    }

    pub fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    #[remote(every = "1ms")]
    fn tick(&self) {
        panic!("planned");
    }
}

#[test]
fn a_tick_that_panics_is_a_crash() {
    let runtime = Runtime::new(Config::new().num_cpus(2)).unwrap();
    let _entered = runtime.enter();
    let shaky = Shaky::remote(Arc::default());
    let end = get(shaky.watch()).unwrap();
    assert!(matches!(end, ActorEnd::Crashed { restarts: 2, .. }), "{end:?}");
    assert_eq!(get(shaky.made()).unwrap_err().kind(), ErrorKind::ActorDied);
}

struct Sum {
    values: Vec<u64>,
}

#[remote]
impl Sum {
    pub fn new() -> Self {
        Self { values: Vec::new() }
    }

    pub fn add(&mut self, value: u64) -> Result<u64, String> {
        if value == 13 {
            return Err("unlucky".to_owned());
        }
        self.values.push(value);
        Ok(value)
    }

    pub async fn values(&self) -> Vec<u64> {
        self.values.clone()
    }
}

#[test]
fn a_stream_is_delivered_in_order() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let sum = Sum::remote();
        let items = futures::stream::iter(100..400);
        let delivered = mobula::deliver(items, &sum, |sum, item| sum.add(item));
        assert_eq!(get(delivered).unwrap(), 300);
        assert_eq!(get(sum.values()).unwrap(), (100..400).collect::<Vec<_>>());
    }
}

#[test]
fn a_call_that_fails_ends_the_delivery() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let sum = Sum::remote();
        let taken = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&taken);
        let items = (10..u64::MAX).inspect(move |_| {
            seen.fetch_add(1, Ordering::SeqCst);
        });
        let items = futures::stream::iter(items);
        let delivered = mobula::deliver(items, &sum, |sum, item| sum.add(item));
        let error = get(delivered).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Task);
        assert!(error.to_string().contains("unlucky"), "{error}");
        // It was endless, and was taken as the actor got on.
        let taken = taken.load(Ordering::SeqCst);
        assert!((4..=4 + 32).contains(&taken), "{taken} were taken");
    }
}

#[test]
fn a_delivery_keeps_its_actor_and_can_be_cancelled() {
    let runtime = Runtime::new(Config::new().num_cpus(2)).unwrap();
    let _entered = runtime.enter();
    let sum = Sum::remote();
    let (items, stream) = futures::channel::mpsc::unbounded();
    let delivered = mobula::deliver(stream, &sum, |sum, item| sum.add(item));
    let end = sum.watch();
    drop(sum);
    items.unbounded_send(1).unwrap();
    assert!(!end.is_ready());
    mobula::cancel(&delivered);
    assert_eq!(get(delivered).unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(matches!(get(end).unwrap(), ActorEnd::Unreachable));
}

/// While the stream has nothing more to give. On `inline` whoever makes the delivery waits for its end.
#[test]
fn a_delivery_ends_by_its_calls_and_with_its_actor() {
    for runtime in runtimes().take(3) {
        let entered = runtime.enter();
        let sum = Sum::remote();
        let deliver = || {
            let (items, stream) = futures::channel::mpsc::unbounded();
            (items, mobula::deliver(stream, &sum, |sum, item| sum.add(item)))
        };
        let (items, delivered) = deliver();
        items.unbounded_send(13).unwrap();
        let error = get(delivered).unwrap_err();
        assert!(error.to_string().contains("unlucky"), "{error}");
        let (_items, idle) = deliver();
        get(sum.stop()).unwrap();
        assert_eq!(get(idle).unwrap_err().kind(), ErrorKind::ActorDied);
        let (_items, late) = deliver();
        assert_eq!(get(late).unwrap_err().kind(), ErrorKind::ActorDied);
        let next = Sum::remote();
        let (_items, stream) = futures::channel::mpsc::unbounded::<u64>();
        let last = mobula::deliver(stream, &next, |sum, item| sum.add(item));
        drop(entered);
        drop(runtime);
        assert_eq!(get(last).unwrap_err().kind(), ErrorKind::ShutDown);
    }
}
