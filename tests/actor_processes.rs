//! Actors in processes of their own: what a crash does and does not do, and what is left behind.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use mobula::ActorEnd;
use mobula::prelude::*;

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

fn kill(pid: u32) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
    assert!(status.unwrap().success());
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
    kill(mobula::get(actor.pid()).unwrap());
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
        kill(last);
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
    kill(mobula::get(gate.pid()).unwrap());
    for call in passing {
        let error = mobula::get(call).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WorkerCrashed, "{error}");
        assert!(error.to_string().contains("SIGKILL"), "{error}");
    }
    assert_eq!(mobula::get(gate.waiting()).unwrap(), 0, "it was made anew");
    // Nobody calls it, and no restart is left.
    let end = gate.watch();
    kill(mobula::get(gate.pid()).unwrap());
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

/// Starting and ending many actors needs few processes: they are used again.
#[test]
fn processes_of_ended_actors_are_used_again() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let mut pids = std::collections::BTreeSet::new();
    for start in 0..50 {
        let actor = Fragile::remote(start);
        pids.insert(mobula::get(actor.pid()).unwrap());
        mobula::get(actor.stop()).unwrap();
    }
    assert!(pids.len() <= 2, "{pids:?}");
}

/// Streams; the one that computes, and the one that waits.
struct Source;

#[remote]
impl Source {
    pub fn new() -> Self {
        Self
    }

    #[remote(stream, max_unread = 2)]
    pub fn counts(&mut self, dies_at: Option<u64>) -> impl Iterator<Item = u64> {
        (0..100).inspect(move |at| {
            if dies_at == Some(*at) {
                std::process::abort();
            }
        })
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }
}

struct Spring;

#[remote]
impl Spring {
    pub async fn new() -> Self {
        Self
    }

    #[remote(stream, max_unread = 2)]
    pub fn counts(&mut self, dies_at: Option<u64>) -> impl Iterator<Item = u64> {
        (0..100).inspect(move |at| {
            if dies_at == Some(*at) {
                std::process::abort();
            }
        })
    }

    pub async fn pid(&self) -> u32 {
        std::process::id()
    }
}

/// Where a process dies in the middle of a stream, that ends with it, and is not run again.
macro_rules! dies_in_a_stream {
    ($actor:ident) => {{
        let actor = $actor::options().max_restarts(2).max_task_retries(5).remote();
        let mut items: Vec<_> = actor.counts(Some(7)).map(mobula::get).collect();
        let error = items.pop().unwrap().unwrap_err();
        assert_eq!((error.kind(), items.len()), (ErrorKind::WorkerCrashed, 7), "{error}");
        assert!(error.to_string().contains("SIGABRT"), "{error}");

        // Somebody else kills it while it waits for its reader.
        let pid = mobula::get(actor.pid()).unwrap();
        let mut stream = actor.counts(None);
        assert_eq!(mobula::get(stream.next().unwrap()).unwrap(), 0);
        kill(pid);
        let mut rest: Vec<_> = stream.map(mobula::get).collect();
        let error = rest.pop().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WorkerCrashed, "{error}");
        let rest: Vec<_> = rest.into_iter().map(Result::unwrap).collect();
        assert!(rest.iter().copied().eq((1..).take(rest.len())) && rest.len() <= 4, "{rest:?}");
        assert_ne!(mobula::get(actor.pid()).unwrap(), pid);
        assert_eq!(actor.counts(None).count(), 100);

        // What waits in line comes to the actor that has no more restarts, or not at all.
        let (dies, waits) = (actor.counts(Some(0)), actor.counts(None));
        let last = mobula::get(dies.last().unwrap()).unwrap_err();
        assert_eq!(last.kind(), ErrorKind::WorkerCrashed, "{last}");
        let last = mobula::get(waits.last().unwrap()).unwrap_err();
        assert_eq!(last.kind(), ErrorKind::ActorDied, "{last}");

        // It dies before the stream begins: that comes once more, whoever hears of the death first.
        for _ in 0..5 {
            let actor = $actor::options().max_restarts(1).remote();
            kill(mobula::get(actor.pid()).unwrap());
            let items: mobula::Result<Vec<_>> = actor.counts(None).map(mobula::get).collect();
            assert_eq!(items.unwrap().len(), 100);
        }
    }};
}

#[test]
fn a_process_that_dies_ends_the_stream_of_its_actor() {
    for cpus in [1, 2] {
        let runtime = runtime(cpus);
        let _entered = runtime.enter();
        dies_in_a_stream!(Source);
        dies_in_a_stream!(Spring);
    }
}

#[test]
fn unread_streams_of_actors_hold_no_cpu_and_a_shutdown_ends_them() {
    let runtime = runtime(1);
    let entered = runtime.enter();
    let streams: Vec<_> = (0..4).map(|_| Source::remote().counts(None)).collect();
    let others: Vec<_> = (0..4).map(|_| Spring::remote().counts(None)).collect();
    let mut all: Vec<_> = streams.into_iter().chain(others).collect();
    for stream in &mut all {
        assert_eq!(mobula::get(stream.next().unwrap()).unwrap(), 0);
    }
    assert_ne!(mobula::get(pid::remote()).unwrap(), std::process::id());
    drop(entered);
    runtime.shutdown();
    for stream in all {
        let last = mobula::get(stream.last().unwrap()).unwrap_err();
        assert_eq!(last.kind(), ErrorKind::ShutDown, "{last}");
    }
}
