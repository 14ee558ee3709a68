//! What the `Drop` of an actor's state asks for: it is done, however the actor ends, and what can never come is an error.

use std::time::Duration;

use mobula::prelude::*;
use mobula::{ActorControl, ActorEnd};

fn runtimes() -> impl Iterator<Item = Runtime> {
    let threads = [(1, Engine::Threads), (2, Engine::Threads), (1, Engine::Inline)];
    threads
        .into_iter()
        .chain([(1, Engine::Processes), (2, Engine::Processes)])
        .map(|(cpus, engine)| Runtime::new(Config::new().num_cpus(cpus).engine(engine)).unwrap())
}

#[remote]
fn one() -> u64 {
    1
}

struct Log(Vec<String>);

#[remote]
impl Log {
    pub fn new() -> Self {
        Self(Vec::new())
    }

    pub fn add(&mut self, line: String) {
        self.0.push(line);
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.clone()
    }
}

/// Asks for something when it is dropped, and logs what came of it.
struct Leaver {
    log: ActorHandle<Log>,
    asks: String,
    itself: Option<ActorHandle<Leaver>>,
}

#[remote]
impl Leaver {
    pub fn new(log: ActorHandle<Log>, asks: &str) -> Self {
        Self { log, asks: asks.to_owned(), itself: None }
    }

    pub fn keep(&mut self, itself: ActorHandle<Self>) {
        self.itself = Some(itself);
    }

    pub fn one(&self) -> u64 {
        1
    }

    pub fn explode(&mut self) {
        panic!("boom")
    }
}

impl Drop for Leaver {
    fn drop(&mut self) {
        let itself = self.itself.take();
        let asked = match (&*self.asks, itself) {
            ("a task", _) => get(one::remote()).map(drop),
            ("a task in time", _) => {
                get_timeout(one::remote(), Duration::from_secs(1000)).map(drop)
            }
            ("an actor", _) => get(self.log.add("asked".to_owned())),
            ("itself", Some(itself)) => get(itself.one()).map(drop),
            ("its end", Some(itself)) => get(<dyn ActorControl>::stop(&itself)),
            ("how it ends", Some(itself)) => get(itself.watch()).map(drop),
            other => panic!("nobody asks for {:?}", other.0),
        };
        // At the end of the runtime nobody takes it any more.
        let _ = get(self.log.add(format!("{:?}", asked.map_err(|error| error.kind()))));
    }
}

#[test]
fn what_a_drop_asks_for_is_done_or_an_error() {
    let cases = [
        ("a task", [Ok(()); 4]),
        ("a task in time", [Ok(()); 4]),
        ("an actor", [Ok(()); 4]),
        // It takes no more calls once it was stopped.
        (
            "itself",
            [Ok(()), Err(ErrorKind::ActorDied), Err(ErrorKind::Deadlock), Err(ErrorKind::Deadlock)],
        ),
        ("its end", [Err(ErrorKind::Deadlock); 4]),
        ("how it ends", [Err(ErrorKind::Deadlock); 4]),
    ];
    let side_by_side = |runtime| [(runtime, 1), (runtime, 2)];
    let runtimes: Vec<_> = runtimes().collect();
    for (runtime, concurrency) in runtimes.iter().flat_map(side_by_side) {
        let _entered = runtime.enter();
        for (asks, expected) in cases {
            let keeps_itself = expected[3].is_err();
            if keeps_itself && concurrency > 1 && format!("{runtime:?}").contains("Processes") {
                // There nobody sees that wait.
                continue;
            }
            for (end, expected) in ["goes", "stop", "kill", "explode"].into_iter().zip(expected) {
                if keeps_itself && end == "goes" {
                    continue;
                }
                let log = Log::remote();
                let leaver = Leaver::options().max_concurrency(concurrency).remote(&log, asks);
                if keeps_itself {
                    get(leaver.keep(leaver.clone())).unwrap();
                }
                assert_eq!(get(leaver.one()).unwrap(), 1);
                let ended = leaver.watch();
                match end {
                    "stop" => drop(leaver.stop()),
                    "kill" => mobula::kill(&leaver),
                    "explode" => drop(get(leaver.explode()).unwrap_err()),
                    _ => {}
                }
                drop(leaver);
                let how = get(ended).unwrap();
                let lines = get(log.lines()).unwrap();
                let last = lines.last().map(String::as_str);
                let text = format!("{expected:?}");
                assert_eq!(last, Some(&*text), "{asks}, {end}, {how}, on {runtime:?}");
            }
        }
    }
}

struct Parent(Option<ActorHandle<Child>>);

#[remote]
impl Parent {
    pub fn new() -> Self {
        Self(None)
    }

    pub fn start(
        &mut self,
        itself: ActorHandle<Self>,
        log: ActorHandle<Log>,
    ) -> ActorHandle<Child> {
        self.0.insert(Child::remote(itself, log)).clone()
    }

    pub fn stops_its_child(&mut self) -> mobula::Result<String> {
        let child = self.0.take().unwrap();
        let end = child.watch();
        get(child.stop())?;
        Ok(get(end)?.to_string())
    }

    pub fn lets_its_child_explode(&mut self) -> mobula::Result<String> {
        let child = self.0.take().unwrap();
        let end = child.watch();
        get(child.explode()).unwrap_err();
        Ok(get(end)?.to_string())
    }

    pub fn removed(&mut self) {}
}

/// Says goodbye to who has stopped it, and waits for it.
struct Child {
    parent: ActorHandle<Parent>,
    log: ActorHandle<Log>,
}

#[remote]
impl Child {
    pub fn new(parent: ActorHandle<Parent>, log: ActorHandle<Log>) -> Self {
        Self { parent, log }
    }

    pub fn explode(&mut self) {
        panic!("boom")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let line = format!("{:?}", get(self.parent.removed()).map_err(|error| error.to_string()));
        let _ = get(self.log.add(line));
    }
}

#[test]
fn a_circle_through_an_end_is_a_deadlock() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (parent, log) = (Parent::remote(), Log::remote());
        let stopped = ActorEnd::Stopped.to_string();
        for (name, why) in [("stops_its_child", &*stopped), ("lets_its_child_explode", "boom")] {
            let end = get(parent.start(parent.clone(), &log)).unwrap().watch();
            let outcome = get(match name {
                "stops_its_child" => parent.stops_its_child(),
                _ => parent.lets_its_child_explode(),
            });
            let how = get(end).unwrap().to_string();
            let last = get(log.lines()).unwrap().pop().unwrap();
            // Whoever begins to wait last is told, most often the child. Then the other one goes on.
            let circle = match outcome {
                Ok(seen) => {
                    assert_eq!(seen, how);
                    last
                }
                Err(error) => {
                    assert_eq!(last, "Ok(())");
                    error.to_string()
                }
            };
            let told = ["can never end", "`Parent::removed`", &format!("`Parent::{name}`")];
            assert!(told.iter().all(|part| circle.contains(part)), "{circle} on {runtime:?}");
            assert!(how.contains(why), "{how}");
        }
    }
}

/// The runtime's end waits for no circle either, nor for what is refused by then.
#[test]
fn a_drop_at_the_end_of_the_runtime_ends() {
    for asks in ["a task", "an actor", "itself", "its end", "how it ends"] {
        for runtime in runtimes() {
            let entered = runtime.enter();
            let leaver = Leaver::remote(Log::remote(), asks);
            get(leaver.keep(leaver.clone())).unwrap();
            drop(entered);
            drop(runtime);
            // What they asked for went to no other runtime, nor began one.
            drop(mobula::init(Config::new().num_cpus(1)).unwrap());
        }
    }
}
