//! The works on mobula.

use anyhow::{Context, Result, ensure};
use mobula::prelude::*;
use tokio::sync::mpsc;

use super::peer::{Alive, Done};
use crate::contender::Contender;
use crate::{memory, start};

struct Counter {
    total: u64,
    _alive: Alive,
}

#[remote(local)]
impl Counter {
    pub(crate) fn new(alive: Alive) -> Self {
        Counter { total: 0, _alive: alive }
    }

    pub(crate) fn add(&mut self, by: u64) -> u64 {
        self.total += by;
        self.total
    }
}

struct Link {
    next: Option<ActorHandle<Link>>,
    done: Done,
}

#[remote(local)]
impl Link {
    pub(crate) fn new(done: Done) -> Self {
        Link { next: None, done }
    }

    pub(crate) fn join(&mut self, next: ActorHandle<Link>) {
        self.next = Some(next);
    }

    pub(crate) fn pass(&mut self, hops: usize) {
        match &self.next {
            Some(next) if hops > 0 => drop(next.pass(hops - 1)),
            _ => drop(self.done.send(())),
        }
    }
}

fn counter() -> ActorHandle<Counter> {
    Counter::remote(Alive::new().0)
}

pub(super) fn batch(cpus: usize, calls: usize) -> Result<Contender> {
    start::on_mobula(cpus, calls, || {
        let counter = counter();
        Ok(move || {
            let replies: Vec<ObjectRef<u64>> = (0..calls).map(|_| counter.add(1)).collect();
            mobula::get(replies)?;
            Ok(())
        })
    })
}

pub(super) fn tell(cpus: usize, calls: usize) -> Result<Contender> {
    start::on_mobula(cpus, calls, || {
        let counter = counter();
        Ok(move || {
            let before = mobula::get(counter.add(0))?;
            (1..calls).for_each(|_| drop(counter.add(1)));
            let after = mobula::get(counter.add(1))?;
            ensure!(after - before == calls as u64, "{} calls of {calls}", after - before);
            Ok(())
        })
    })
}

pub(super) fn roundtrip(cpus: usize, trips: usize) -> Result<Contender> {
    start::on_mobula(cpus, trips, || {
        let counter = counter();
        Ok(move || {
            for _ in 0..trips {
                mobula::get(counter.add(1))?;
            }
            Ok(())
        })
    })
}

pub(super) fn create(cpus: usize, actors: usize) -> Result<Contender> {
    let contender = start::on_mobula(cpus, actors, || {
        Ok(move || {
            let (alive, ended) = Alive::new();
            let counters = counters(actors, alive);
            call_each(&counters)?;
            drop(counters);
            ended.wait_blocking();
            Ok(())
        })
    })?;
    Ok(contender.cold(3))
}

fn counters(actors: usize, alive: Alive) -> Vec<ActorHandle<Counter>> {
    (0..actors).map(|_| Counter::remote(alive.clone())).collect()
}

/// Calls each once and reads all replies.
fn call_each(counters: &[ActorHandle<Counter>]) -> mobula::Result<()> {
    let replies: Vec<_> = counters.iter().map(|counter| counter.add(1)).collect();
    mobula::get(replies).map(drop)
}

/// Bytes that each actor takes.
pub(super) fn memory(cpus: usize, actors: usize) -> Result<f64> {
    let _runtime = start::mobula(cpus)?;
    let (alive, _ended) = Alive::new();
    let before = memory::resident()?;
    let counters = counters(actors, alive);
    for some in counters.chunks(1_000) {
        call_each(some)?;
    }
    let after = memory::resident()?;
    Ok(after.saturating_sub(before) as f64 / counters.len() as f64)
}

pub(super) fn fanout(cpus: usize, actors: usize, rounds: usize) -> Result<Contender> {
    start::on_mobula(cpus, actors * rounds, || {
        let counters = counters(actors, Alive::new().0);
        Ok(move || Ok((0..rounds).try_for_each(|_| call_each(&counters))?))
    })
}

pub(super) fn ring(cpus: usize, actors: usize, hops: usize) -> Result<Contender> {
    start::on_mobula(cpus, hops, || {
        let (done, mut finished) = mpsc::unbounded_channel();
        let links: Vec<_> = (0..actors).map(|_| Link::remote(done.clone())).collect();
        let nexts = links.iter().cycle().skip(1);
        let joined: Vec<_> = links.iter().zip(nexts).map(|(link, next)| link.join(next.clone())).collect();
        mobula::get(joined)?;
        let first = links[0].clone();
        Ok(move || {
            first.pass(hops);
            finished.blocking_recv().context("the ring broke")
        })
    })
}
