//! Actors by their names.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mobula::prelude::*;
use mobula::{ActorName, get_actor};

fn runtimes() -> impl Iterator<Item = Runtime> {
    [(1, Engine::Threads), (2, Engine::Threads), (8, Engine::Threads), (1, Engine::Inline)]
        .into_iter()
        .map(|(cpus, engine)| Runtime::new(Config::new().num_cpus(cpus).engine(engine)).unwrap())
}

struct Counter(u64);

#[remote]
impl Counter {
    pub fn new(start: u64) -> Self {
        Self(start)
    }

    pub fn add(&mut self, by: u64) -> u64 {
        self.0 += by;
        self.0
    }

    pub fn explode(&mut self) {
        panic!("boom")
    }
}

struct Other;

#[remote(name = "other", namespace = "lab")]
impl Other {
    pub fn new() -> Self {
        Self
    }

    pub fn ping(&self) -> u64 {
        1
    }
}

fn in_lab(name: &str) -> ActorName {
    ActorName::new(name).namespace("lab")
}

#[test]
fn a_name_finds_the_actor() {
    #[remote]
    fn add_by_name(name: String) -> mobula::Result<u64> {
        get(get_actor::<Counter>(name)?.add(1))
    }
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let counter = Counter::options().name("c").remote(10);
        assert_eq!(get_actor::<Counter>("c").unwrap(), counter);
        assert_eq!(get(add_by_name::remote("c")).unwrap(), 11);
        let elsewhere = Counter::options().name("c").namespace("lab").remote(20);
        assert_eq!(get_actor::<Counter>(in_lab("c")).unwrap(), elsewhere);
        let _other = Other::remote();
        assert_eq!(get(get_actor::<Other>(in_lab("other")).unwrap().ping()).unwrap(), 1);
    }
}

#[test]
fn a_name_that_nobody_has_is_an_error() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let _other = Other::remote();
        let error = get_actor::<Counter>("nobody").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ActorDied);
        assert!(error.to_string().contains("\"nobody\""), "{error}");
        assert_eq!(get_actor::<Other>("other").unwrap_err().kind(), ErrorKind::ActorDied);
        let error = get_actor::<Counter>(in_lab("other")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.to_string().contains("`Other`"), "{error}");
    }
}

#[test]
fn a_name_belongs_to_one_actor_of_a_runtime() {
    for runtime in runtimes() {
        let entered = runtime.enter();
        let counter = Counter::options().name("c").remote(1);
        let error = get(Counter::options().name("c").remote(2).add(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("the name \"c\" is taken by `Counter`"), "{error}");
        let error = get(Other::options().name("c").namespace("").get_or_create().ping());
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Config);
        assert_eq!(get(counter.add(1)).unwrap(), 2);
        drop(entered);
        let another = Runtime::new(Config::new().num_cpus(1)).unwrap();
        let _entered = another.enter();
        assert_eq!(get_actor::<Counter>("c").unwrap_err().kind(), ErrorKind::ActorDied);
        assert_eq!(get(Counter::options().name("c").remote(5).add(1)).unwrap(), 6);
    }
}

#[test]
fn a_name_is_free_when_its_actor_is_gone() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let start = |start| Counter::options().name("c").remote(start);
        for end in 0..4 {
            let counter = start(end);
            assert_eq!(get(counter.add(1)).unwrap(), end + 1);
            match end {
                0 => mobula::kill(&counter),
                1 => drop(get(counter.explode())),
                2 => drop(counter.stop()),
                _ => {}
            }
            drop(counter);
            assert_eq!(get_actor::<Counter>("c").unwrap_err().kind(), ErrorKind::ActorDied);
        }
        // Also while its calls are still to run.
        let before = start(1);
        let calls: Vec<_> = (0..100).map(|_| before.add(1)).collect();
        drop(before);
        assert_eq!(get(start(7).add(1)).unwrap(), 8);
        assert_eq!(get(calls).unwrap()[99], 101);
    }
}

#[test]
fn get_or_create_makes_one_for_all() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    struct Once;
    #[remote]
    impl Once {
        pub fn new() -> Self {
            MADE.fetch_add(1, Ordering::SeqCst);
            Self
        }
        pub fn ping(&self) -> u64 {
            1
        }
    }
    for (nth, runtime) in runtimes().enumerate() {
        let runtime = Arc::new(runtime);
        let handles: Vec<ActorHandle<Once>> = std::thread::scope(|scope| {
            let get_or_create = || {
                let _entered = runtime.enter();
                Once::options().name("once").get_or_create()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(get_or_create)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(handles.iter().all(|handle| *handle == handles[0]));
        assert_eq!(get(handles[7].ping()).unwrap(), 1);
        assert_eq!(MADE.load(Ordering::SeqCst), nth + 1);
        let _entered = runtime.enter();
        let error = get(Once::options().get_or_create().ping()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

/// Whose last handle may go while another looks for the actor.
#[test]
fn get_or_create_always_gives_one() {
    for runtime in runtimes() {
        std::thread::scope(|scope| {
            let churn = || {
                let _entered = runtime.enter();
                for _ in 0..500 {
                    let counter = Counter::options().name("churn").get_or_create(0);
                    assert!(get(counter.add(1)).unwrap() > 0);
                }
            };
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(churn)).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}
