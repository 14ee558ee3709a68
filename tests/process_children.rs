//! Children of tasks in worker processes: who waits for several of them sends them together.

use mobula::prelude::*;
use mobula_tests::processes::{Sign, runs_while_there_is};

#[remote]
fn square(x: u64) -> u64 {
    x * x
}

#[remote]
fn takes_away(path: String) -> u64 {
    Sign(path).wait();
    1
}

#[remote]
fn length(bytes: Vec<u8>) -> u64 {
    bytes.len() as u64
}

#[remote]
fn sum_of(refs: Vec<ObjectRef<u64>>) -> mobula::Result<u64> {
    Ok(mobula::get(refs)?.iter().sum())
}

/// Waits for children of which one goes on until the other has run. The short ones begin first.
#[remote]
fn waits_for_both(path: String, squares: u64) -> mobula::Result<u64> {
    let both = [takes_away::remote(path.clone()), runs_while_there_is::remote(path)];
    let squares = (0..squares).map(square::remote);
    Ok(mobula::get(both.into_iter().chain(squares).collect::<Vec<_>>())?.iter().sum())
}

/// As that, where the second waits for the first, which is too long to be sent behind it.
#[remote]
fn waits_for_a_long_one(squares: u64) -> mobula::Result<u64> {
    let long = length::remote(vec![0; 100_000]);
    let both = [long.clone(), sum_of::remote(vec![long])];
    let squares = (0..squares).map(square::remote);
    Ok(mobula::get(both.into_iter().chain(squares).collect::<Vec<_>>())?.iter().sum())
}

/// They are sent together, and what is behind the long one comes back, sent or not.
#[test]
fn children_that_are_waited_for_together_run_side_by_side() {
    let sign = Sign::new("both");
    for cpus in [1, 2] {
        let config = Config::new().num_cpus(cpus).engine(Engine::Processes);
        let runtime = Runtime::new(config).unwrap();
        let _entered = runtime.enter();
        for squares in [0, 1, 200] {
            let sum: u64 = (0..squares).map(|x| x * x).sum();
            if cpus > 1 {
                let both = waits_for_both::remote(sign.0.clone(), squares);
                assert_eq!(mobula::get(both).unwrap(), sum + 2);
            }
            let both = waits_for_a_long_one::remote(squares);
            assert_eq!(mobula::get(both).unwrap(), sum + 200_000);
        }
    }
}
