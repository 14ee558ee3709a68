//! What an engine costs that has nothing to do: CPU time over some seconds,
//! after it had work and so has woken all its threads.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use mobula::prelude::*;
use rustix::time::{ClockId, clock_gettime};

use crate::case::{Case, Setting};
use crate::contender::{Contender, MOBULA};
use crate::start;
use crate::unit::Unit;

pub(crate) const CASE: Case = Case {
    name: "idle",
    about: "CPU time that a started engine takes in 10 s of nothing",
    unit: Unit::CpuSeconds,
    contenders,
};

const SECONDS: usize = 10;
const SECONDS_QUICK: usize = 1;
const ROUNDS: usize = 3;
const ROUNDS_QUICK: usize = 1;

/// Tasks that an engine runs before it idles.
const TASKS: usize = 10_000;

/// What passes before the clock runs, so that threads have fallen asleep.
const CALM: Duration = Duration::from_millis(100);

fn contenders(setting: &Setting) -> Result<Vec<Contender>> {
    let nothing = Duration::from_secs(setting.size(SECONDS, SECONDS_QUICK) as u64);
    let rounds = setting.size(ROUNDS, ROUNDS_QUICK);
    let cpus = setting.cpus;
    let isolated = |name, round: fn(usize, Duration) -> Result<f64>| {
        setting.isolated(CASE.name, name, rounds, move || round(cpus, nothing))
    };
    Ok(vec![
        isolated(MOBULA, on_mobula),
        isolated("tokio", on_tokio),
        isolated("rayon", on_rayon),
    ])
}

#[remote]
fn empty() {}

fn on_mobula(cpus: usize, nothing: Duration) -> Result<f64> {
    let _runtime = start::mobula(cpus)?;
    mobula::get((0..TASKS).map(|_| empty::remote()).collect::<Vec<_>>())?;
    Ok(cpu_seconds_of(nothing))
}

fn on_tokio(cpus: usize, nothing: Duration) -> Result<f64> {
    let runtime = start::tokio(cpus)?;
    runtime.block_on(async {
        let handles: Vec<_> = (0..TASKS).map(|_| tokio::spawn(async {})).collect();
        for handle in handles {
            handle.await?;
        }
        anyhow::Ok(())
    })?;
    Ok(cpu_seconds_of(nothing))
}

fn on_rayon(cpus: usize, nothing: Duration) -> Result<f64> {
    let pool = start::rayon(cpus)?;
    pool.scope(|scope| (0..TASKS).for_each(|_| scope.spawn(|_| {})));
    Ok(cpu_seconds_of(nothing))
}

/// CPU time that this process takes while this thread sleeps for `nothing`.
fn cpu_seconds_of(nothing: Duration) -> f64 {
    sleep(CALM);
    let before = cpu_seconds();
    sleep(nothing);
    cpu_seconds() - before
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn computing_takes_cpu_time() {
        let before = cpu_seconds();
        black_box((0..1_000_000_u64).fold(0, |sum, i| black_box(sum ^ i)));
        assert!(cpu_seconds() > before);
    }
}
