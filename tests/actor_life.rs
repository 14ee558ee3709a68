//! The life of actors that compute: crashes, restarts, retries, checkpoints, and every way to end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use mobula::prelude::*;
use mobula::{ActorControl, ActorEnd};

fn runtimes() -> impl Iterator<Item = Runtime> {
    [(1, Engine::Threads), (2, Engine::Threads), (8, Engine::Threads), (1, Engine::Inline)]
        .into_iter()
        .map(|(cpus, engine)| Runtime::new(Config::new().num_cpus(cpus).engine(engine)).unwrap())
}

/// What the program sees of an actor from outside.
#[derive(Default)]
struct Seen {
    made: AtomicUsize,
    dropped: AtomicUsize,
    tried: AtomicUsize,
    /// How many of the next constructors are to fail.
    to_fail: AtomicUsize,
    /// What they were told of restarts.
    restarts: Mutex<Vec<u32>>,
}

impl Seen {
    fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
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
    pub fn new(start: u64, seen: Arc<Seen>) -> Result<Self, String> {
        seen.restarts.lock().unwrap().push(mobula::context().restarts());
        let less = |left: usize| left.checked_sub(1);
        if seen.made.fetch_add(1, Ordering::SeqCst) > 0
            && seen.to_fail.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
        {
            return Err("not now".to_owned());
        }
        Ok(Self { value: start, seen })
    }

    pub fn add(&mut self, by: u64) -> u64 {
        self.value += by;
        self.value
    }

    pub fn value(&self) -> u64 {
        self.value
    }

    pub fn restarts(&self) -> u32 {
        mobula::context().restarts()
    }

    pub fn explode(&mut self) {
        panic!("boom")
    }

    pub fn explode_shared(&self) {
        panic!("boom")
    }

    pub fn explode_at_first(&mut self, by: u64) -> (u64, u32) {
        if self.seen.tried.fetch_add(1, Ordering::SeqCst) == 0 {
            panic!("boom")
        }
        self.value += by;
        (self.value, mobula::context().attempt())
    }

    pub fn leave(&mut self) -> mobula::Result<u64> {
        mobula::exit_actor()?;
        Ok(self.value)
    }

    pub fn wait_for(&mut self, started: mpsc::Sender<()>, gate: Gate) {
        started.send(()).unwrap();
        gate.pass();
    }
}

/// Lets through whoever comes once it was opened, which its sender's end does.
#[derive(Clone)]
struct Gate(Arc<Mutex<mpsc::Receiver<()>>>);

impl Gate {
    fn new() -> (mpsc::Sender<()>, Self) {
        let (open, gate) = mpsc::channel();
        (open, Self(Arc::new(Mutex::new(gate))))
    }

    fn pass(&self) {
        let _ = self.0.lock().unwrap().recv();
    }
}

#[remote]
fn identity(x: u64) -> u64 {
    x
}

#[remote(local)]
fn after(gate: Gate, x: u64) -> u64 {
    gate.pass();
    x
}

#[test]
fn a_crash_is_a_restart_from_the_constructor() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let counter = Counter::options().max_restarts(2).remote(identity::remote(10), seen.clone());
        let refs = (counter.add(1), counter.explode(), counter.add(2), counter.restarts());
        assert_eq!(get(refs.0).unwrap(), 11);
        let error = get(refs.1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panic);
        assert!(error.to_string().contains("`Counter::explode`"), "{error}");
        assert_eq!(get((refs.2, refs.3)).unwrap(), (12, 1));
        assert_eq!((seen.made(), seen.dropped()), (2, 1));
        // A `&self` method crashes it, too.
        assert_eq!(get(counter.explode_shared()).unwrap_err().kind(), ErrorKind::Panic);
        assert_eq!(get((counter.value(), counter.restarts())).unwrap(), (10, 2));
        let end = counter.watch();
        drop(counter);
        assert!(matches!(get(end).unwrap(), ActorEnd::Unreachable));
        assert_eq!((seen.made(), seen.dropped()), (3, 3));
        assert_eq!(*seen.restarts.lock().unwrap(), [0, 1, 2]);
    }
}

#[test]
fn without_a_restart_left_it_ends_and_says_why() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let hour = Duration::from_secs(3600);
        let counter = Counter::options().max_restarts(2).restart_window(hour);
        let counter = counter.remote(0, seen.clone());
        let explosions: Vec<_> = (0..3).map(|_| counter.explode()).collect();
        let (queued, end) = (counter.value(), counter.watch());
        for explosion in explosions {
            assert_eq!(get(explosion).unwrap_err().kind(), ErrorKind::Panic);
        }
        for call in [queued, counter.value()] {
            let error = get(call).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ActorDied);
            let text = error.to_string();
            assert!(text.contains("after 2 restarts") && text.contains("boom"), "{text}");
        }
        match get(end).unwrap() {
            ActorEnd::Crashed { error, restarts: 2, .. } => {
                assert_eq!(error.kind(), ErrorKind::Panic)
            }
            end => panic!("{end}"),
        }
        assert_eq!((seen.made(), seen.dropped()), (3, 3));
    }
}

#[test]
fn restarts_of_another_time_do_not_count() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let moment = Duration::from_nanos(1);
        let counter = Counter::options().max_restarts(1).restart_window(moment);
        let counter = counter.remote(5, Arc::default());
        for restarts in 1..=20 {
            assert_eq!(get(counter.explode()).unwrap_err().kind(), ErrorKind::Panic);
            assert_eq!(get((counter.value(), counter.restarts())).unwrap(), (5, restarts));
        }
    }
}

#[test]
fn a_constructor_that_fails_at_a_restart_uses_up_another() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let counter = Counter::options().max_restarts(4).remote(7, seen.clone());
        seen.to_fail.store(2, Ordering::SeqCst);
        get(counter.explode()).unwrap_err();
        assert_eq!(get((counter.value(), counter.restarts())).unwrap(), (7, 3));
        assert_eq!(*seen.restarts.lock().unwrap(), [0, 1, 2, 3]);
        seen.to_fail.store(2, Ordering::SeqCst);
        get(counter.explode()).unwrap_err();
        let error = get(counter.value()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ActorDied);
        assert!(error.to_string().contains("not now"), "{error}");
    }
}

#[test]
fn a_call_that_crashed_it_is_run_again() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let options = || Counter::options().max_restarts(9).max_task_retries(2);
        let counter = options().remote(10, seen.clone());
        let refs = (counter.add(1), counter.explode_at_first(identity::remote(5)), counter.add(1));
        // It keeps its place before the next call.
        assert_eq!(get(refs).unwrap(), (11, (15, 2), 16));
        let error = get(counter.explode()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panic);
        assert!(error.to_string().contains("tried 3 times"), "{error}");
        assert_eq!(get(counter.restarts()).unwrap(), 4);
        // Where no restart is left, there is no other try either.
        let counter = Counter::options().max_restarts(1).max_task_retries(5).remote(0, seen);
        let error = get(counter.explode()).unwrap_err();
        assert!(error.to_string().contains("tried 2 times"), "{error}");
        assert_eq!(get(counter.value()).unwrap_err().kind(), ErrorKind::ActorDied);
    }
}

struct Ledger {
    entries: Vec<u64>,
    saves: Arc<AtomicUsize>,
}

#[remote(local, max_restarts = 5)]
impl Ledger {
    pub fn new(saves: Arc<AtomicUsize>) -> Self {
        Self { entries: Vec::new(), saves }
    }

    pub fn add(&mut self, entry: u64) -> usize {
        assert_ne!(entry, 13, "no");
        self.entries.push(entry);
        self.entries.len()
    }

    pub fn entries(&self) -> Vec<u64> {
        self.entries.clone()
    }

    fn checkpoint(&self) -> Result<Vec<u64>, String> {
        self.saves.fetch_add(1, Ordering::SeqCst);
        assert!(!self.entries.contains(&14), "it cannot be saved");
        Ok(self.entries.clone())
    }

    fn restore(&mut self, saved: Vec<u64>) {
        assert!(!saved.contains(&15), "it cannot be restored");
        self.entries = saved;
    }
}

#[test]
fn a_restart_begins_with_what_was_saved_last() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let saves = Arc::new(AtomicUsize::new(0));
        let ledger = Ledger::remote(saves.clone());
        get(ledger.add(13)).unwrap_err();
        get([ledger.add(1), ledger.add(2)]).unwrap();
        // Twice from the same: what was saved is not used up.
        for _ in 0..2 {
            get(ledger.add(13)).unwrap_err();
            assert_eq!(get(ledger.entries()).unwrap(), [1, 2]);
        }
        assert_eq!(saves.load(Ordering::SeqCst), 4, "after each `add`, and after each restart");
        // A checkpoint that fails is a crash; the state before it counts.
        assert_eq!(get(ledger.add(14)).unwrap_err().kind(), ErrorKind::Panic);
        assert_eq!(get(ledger.entries()).unwrap(), [1, 2]);
        // What cannot be restored is not lost without a word.
        get(ledger.add(15)).unwrap();
        get(ledger.add(13)).unwrap_err();
        let error = get(ledger.entries()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ActorDied);
        assert!(error.to_string().contains("it cannot be restored"), "{error}");

        let seldom = Ledger::options().checkpoint_every(3).remote(saves);
        get((1..=5).map(|entry| seldom.add(entry)).collect::<Vec<_>>()).unwrap();
        get(seldom.add(13)).unwrap_err();
        assert_eq!(get(seldom.entries()).unwrap(), [1, 2, 3]);
    }
}

#[test]
fn stop_lets_queued_calls_end() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let counter = Counter::remote(0, seen.clone());
        let refs: Vec<_> = (0..500).map(|_| counter.add(identity::remote(1))).collect();
        let (stopped, again, end) = (counter.stop(), counter.stop(), counter.watch());
        let late = counter.add(1);
        get(stopped).unwrap();
        assert_eq!(seen.dropped(), 1);
        get(again).unwrap();
        assert!(refs.iter().all(|call| call.is_ready()));
        assert_eq!(get(refs).unwrap(), (1..=500).collect::<Vec<_>>());
        let error = get(late).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ActorDied);
        assert!(error.to_string().contains("it was stopped"), "{error}");
        assert!(matches!(get(end).unwrap(), ActorEnd::Stopped));
        get(counter.stop()).unwrap();
        assert!(matches!(get(counter.watch()).unwrap(), ActorEnd::Stopped));
    }
}

#[test]
fn stop_waits_for_calls_whose_arguments_are_missing() {
    let runtime = Runtime::new(Config::new().num_cpus(2)).unwrap();
    let _entered = runtime.enter();
    let counter = Counter::remote(0, Arc::default());
    let (open, gate) = Gate::new();
    let theirs = counter.clone();
    let held = mobula::spawn(move || theirs.add(after::remote(gate, 4)));
    let held = get(held).unwrap();
    let stopped = counter.stop();
    assert_eq!(get(counter.value()).unwrap_err().kind(), ErrorKind::ActorDied);
    drop(open);
    get(stopped).unwrap();
    assert_eq!(get(held).unwrap(), 4);
}

#[test]
fn an_actor_leaves_by_itself_after_the_call() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let counter = Counter::options().max_restarts(9).remote(3, seen.clone());
        let (left, end) = (counter.leave(), counter.watch());
        assert_eq!(get(left).unwrap(), 3);
        assert!(matches!(get(end).unwrap(), ActorEnd::Exited));
        let error = get(counter.value()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ActorDied);
        assert!(error.to_string().contains("it has exited"), "{error}");
        assert_eq!((seen.made(), seen.dropped()), (1, 1));
        assert_eq!(mobula::exit_actor().unwrap_err().kind(), ErrorKind::Value);
    }
}

#[test]
fn kill_is_for_good_and_does_not_wait_for_arguments() {
    let runtime = Runtime::new(Config::new().num_cpus(2)).unwrap();
    let _entered = runtime.enter();
    let (open, gate) = Gate::new();
    let seen = Arc::new(Seen::default());
    let counter = Counter::options().max_restarts(9).remote(after::remote(gate, 1), seen.clone());
    let (queued, end) = (counter.value(), counter.watch());
    mobula::kill(&counter);
    assert!(matches!(get(end).unwrap(), ActorEnd::Killed));
    assert_eq!(get(queued).unwrap_err().kind(), ErrorKind::ActorDied);
    drop(open);
    get(counter.stop()).unwrap();
    assert_eq!(seen.made(), 0);
}

#[test]
fn a_watcher_hears_of_every_end() {
    for runtime in runtimes() {
        let entered = runtime.enter();
        let counter = || Counter::remote(0, Arc::default());
        let unborn = Ledger::options().checkpoint_every(0).remote(Arc::default());
        match get(unborn.watch()).unwrap() {
            ActorEnd::NotMade(error) => assert_eq!(error.kind(), ErrorKind::Config),
            end => panic!("{end}"),
        }
        let crashed = counter();
        let end = crashed.watch();
        let _ = crashed.explode();
        assert!(matches!(get(end).unwrap(), ActorEnd::Crashed { restarts: 0, .. }));
        let at_shutdown = counter();
        let end = at_shutdown.watch();
        drop(entered);
        drop(runtime);
        assert!(matches!(get(end).unwrap(), ActorEnd::ShutDown));
    }
}

struct Fragile;

#[remote]
impl Fragile {
    pub fn new(fail: bool) -> Result<Self, String> {
        if fail { Err("no".to_owned()) } else { Ok(Self) }
    }

    pub fn ping(&self) {}

    pub fn stop(&mut self) -> String {
        "the actor's own".to_owned()
    }
}

#[test]
fn a_constructor_that_fails_at_first_is_not_tried_again() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let fragile = Fragile::options().max_restarts(9).remote(true);
        let error = get(fragile.ping()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ActorDied);
        assert!(error.to_string().contains("failed: no"), "{error}");
        assert!(matches!(get(fragile.watch()).unwrap(), ActorEnd::NotMade(_)));
    }
}

#[test]
fn a_method_of_the_actor_goes_before_one_of_the_handle() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let fragile = Fragile::remote(false);
        assert_eq!(get(fragile.stop()).unwrap(), "the actor's own");
        get(<dyn ActorControl>::stop(&fragile)).unwrap();
        assert_eq!(get(fragile.ping()).unwrap_err().kind(), ErrorKind::ActorDied);
    }
}

#[test]
fn handles_travel_in_arguments_and_results() {
    #[remote(local)]
    fn make(start: u64) -> ActorHandle<Counter> {
        Counter::remote(start, Arc::default())
    }
    #[remote(local)]
    fn add(counter: ActorHandle<Counter>, by: u64) -> mobula::Result<u64> {
        get(counter.add(by))
    }
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let counter = make::remote(4);
        assert_eq!(get(add::remote(&counter, 1)).unwrap(), 5);
        let counter = get(counter).unwrap();
        assert_eq!(get(counter.value()).unwrap(), 5);
    }
}

#[test]
fn options_that_make_no_sense_are_errors_of_every_call() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let options = Counter::options;
        let zero = Duration::ZERO;
        let wrong = [
            (options().name(""), "name is empty"),
            (options().namespace("lab"), "without a name"),
            (options().restart_window(Duration::from_secs(1)), "without max_restarts"),
            (options().max_restarts(1).restart_window(zero), "restart_window is 0"),
            (options().max_task_retries(1), "without max_restarts"),
            (options().max_restarts(1).checkpoint_every(1), "`checkpoint`"),
            (options().max_concurrency(0), "max_concurrency is 0"),
            (options().max_pending_calls(0), "max_pending_calls is 0"),
            (options().block_when_full(), "without max_pending_calls"),
        ];
        for (options, message) in wrong {
            let counter = options.remote(0, Arc::default());
            for call in [counter.value(), counter.add(1)] {
                let error = get(call).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Config);
                assert!(error.to_string().contains(message), "{error}");
            }
        }
    }
}

/// Cannot be cloned.
struct Single(u64);

struct Picky(u64);

#[remote(local)]
impl Picky {
    pub fn new(single: Single) -> Self {
        Self(single.0)
    }

    pub fn add(&mut self, single: Single) -> u64 {
        self.0 += single.0;
        self.0
    }

    pub fn add_borrowed(&mut self, single: &Single) -> u64 {
        self.0 += single.0;
        self.0
    }
}

struct Easy(u64);

#[remote(local, max_restarts = 1)]
impl Easy {
    pub fn new() -> Self {
        Self(0)
    }

    pub fn add(&mut self, single: Single) -> u64 {
        self.0 += single.0;
        self.0
    }

    pub fn add_borrowed(&mut self, single: &Single) -> u64 {
        self.0 += single.0;
        self.0
    }
}

#[test]
fn what_cannot_be_cloned_is_named() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let picky = Picky::options().max_restarts(1).remote(Single(1));
        let error = get(picky.add(Single(1))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("argument `single` of `new`"), "{error}");
        assert_eq!(get(picky.add_borrowed(Single(1))).unwrap_err().kind(), ErrorKind::Config);
        let easy = Easy::options().max_task_retries(1).remote();
        let error = get(easy.add(Single(1))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("argument `single`"), "{error}");
        assert_eq!(get(easy.add_borrowed(Single(1))).unwrap(), 1);
    }
}

/// Has the handle of the next.
struct Link {
    _next: Option<ActorHandle<Link>>,
    ended: Arc<AtomicUsize>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
}

#[remote(local)]
impl Link {
    pub fn new(next: Option<ActorHandle<Link>>, ended: Arc<AtomicUsize>) -> Self {
        Self { _next: next, ended }
    }

    pub fn touch(&self) {}
}

/// The last of so many actors, each of which has the handle of the one before; all have begun.
fn chain(length: usize, ended: &Arc<AtomicUsize>) -> ActorHandle<Link> {
    let mut last = Link::remote(None, Arc::clone(ended));
    for _ in 1..length {
        get(last.touch()).unwrap();
        last = Link::remote(Some(last), Arc::clone(ended));
    }
    get(last.touch()).unwrap();
    last
}

#[test]
fn a_long_chain_of_actors_needs_no_deep_stack_to_end() {
    const LENGTH: usize = 20_000;
    for runtime in runtimes() {
        let entered = runtime.enter();
        let ended = Arc::default();
        let last = chain(LENGTH, &ended);
        drop(last);
        let deadline = Instant::now() + Duration::from_secs(120);
        while ended.load(Ordering::SeqCst) < LENGTH {
            assert!(
                Instant::now() < deadline,
                "{} of {LENGTH} ended",
                ended.load(Ordering::SeqCst)
            );
            std::thread::yield_now();
        }
        let last = chain(LENGTH, &ended);
        drop(entered);
        drop(runtime);
        assert_eq!(ended.load(Ordering::SeqCst), 2 * LENGTH);
        drop(last);
    }
}
