//! Sizes of values beside what the allocator says, and estimates beside sizes.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use mobula::__private::estimated_size;
use mobula::prelude::*;
use mobula::{ActorEnd, Size};
use mobula_tests::allocations::{self, Counting};
use ndarray::{ArcArray1, Array1, Array2, ArrayD, IxDyn};
use serde::Serialize;

#[global_allocator]
static COUNTING: Counting = Counting;

/// The heap that a value owns, and the value.
fn heap_of<T>(make: impl FnOnce() -> T) -> (usize, T) {
    let (value, heap) = allocations::kept(make);
    (heap, value)
}

#[track_caller]
fn is_exact<T: Size>(make: impl FnOnce() -> T) {
    let (heap, value) = heap_of(make);
    assert_eq!(value.heap_size(), heap);
    assert_eq!(value.size(), size_of::<T>() + heap);
}

fn texts(n: usize) -> impl Iterator<Item = String> {
    (0..n).map(|i| "x".repeat(i % 50))
}

#[test]
fn sizes_are_what_was_allocated() {
    is_exact(|| (1u8, 'c', [1.0; 100], Some(3), std::time::Duration::ZERO));
    is_exact(|| "text".to_owned());
    is_exact(|| Vec::<u64>::with_capacity(1000));
    is_exact(|| vec![0.5f64; 1000]);
    is_exact(|| vec![0.5f64; 1000].into_boxed_slice());
    is_exact(|| texts(100).collect::<Vec<_>>());
    is_exact(|| vec![vec![Some("abc".to_owned())], vec![], vec![None; 10]]);
    is_exact(|| texts(77).collect::<VecDeque<_>>());
    is_exact(|| texts(77).collect::<LinkedList<_>>());
    is_exact(|| texts(77).collect::<BinaryHeap<_>>());
    is_exact(|| Box::new((Box::new(5), vec![1u8])));
    is_exact(|| Ok::<_, u8>(vec![1u16; 3]));
    is_exact(|| (Arc::new(vec![1u32; 9]), Rc::new("a".to_owned())));
    is_exact(|| Arc::<[u64]>::from(vec![1; 9]));
    is_exact(|| Arc::<str>::from("12345678"));
    is_exact(|| std::path::PathBuf::from("a/b/c"));
    is_exact(|| std::sync::Mutex::new(vec![1]));
    is_exact(|| Array1::<f64>::zeros(100));
    is_exact(|| Array2::from_elem((3, 4), "text".to_owned()));
    is_exact(|| ArrayD::<u8>::zeros(IxDyn(&[2, 3, 4])));
    is_exact(|| ArcArray1::<f64>::zeros(100));
}

#[test]
fn hash_tables_of_every_size_are_exact() {
    for n in (0..40).chain([100, 447, 448, 449, 1000, 10_000]) {
        is_exact(|| (0..n).map(|i| (i, i as u8)).collect::<HashMap<usize, u8>>());
        is_exact(|| texts(n).zip(0..).collect::<HashMap<String, u32>>());
        is_exact(|| (0..n).map(|i| i as u16).collect::<HashSet<u16>>());
    }
    is_exact(|| HashMap::<u8, u8>::with_capacity(500));
}

#[test]
fn trees_are_near() {
    for n in [0, 1, 11, 12, 100, 10_000] {
        let (heap, tree) = heap_of(|| (0..n).map(|i| (i, i)).collect::<BTreeMap<u64, u64>>());
        assert!(tree.heap_size() <= 2 * heap && heap <= 2 * tree.heap_size(), "{n}");
        let (heap, tree) = heap_of(|| (0..n).map(|i| i as u8).collect::<BTreeSet<u8>>());
        assert!(tree.heap_size() <= 2 * heap && heap <= 2 * tree.heap_size(), "{n}");
    }
}

#[derive(Serialize, Clone)]
struct Row {
    id: u64,
    name: String,
    values: Vec<f64>,
    table: Option<Array2<f32>>,
    tags: BTreeMap<String, Vec<u8>>,
    next: Option<Box<Row>>,
}

fn row(n: usize) -> Row {
    Row {
        id: 1,
        name: "a name".to_owned(),
        values: vec![1.0; n],
        table: Some(Array2::zeros((n, 3))),
        tags: texts(n / 10).zip(std::iter::repeat(vec![1; 10])).collect(),
        next: None,
    }
}

#[track_caller]
fn is_near<T: Serialize>(make: impl FnOnce() -> T) {
    let (heap, value) = heap_of(make);
    let (size, estimate) = (size_of::<T>() + heap, estimated_size(&value));
    assert!(estimate <= 2 * size && size <= 2 * estimate, "{estimate} for {size}");
}

#[test]
fn estimates_are_near() {
    is_near(|| 5u8);
    is_near(|| "text".repeat(1000));
    is_near(|| vec![0.5f64; 100_000]);
    is_near(|| Array2::<f64>::zeros((300, 300)));
    is_near(|| row(1000));
    is_near(|| Row { next: Some(Box::new(row(50))), ..row(500) });
    is_near(|| vec![row(100); 100]);
    is_near(|| texts(1000).collect::<Vec<_>>());
    // More parts than are looked at.
    is_near(|| texts(100_000).collect::<Vec<_>>());
    is_near(|| vec![vec!["text".to_owned(); 300]; 300]);
    is_near(|| (vec![vec![vec!["text".to_owned(); 40]; 40]; 40], 5u8));
    is_near(|| (0..20_000).map(|i| (i, i.to_string())).collect::<HashMap<u64, String>>());
}

#[test]
fn an_estimate_looks_at_a_bounded_number_of_parts() {
    struct Counted<'a>(&'a Cell<usize>);
    impl Serialize for Counted<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.set(self.0.get() + 1);
            serializer.serialize_u64(1)
        }
    }
    let looked_at = Cell::new(0);
    let many: Vec<Vec<Counted<'_>>> =
        (0..1000).map(|_| (0..1000).map(|_| Counted(&looked_at)).collect()).collect();
    let estimate = estimated_size(&many);
    assert!(looked_at.get() < 5000, "{}", looked_at.get());
    assert!((7_900_000..8_200_000).contains(&estimate), "{estimate}");
}

#[test]
fn an_estimate_of_what_cannot_be_serialized_is_its_own_size_at_least() {
    struct Refuses([u8; 100]);
    impl Serialize for Refuses {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom(self.0[0]))
        }
    }
    assert_eq!(estimated_size(&Refuses([0; 100])), 100);
}

struct Watched;

#[remote]
impl Watched {
    pub fn new() -> Self {
        Self
    }

    pub fn lives(&self) -> bool {
        true
    }
}

/// Who still has a ref is told of the end.
#[test]
fn an_actor_forgets_those_who_do_not_watch_it_any_more() {
    let runtime = Runtime::new(Config::new().num_cpus(1)).unwrap();
    let _entered = runtime.enter();
    let watched = Watched::remote();
    let mut ends = vec![watched.watch()];
    assert!(get(watched.lives()).unwrap());
    let ((), kept) = allocations::kept(|| (0..10_000).for_each(|_| drop(watched.watch())));
    assert!(kept < 4096, "{kept} bytes");
    ends.push(watched.watch());
    mobula::kill(&watched);
    for end in get(ends).unwrap() {
        assert!(matches!(end, ActorEnd::Killed), "{end}");
    }
}
