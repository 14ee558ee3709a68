//! What `explain` says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};

use mobula::prelude::*;
use mobula::{Explanation, Standing};

fn runtimes() -> impl Iterator<Item = Runtime> {
    [1, 2, 4]
        .into_iter()
        .map(|cpus| Runtime::new(Config::new().num_cpus(cpus).resource("gpu", 2.0)).unwrap())
}

type Gate = Arc<Mutex<mpsc::Receiver<u64>>>;

fn gate() -> (mpsc::Sender<u64>, Gate) {
    let (open, gate) = mpsc::channel();
    (open, Arc::new(Mutex::new(gate)))
}

#[remote(local)]
fn hold(gate: Gate, begun: &Barrier) -> u64 {
    begun.wait();
    gate.lock().unwrap().recv().unwrap()
}

#[remote]
fn pass_on(x: u64) -> u64 {
    x
}

#[remote]
fn first_of(all: Vec<u64>) -> u64 {
    all[0]
}

#[remote]
fn ask(whom: Vec<ObjectRef<u64>>) -> mobula::Result<u64> {
    get(&whom[0])
}

/// Asks until the answer is what is looked for: a wait shows after a moment.
fn explained<T>(object: &ObjectRef<T>, is_it: impl Fn(&Explanation) -> bool) -> Explanation {
    loop {
        let explanation = object.explain();
        if is_it(&explanation) {
            return explanation;
        }
        std::thread::yield_now();
    }
}

#[track_caller]
fn assert_shows(explanation: &Explanation, texts: &[&str]) {
    let shown = explanation.to_string();
    for text in texts {
        assert!(shown.contains(text), "{text:?} is not in {shown}");
    }
}

#[test]
fn what_is_there() {
    let runtime = runtimes().next().unwrap();
    let _entered = runtime.enter();
    let value = put(1);
    assert!(matches!(value.explain().state, Standing::Ready));
    assert_shows(&value.explain(), &["`put` (called at tests/explain.rs:", ") is ready"]);
    let failed = mobula::spawn(|| -> u64 { panic!("boom") });
    assert!(get(&failed).is_err());
    assert!(matches!(failed.explain().state, Standing::Failed(_)));
    assert_shows(&failed.explain(), &["failed: ", "boom"]);
}

#[test]
fn who_runs_and_who_waits_for_it() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let begun = Arc::new(Barrier::new(2));
        let (open, gate) = gate();
        let held = hold::remote(gate, Arc::clone(&begun));
        let needs = pass_on::options().name("needs").remote(&held);
        let asks = ask::remote(vec![needs.clone()]);
        begun.wait();
        let worker = match held.explain().state {
            Standing::Running { worker: Some((worker, _)) } => worker,
            other => panic!("{other:?}"),
        };
        assert!(worker < runtime.num_cpus());
        assert_shows(
            &needs.explain(),
            &[
                "`needs` (called at tests/explain.rs:",
                ") waits for its argument\n  `hold` (called at",
                ") runs on CPU",
            ],
        );
        if runtime.num_cpus() == 1 {
            // The one CPU is taken, so this cannot begin.
            let explanation = asks.explain();
            assert_shows(&explanation, &["waits for a CPU\n  CPU 0 computes `hold`, for at most"]);
        } else {
            let waits = |it: &Explanation| matches!(it.state, Standing::Waiting { .. });
            let explanation = explained(&asks, waits);
            assert_shows(&explanation, &["`ask`", "has waited for", "\n  `needs`", "\n    `hold`"]);
        }
        open.send(3).unwrap();
        assert_eq!(get((held, needs, asks)).unwrap(), (3, 3, 3));
    }
}

#[test]
fn parts_lists_and_what_is_cut() {
    #[remote(num_returns = 2)]
    fn ends(all: Vec<u64>) -> (u64, u64) {
        (all[0], all[9])
    }
    let runtime = Runtime::new(Config::new().num_cpus(1)).unwrap();
    let _entered = runtime.enter();
    let begun = Arc::new(Barrier::new(2));
    let (open, gate) = gate();
    let held = hold::remote(gate, Arc::clone(&begun));
    begun.wait();
    let all: Vec<_> = (0..10).map(|_| pass_on::remote(&held)).collect();
    let (first, last) = ends::remote(all);
    assert!(matches!(first.explain().state, Standing::PartOf(_)));
    assert_shows(
        &last.explain(),
        &["is a part of the result of", "`ends`", "arguments", "`pass_on`", "and 6 more"],
    );
    // Every one of a layer needs all of the layer before, and yet the explanation has an end.
    let layers = (0..12).fold(vec![held.clone()], |layer, _| {
        (0..4).map(|_| first_of::remote(layer.clone())).collect()
    });
    assert!(layers[0].explain().to_string().lines().count() < 200);
    let chain = (0..20).fold(held, |chain, _| pass_on::remote(chain));
    assert_shows(&chain.explain(), &["..."]);
    open.send(3).unwrap();
    assert_eq!(get((first, last, chain)).unwrap(), (3, 3, 3));
}

#[test]
fn who_holds_the_resource() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let begun = Arc::new(Barrier::new(2));
        let (open, gate) = gate();
        let on_gpu = || hold::options().num_cpus(0).resource("gpu", 1.5);
        let holder = on_gpu().remote(gate, Arc::clone(&begun));
        begun.wait();
        let first = pass_on::options().resource("gpu", 1.0).remote(1);
        let second = pass_on::options().resource("gpu", 0.5).remote(2);
        let Standing::WaitingForResources { ahead, short, .. } = first.explain().state else {
            panic!("{}", first.explain())
        };
        assert_eq!((ahead, short.len()), (0, 1));
        assert_eq!((short[0].name.as_str(), short[0].wanted, short[0].free), ("gpu", 1.0, 0.5));
        assert_eq!(short[0].holders.first[0].name, "hold");
        assert_shows(&first.explain(), &["it wants 1 of \"gpu\", 0.5 is free", "`hold`"]);
        // There is enough for it, but it came later.
        let Standing::WaitingForResources { ahead, short, .. } = second.explain().state else {
            panic!("{}", second.explain())
        };
        assert_eq!((ahead, short.len()), (1, 0));
        open.send(3).unwrap();
        assert_eq!(get((holder, first, second)).unwrap(), (3, 1, 2));
    }
}

struct Keeper;

#[remote(local)]
impl Keeper {
    pub fn new() -> Self {
        Self
    }

    pub fn hold(&mut self, gate: Gate, begun: Arc<Barrier>) -> u64 {
        begun.wait();
        gate.lock().unwrap().recv().unwrap()
    }

    pub fn ask(&mut self, whom: Vec<ObjectRef<u64>>) -> mobula::Result<u64> {
        get(&whom[0])
    }

    pub fn add(&mut self, x: u64) -> u64 {
        x + 1
    }
}

#[test]
fn in_whose_mailbox_at_which_place() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let begun = Arc::new(Barrier::new(2));
        let (open, gate) = gate();
        let keeper = Keeper::remote();
        let held = keeper.hold(gate, Arc::clone(&begun));
        begun.wait();
        let calls: Vec<_> = (0..3).map(|x| keeper.add(x)).collect();
        let later = keeper.add(&held);
        let behind = keeper.add(7);
        assert!(matches!(held.explain().state, Standing::Running { worker: Some(_) }));
        for (place, call) in calls.iter().enumerate() {
            let Standing::InMailbox { actor, ahead, turn: None, .. } = call.explain().state else {
                panic!("{}", call.explain())
            };
            assert_eq!((actor, ahead), ("Keeper", Some(place)));
        }
        for held_back in [&later, &behind] {
            assert_shows(&held_back.explain(), &["is held back from its Keeper", "`Keeper::hold`"]);
        }
        open.send(3).unwrap();
        assert_eq!(get((held, calls, later, behind)).unwrap(), (3, vec![1, 2, 3], 4, 8));
    }
}

#[test]
fn behind_a_call_that_waits() {
    for cpus in [2, 4] {
        let runtime = Runtime::new(Config::new().num_cpus(cpus)).unwrap();
        let _entered = runtime.enter();
        let begun = Arc::new(Barrier::new(2));
        let (open, gate) = gate();
        let held = hold::remote(gate, Arc::clone(&begun));
        begun.wait();
        let keeper = Keeper::remote();
        let asks = keeper.ask(vec![held.clone()]);
        let next = keeper.add(1);
        let waits = |it: &Explanation| matches!(&it.state, Standing::InMailbox { turn: Some(turn), .. } if matches!(**turn, Standing::Waiting { .. }));
        let explanation = explained(&next, waits);
        assert_shows(
            &explanation,
            &["is in the mailbox of its Keeper", "has waited for", "`hold`"],
        );
        open.send(3).unwrap();
        assert_eq!(get((asks, next)).unwrap(), (3, 2));
    }
}

#[test]
fn asking_while_everything_moves() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let keeper = Keeper::remote();
        let latest = Mutex::new(vec![put(0)]);
        let done = AtomicBool::new(false);
        let numbers: Vec<u64> = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let refs = latest.lock().unwrap().clone();
                        for object in refs {
                            assert!(!object.explain().to_string().is_empty());
                        }
                    }
                });
            }
            let round = |x| {
                let one = keeper.add(x);
                let two = pass_on::remote(&one);
                let held_back = keeper.add(&two);
                let behind = keeper.add(x);
                let in_line = pass_on::options().resource("gpu", 1.5).remote(&held_back);
                let asks = ask::remote(vec![in_line.clone()]);
                let all = vec![one, two, held_back, behind, in_line, asks];
                *latest.lock().unwrap() = all.clone();
                get(&all[5]).unwrap()
            };
            let numbers = (0..300).map(round).collect();
            done.store(true, Ordering::Relaxed);
            numbers
        });
        assert_eq!(numbers, (2..302).collect::<Vec<_>>());
    }
}

struct Numbers;

#[remote]
impl Numbers {
    pub fn new() -> Self {
        Self
    }

    #[remote(stream, max_unread = 1)]
    pub fn count(&mut self) -> impl Iterator<Item = u64> + use<> {
        0..3
    }

    pub fn last(&mut self) -> u64 {
        2
    }
}

#[test]
fn an_actor_that_waits_for_the_reader_of_its_stream() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let numbers = Numbers::remote();
        let count = numbers.count();
        let last = numbers.last();
        let explanation = explained(&last, |explanation| {
            matches!(&explanation.state, Standing::InMailbox { turn: Some(_), .. })
        });
        assert_shows(&explanation, &["`the reader of its stream` (called at tests/explain.rs:"]);
        assert_eq!(count.count(), 3);
        assert_eq!(get(last).unwrap(), 2);
    }
}
