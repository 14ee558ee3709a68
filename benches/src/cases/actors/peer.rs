//! What the peers have in common: how each offers its actors, and the works in
//! terms of that.

use std::future::Future;

use anyhow::{Context, Result, ensure};
use tokio::sync::mpsc;

use crate::contender::Contender;
use crate::memory;

/// An actor library that is awaited, and what it runs on.
pub(super) trait Peer: Sized + 'static {
    const NAME: &'static str;
    /// Calls that are made before their replies are read; what suits it best.
    const IN_FLIGHT: usize = usize::MAX;

    /// A ref to a counter.
    type Counter: 'static;
    /// A ref to a link of a ring.
    type Link: Clone + 'static;

    fn start(cpus: usize) -> Result<Self>;
    fn run<T>(&self, work: impl Future<Output = T>) -> T;

    async fn counter(&self, alive: Alive) -> Result<Self::Counter>;
    /// Calls it. The call is on its way when this returns.
    fn add(counter: &Self::Counter, by: u64) -> Result<impl Future<Output = Result<u64>>>;
    /// As `add`, where nobody wants a reply.
    fn tell(counter: &Self::Counter, by: u64) -> Result<()>;
    /// Lets it end. Most end with their last ref.
    fn end(counter: Self::Counter) {
        drop(counter);
    }

    async fn link(&self, done: Done) -> Result<Self::Link>;
    /// Tells a link who comes after it.
    fn join(link: &Self::Link, next: Self::Link) -> Result<()>;
    /// Gives a link the token, with the hops that it has to go.
    fn pass(link: &Self::Link, hops: usize) -> Result<()>;
}

/// Told by the link that gets the token with no hops left.
pub(super) type Done = mpsc::UnboundedSender<()>;

/// Part of a state: tells that all of them were dropped, when the last is.
#[derive(Clone)]
pub(super) struct Alive(#[expect(dead_code, reason = "its drop tells")] mpsc::Sender<()>);

/// Waits for the end of all who are alive.
pub(super) struct Ended(mpsc::Receiver<()>);

impl Alive {
    pub(super) fn new() -> (Self, Ended) {
        let (alive, ended) = mpsc::channel(1);
        (Alive(alive), Ended(ended))
    }
}

impl Ended {
    pub(super) async fn wait(mut self) {
        // Nobody sends anything, so this is the end of the channel.
        self.0.recv().await;
    }

    pub(super) fn wait_blocking(mut self) {
        self.0.blocking_recv();
    }
}

pub(super) fn batch<P: Peer>(cpus: usize, calls: usize) -> Result<Contender> {
    let peer = P::start(cpus)?;
    let (alive, _ended) = Alive::new();
    let counter = peer.run(peer.counter(alive))?;
    Ok(Contender::timed(P::NAME, calls, move || {
        peer.run(add_and_read::<P>(&counter, calls))
    }))
}

pub(super) async fn add_and_read<P: Peer>(counter: &P::Counter, calls: usize) -> Result<()> {
    let mut left = calls;
    while left > 0 {
        let batch = left.min(P::IN_FLIGHT);
        let replies: Result<Vec<_>> = (0..batch).map(|_| P::add(counter, 1)).collect();
        for reply in replies? {
            reply.await?;
        }
        left -= batch;
    }
    Ok(())
}

pub(super) fn tell<P: Peer>(cpus: usize, calls: usize) -> Result<Contender> {
    let peer = P::start(cpus)?;
    let (alive, _ended) = Alive::new();
    let counter = peer.run(peer.counter(alive))?;
    Ok(Contender::timed(P::NAME, calls, move || {
        peer.run(async {
            let before = P::add(&counter, 0)?.await?;
            (1..calls).try_for_each(|_| P::tell(&counter, 1))?;
            // Behind all others, so all are done when this one is.
            let after = P::add(&counter, 1)?.await?;
            ensure!(after - before == calls as u64, "{} calls of {calls}", after - before);
            Ok(())
        })
    }))
}

pub(super) fn roundtrip<P: Peer>(cpus: usize, trips: usize) -> Result<Contender> {
    let peer = P::start(cpus)?;
    let (alive, _ended) = Alive::new();
    let counter = peer.run(peer.counter(alive))?;
    Ok(Contender::timed(P::NAME, trips, move || {
        peer.run(async {
            for _ in 0..trips {
                P::add(&counter, 1)?.await?;
            }
            Ok(())
        })
    }))
}

async fn counters<P: Peer>(peer: &P, count: usize, alive: Alive) -> Result<Vec<P::Counter>> {
    let mut counters = Vec::with_capacity(count);
    for _ in 0..count {
        counters.push(peer.counter(alive.clone()).await?);
    }
    Ok(counters)
}

/// Calls each once and reads all replies.
async fn call_each<P: Peer>(counters: &[P::Counter]) -> Result<()> {
    for some in counters.chunks(P::IN_FLIGHT) {
        let replies: Result<Vec<_>> = some.iter().map(|counter| P::add(counter, 1)).collect();
        for reply in replies? {
            reply.await?;
        }
    }
    Ok(())
}

pub(super) fn create<P: Peer>(cpus: usize, actors: usize) -> Result<Contender> {
    let peer = P::start(cpus)?;
    Ok(Contender::timed(P::NAME, actors, move || {
        peer.run(async {
            let (alive, ended) = Alive::new();
            let counters = counters(&peer, actors, alive).await?;
            call_each::<P>(&counters).await?;
            counters.into_iter().for_each(P::end);
            ended.wait().await;
            Ok(())
        })
    })
    .cold(3))
}

/// Bytes that each actor takes.
pub(super) fn memory<P: Peer>(cpus: usize, actors: usize) -> Result<f64> {
    let peer = P::start(cpus)?;
    peer.run(async {
        let (alive, _ended) = Alive::new();
        let before = memory::resident()?;
        let counters = counters(&peer, actors, alive).await?;
        call_each::<P>(&counters).await?;
        let after = memory::resident()?;
        counters.into_iter().for_each(P::end);
        Ok(after.saturating_sub(before) as f64 / actors as f64)
    })
}

pub(super) fn fanout<P: Peer>(cpus: usize, actors: usize, rounds: usize) -> Result<Contender> {
    let peer = P::start(cpus)?;
    let (alive, _ended) = Alive::new();
    let counters = peer.run(counters(&peer, actors, alive))?;
    Ok(Contender::timed(P::NAME, actors * rounds, move || {
        peer.run(async {
            for _ in 0..rounds {
                call_each::<P>(&counters).await?;
            }
            Ok(())
        })
    }))
}

pub(super) fn ring<P: Peer>(cpus: usize, actors: usize, hops: usize) -> Result<Contender> {
    let peer = P::start(cpus)?;
    let (done, mut finished) = mpsc::unbounded_channel();
    let first = peer.run(async {
        let first = peer.link(done.clone()).await?;
        let mut last = first.clone();
        for _ in 1..actors {
            let link = peer.link(done.clone()).await?;
            P::join(&last, link.clone())?;
            last = link;
        }
        P::join(&last, first.clone())?;
        anyhow::Ok(first)
    })?;
    Ok(Contender::timed(P::NAME, hops, move || {
        peer.run(async {
            P::pass(&first, hops)?;
            finished.recv().await.context("the ring broke")
        })
    }))
}
