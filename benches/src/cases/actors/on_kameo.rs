//! The actors on kameo, with unbounded mailboxes.

use std::convert::Infallible;
use std::future::Future;

use anyhow::{Result, anyhow};
use kameo::actor::{Actor, ActorRef, Spawn};
use kameo::mailbox;
use kameo::message::{Context, Message};
use tokio::runtime::Runtime;

use super::peer::{Alive, Done, Peer};
use crate::start;

pub(super) struct Kameo(Runtime);

pub(super) struct Counter {
    total: u64,
    _alive: Alive,
}

impl Actor for Counter {
    type Args = Alive;
    type Error = Infallible;

    async fn on_start(alive: Alive, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Counter { total: 0, _alive: alive })
    }
}

struct Add {
    by: u64,
}

impl Message<Add> for Counter {
    type Reply = u64;

    async fn handle(&mut self, add: Add, _: &mut Context<Self, u64>) -> u64 {
        self.total += add.by;
        self.total
    }
}

pub(super) struct Link {
    next: Option<ActorRef<Link>>,
    done: Done,
}

impl Actor for Link {
    type Args = Done;
    type Error = Infallible;

    async fn on_start(done: Done, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Link { next: None, done })
    }
}

struct Join(ActorRef<Link>);
struct Pass(usize);

impl Message<Join> for Link {
    type Reply = ();

    async fn handle(&mut self, Join(next): Join, _: &mut Context<Self, ()>) {
        self.next = Some(next);
    }
}

impl Message<Pass> for Link {
    type Reply = ();

    async fn handle(&mut self, Pass(hops): Pass, _: &mut Context<Self, ()>) {
        match &self.next {
            Some(next) if hops > 0 => drop(next.tell(Pass(hops - 1)).try_send()),
            _ => drop(self.done.send(())),
        }
    }
}

impl Peer for Kameo {
    const NAME: &'static str = "kameo";

    type Counter = ActorRef<Counter>;
    type Link = ActorRef<Link>;

    fn start(cpus: usize) -> Result<Self> {
        start::tokio(cpus).map(Kameo)
    }

    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.block_on(work)
    }

    async fn counter(&self, alive: Alive) -> Result<Self::Counter> {
        Ok(Counter::spawn_with_mailbox(alive, mailbox::unbounded()))
    }

    fn add(counter: &Self::Counter, by: u64) -> Result<impl Future<Output = Result<u64>>> {
        let reply = counter.ask(Add { by }).try_enqueue().map_err(|error| anyhow!("{error}"))?;
        Ok(async { reply.await.map_err(|error| anyhow!("{error}")) })
    }

    fn tell(counter: &Self::Counter, by: u64) -> Result<()> {
        counter.tell(Add { by }).try_send().map_err(|error| anyhow!("{error}"))
    }

    async fn link(&self, done: Done) -> Result<Self::Link> {
        Ok(Link::spawn_with_mailbox(done, mailbox::unbounded()))
    }

    fn join(link: &Self::Link, next: Self::Link) -> Result<()> {
        link.tell(Join(next)).try_send().map_err(|error| anyhow!("{error}"))
    }

    fn pass(link: &Self::Link, hops: usize) -> Result<()> {
        link.tell(Pass(hops)).try_send().map_err(|error| anyhow!("{error}"))
    }
}
