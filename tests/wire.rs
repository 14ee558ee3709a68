//! Values as bytes: what is inside of them by reference is found, held, and found again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mobula::__private::wire::{decode, encode};
use mobula::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Job {
    name: String,
    inputs: Vec<ObjectRef<Vec<f64>>>,
    by_name: HashMap<String, Option<ObjectRef<u64>>>,
    counter: ActorHandle<Counter>,
    waiter: ActorHandle<Waiter>,
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
}

struct Waiter;

#[remote]
impl Waiter {
    pub fn new() -> Self {
        Self
    }

    pub async fn answer(&self) -> u64 {
        42
    }
}

#[remote]
fn square(x: u64) -> u64 {
    x * x
}

#[test]
fn refs_and_handles_live_as_long_as_the_bytes() {
    for engine in [Engine::Threads, Engine::Inline] {
        let runtime = Runtime::new(Config::new().num_cpus(2).engine(engine)).unwrap();
        let _entered = runtime.enter();
        let job = Job {
            name: "fit".to_owned(),
            inputs: (0..3).map(|i| put(vec![f64::from(i); 100])).collect(),
            by_name: HashMap::from([
                ("none".to_owned(), None),
                ("nine".to_owned(), Some(square::remote(3))),
            ]),
            counter: Counter::remote(1),
            waiter: Waiter::remote(),
        };
        let encoded = encode(&job).unwrap();
        assert_eq!(encoded.held.len(), 3 + 1 + 2);
        drop(job);

        let back: Job = decode(&encoded.bytes).unwrap();
        drop(encoded.held);
        assert_eq!(back.name, "fit");
        assert_eq!(get(&back.inputs).unwrap()[2], [2.0; 100]);
        assert!(back.by_name["none"].is_none());
        assert_eq!(get(back.by_name["nine"].as_ref().unwrap()).unwrap(), 9);
        assert_eq!(get(back.counter.add(1)).unwrap(), 2);
        assert_eq!(get(back.waiter.answer()).unwrap(), 42);

        // With the last ref the objects go, and the bytes say so.
        drop(back);
        let error = decode::<Job>(&encoded.bytes).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Serialization);
        assert!(error.message().contains("is not in this process"), "{error}");
    }
}

#[test]
fn a_ref_that_is_met_twice_is_held_twice_and_let_go() {
    #[derive(serde::Serialize)]
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let object = put(Counted(Arc::clone(&drops)));
    let encoded = encode(&(&object, vec![object.clone()])).unwrap();
    assert_eq!(encoded.held.len(), 2);
    assert_eq!(encoded.held[0].id.to_string(), object.id().to_string());
    drop(object);
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    drop(encoded.held);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
}

/// What is not to be copied.
#[derive(Debug, Serialize, Deserialize)]
struct Precious(Vec<u64>);

impl Clone for Precious {
    fn clone(&self) -> Self {
        panic!("it was copied")
    }
}

#[test]
fn what_was_serialized_is_moved_out_all_the_same() {
    let runtime = Runtime::new(Config::new().num_cpus(1)).unwrap();
    let _entered = runtime.enter();
    // What the store keeps, and what it does not.
    for length in [1, 100_000] {
        let object = mobula::put(Precious(vec![7; length]));
        let encoded = encode(&object).unwrap();
        drop(encoded.held);
        assert_eq!(mobula::get(object).unwrap().0.len(), length);
        let lost = decode::<ObjectRef<Precious>>(&encoded.bytes).unwrap_err();
        assert!(lost.to_string().contains("its last ref is gone"), "{lost}");
    }
}

#[test]
fn a_ref_of_another_type_is_refused() {
    let number = put(1u64);
    let encoded = encode(&number).unwrap();
    let error = decode::<ObjectRef<String>>(&encoded.bytes).unwrap_err();
    assert!(error.message().contains("is no alloc::string::String"), "{error}");
}
