//! `map`: one function, many items.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use mobula::prelude::*;

#[remote]
fn square(x: u64) -> u64 {
    x * x
}

#[remote]
fn scale(x: f64, by: &[f64], text: &str) -> f64 {
    x * by[0] + text.len() as f64
}

#[remote]
async fn later(x: u64) -> u64 {
    x + 1
}

#[remote]
fn picky(x: u64) -> Result<u64, String> {
    if x % 10 == 3 { Err(x.to_string()) } else { Ok(x) }
}

fn runtimes() -> impl Iterator<Item = Runtime> {
    [(1, Engine::Threads), (2, Engine::Threads), (8, Engine::Threads), (2, Engine::Inline)]
        .into_iter()
        .map(|(cpus, engine)| Runtime::new(Config::new().num_cpus(cpus).engine(engine)).unwrap())
}

#[test]
fn results_come_in_order_whatever_the_chunks() {
    let expected: Vec<u64> = (0..10_000).map(|x| x * x).collect();
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let results: mobula::Result<Vec<u64>> = square::map(0..10_000).collect();
        assert_eq!(results.unwrap(), expected);
        let results: mobula::Result<Vec<u64>> = mobula::map(0..10_000u64, |x| x * x).collect();
        assert_eq!(results.unwrap(), expected);
        for size in [0, 1, 7, 100_000] {
            let map = square::map(0..10_000).chunk_size(size).max_in_flight(size + 1);
            assert_eq!(map.collect::<mobula::Result<Vec<_>>>().unwrap(), expected);
        }
    }
}

#[test]
fn unordered_gives_all_of_them() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let results: mobula::Result<HashSet<u64>> = square::map(0..1000).unordered().collect();
        assert_eq!(results.unwrap(), (0..1000).map(|x| x * x).collect());
    }
}

#[test]
fn an_item_is_the_tuple_of_arguments() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let by = put(vec![2.0]);
        let items = (0..100).map(|x| (f64::from(x), &by, "ab"));
        let results = scale::map(items).progress("scaling").collect::<mobula::Result<Vec<_>>>();
        assert_eq!(results.unwrap()[99], 200.0);
        let refs = (0..10).map(|x| square::remote(x));
        let results = square::map(refs).collect::<mobula::Result<Vec<_>>>().unwrap();
        assert_eq!(results[3], 81);
        let results = later::map(0..100).collect::<mobula::Result<Vec<_>>>().unwrap();
        assert_eq!(results, (1..=100).collect::<Vec<_>>());
    }
}

#[test]
fn one_failed_item_leaves_the_others_alone() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let results: Vec<_> = picky::map(0..100).chunk_size(7).collect();
        for (x, result) in (0..).zip(results) {
            match result {
                Ok(y) => assert!(y == x && x % 10 != 3),
                Err(error) => {
                    assert_eq!(error.downcast_ref::<String>().unwrap(), &x.to_string());
                    assert!(error.to_string().contains("`picky`"), "{error}");
                }
            }
        }
        let panics = mobula::map(0..3, |x| assert_ne!(x, 1));
        assert_eq!(panics.filter(|result| result.is_err()).count(), 1);
    }
}

#[test]
fn endless_items_are_taken_as_needed() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let taken = AtomicUsize::new(0);
        let items = (0..).inspect(|_| {
            taken.fetch_add(1, Ordering::SeqCst);
        });
        let mut map = square::map(items).max_in_flight(10);
        let first: Vec<_> = map.by_ref().take(100).map(Result::unwrap).collect();
        assert_eq!(first[99], 9801);
        assert!(taken.load(Ordering::SeqCst) <= 110, "{taken:?}");
        drop(map);
        assert_eq!(square::map(0..).take(5).count(), 5);
        assert_eq!(square::map(std::iter::empty::<u64>()).count(), 0);
    }
}

#[test]
fn it_nests() {
    #[remote]
    fn row(n: u64) -> u64 {
        square::map(0..n).map(Result::unwrap).sum()
    }
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let sum: u64 = row::map(0..50).map(Result::unwrap).sum();
        assert_eq!(sum, (0..50u64).map(|n| (0..n).map(|x| x * x).sum::<u64>()).sum());
    }
}
