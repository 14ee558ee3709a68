//! Objects: stored, got in every shape, waited for, awaited, moved, shared, cancelled.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use mobula::prelude::*;

#[remote]
fn square(x: u64) -> u64 {
    x * x
}

/// Runs until its partner lets it go.
#[remote(local)]
fn hold(gate: Gate) -> u64 {
    gate.pass();
    7
}

/// Lets one task pass when it is opened, or when its opener is gone.
#[derive(Clone)]
struct Gate(Arc<std::sync::Mutex<mpsc::Receiver<()>>>);

impl Gate {
    fn new() -> (Self, mpsc::Sender<()>) {
        let (open, gate) = mpsc::channel();
        (Self(Arc::new(std::sync::Mutex::new(gate))), open)
    }

    fn pass(&self) {
        let _ = self.0.lock().unwrap().recv();
    }
}

fn runtime(cpus: usize) -> Runtime {
    Runtime::new(Config::new().num_cpus(cpus)).unwrap()
}

#[test]
fn get_gives_the_shape_of_the_refs() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let refs: Vec<ObjectRef<u64>> = (0..5).map(|x| square::remote(x)).collect();
    assert_eq!(get(&refs[2]).unwrap(), 4);
    assert_eq!(get(&refs).unwrap(), [0, 1, 4, 9, 16]);
    assert_eq!(get(refs.as_slice()).unwrap(), [0, 1, 4, 9, 16]);
    assert_eq!(get(&refs[1..3]).unwrap(), [1, 4]);
    assert_eq!(get([&refs[3], &refs[1]]).unwrap(), [9, 1]);
    assert_eq!(get(&[refs[3].clone(), refs[1].clone()]).unwrap(), [9, 1]);
    assert_eq!(get((&refs[0], put("text"), vec![put(1.5)])).unwrap(), (0, "text", vec![1.5]));
    let pairs = vec![(put(1), put('a')), (put(2), put('b'))];
    assert_eq!(get(&pairs).unwrap(), [(1, 'a'), (2, 'b')]);
    assert_eq!(get(refs).unwrap(), [0, 1, 4, 9, 16]);
    assert!(get(Vec::<ObjectRef<u64>>::new()).unwrap().is_empty());
}

#[test]
fn the_first_failure_in_order_is_the_one_reported() {
    #[remote]
    fn fail(x: u64) -> Result<u64, String> {
        Err(x.to_string())
    }
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let refs = vec![square::remote(1), fail::remote(1), fail::remote(2)];
    assert_eq!(get(&refs).unwrap_err().downcast_ref::<String>().unwrap(), "1");
}

/// Opens the gate when it is cloned.
struct Opens(mpsc::Sender<()>);

impl Clone for Opens {
    fn clone(&self) -> Self {
        let _ = self.0.send(());
        Self(self.0.clone())
    }
}

#[test]
fn the_first_of_a_long_list_are_taken_while_the_last_are_made() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let long = |last: ObjectRef<Opens>, first: Opens| {
        let mut list = vec![mobula::put(first); 2_000];
        list.push(last);
        list
    };
    let wait_for = |gate: Gate, open: &mpsc::Sender<()>| {
        let open = open.clone();
        mobula::spawn(move || {
            gate.pass();
            Opens(open)
        })
    };
    let (gate, open) = Gate::new();
    let list = long(wait_for(gate, &open), Opens(open));
    assert_eq!(mobula::get(&list).unwrap().len(), 2_001);
    let (gate, open) = Gate::new();
    let list = long(wait_for(gate, &open), Opens(open));
    assert_eq!(mobula::get(list).unwrap().len(), 2_001);
}

#[test]
fn long_lists_keep_their_shape_and_their_first_failure() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let squares = || (0..5_000).map(|x| square::remote(x)).collect::<Vec<_>>();
    let expected: Vec<u64> = (0..5_000).map(|x| x * x).collect();
    assert_eq!(mobula::get(squares()).unwrap(), expected);
    assert_eq!(mobula::get(&squares()).unwrap(), expected);
    let pairs: Vec<_> = squares().chunks(2).map(<[_]>::to_vec).collect();
    assert_eq!(mobula::get(pairs).unwrap().concat(), expected);
    let failing = |at: usize| mobula::spawn(move || -> u64 { panic!("number {at}") });
    let mut list = squares();
    (list[4_000], list[3_000]) = (failing(4_000), failing(3_000));
    assert_eq!(mobula::get(&list).unwrap_err().message(), "number 3000");
    assert_eq!(mobula::get(list).unwrap_err().message(), "number 3000");
}

#[test]
fn the_last_ref_moves_and_others_clone() {
    let value = vec![1u8; 1000];
    let address = value.as_ptr();
    let object = put(value);
    let copy = get(&object).unwrap();
    assert_ne!(copy.as_ptr(), address, "a ref by reference keeps its value");
    let other = object.clone();
    let copy = get(other).unwrap();
    assert_ne!(copy.as_ptr(), address, "there is another ref");

    let moved = get(put(vec![1u8; 1000])).unwrap();
    let address = moved.as_ptr();
    let moved = get(put(moved)).unwrap();
    assert_eq!(moved.as_ptr(), address);
}

#[remote]
fn grow(mut values: Vec<u64>) -> Vec<u64> {
    values[0] += 1;
    values
}

#[test]
fn a_chain_of_updates_in_place_never_copies() {
    for cpus in [1, 2] {
        let runtime = runtime(cpus);
        let _entered = runtime.enter();
        let values = vec![0u64; 1000];
        let address = values.as_ptr();
        let last = (0..100).fold(put(values), |values, _| grow::remote(values));
        let values = get(last).unwrap();
        assert_eq!((values[0], values.as_ptr()), (100, address));
    }
}

#[remote]
fn first(values: &[u64]) -> u64 {
    values[0]
}

#[remote]
fn both(mut a: Vec<u64>, b: &[u64]) -> Vec<u64> {
    a[0] += b[0];
    a
}

#[remote]
fn grow_all(mut lists: Vec<Vec<u64>>) -> Vec<Vec<u64>> {
    lists.iter_mut().for_each(|list| list[0] += 1);
    lists
}

#[test]
fn a_value_that_was_shared_moves_once_only_its_object_has_it() {
    for engine in [Engine::Threads, Engine::Inline] {
        let runtime = Runtime::new(Config::new().num_cpus(2).engine(engine)).unwrap();
        let _entered = runtime.enter();
        let values = vec![1u64; 1000];
        let address = values.as_ptr();

        let object = put(values);
        drop(get_arc(&object).unwrap()); // From here on it sits in an `Arc`.
        assert_eq!(get(first::remote(&object)).unwrap(), 1);
        let grown = get(grow::remote(object)).unwrap();
        assert_eq!((grown[0], grown.as_ptr()), (2, address), "a parameter by value");

        let object = put(grown);
        drop(get_arc(&object).unwrap());
        let values = get(object).unwrap();
        assert_eq!(values.as_ptr(), address, "get by value");

        let object = put(values);
        let held = get_arc(&object).unwrap();
        let copy = get(object).unwrap();
        assert_ne!(copy.as_ptr(), address, "somebody else still has it");
        assert_eq!(held.as_ptr(), address);
    }
}

#[test]
fn borrowing_and_sharing_never_copy() {
    #[remote]
    fn address(values: &[u64]) -> usize {
        values.as_ptr().addr()
    }
    #[remote]
    fn addresses(lists: &[Arc<Vec<u64>>]) -> Vec<usize> {
        lists.iter().map(|list| list.as_ptr().addr()).collect()
    }
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let values = vec![1u64; 1000];
    let expected = values.as_ptr().addr();
    let object = put(values);
    let refs: Vec<_> = (0..20).map(|_| address::remote(&object)).collect();
    assert!(get(refs).unwrap().iter().all(|&address| address == expected));
    assert_eq!(get(addresses::remote([object.clone(), object.clone()])).unwrap(), [expected; 2]);
    assert_eq!(get_arc(&object).unwrap().as_ptr().addr(), expected);
    assert_eq!(get(address::remote(object)).unwrap(), expected, "the last ref");
}

#[test]
fn lists_and_several_arguments_move_what_nobody_else_has() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let lists: Vec<Vec<u64>> = (0..3).map(|i| vec![i; 1000]).collect();
    let expected: Vec<_> = lists.iter().map(Vec::as_ptr).collect();
    let refs: Vec<_> = lists.into_iter().map(|list| put(list)).collect();
    let grown = get(grow_all::remote(refs)).unwrap();
    assert_eq!(grown.iter().map(Vec::as_ptr).collect::<Vec<_>>(), expected);

    // The same object twice: who takes it by value gets a copy, for the other borrows it.
    let [list, other, ..] = &grown[..] else { unreachable!() };
    let (list, other) = (put(list.clone()), put(other.clone()));
    let sum = get(both::remote(&list, list.clone())).unwrap();
    assert_eq!((sum[0], get_arc(&list).unwrap()[0]), (2, 1));
    let address = get_arc(&other).unwrap().as_ptr();
    let sum = get(both::remote(other, &list)).unwrap();
    assert_eq!((sum[0], sum.as_ptr()), (3, address));
}

#[test]
fn shared_values_are_one_value() {
    let object = put(5u64);
    let (a, b) = (get_arc(&object).unwrap(), get_arc(&object).unwrap());
    assert!(Arc::ptr_eq(&a, &b));
    assert_eq!(get(&object).unwrap(), 5);

    let runtime = runtime(1);
    let _entered = runtime.enter();
    let object = square::remote(4);
    let (a, b) = (get_arc(&object).unwrap(), get_arc(&object).unwrap());
    assert!(Arc::ptr_eq(&a, &b));
    assert_eq!(get(object).unwrap(), 16);
}

#[test]
fn refs_are_equal_if_their_object_is_the_same() {
    let (a, b) = (put(1), put(1));
    assert_eq!(a, a.clone());
    assert_ne!(a, b);
    assert_eq!(a.id(), a.clone().id());
    assert_ne!(a.id(), b.id());
    let set: HashSet<_> = [a.clone(), b, a].into_iter().collect();
    assert_eq!(set.len(), 2);
    assert!(format!("{:?}", put(1u8)).contains("ready"));
}

#[test]
fn a_wait_with_a_limit_ends_and_the_work_goes_on() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let (gate, open) = Gate::new();
    let held = hold::remote(gate);
    let error = get_timeout(&held, Duration::from_millis(5)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("`hold`"), "{error}");
    drop(open);
    assert_eq!(get_timeout(held, Duration::from_secs(60)).unwrap(), 7);
}

#[test]
fn wait_parts_ready_from_pending_in_order() {
    let runtime = runtime(4);
    let _entered = runtime.enter();
    let (gate, open) = Gate::new();
    let refs = vec![square::remote(1), hold::remote(gate), square::remote(3)];
    let (ready, pending) = wait(&refs, 2, None);
    assert_eq!(ready, [refs[0].clone(), refs[2].clone()]);
    assert_eq!(pending, [refs[1].clone()]);
    let (ready, pending) = wait(&refs, 3, Some(Duration::from_millis(5)));
    assert_eq!((ready.len(), pending.len()), (2, 1));
    let (ready, pending) = wait(&refs, 1, None);
    assert_eq!((&ready[0], pending.len()), (&refs[0], 2));
    drop(open);
    let (ready, pending) = wait(&refs, 100, None);
    assert_eq!((ready, pending.len()), (refs, 0));
}

#[test]
fn as_completed_gives_each_ref_once_as_it_comes() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let (gate, open) = Gate::new();
    let held = hold::remote(gate);
    let mut refs = vec![held.clone()];
    refs.extend((0..1000).map(|x| square::remote(x)));
    let mut open = Some(open);
    let mut last = None;
    let mut seen = HashSet::new();
    for ready in as_completed(&refs) {
        assert!(ready.is_ready() && seen.insert(ready.clone()));
        if seen.len() == 1000 {
            open = None;
        }
        last = Some(ready);
    }
    assert!(open.is_none());
    assert_eq!((seen.len(), last), (1001, Some(held)));
}

#[test]
fn refs_can_be_awaited_under_any_executor() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    futures::executor::block_on(async {
        let object = square::remote(3);
        assert_eq!((&object).await.unwrap(), 9);
        assert_eq!(object.await.unwrap(), 9);
        // A future that is dropped early leaves nothing behind.
        let (gate, open) = Gate::new();
        let held = hold::remote(gate);
        let mut future = Box::pin((&held).into_future());
        assert!(futures::poll!(&mut future).is_pending());
        assert!(futures::poll!(&mut future).is_pending());
        drop(future);
        drop(open);
        assert_eq!(held.await.unwrap(), 7);
    });
}

#[test]
fn a_hundred_thousand_refs_wait_together() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let refs: Vec<_> = (0..100_000).map(|x| square::remote(x)).collect();
    assert_eq!(wait(&refs, 100_000, None).0.len(), 100_000);
    assert_eq!(as_completed(&refs).count(), 100_000);
    assert_eq!(get(&refs).unwrap().len(), 100_000);
}

#[test]
fn cancelled_work_never_begins_and_its_dependents_fail() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let (gate, open) = Gate::new();
    let held = hold::remote(gate);
    let never = square::remote(2);
    let dependent = square::remote(&never);
    let waiting = square::remote(&held);
    assert!(cancel(&never).now() && cancel(&waiting).now());
    assert!(!cancel(&never).now(), "it is cancelled already");
    for lost in [never, dependent, waiting] {
        assert_eq!(get(lost).unwrap_err().kind(), ErrorKind::Cancelled);
    }
    drop(open);
    assert_eq!(get(held).unwrap(), 7);
}

#[remote(local)]
fn until_cancelled(started: mpsc::Sender<()>) -> mobula::Result<()> {
    started.send(()).unwrap();
    loop {
        mobula::check_cancelled()?;
        std::thread::yield_now();
    }
}

#[test]
fn running_work_is_asked_to_stop() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let (started, running) = mpsc::channel();
    let task = until_cancelled::remote(started);
    running.recv().unwrap();
    assert!(!cancel(&task).now());
    assert_eq!(get(task).unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn refs_travel_serialized_inside_the_process() {
    let object = put(vec![1, 2, 3]);
    let text = serde_json::to_string(&object).unwrap();
    let same: ObjectRef<Vec<i32>> = serde_json::from_str(&text).unwrap();
    assert_eq!(same, object);
    assert!(serde_json::from_str::<ObjectRef<String>>(&text).is_err(), "of another type");
    drop(object);
    assert_eq!(get(&same).unwrap(), [1, 2, 3]);
    drop(same);
    assert!(serde_json::from_str::<ObjectRef<Vec<i32>>>(&text).is_err(), "its last ref is gone");
}

#[test]
fn a_long_chain_of_objects_drops_without_overflow() {
    #[expect(dead_code, reason = "it is there to be dropped")]
    struct Link(Option<ObjectRef<Link>>);
    drop((0..1_000_000).fold(put(Link(None)), |chain, _| put(Link(Some(chain)))));
}
