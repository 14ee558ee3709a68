//! CPUs other than one for a task, taken where it runs.
//!
//! * More than one: the thread collects further CPUs as they become free and keeps them out of
//!   circulation. One thread collects at a time, and whoever waits to collect has laid its own CPU down,
//!   so two wide tasks cannot each hold what the other needs.
//! * A fraction: a worker lends its CPU to as many such tasks as fit (`lending.rs`).
//! * None: the task runs on a blocking thread, at once.
//!
//! A task that blocks gives all of it back until it goes on. One that computes on several threads of rayon does so when
//! any of them blocks (`parallel/crew.rs`).

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Engine;
#[cfg(feature = "rayon")]
use crate::local::default;
use crate::local::lending::{self, Lending};
#[cfg(feature = "rayon")]
use crate::local::parallel;
use crate::local::pool::{self, Cpu};
use crate::local::queue::Entry;
use crate::local::{Local, budget, current};
use crate::millis::Millis;

/// What the grants of one runtime share.
#[derive(Default)]
pub(crate) struct Grants {
    /// Held by the one thread that collects.
    collecting: Mutex<()>,
    lending: Lending,
    /// Where tasks with other than one CPU run what they ask of rayon.
    #[cfg(feature = "rayon")]
    idle_pools: parallel::Idle,
}

impl Grants {
    #[cfg(feature = "rayon")]
    pub(super) fn idle_pools(&self) -> &parallel::Idle {
        &self.idle_pools
    }

    pub(super) fn lending(&self) -> &Lending {
        &self.lending
    }
}

/// Sees to it that `entry` runs with that many CPUs.
pub(crate) fn queue(local: &Arc<Local>, entry: Entry, cpus: Millis, priority: i32) {
    if cpus >= Millis::ONE || local.settings().engine == Engine::Inline {
        local.schedule_prioritized(entry, priority).now();
    } else if cpus == Millis::default() {
        let here = Arc::clone(local);
        local.spawn_blocking(move || here.pool().run(entry));
    } else {
        lending::queue(local, entry, cpus, priority);
    }
}

/// Runs `run` with that many CPUs on a thread that holds one. What asked for less was brought to where
/// it runs by `queue`.
pub(crate) fn with_cpus<R: Send>(
    local: &Arc<Local>,
    cpus: Millis,
    run: impl FnOnce() -> R + Send,
) -> R {
    #[cfg(feature = "rayon")]
    let run = || match cpus {
        Millis::ONE => run(),
        _ => parallel::within(local, cpus.whole_part().max(1), run),
    };
    if local.settings().engine == Engine::Inline {
        return budget::with(cpus.whole_part().max(1), run);
    }
    if cpus <= Millis::ONE {
        return run();
    }
    let _wide = Wide::collect(local, cpus.whole_part() - 1);
    run()
}

/// This thread will run what was granted CPUs elsewhere: in the program whose worker this process is.
pub(crate) fn begin_elsewhere() {
    #[cfg(feature = "rayon")]
    parallel::settle();
    budget::computes_with(1);
}

/// This thread computes nothing while others run what was granted elsewhere.
pub(crate) fn lend_elsewhere() {
    budget::computes_with(0);
}

/// Runs `run` with that many CPUs, which were granted elsewhere, so nobody has to give them.
pub(crate) fn elsewhere<R: Send>(cpus: Millis, run: impl FnOnce() -> R + Send) -> R {
    let cpus = cpus.whole_part().max(1);
    let run = || budget::with(cpus, run);
    #[cfg(feature = "rayon")]
    if !parallel::is_settled(cpus) {
        let local = default::current();
        return budget::with(0, || parallel::within(&local, cpus, run));
    }
    run()
}

/// Further CPUs, kept with the one that the thread holds.
struct Wide {
    collected: usize,
}

impl Wide {
    fn collect(local: &Arc<Local>, further: usize) -> Self {
        let had = current::with_cpu(|cpu| cpu.map_or(0, Cpu::further));
        let collected = further.saturating_sub(had);
        collect(local, collected);
        Self { collected }
    }
}

impl Drop for Wide {
    fn drop(&mut self) {
        let take = |cpu: Option<&Cpu>| cpu.map(|cpu| cpu.take_further(self.collected));
        let back = current::with_cpu(take);
        budget::computes_with(1 + current::with_cpu(|cpu| cpu.map_or(0, Cpu::further)));
        back.into_iter().flatten().for_each(pool::lay_down);
    }
}

/// So many CPUs, for a thread that holds none.
#[cfg(feature = "rayon")]
pub(super) fn gather(local: &Arc<Local>, count: usize) -> pool::Cpus {
    if count == 0 {
        return Vec::new();
    }
    let grants = local.grants();
    let _collecting = grants.collecting.lock().unwrap_or_else(PoisonError::into_inner);
    (0..count).map(|_| local.pool().pick_up()).collect()
}

/// Adds `count` further CPUs to the one that this thread holds.
pub(super) fn collect(local: &Arc<Local>, count: usize) {
    if count == 0 {
        return;
    }
    let grants = local.grants();
    let lock = || grants.collecting.lock().unwrap_or_else(PoisonError::into_inner);
    // Whoever waits here has laid its CPU down: see above.
    let _collecting = match grants.collecting.try_lock() {
        Ok(guard) => guard,
        Err(_) => pool::block(|_| lock()),
    };
    for _ in 0..count {
        let cpu = local.pool().pick_up();
        current::with_cpu(|own| own.expect("the thread holds a CPU").add_further(cpu));
    }
    budget::computes_with(1 + current::with_cpu(|cpu| cpu.map_or(0, Cpu::further)));
}
