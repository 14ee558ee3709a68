//! Actors in processes of their own: what a crash does and does not do, and what is left behind.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use mobula::ActorEnd;
use mobula::prelude::*;
use mobula_tests::processes::kill;

fn runtime(cpus: usize) -> Runtime {
    Runtime::new(Config::new().num_cpus(cpus).engine(Engine::Processes)).unwrap()
}

struct Fragile {
    total: u64,
    /// Written when the state is dropped.
    farewell: Option<String>,
}

#[remote]
impl Fragile {
    pub fn new(total: u64) -> Self {
        if total == 999 {
            eprintln!("not this one");
            std::process::abort();
        }
        Self { total, farewell: None }
    }

    pub fn add(&mut self, by: u64) -> u64 {
        self.total += by;
        self.total
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn ends(&mut self, how: &str) -> u64 {
        eprintln!("about to end by {how}");
        match how {
            "abort" => std::process::abort(),
            "exit" => std::process::exit(3),
            _ => unreachable!("it ends in one of these ways"),
        }
    }

    pub fn crashes_at_first(&mut self, left: u32) -> u32 {
        let attempt = mobula::context().attempt();
        if attempt <= left {
            std::process::abort();
        }
        attempt
    }

    pub fn says_farewell(&mut self, path: String) {
        self.farewell = Some(path);
    }

    pub fn never_returns(&mut self, path: String) -> u64 {
        std::fs::write(path, "here").unwrap();
        loop {
            std::thread::park();
        }
    }

    pub fn stops_when_asked(&mut self) -> mobula::Result<u64> {
        loop {
            mobula::check_cancelled()?;
            std::hint::spin_loop();
        }
    }

    pub fn large(&self, values: Vec<f64>) -> Vec<f64> {
        values.into_iter().map(|value| value + 1.0).collect()
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        if let Some(path) = &self.farewell {
            std::fs::write(path, "farewell").unwrap();
        }
    }
}

#[remote]
fn pid() -> u32 {
    std::process::id()
}

fn scratch(name: &str) -> String {
    let path = std::env::temp_dir().join(format!("mobula-{name}-{}", std::process::id()));
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_actor_has_a_process_of_its_own_and_no_cpu_while_it_is_idle() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let actors: Vec<_> = (0..3).map(|start| Fragile::remote(start)).collect();
    let mut pids = mobula::get(actors.iter().map(|actor| actor.pid()).collect::<Vec<_>>()).unwrap();
    pids.push(mobula::get(pid::remote()).unwrap());
    pids.push(std::process::id());
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 5);
    assert_eq!(mobula::get(actors[2].add(1)).unwrap(), 3);
}

#[test]
fn a_call_from_outside_of_all_runtimes_starts_none() {
    let runtime = runtime(1);
    let entered = runtime.enter();
    let actor = Fragile::remote(1);
    drop(entered);
    let sum = actor.add(1);
    assert_eq!(mobula::get(actor.large(vec![1.0])).unwrap(), [2.0]);
    assert_eq!(mobula::get(sum).unwrap(), 2);
    drop(mobula::init(Config::new().num_cpus(1)).expect("there is no other process-wide one"));
}

#[test]
fn a_crash_ends_the_actor_and_tells_how_it_came() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let actor = Fragile::remote(1);
    let other = Fragile::remote(10);
    let end = actor.watch();
    let (before, crash, after) = (actor.add(1), actor.ends("abort"), actor.add(1));
    assert_eq!(mobula::get(before).unwrap(), 2);
    let error = mobula::get(crash).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerCrashed);
    let error_after = mobula::get(after).unwrap_err();
    assert_eq!(error_after.kind(), ErrorKind::ActorDied);
    for text in [error.to_string(), error_after.to_string()] {
        for part in ["`Fragile::ends` (called at", "signal 6", "SIGABRT", "about to end by abort"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
    assert!(matches!(mobula::get(end).unwrap(), ActorEnd::Crashed { .. }));
    assert_eq!(mobula::get(other.add(1)).unwrap(), 11);
    let error = mobula::get(Fragile::remote(999).add(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ActorDied);
    assert!(error.to_string().contains("not this one"), "{error}");
}

#[test]
fn a_crash_is_a_restart_where_one_is_left() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let actor = Fragile::options().max_restarts(2).remote(5);
    let (before, crash, after) = (actor.add(1), actor.ends("exit"), actor.add(2));
    assert_eq!(mobula::get(before).unwrap(), 6);
    let error = mobula::get(crash).unwrap_err();
    assert!(error.to_string().contains("exit status 3"), "{error}");
    assert_eq!(mobula::get(after).unwrap(), 7);
    let actor = Fragile::options().max_restarts(5).max_task_retries(2).remote(5);
    assert_eq!(mobula::get(actor.crashes_at_first(2)).unwrap(), 3);
}

/// Nobody calls it: that its process is gone is noticed all the same.
#[test]
fn a_process_that_is_killed_between_two_calls_is_made_anew_or_ends_its_actor() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let actor = Fragile::remote(1);
    let end = actor.watch();
    assert!(kill(mobula::get(actor.pid()).unwrap()));
    match mobula::get(end).unwrap() {
        ActorEnd::Crashed { error, .. } => {
            assert_eq!(error.kind(), ErrorKind::WorkerCrashed);
            assert!(error.to_string().contains("SIGKILL"), "{error}");
        }
        end => panic!("{end}"),
    }
    let error = mobula::get(actor.add(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ActorDied);

    // No call that has not begun is lost, wherever the process dies.
    let actor = Fragile::options().max_restarts(1000).remote(1);
    let mut last = mobula::get(actor.pid()).unwrap();
    for _ in 0..20 {
        let calls: Vec<_> = (0..3).map(|_| actor.pid()).collect();
        assert!(kill(last));
        let pids: Vec<_> = calls.into_iter().map(mobula::get).collect();
        for pid in &pids {
            match pid {
                Ok(_) => {}
                // It was killed while it computed that one.
                Err(error) => assert_eq!(error.kind(), ErrorKind::WorkerCrashed, "{error}"),
            }
        }
        last = mobula::get(actor.pid()).or_else(|_| mobula::get(actor.pid())).unwrap();
    }
}

#[test]
fn the_state_is_dropped_at_the_end_of_the_actor() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let path = scratch("farewell");
    for how in ["stop", "kill", "drop", "panic"] {
        let actor = Fragile::remote(1);
        mobula::get(actor.says_farewell(path.clone())).unwrap();
        let end = actor.watch();
        match how {
            "stop" => drop(actor.stop()),
            "kill" => mobula::kill(&actor),
            "drop" => {}
            _ => drop(mobula::get(actor.ends("panic")).unwrap_err()),
        }
        drop(actor);
        mobula::get(end).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "farewell", "{how}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_call_is_cancelled_by_asking_or_by_force() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let actor = Fragile::options().max_restarts(1).remote(1);
    let call = actor.stops_when_asked();
    mobula::cancel(&call);
    assert_eq!(mobula::get(call).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(mobula::get(actor.add(1)).unwrap(), 2);
    let path = scratch("force");
    let call = actor.never_returns(path.clone());
    while !std::fs::exists(&path).unwrap() {
        std::thread::yield_now();
    }
    assert!(mobula::cancel(&call).force().unwrap());
    assert_eq!(mobula::get(call).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(mobula::get(actor.add(1)).unwrap(), 2, "it was made anew");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn long_values_go_to_an_actor_and_come_back() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let actor = Fragile::remote(0);
    for _ in 0..3 {
        let values = mobula::get(actor.large(vec![1.0; 300_000])).unwrap();
        assert!(values.len() == 300_000 && values.iter().all(|value| *value == 2.0));
    }
}

struct Gate {
    opened: tokio::sync::Notify,
    waiting: AtomicU64,
}

#[remote]
impl Gate {
    pub fn new() -> Self {
        Self { opened: tokio::sync::Notify::new(), waiting: AtomicU64::new(0) }
    }

    pub async fn pass(&self) -> u64 {
        let opened = self.opened.notified();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        opened.await;
        self.waiting.fetch_sub(1, Ordering::Relaxed)
    }

    pub async fn open(&self) {
        self.opened.notify_waiters();
    }

    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub async fn large(&self, values: Vec<f64>) -> Vec<f64> {
        values
    }

    pub async fn leaves(&self) -> mobula::Result<()> {
        mobula::exit_actor()
    }
}

#[test]
fn calls_that_wait_side_by_side_all_fail_with_their_process() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let gate = Gate::options().max_restarts(1).remote();
    let passing: Vec<_> = (0..3).map(|_| gate.pass()).collect();
    while mobula::get(gate.waiting()).unwrap() < 3 {}
    assert!(kill(mobula::get(gate.pid()).unwrap()));
    for call in passing {
        let error = mobula::get(call).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WorkerCrashed, "{error}");
        assert!(error.to_string().contains("SIGKILL"), "{error}");
    }
    assert_eq!(mobula::get(gate.waiting()).unwrap(), 0, "it was made anew");
    // Nobody calls it, and no restart is left.
    let end = gate.watch();
    assert!(kill(mobula::get(gate.pid()).unwrap()));
    assert!(matches!(mobula::get(end).unwrap(), ActorEnd::Crashed { .. }));
    assert_eq!(mobula::get(gate.pid()).unwrap_err().kind(), ErrorKind::ActorDied);
}

#[test]
fn a_call_that_waits_is_cancelled_and_others_go_on() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let gate = Gate::remote();
    let (one, other) = (gate.pass(), gate.pass());
    while mobula::get(gate.waiting()).unwrap() < 2 {}
    mobula::cancel(&one);
    assert_eq!(mobula::get(one).unwrap_err().kind(), ErrorKind::Cancelled);
    mobula::get(gate.open()).unwrap();
    assert_eq!(mobula::get(other).unwrap(), 2);
    let large: Vec<_> = (0..3).map(|x| gate.large(vec![f64::from(x); 200_000])).collect();
    for (x, values) in (0..3).zip(mobula::get(large).unwrap()) {
        assert!(values.len() == 200_000 && values.iter().all(|value| *value == f64::from(x)));
    }
    let end = gate.watch();
    mobula::get(gate.leaves()).unwrap();
    assert!(matches!(mobula::get(end).unwrap(), ActorEnd::Exited));
}

/// Readers of one state, in its process.
#[derive(Default)]
struct Library {
    inside: Mutex<usize>,
    changed: Condvar,
    most: AtomicU64,
    books: Vec<u64>,
}

impl Library {
    /// Waits until so many are inside.
    fn meets(&self, count: usize) -> usize {
        let mut inside = self.inside.lock().unwrap();
        *inside += 1;
        self.most.fetch_max(*inside as u64, Ordering::SeqCst);
        self.changed.notify_all();
        while *inside < count {
            inside = self.changed.wait(inside).unwrap();
        }
        *inside
    }
}

#[remote]
fn adds_one(x: u64) -> u64 {
    x + 1
}

#[remote]
impl Library {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn meet(&self, count: usize) -> usize {
        self.meets(count)
    }

    pub fn visit(&self) -> u64 {
        let mut inside = self.inside.lock().unwrap();
        *inside += 1;
        self.most.fetch_max(*inside as u64, Ordering::SeqCst);
        drop(inside);
        std::thread::yield_now();
        *self.inside.lock().unwrap() -= 1;
        self.books.len() as u64
    }

    pub fn most(&mut self) -> u64 {
        assert_eq!(*self.inside.lock().unwrap(), 0, "it runs alone");
        *self.most.get_mut()
    }

    pub fn leave(&mut self) {
        *self.inside.get_mut().unwrap() = 0;
    }

    pub fn add(&mut self, book: u64) -> u64 {
        assert_eq!(*self.inside.lock().unwrap(), 0, "it runs alone");
        self.books.push(book);
        self.books.len() as u64
    }

    pub fn asks(&self, x: u64) -> mobula::Result<u64> {
        let (one, two) = (adds_one::remote(x), adds_one::remote(x + 1));
        let (ready, pending) = mobula::wait(&[one, two], 1, None);
        assert_eq!((ready.len(), pending.len()), (1, 1));
        Ok(get(&ready)?[0] + get(&pending)?[0])
    }

    pub fn asks_itself(&self, me: ActorHandle<Library>) -> mobula::Result<u64> {
        get(me.add(1))
    }

    pub fn meets_and(&self, count: usize, how: &str) -> u32 {
        let attempt = mobula::context().attempt();
        if attempt == 1 {
            self.meets(count);
        }
        match how {
            "panics" if attempt == 1 => panic!("boom"),
            "aborts" if attempt == 1 => std::process::abort(),
            "leaves" => mobula::exit_actor().unwrap(),
            _ => {}
        }
        attempt
    }

    pub fn stops_when_asked(&self) -> mobula::Result<u64> {
        self.meets(1);
        loop {
            mobula::check_cancelled()?;
            std::thread::yield_now();
        }
    }

    pub fn never_returns(&self, path: String) -> u64 {
        std::fs::write(path, "here").unwrap();
        loop {
            std::thread::park();
        }
    }

    pub fn who(&self) -> (Option<String>, Option<usize>, f64, u32) {
        let context = mobula::context();
        let id = context.task_id().map(|id| id.to_string());
        (id, context.worker(), context.num_cpus(), context.restarts())
    }

    pub fn stores(&self, shared: &[f64], n: u64) -> mobula::Result<(ObjectRef<u64>, Vec<f64>)> {
        Ok((put(n), shared.iter().map(|x| x + n as f64).collect()))
    }

    fn checkpoint(&self) -> Vec<u64> {
        self.books.clone()
    }

    fn restore(&mut self, books: Vec<u64>) {
        self.books = books;
    }
}

#[test]
fn readers_run_side_by_side() {
    for cpus in [1, 2, 4] {
        let runtime = runtime(cpus);
        let _entered = runtime.enter();
        let most = cpus.min(3);
        let library = Library::options().max_concurrency(3).remote();
        // They meet, or this never ends; each has a CPU.
        let met: Vec<_> = (0..most).map(|_| library.meet(most)).collect();
        assert!(get(met).unwrap().into_iter().all(|inside| inside <= most));
        get(library.leave()).unwrap();
        let visits: Vec<_> =
            (0..200).map(|n| if n % 10 == 9 { library.add(n) } else { library.visit() }).collect();
        let seen = get(visits).unwrap();
        // Each comes after those that its caller made before, as far as they change anything.
        let expected = (0..200_u64).map(|n| if n % 10 == 9 { n / 10 + 1 } else { n / 10 });
        assert!(seen.into_iter().eq(expected));
        assert!(get(library.most()).unwrap() <= most as u64);
        // What they wait for lays the CPU down.
        let asked: Vec<_> = (0..20).map(|x| library.asks(x)).collect();
        assert!(get(asked).unwrap().into_iter().eq((0..20).map(|x| 2 * x + 3)));
    }
}

#[test]
fn readers_crash_and_are_run_again() {
    let runtime = runtime(4);
    let _entered = runtime.enter();
    for how in ["panics", "aborts"] {
        let options = || Library::options().max_concurrency(3).max_restarts(3);
        let library = options().max_task_retries(1).remote();
        assert_eq!(get(library.add(7)).unwrap(), 1);
        let calls = [library.meets_and(2, how), library.meets_and(2, "stays")];
        let (later, after) = (library.add(8), library.visit());
        // Those that crashed it, or were lost with it, come again before what came later.
        assert!(get(calls.to_vec()).unwrap().contains(&2));
        assert_eq!(get((later, after)).unwrap(), (2, 2), "{how}");
        // Without a retry it fails, and what had not begun goes on.
        let library = options().remote();
        get(library.add(7)).unwrap();
        let (failing, later) = (library.meets_and(1, how), library.add(8));
        let kind = get(failing).unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::Panic | ErrorKind::WorkerCrashed), "{kind:?}");
        assert_eq!(get(later).unwrap(), 2, "{how}");
        // Without a restart it ends.
        let library = Library::options().max_concurrency(3).remote();
        get(library.meets_and(1, how)).unwrap_err();
        assert_eq!(get(library.visit()).unwrap_err().kind(), ErrorKind::ActorDied);
        assert!(matches!(get(library.watch()).unwrap(), ActorEnd::Crashed { .. }));
    }
    // The processes are others' afterwards.
    let sums: Vec<_> = (0..20).map(adds_one::remote).collect();
    assert!(get(sums).unwrap().into_iter().eq(1..21));
}

#[test]
fn readers_are_cancelled_and_ended() {
    let runtime = runtime(4);
    let _entered = runtime.enter();
    let library = Library::options().max_concurrency(3).max_restarts(1).remote();
    let endless = library.stops_when_asked();
    assert_eq!(get(library.meet(2)).unwrap(), 2);
    mobula::cancel(&endless);
    assert_eq!(get(endless).unwrap_err().kind(), ErrorKind::Cancelled);
    // By force it is the process that ends, and the actor is made anew.
    let path = std::env::temp_dir().join(format!("mobula-reader-{}", std::process::id()));
    let endless = library.never_returns(path.to_str().unwrap().to_owned());
    while !path.exists() {
        std::thread::yield_now();
    }
    std::fs::remove_file(&path).unwrap();
    mobula::cancel(&endless).force().unwrap();
    assert_eq!(get(endless).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(get(library.visit()).unwrap(), 0);
    // A call that waits for one behind it.
    let error = get(library.asks_itself(library.clone())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
    // An end waits for those that run.
    let (reads, end) = (library.meet(2), library.watch());
    let leaves = library.meets_and(2, "leaves");
    assert!(get((reads, leaves)).is_ok());
    assert!(matches!(get(end).unwrap(), ActorEnd::Exited));
    let library = Library::options().max_concurrency(3).remote();
    let (endless, end) = (library.stops_when_asked(), library.watch());
    get(library.meet(2)).unwrap();
    mobula::kill(&library);
    mobula::cancel(&endless);
    assert_eq!(get(endless).unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(matches!(get(end).unwrap(), ActorEnd::Killed));
}

#[test]
fn readers_know_who_they_are_and_what_they_store() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let library = Library::options().max_concurrency(4).remote();
    let calls: Vec<_> = (0..50).map(|_| library.who()).collect();
    for call in calls {
        let id = call.id().to_string();
        let (own, worker, cpus, restarts) = get(&call).unwrap();
        assert_eq!(own, Some(id));
        assert!(worker.is_some_and(|worker| worker < 2), "{worker:?}");
        assert_eq!((cpus, restarts), (1.0, 0));
    }
    let shared = put((0..100_000).map(f64::from).collect::<Vec<f64>>());
    let calls: Vec<_> = (0..50).map(|n| library.stores(&shared, n)).collect();
    for (n, call) in (0..).zip(calls) {
        let (stored, sums) = get(call).unwrap();
        assert_eq!(get(stored).unwrap(), n);
        assert_eq!(sums[99_999], 99_999.0 + n as f64);
    }
}

static CALLS: AtomicU64 = AtomicU64::new(0);

struct Counter;

#[remote]
impl Counter {
    pub fn new() -> Self {
        Self
    }

    pub fn count(&mut self) -> u64 {
        CALLS.fetch_add(1, Ordering::Relaxed)
    }
}

#[test]
fn an_actor_finds_nothing_of_the_one_before() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    for _ in 0..3 {
        let counter = Counter::remote();
        assert_eq!(mobula::get([counter.count(), counter.count()]).unwrap(), [0, 1]);
        mobula::get(counter.stop()).unwrap();
    }
}

struct Slow;

#[remote]
impl Slow {
    pub fn new() -> Self {
        Self
    }

    pub async fn holds_its_thread(&self, path: String) {
        while std::fs::exists(&path).unwrap() {
            std::thread::yield_now();
        }
    }
}

/// Plays the driver for the test below, in a process of its own.
#[test]
fn plays_the_driver() {
    let Ok(path) = std::env::var("MOBULA_TEST_PATH") else { return };
    let config = Config::new().num_cpus(1).engine(Engine::Processes);
    let runtime = Runtime::new(config.block_warning(Duration::from_millis(1))).unwrap();
    let _entered = runtime.enter();
    mobula::get(Slow::remote().holds_its_thread(path)).unwrap();
}

#[test]
fn a_method_that_holds_its_thread_is_named_by_its_process() {
    let path = std::env::temp_dir().join(format!("mobula-holds-{}", std::process::id()));
    std::fs::write(&path, "").unwrap();
    let mut driver = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "plays_the_driver", "--nocapture", "--test-threads", "1"])
        .env("MOBULA_TEST_PATH", &path)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(driver.stderr.take().unwrap()).lines().map_while(Result::ok);
    let named = lines.any(|line| line.contains("`Slow::holds_its_thread` has held its thread"));
    std::fs::remove_file(path).unwrap();
    assert!(named && driver.wait().unwrap().success());
}
