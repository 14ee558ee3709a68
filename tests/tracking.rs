//! `Config::track_objects`: small and pending objects are listed too. It goes for a whole process, so this is one of
//! its own.

use std::sync::mpsc;

use mobula::prelude::*;
use mobula::{ObjectInfo, ObjectState};

/// Those that were made between these lines of this file.
fn made(first: u32, last: u32) -> Vec<ObjectInfo> {
    let here = |object: &ObjectInfo| {
        let place = object.created_at();
        place.file().ends_with("tracking.rs") && (first..=last).contains(&place.line())
    };
    mobula::objects().into_iter().filter(here).collect()
}

#[remote]
fn double(x: u64) -> u64 {
    2 * x
}

#[remote]
fn refuses() -> Result<u64, String> {
    Err("no".to_owned())
}

#[remote(stream)]
fn numbers(n: u64) -> impl Iterator<Item = u64> {
    0..n
}

#[test]
fn small_and_pending_objects_are_listed_where_that_is_asked_for() {
    for engine in [Engine::Threads, Engine::Inline] {
        let config = Config::new().num_cpus(2).engine(engine).track_objects(true);
        let runtime = Runtime::new(config).unwrap();
        let _entered = runtime.enter();
        let first = line!();
        let small = put(7u8);
        let large = put(vec![0u8; 5000]); // And the vector itself.
        let failed = refuses::remote();
        let _ = mobula::wait(std::slice::from_ref(&failed), 1, None);
        let last = line!();
        let also = small.clone();
        let objects = made(first, last);
        let seen: Vec<_> =
            objects.iter().map(|o| (o.name(), o.size(), o.state(), o.refs())).collect();
        assert_eq!(seen.len(), 3, "{objects:?}");
        assert_eq!(seen[0], ("put", 5024, ObjectState::Memory, 1));
        assert!(seen.contains(&("put", 1, ObjectState::Memory, 2)));
        assert!(seen.contains(&("refuses", 0, ObjectState::Failed, 1)));
        drop((small, also, large, failed));
        assert!(made(first, last).is_empty());
    }
}

#[test]
fn what_is_pending_is_named_with_its_line() {
    let runtime = Runtime::new(Config::new().num_cpus(1).track_objects(true)).unwrap();
    let _entered = runtime.enter();
    let (send, receive) = mpsc::channel();
    let first = line!();
    let waits = mobula::spawn(move || receive.recv().unwrap());
    let behind = double::remote(&waits);
    let last = line!();
    let objects = made(first, last);
    assert_eq!(objects.len(), 2);
    assert!(objects.iter().all(|object| object.state() == ObjectState::Pending));
    let of_behind = objects.iter().find(|object| object.name() == "double").unwrap();
    assert_eq!(of_behind.created_at().line(), first + 2);
    assert!(of_behind.to_string().contains("pending"), "{of_behind}");
    send.send(4).unwrap();
    assert_eq!(get(&behind).unwrap(), 8);
    let objects = made(first, last);
    assert!(objects.iter().all(|object| object.state() == ObjectState::Memory));
    drop((waits, behind));
    assert!(made(first, last).is_empty());
}

#[test]
fn what_comes_and_goes_leaves_nothing() {
    let runtime = Runtime::new(Config::new().num_cpus(2).track_objects(true)).unwrap();
    let _entered = runtime.enter();
    let first = line!();
    let refs: Vec<_> = (0..1000).map(|x| double::remote(x)).collect();
    assert_eq!(made(first, first + 1).len(), 1000);
    assert_eq!(get(refs).unwrap().len(), 1000);
    assert_eq!(numbers::remote(1000).map(|item| get(item).unwrap()).sum::<u64>(), 499_500);
    assert!(made(first, line!()).is_empty());
}
