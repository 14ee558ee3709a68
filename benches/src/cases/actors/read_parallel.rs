//! Reads that compute: an actor whose `&self` calls run side by side, beside one
//! that runs them one after the other, and a lock that a rayon pool reads under.

use std::hint::black_box;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Result;
use mobula::prelude::*;
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use crate::case::Case;
use crate::contender::{Contender, MOBULA};
use crate::start;

/// How long a read computes.
const READ: Duration = Duration::from_micros(50);

pub(super) const CASE: Case = super::case(
    "actor_read_parallel",
    "read 50 us from an actor with max_concurrency 2, many times",
    |setting| {
        let reads = setting.size(10_000, 200);
        Ok(vec![
            on_mobula(setting.cpus, reads, 2)?,
            on_mobula(setting.cpus, reads, 1)?.prefixed("one_reader_"),
            on_rayon(setting.cpus, reads)?,
        ])
    },
);

struct Table(u64);

#[remote]
impl Table {
    pub(crate) fn new() -> Self {
        Table(1)
    }

    pub(crate) fn read(&self) -> u64 {
        self.0 + computed()
    }
}

fn computed() -> u64 {
    let start = Instant::now();
    let mut turns = 0;
    while start.elapsed() < READ {
        turns = black_box(turns + 1);
    }
    turns
}

/// On a runtime of its own, as both contenders are there at the same time.
fn on_mobula(cpus: usize, reads: usize, max_concurrency: u32) -> Result<Contender> {
    let runtime = Runtime::new(Config::new().num_cpus(cpus))?;
    let entered = runtime.enter();
    let table = Table::options().max_concurrency(max_concurrency).remote();
    drop(entered);
    let work = move || {
        let _entered = runtime.enter();
        let replies: Vec<_> = (0..reads).map(|_| table.read()).collect();
        mobula::get(replies)?;
        Ok(())
    };
    Ok(Contender::timed(MOBULA, reads, work))
}

fn on_rayon(cpus: usize, reads: usize) -> Result<Contender> {
    let table = RwLock::new(Table(1));
    start::on_rayon(cpus, reads, move |pool| {
        let read = |_| table.read().unwrap_or_else(PoisonError::into_inner).0 + computed();
        black_box(pool.install(|| (0..reads).into_par_iter().map(read).sum::<u64>()));
        Ok(())
    })
}
