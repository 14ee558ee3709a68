//! What a task computes: so many steps of a chain that the processor cannot
//! shorten, and that needs no memory.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};

/// Iterations of one measurement: some milliseconds.
const ITERATIONS: u64 = 1_000_000;
/// Odd, so that the median is a measured value.
const MEASUREMENTS: usize = 5;

/// Each iteration needs the one before: a linear congruence with Knuth's
/// multiplier for MMIX.
pub(super) fn compute(iterations: u64, seed: u64) -> u64 {
    let mut state = seed;
    for _ in 0..iterations {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
    black_box(state)
}

/// How long an iteration takes on this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel {
    seconds_of_iteration: f64,
}

impl Kernel {
    /// Measured while all of `cpus` compute, as they do in a graph: then clocks
    /// may be slower, and two of them may share a core.
    pub(super) fn calibrated(cpus: usize) -> Result<Self> {
        let mut measured = (0..MEASUREMENTS)
            .map(|_| measure(cpus))
            .collect::<Result<Vec<f64>>>()?;
        measured.sort_by(f64::total_cmp);
        Ok(Kernel { seconds_of_iteration: measured[MEASUREMENTS / 2] })
    }

    /// Iterations that take `seconds`; one at least.
    pub(super) fn iterations(self, seconds: f64) -> u64 {
        (seconds / self.seconds_of_iteration).round().max(1.0) as u64
    }

    pub(super) fn seconds(self, iterations: u64) -> f64 {
        iterations as f64 * self.seconds_of_iteration
    }
}

/// Seconds of an iteration, on average over `cpus` threads at once.
fn measure(cpus: usize) -> Result<f64> {
    let start_line = Barrier::new(cpus);
    let timed = || {
        start_line.wait();
        let start = Instant::now();
        compute(ITERATIONS, black_box(1));
        start.elapsed().as_secs_f64()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cpus).map(|_| scope.spawn(timed)).collect();
        let mut sum = 0.0;
        for thread in threads {
            sum += thread.join().map_err(|_| anyhow!("the kernel panicked"))?;
        }
        Ok(sum / (cpus as f64 * ITERATIONS as f64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iterations_and_seconds_are_two_views_of_one_length() {
        let kernel = Kernel { seconds_of_iteration: 2e-9 };
        assert_eq!(kernel.iterations(1e-6), 500);
        assert!((kernel.seconds(500) - 1e-6).abs() < 1e-12);
        assert_eq!(kernel.iterations(1e-12), 1);
    }

    #[test]
    fn an_iteration_takes_some_time() {
        let kernel = Kernel::calibrated(2).unwrap();
        assert!(kernel.seconds_of_iteration > 0.0);
    }

    #[test]
    fn the_chain_is_not_cut_short() {
        let step = |state: u64| state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        assert_eq!(compute(3, 5), step(step(step(5))));
        assert_eq!(compute(0, 5), 5);
    }
}
