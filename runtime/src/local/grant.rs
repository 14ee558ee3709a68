//! CPUs other than one for a task, taken where it runs.
//!
//! * More than one: the thread collects further CPUs as they become free and keeps them out of
//!   circulation. One thread collects at a time, and whoever waits to collect has laid its own CPU down,
//!   so two wide tasks cannot each hold what the other needs.
//! * A fraction: a CPU is taken out of circulation and shared by as many such tasks as fit, each on one
//!   of tokio's blocking threads. They wait in a line of their own, for which one thread at a time
//!   fetches a CPU.
//! * None: the task runs on a blocking thread, at once.
//!
//! A task that blocks gives all of it back until it goes on.

#![expect(clippy::vec_box, reason = "a CPU goes from thread to thread as a pointer")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Engine;
use crate::local::pool::{self, Cpu};
use crate::local::queue::Entry;
use crate::local::{Local, current};
use crate::millis::Millis;

/// What the grants of one runtime share.
#[derive(Default)]
pub(crate) struct Grants {
    /// Held by the one thread that collects.
    collecting: Mutex<()>,
    shares: Mutex<Shares>,
}

#[derive(Default)]
struct Shares {
    /// What is left of the CPUs below.
    free: Millis,
    cpus: Vec<Box<Cpu>>,
    /// Tasks that wait for their part, with their priorities, the highest first.
    line: VecDeque<(i32, Millis, Entry)>,
    /// Whether a thread is fetching a CPU for them.
    fetching: bool,
}

impl Grants {
    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shares {
    /// Those at the head of the line whose parts are free, which they now have.
    fn admit(&mut self) -> Vec<(Millis, Entry)> {
        let mut admitted = Vec::new();
        while let Some((.., part, _)) = self.line.front()
            && *part <= self.free
        {
            self.free -= *part;
            admitted.extend(self.line.pop_front().map(|(_, part, entry)| (part, entry)));
        }
        admitted
    }

    /// Puts a task into the line, behind those of its priority.
    fn line_up(&mut self, priority: i32, part: Millis, entry: Entry) {
        let place = self.line.partition_point(|(other, ..)| *other >= priority);
        self.line.insert(place, (priority, part, entry));
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
        let mut shares = local.grants().shares();
        shares.line_up(priority, cpus, entry);
        let admitted = shares.admit();
        let fetch = !shares.line.is_empty() && !shares.fetching;
        shares.fetching |= fetch;
        drop(shares);
        run_admitted(local, admitted);
        if fetch {
            fetch_cpus(local);
        }
    }
}

/// Fetches CPUs for the line until it is empty.
fn fetch_cpus(local: &Arc<Local>) {
    let fetcher = Arc::clone(local);
    local.spawn_blocking(move || {
        loop {
            let cpu = fetcher.pool().pick_up();
            let mut shares = fetcher.grants().shares();
            shares.cpus.push(cpu);
            shares.free += Millis::ONE;
            let admitted = shares.admit();
            let done = shares.line.is_empty();
            shares.fetching = !done;
            let spare = shares.take_whole();
            drop(shares);
            spare.into_iter().for_each(pool::lay_down);
            run_admitted(&fetcher, admitted);
            if done {
                return;
            }
        }
    });
}

impl Shares {
    /// A CPU of which no part is used.
    fn take_whole(&mut self) -> Option<Box<Cpu>> {
        if self.free < Millis::ONE {
            return None;
        }
        self.free -= Millis::ONE;
        self.cpus.pop()
    }

    /// Gives a part back: to those in the line, and what makes a whole CPU to the pool.
    fn give_back(&mut self, part: Millis) -> (Vec<(Millis, Entry)>, Option<Box<Cpu>>) {
        self.free += part;
        (self.admit(), self.take_whole())
    }
}

/// Runs tasks that have their parts, each on a thread of its own.
fn run_admitted(local: &Arc<Local>, admitted: Vec<(Millis, Entry)>) {
    for (part, entry) in admitted {
        let here = Arc::clone(local);
        local.spawn_blocking(move || {
            let share = Share { local: here, part };
            current::set_share(Some(part));
            share.local.pool().run(entry);
        });
    }
}

/// A part of a shared CPU, which this thread has.
struct Share {
    local: Arc<Local>,
    part: Millis,
}

impl Drop for Share {
    fn drop(&mut self) {
        current::set_share(None);
        give_part(&self.local, self.part);
    }
}

fn give_part(local: &Arc<Local>, part: Millis) {
    let (admitted, cpu) = local.grants().shares().give_back(part);
    cpu.into_iter().for_each(pool::lay_down);
    run_admitted(local, admitted);
}

/// Lets `wait` sleep while others have this thread's part.
pub(super) fn block_share<R>(local: &Arc<Local>, part: Millis, wait: impl FnOnce() -> R) -> R {
    struct TakeAgain<'a>(&'a Arc<Local>, Millis);
    impl Drop for TakeAgain<'_> {
        fn drop(&mut self) {
            let Self(local, part) = *self;
            // A task that goes on comes before those that have not begun.
            let mut shares = local.grants().shares();
            if shares.free < part {
                drop(shares);
                let cpu = local.pool().pick_up();
                shares = local.grants().shares();
                shares.cpus.push(cpu);
                shares.free += Millis::ONE;
            }
            shares.free -= part;
            let spare = shares.take_whole();
            drop(shares);
            spare.into_iter().for_each(pool::lay_down);
            current::set_share(Some(part));
        }
    }
    current::set_share(None);
    give_part(local, part);
    let _take_again = TakeAgain(local, part);
    wait()
}

/// Runs `run` with that many CPUs on a thread that holds one. What asked for less was brought to where
/// it runs by `queue`.
pub(crate) fn with_cpus<R>(local: &Arc<Local>, cpus: Millis, run: impl FnOnce() -> R) -> R {
    if cpus <= Millis::ONE || local.settings().engine == Engine::Inline {
        return run();
    }
    let _wide = Wide::collect(local, cpus.whole_part() - 1);
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
        current::with_cpu(take).into_iter().flatten().for_each(pool::lay_down);
    }
}

/// Adds `count` further CPUs to the one that this thread holds.
pub(super) fn collect(local: &Arc<Local>, count: usize) {
    if count == 0 {
        return;
    }
    let grants = local.grants();
    let lock = || grants.collecting.lock().unwrap_or_else(PoisonError::into_inner);
    // Whoever waits here has laid its CPU down, and whoever has the lock holds one: see above.
    let _collecting = match grants.collecting.try_lock() {
        Ok(guard) => guard,
        Err(_) => pool::block(|_| lock()),
    };
    for _ in 0..count {
        let cpu = local.pool().pick_up();
        current::with_cpu(|own| own.expect("the thread holds a CPU").add_further(cpu));
    }
}
