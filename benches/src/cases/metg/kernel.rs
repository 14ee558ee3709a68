//! What a task computes: so many steps of a chain that the processor cannot
//! shorten, and that needs no memory.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};

/// Each iteration needs the one before: a linear congruence with Knuth's
/// multiplier for MMIX.
pub(super) fn compute(iterations: u64, seed: u64) -> u64 {
    let mut state = seed;
    for _ in 0..iterations {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
    black_box(state)
}

/// Seconds that an iteration takes, on average over `cpus` threads that all do
/// so many `iterations` at once. With all CPUs busy, as they are in a graph,
/// clocks may be slower, and two CPUs may share a core.
pub(super) fn seconds_of_iteration(cpus: usize, iterations: u64) -> Result<f64> {
    let start_line = Barrier::new(cpus);
    let timed = || {
        start_line.wait();
        let start = Instant::now();
        compute(iterations, black_box(1));
        start.elapsed().as_secs_f64()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cpus).map(|_| scope.spawn(timed)).collect();
        let mut sum = 0.0;
        for thread in threads {
            sum += thread.join().map_err(|_| anyhow!("the kernel panicked"))?;
        }
        Ok(sum / (cpus as f64 * iterations as f64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iteration_takes_some_time() {
        assert!(seconds_of_iteration(2, 10_000).unwrap() > 0.0);
    }

    #[test]
    fn the_chain_is_not_cut_short() {
        let step = |state: u64| state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        assert_eq!(compute(3, 5), step(step(step(5))));
        assert_eq!(compute(0, 5), 5);
    }
}
