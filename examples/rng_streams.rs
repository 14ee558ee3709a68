//! Random streams for parallel tasks, in the two ways that statistics tutorials teach, with the numbers
//! that NumPy gives.
//!
//! ```text
//! cargo run --release --example rng_streams
//! python examples/rng_streams.py
//! ```
//!
//! Both print the same. What a task draws depends on its stream alone: not on how many CPUs there are,
//! nor on which task is done first.

use mobula::prelude::*;
use mobula::random::{Generator, Pcg64, SeedSequence};

const SEED: u64 = 12345;
const TASKS: usize = 5;
const DRAWS: usize = 100_000;

/// The first of many normal numbers, and how many of them are further than 1.96 from 0: one in twenty.
#[remote]
fn simulate(bits: Pcg64, n: usize) -> (f64, usize) {
    let draws: Vec<f64> = Generator::new(bits).standard_normal(n);
    (draws[0], draws.iter().filter(|x| x.abs() > 1.96).count())
}

/// One task for each stream.
fn run(streams: impl Iterator<Item = Pcg64>) -> mobula::Result<()> {
    let refs: Vec<_> = streams.map(|bits| simulate::remote(bits, DRAWS)).collect();
    for (task, (first, outside)) in mobula::get(&refs)?.into_iter().enumerate() {
        let share = outside as f64 / DRAWS as f64;
        println!("stream {task}: first {first:+.15}, share outside {share:.5}");
    }
    Ok(())
}

fn main() -> mobula::Result<()> {
    let _runtime = mobula::init(Config::new())?;

    println!("Spawned: a seed for each stream, all from one.");
    let mut seed = SeedSequence::new(SEED);
    run(seed.spawn(TASKS).iter().map(Pcg64::new))?;

    println!("Spawned again: the next children of the same seed.");
    run(seed.spawn(TASKS).iter().map(Pcg64::new))?;

    println!("Jumped: places in one stream, 2e38 draws apart.");
    let bits = Pcg64::new(SEED);
    run((0..TASKS as u128).map(|jumps| bits.jumped(jumps)))
}
