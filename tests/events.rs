//! Events: which there are, what they say, and that none is lost but those that are counted.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime};

use mobula::prelude::*;
use mobula::{Event, EventKind};

fn start(cpus: usize) -> Runtime {
    Runtime::new(Config::new().num_cpus(cpus).engine(Engine::Threads).events(true)).unwrap()
}

fn read(runtime: &Runtime) -> Vec<Event> {
    let events = runtime.events();
    assert_eq!(events.dropped(), 0);
    events.collect()
}

fn kinds<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<EventKind> {
    events.into_iter().map(Event::kind).collect()
}

fn of<'a>(events: &'a [Event], name: &str) -> Vec<&'a Event> {
    events.iter().filter(|event| event.name() == Some(name)).collect()
}

/// Each task's events by its number, in the order of the stream.
fn by_task(events: &[Event]) -> HashMap<u64, Vec<&Event>> {
    let mut tasks: HashMap<u64, Vec<&Event>> = HashMap::new();
    for event in events {
        tasks.entry(event.task()).or_default().push(event);
    }
    tasks
}

#[remote]
fn double(x: u64) -> u64 {
    2 * x
}

#[remote]
fn fails() -> Result<u64, String> {
    Err("no".to_owned())
}

#[remote]
fn panics() -> u64 {
    panic!("on purpose")
}

/// A gate that a task stops at until the test opens it, and that says when it was reached.
#[derive(Clone)]
struct Gate {
    reached: mpsc::Sender<()>,
    opened: Arc<Mutex<mpsc::Receiver<()>>>,
}

struct Keeper {
    reached: mpsc::Receiver<()>,
    open: mpsc::Sender<()>,
}

fn gate() -> (Gate, Keeper) {
    let (reached, is_reached) = mpsc::channel();
    let (open, opened) = mpsc::channel();
    let opened = Arc::new(Mutex::new(opened));
    (Gate { reached, opened }, Keeper { reached: is_reached, open })
}

impl Gate {
    fn stop_here(&self) {
        let _ = self.reached.send(());
        let _ = self.opened.lock().unwrap().recv();
    }
}

#[remote(local)]
fn stops(gate: Gate) -> u64 {
    gate.stop_here();
    1
}

#[test]
fn a_task_is_submitted_started_and_finished() {
    let before = SystemTime::now();
    let runtime = start(2);
    let _entered = runtime.enter();
    let line = line!() + 1;
    assert_eq!(get(double::remote(4)).unwrap(), 8);
    let events = runtime.events();
    let started_at = events.started_at();
    let events: Vec<Event> = events.collect();
    assert_eq!(kinds(&events), [EventKind::Submitted, EventKind::Started, EventKind::Finished]);
    assert!(events.is_sorted_by_key(Event::time));
    for event in &events {
        assert_eq!(event.task(), events[0].task());
        assert_eq!((event.name(), event.function()), (Some("double"), Some("double")));
        assert_eq!(event.module(), Some(module_path!()));
        let called_at = event.called_at().unwrap();
        assert_eq!((called_at.file(), called_at.line()), (file!(), line));
        assert_eq!((event.parent(), event.actor(), event.attempt()), (None, None, 1));
    }
    let here = std::thread::current();
    assert_eq!(events[0].thread(), here.name().unwrap());
    assert_eq!(events[0].worker(), None);
    // Whoever ran it held one of the two CPUs.
    assert!(events[1].worker().unwrap() < 2);
    assert_eq!(events[1].worker(), events[2].worker());
    assert_eq!(events[1].thread_number(), events[2].thread_number());
    let now = SystemTime::now();
    let second = Duration::from_secs(1);
    let finished_at = started_at + events[2].time();
    assert!(finished_at + second > before && finished_at < now + second, "{finished_at:?}");
    assert_eq!(kinds(&read(&runtime)), []);
}

#[test]
fn a_task_that_a_worker_runs_is_told_by_that_worker() {
    let runtime = start(1);
    let _entered = runtime.enter();
    let (gate, keeper) = gate();
    let result = stops::remote(gate);
    keeper.reached.recv().unwrap();
    let events = read(&runtime);
    assert_eq!(kinds(&events), [EventKind::Submitted, EventKind::Started]);
    assert_eq!((events[1].thread(), events[1].worker()), ("mobula-0", Some(0)));
    assert_ne!(events[0].thread_number(), events[1].thread_number());
    keeper.open.send(()).unwrap();
    assert_eq!(get(result).unwrap(), 1);
    // What was submitted in an earlier reading is still known.
    let events = read(&runtime);
    assert_eq!(kinds(&events), [EventKind::Finished]);
    assert_eq!((events[0].name(), events[0].thread()), (Some("stops"), "mobula-0"));
}

#[test]
fn failures_have_their_kinds() {
    let runtime = start(2);
    let _entered = runtime.enter();
    get(fails::remote()).unwrap_err();
    get(panics::remote()).unwrap_err();
    get(double::remote(fails::remote())).unwrap_err();
    get(double::options().num_cpus(3).remote(1)).unwrap_err();
    let events = read(&runtime);
    let failed = EventKind::Failed(ErrorKind::Task);
    let ran = [EventKind::Submitted, EventKind::Started, failed];
    assert_eq!(kinds(of(&events, "fails")), [ran, ran].concat());
    let panicked = kinds(of(&events, "panics"));
    assert_eq!(panicked[2..], [EventKind::Failed(ErrorKind::Panic)]);
    let never_begun = kinds(of(&events, "double"));
    let infeasible = EventKind::Failed(ErrorKind::Infeasible);
    assert_eq!(never_begun, [EventKind::Submitted, failed, EventKind::Submitted, infeasible]);
}

#[test]
fn a_retried_task_starts_again_and_counts() {
    #[remote(local)]
    fn second_time_lucky(tries: &AtomicU32) -> Result<u32, String> {
        match tries.fetch_add(1, Ordering::Relaxed) {
            0 => Err("not yet".to_owned()),
            tries => Ok(tries),
        }
    }
    let runtime = start(2);
    let _entered = runtime.enter();
    let call = second_time_lucky::options().max_retries(3).retry_if(|_| true);
    assert_eq!(get(call.remote(AtomicU32::new(0))).unwrap(), 1);
    let events = read(&runtime);
    let told: Vec<_> = events.iter().map(|event| (event.kind(), event.attempt())).collect();
    let expected = [
        (EventKind::Submitted, 1),
        (EventKind::Started, 1),
        (EventKind::Retried { attempt: 2 }, 2),
        (EventKind::Started, 2),
        (EventKind::Finished, 2),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_cancelled_task_says_so_begun_or_not() {
    #[remote(local)]
    fn looks(gate: Gate) -> mobula::Result<u64> {
        gate.stop_here();
        mobula::check_cancelled()?;
        Ok(1)
    }
    let runtime = start(1);
    let _entered = runtime.enter();
    let (gate, keeper) = gate();
    let running = looks::remote(gate);
    keeper.reached.recv().unwrap();
    let waiting = double::remote(1);
    mobula::cancel(&waiting);
    mobula::cancel(&running);
    keeper.open.send(()).unwrap();
    assert_eq!(get(waiting).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(get(running).unwrap_err().kind(), ErrorKind::Cancelled);
    let events = read(&runtime);
    let begun = [EventKind::Submitted, EventKind::Started, EventKind::Cancelled];
    assert_eq!(kinds(of(&events, "looks")), begun);
    assert_eq!(kinds(of(&events, "double")), [EventKind::Submitted, EventKind::Cancelled]);
}

#[test]
fn a_child_names_its_parent_and_a_parent_blocks() {
    #[remote(local)]
    fn parent(gate: Gate) -> u64 {
        let own = stops::remote(gate);
        // With a time limit it does not run the child itself, but waits.
        mobula::get_timeout(own, Duration::from_secs(600)).unwrap()
    }
    #[remote(local)]
    fn grandparent(gate: Gate) -> u64 {
        get(parent::remote(gate)).unwrap()
    }
    let runtime = start(1);
    let _entered = runtime.enter();
    let (gate, keeper) = gate();
    let result = grandparent::remote(gate);
    keeper.reached.recv().unwrap();
    keeper.open.send(()).unwrap();
    assert_eq!(get(result).unwrap(), 1);
    let events = read(&runtime);
    let number = |name| of(&events, name)[0].task();
    assert!(of(&events, "grandparent").iter().all(|event| event.parent().is_none()));
    let of_parent = of(&events, "parent");
    assert!(of_parent.iter().all(|event| event.parent() == Some(number("grandparent"))));
    let of_child = of(&events, "stops");
    assert!(of_child.iter().all(|event| event.parent() == Some(number("parent"))));
    assert_eq!(
        kinds(of_parent.iter().copied()),
        [
            EventKind::Submitted,
            EventKind::Started,
            EventKind::Blocked,
            EventKind::Resumed,
            EventKind::Finished
        ]
    );
    // The child ran while its parent was blocked, on the one CPU there is.
    let [.., blocked, resumed, _] = of_parent[..] else { panic!("it has five events") };
    let [_, started, finished] = of_child[..] else { panic!("it has three events") };
    assert!(blocked.time() <= started.time() && finished.time() <= resumed.time());
    assert!([blocked, resumed, started, finished].iter().all(|event| event.worker() == Some(0)));
}

#[test]
fn a_task_goes_by_the_name_it_was_given() {
    let runtime = start(1);
    let _entered = runtime.enter();
    for name in ["first", "second"] {
        get(double::options().name(name).remote(1)).unwrap();
    }
    get(double::remote(1)).unwrap();
    let events = read(&runtime);
    let named: Vec<_> = events.iter().map(|event| event.name().unwrap()).collect();
    assert_eq!(named.len(), 9);
    for (three, name) in named.chunks(3).zip(["first", "second", "double"]) {
        assert_eq!(three, [name; 3]);
    }
    assert!(events.iter().all(|event| event.function() == Some("double")));
}

#[test]
fn async_tasks_run_on_no_cpu() {
    #[remote]
    async fn fetch(x: u64) -> u64 {
        tokio::task::yield_now().await;
        get(double::remote(x)).unwrap()
    }
    let runtime = start(2);
    let _entered = runtime.enter();
    assert_eq!(get(fetch::remote(3)).unwrap(), 6);
    let events = read(&runtime);
    let fetch = of(&events, "fetch");
    assert_eq!(fetch[0].kind(), EventKind::Submitted);
    assert_eq!(fetch[1].kind(), EventKind::Started);
    assert_eq!(fetch.last().unwrap().kind(), EventKind::Finished);
    assert!(fetch[1..].iter().all(|event| event.worker().is_none()));
    assert!(fetch[1..].iter().all(|event| event.thread() == "mobula-async"));
    assert!(of(&events, "double").iter().all(|event| event.parent() == Some(fetch[0].task())));
}

struct Counter(u64);

#[remote]
impl Counter {
    pub fn new(start: u64) -> Result<Self, String> {
        if start < 100 { Ok(Self(start)) } else { Err("too much".to_owned()) }
    }

    pub fn add(&mut self, by: u64) -> u64 {
        self.0 += by;
        self.0
    }

    pub fn panics(&mut self) {
        panic!("on purpose")
    }
}

struct Waits;

#[remote]
impl Waits {
    pub fn new() -> Self {
        Self
    }

    pub async fn ask(&self, x: u64) -> u64 {
        x
    }
}

/// Reads until the actor of that name has ended.
fn read_to_end(runtime: &Runtime, name: &str) -> Vec<Event> {
    let mut events = Vec::new();
    while !of(&events, name).iter().any(|event| event.kind() == EventKind::ActorEnded) {
        events.extend(read(runtime));
        std::thread::yield_now();
    }
    events
}

const LIFE: [EventKind; 4] =
    [EventKind::Submitted, EventKind::Started, EventKind::ActorStarted, EventKind::ActorEnded];

#[test]
fn an_actor_lives_and_its_calls_name_it() {
    let runtime = start(2);
    let _entered = runtime.enter();
    let counter = Counter::remote(1);
    assert_eq!(get(counter.add(2)).unwrap(), 3);
    drop(counter);
    let events = read_to_end(&runtime, "Counter");
    let life = of(&events, "Counter");
    assert_eq!(kinds(life.iter().copied()), LIFE);
    let number = life[0].task();
    assert!(life.iter().all(|event| event.actor() == Some(number) && event.task() == number));
    let add = of(&events, "Counter::add");
    let call = [EventKind::Submitted, EventKind::Started, EventKind::Finished];
    assert_eq!(kinds(add.iter().copied()), call);
    assert!(add.iter().all(|event| event.actor() == Some(number) && event.task() != number));
    assert!(add[1].worker().is_some());
}

#[test]
fn an_actor_ends_once_by_a_panic_a_kill_or_its_constructor() {
    let runtime = start(2);
    let _entered = runtime.enter();
    let crashed = Counter::remote(1);
    get(crashed.panics()).unwrap_err();
    assert_eq!(get(crashed.add(1)).unwrap_err().kind(), ErrorKind::ActorDied);
    drop(crashed);
    let events = read_to_end(&runtime, "Counter");
    assert_eq!(kinds(of(&events, "Counter")), LIFE);
    let panicked = EventKind::Failed(ErrorKind::Panic);
    assert_eq!(kinds(of(&events, "Counter::panics")).last(), Some(&panicked));
    let died = EventKind::Failed(ErrorKind::ActorDied);
    assert_eq!(kinds(of(&events, "Counter::add")), [EventKind::Submitted, died]);

    let killed = Counter::remote(1);
    get(killed.add(1)).unwrap();
    mobula::kill(&killed);
    mobula::kill(&killed);
    drop(killed);
    assert_eq!(kinds(of(&read_to_end(&runtime, "Counter"), "Counter")), LIFE);

    let unborn = Counter::remote(100);
    assert_eq!(get(unborn.add(1)).unwrap_err().kind(), ErrorKind::ActorDied);
    drop(unborn);
    let failed = EventKind::Failed(ErrorKind::Task);
    let life = [EventKind::Submitted, EventKind::Started, failed, EventKind::ActorEnded];
    assert_eq!(kinds(of(&read_to_end(&runtime, "Counter"), "Counter")), life);
    assert_eq!(kinds(&runtime.shutdown().events.collect::<Vec<_>>()), []);
}

#[test]
fn an_async_actor_lives_and_its_calls_name_it() {
    let runtime = start(2);
    let _entered = runtime.enter();
    let actor = Waits::remote();
    assert_eq!(get(actor.ask(2)).unwrap(), 2);
    drop(actor);
    let events = read_to_end(&runtime, "Waits");
    let life = of(&events, "Waits");
    assert_eq!(kinds(life.iter().copied()), LIFE);
    let ask = of(&events, "Waits::ask");
    let call = [EventKind::Submitted, EventKind::Started, EventKind::Finished];
    assert_eq!(kinds(ask.iter().copied()), call);
    assert!(ask.iter().all(|event| event.actor() == Some(life[0].task())));
}

#[test]
fn the_inline_engine_records_too() {
    #[remote]
    fn outer(x: u64) -> u64 {
        get(double::remote(x)).unwrap()
    }
    let config = Config::new().engine(Engine::Inline).events(true);
    let runtime = Runtime::new(config).unwrap();
    let _entered = runtime.enter();
    let counter = Counter::remote(1);
    get(counter.add(1)).unwrap();
    get(outer::remote(2)).unwrap();
    drop(counter);
    let events = read(&runtime);
    assert_eq!(kinds(of(&events, "Counter")), LIFE);
    let done = [EventKind::Submitted, EventKind::Started, EventKind::Finished];
    for name in ["Counter::add", "outer", "double"] {
        assert_eq!(kinds(of(&events, name)), done, "{name}");
    }
    assert_eq!(of(&events, "double")[0].parent(), Some(of(&events, "outer")[0].task()));
}

#[test]
fn off_records_nothing() {
    let runtime = Runtime::new(Config::new().num_cpus(2).events(false)).unwrap();
    let _entered = runtime.enter();
    get((0..100).map(|x| double::remote(x)).collect::<Vec<_>>()).unwrap();
    let counter = Counter::remote(1);
    get(counter.add(1)).unwrap();
    let events = runtime.events();
    assert_eq!((events.len(), events.dropped()), (0, 0));
    drop(counter);
    let report = runtime.shutdown();
    assert_eq!((report.events.len(), report.events.dropped()), (0, 0));
}

#[test]
fn what_a_full_buffer_drops_is_counted() {
    const TASKS: u64 = 1_000_000;
    const BUFFER: usize = 1000;
    let config = Config::new().num_cpus(2).events(true).event_buffer(BUFFER);
    let runtime = Runtime::new(config).unwrap();
    let _entered = runtime.enter();
    get((0..TASKS).map(|x| double::remote(x)).collect::<Vec<_>>()).unwrap();
    let events = runtime.events();
    assert_eq!(events.len() as u64 + events.dropped(), 3 * TASKS);
    assert!(events.dropped() > TASKS);
    // Two workers and this thread, each with its buffer; workers may end and be replaced.
    assert!(events.len() >= BUFFER - 1);
    let dropped = events.dropped();
    // There is place again. A task whose submission was dropped is known by its number only.
    get(double::remote(1)).unwrap();
    let after = runtime.events();
    assert_eq!(after.dropped(), dropped);
    assert_eq!(
        after.map(|event| event.name().map(str::to_owned)).collect::<Vec<_>>(),
        vec![Some("double".to_owned()); 3]
    );
    let numbers: HashSet<u64> =
        events.filter(|event| event.kind() == EventKind::Submitted).map(|e| e.task()).collect();
    assert!(numbers.len() >= BUFFER - 1 && numbers.len() <= 2 * BUFFER);
}

#[test]
fn a_reader_beside_the_work_loses_nothing_but_what_is_counted() {
    const TASKS: u64 = 200_000;
    for buffer in [1 << 8, 1 << 20] {
        let config = Config::new().num_cpus(2).events(true).event_buffer(buffer);
        let runtime = Runtime::new(config).unwrap();
        let done = AtomicBool::new(false);
        let mut events: Vec<Event> = Vec::new();
        let mut dropped = 0;
        std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                let _entered = runtime.enter();
                get((0..TASKS).map(|x| double::remote(x)).collect::<Vec<_>>()).unwrap();
                done.store(true, Ordering::Release);
            });
            loop {
                let last = done.load(Ordering::Acquire);
                let batch = runtime.events();
                dropped = batch.dropped();
                assert!(batch.as_slice().is_sorted_by_key(Event::time));
                events.extend(batch);
                if last {
                    break;
                }
            }
            work.join().unwrap();
        });
        assert_eq!(events.len() as u64 + dropped, 3 * TASKS);
        for (task, events) in by_task(&events) {
            // Never a second of the same, and in order, whichever were dropped.
            let order = [EventKind::Submitted, EventKind::Started, EventKind::Finished];
            let mut expected =
                order.iter().filter(|kind| kinds(events.iter().copied()).contains(kind));
            assert!(events.iter().all(|event| Some(&event.kind()) == expected.next()), "{task}");
            assert!(events.is_sorted_by_key(|event| event.time()), "{task}");
            let known = events[0].kind() == EventKind::Submitted;
            assert!(events.iter().all(|event| event.name().is_some() == known), "{task}");
        }
        if buffer > 4 * TASKS as usize {
            assert_eq!(dropped, 0);
        }
    }
}

#[test]
fn several_readers_share_the_events() {
    const TASKS: u64 = 20_000;
    let runtime = start(2);
    let done = AtomicBool::new(false);
    let read = || {
        let mut numbers = Vec::new();
        loop {
            let last = done.load(Ordering::Acquire);
            let events = runtime.events();
            numbers.extend(events.map(|event| (event.task(), event.kind())));
            if last {
                return numbers;
            }
        }
    };
    let (a, b) = std::thread::scope(|scope| {
        let (a, b) = (scope.spawn(read), scope.spawn(read));
        let _entered = runtime.enter();
        get((0..TASKS).map(|x| double::remote(x)).collect::<Vec<_>>()).unwrap();
        done.store(true, Ordering::Release);
        (a.join().unwrap(), b.join().unwrap())
    });
    let given = a.len() + b.len();
    let different: HashSet<_> = a.into_iter().chain(b).collect();
    assert_eq!(given, different.len());
    assert_eq!(given as u64 + runtime.events().dropped(), 3 * TASKS);
}

#[test]
fn runtimes_do_not_mix() {
    #[remote]
    fn triple(x: u64) -> u64 {
        3 * x
    }
    let (a, b) = (start(1), start(1));
    for x in 0..10 {
        {
            let _entered = a.enter();
            get(double::remote(x)).unwrap();
        }
        let _entered = b.enter();
        get(triple::remote(x)).unwrap();
    }
    let (of_a, of_b) = (read(&a), read(&b));
    assert_eq!((of_a.len(), of_b.len()), (30, 30));
    assert!(of_a.iter().all(|event| event.name() == Some("double")));
    assert!(of_b.iter().all(|event| event.name() == Some("triple")));
    drop(a);
    // A later runtime is not taken for the one that has gone.
    let c = start(1);
    {
        let _entered = c.enter();
        get(triple::remote(1)).unwrap();
    }
    assert_eq!(read(&c).len(), 3);
    assert_eq!(read(&b).len(), 0);
}

#[test]
fn a_task_submitted_to_another_runtime_has_no_parent_there() {
    let (a, b) = (start(1), start(1));
    let b = Arc::new(b);
    let theirs = Arc::clone(&b);
    #[remote(local)]
    fn visits(other: Arc<Runtime>) -> u64 {
        let _entered = other.enter();
        get(double::remote(1)).unwrap()
    }
    let _entered = a.enter();
    get(visits::remote(theirs)).unwrap();
    assert!(read(&a).iter().all(|event| event.name() == Some("visits")));
    let events = read(&b);
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| event.parent().is_none()));
}

#[test]
fn what_an_ended_thread_recorded_stays_to_be_read() {
    let runtime = start(1);
    for _ in 0..3 {
        let submit = || {
            let _entered = runtime.enter();
            get(double::remote(1)).unwrap();
        };
        let thread = std::thread::Builder::new().name("driver".to_owned());
        std::thread::scope(|scope| thread.spawn_scoped(scope, submit).unwrap().join().unwrap());
    }
    let events = read(&runtime);
    assert_eq!(events.len(), 9);
    let submitted = events.iter().filter(|event| event.kind() == EventKind::Submitted);
    let threads: HashSet<_> = submitted
        .map(|event| {
            assert_eq!(event.thread(), "driver");
            event.thread_number()
        })
        .collect();
    assert_eq!(threads.len(), 3);
}

#[test]
fn a_shutdown_gives_the_rest() {
    let runtime = start(1);
    let entered = runtime.enter();
    let (gate, keeper) = gate();
    let running = stops::remote(gate);
    keeper.reached.recv().unwrap();
    let waiting = double::remote(1);
    drop(entered);
    let report = std::thread::scope(|scope| {
        let ended = scope.spawn(|| runtime.shutdown());
        // What waits is let go first, and what runs is waited for.
        assert_eq!(get(&waiting).unwrap_err().kind(), ErrorKind::ShutDown);
        keeper.open.send(()).unwrap();
        ended.join().unwrap()
    });
    assert_eq!(get(running).unwrap(), 1);
    assert_eq!((report.never_begun, report.events.dropped()), (1, 0));
    let events: Vec<Event> = report.events.collect();
    let ran = [EventKind::Submitted, EventKind::Started, EventKind::Finished];
    assert_eq!(kinds(of(&events, "stops")), ran);
    let never_begun = [EventKind::Submitted, EventKind::Failed(ErrorKind::ShutDown)];
    assert_eq!(kinds(of(&events, "double")), never_begun);
}
