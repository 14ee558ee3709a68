//! What it costs to wait for many: as many looks at cells as there are, times a small number. Counted, not timed.

use std::panic::Location;
use std::sync::mpsc;

use super::*;
use crate::api::parameter::Awaiting;
use crate::api::remote::submit_task;
use crate::config::Config;
use crate::error::ErrorKind;
use crate::function::{Call, Function};
use crate::local::cell::{Promise, Ref, looks};
use crate::local::current;
use crate::local::job::Compute;
use crate::runtime::Runtime;
use crate::{get, put, spawn};

const COUNT: usize = 100_000;
/// How many looks at each ref are fine.
const LOOKS_MAX: usize = 8;

fn promises() -> (Vec<ObjectRef<usize>>, Vec<Promise<usize>>) {
    let make = |_| {
        let (object, promise) = Ref::promise(call(), 0);
        (object.into(), promise)
    };
    (0..COUNT).map(make).unzip()
}

#[track_caller]
fn assert_linear(looks: usize) {
    assert!(looks <= LOOKS_MAX * COUNT, "{looks} looks at {COUNT} refs");
}

#[test]
fn what_is_ready_is_looked_at_a_few_times() {
    let runtime = Runtime::new(Config::new().num_cpus(1)).unwrap();
    let _entered = runtime.enter();
    let refs: Vec<_> = (0..COUNT).map(put).collect();
    assert_linear(looks::of(|| assert_eq!(get(&refs).unwrap()[COUNT - 1], COUNT - 1)).1);
    assert_linear(looks::of(|| assert_eq!(wait(&refs, COUNT, None).0.len(), COUNT)).1);
    assert_linear(looks::of(|| assert_eq!(wait(&refs, COUNT / 2, None).1.len(), COUNT / 2)).1);
    assert_linear(looks::of(|| assert_eq!(as_completed(refs).count(), COUNT)).1);
}

#[test]
fn so_is_what_becomes_ready_in_any_order() {
    let runtime = Runtime::new(Config::new().num_cpus(1)).unwrap();
    let _entered = runtime.enter();
    // Each completes when the one before it was given out, the last first.
    let (refs, mut promises) = promises();
    let (given, looks) = looks::of(|| {
        let mut completed = as_completed(refs);
        let mut given = 0;
        while let Some(promise) = promises.pop() {
            promise.complete(Ok(promises.len()));
            let next = completed.next().unwrap();
            assert!(next.is_ready());
            given += 1;
        }
        assert!(completed.next().is_none());
        given
    });
    assert_eq!(given, COUNT);
    assert_linear(looks);
    // Half of them are there when the wait begins.
    let (refs, mut promises) = self::promises();
    let late = promises.split_off(COUNT / 2);
    promises.into_iter().for_each(|promise| promise.complete(Ok(0)));
    let completing = std::thread::spawn(move || {
        late.into_iter().rev().for_each(|promise| promise.complete(Ok(0)));
    });
    completing.join().unwrap();
    assert_linear(looks::of(|| assert_eq!(wait(&refs, COUNT, None).0.len(), COUNT)).1);
}

#[test]
fn so_is_what_can_never_become_ready() {
    let runtime = Runtime::new(Config::new().num_cpus(1)).unwrap();
    let _entered = runtime.enter();
    // Those the task waits for wait for the task, so the wait is hopeless, and all come as they are.
    let (send, receive) = mpsc::channel::<Vec<ObjectRef<usize>>>();
    let waits = spawn(move || {
        let refs = receive.recv().unwrap();
        let sample = refs[COUNT - 1].clone();
        let (count, looks) = looks::of(|| as_completed(refs).count());
        let error = get(sample).unwrap_err();
        (count, looks, error.kind())
    });
    let refs = (0..COUNT).map(|_| depends_on(&waits)).collect();
    send.send(refs).unwrap();
    let (count, looks, kind) = get(waits).unwrap();
    assert_eq!((count, kind), (COUNT, ErrorKind::Deadlock));
    assert_linear(looks);
}

/// A task that waits for the other's result.
fn depends_on<T: Send + Sync + 'static>(other: &ObjectRef<T>) -> ObjectRef<usize> {
    let mut awaiting = Awaiting::default();
    awaiting.refs.add(other.any());
    submit_task(Compute(|| Ok(0)), awaiting, call(), None, current::next_place).into()
}

fn call() -> Call {
    static FUNCTION: Function = Function::new("test", "", file!(), line!());
    Call { function: &FUNCTION, called_at: Location::caller() }
}
