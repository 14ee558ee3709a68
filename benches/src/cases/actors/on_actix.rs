//! The actors on actix, whose callers live on the program's thread and whose
//! actors on those of arbiters, so that callers and actors are on several
//! threads as they are on mobula.

use std::cell::Cell;
use std::future::Future;

use actix::prelude::{
    Actor, Addr, Arbiter, ArbiterHandle, Context, Handler, Message, System, SystemRunner,
};
use anyhow::Result;

use super::peer::{Alive, Done, Peer, add_and_read};
use crate::contender::Contender;

/// Calls in flight on actix. It ran fastest with about a thousand, each reply
/// awaited in turn; `join_all` and `FuturesUnordered` took twice as long or
/// more, as tokio's cooperative budget makes them poll every waiting future
/// again after each 128 replies.
pub(super) const IN_FLIGHT: usize = 1_000;

pub(super) struct Actix {
    system: SystemRunner,
    arbiters: Vec<Arbiter>,
    started: Cell<usize>,
}

impl Actix {
    /// The arbiter of the next actor: each in turn.
    fn arbiter(&self) -> ArbiterHandle {
        let number = self.started.replace(self.started.get() + 1);
        self.arbiters[number % self.arbiters.len()].handle()
    }
}

/// The threads of arbiters end with it.
impl Drop for Actix {
    fn drop(&mut self) {
        for arbiter in &self.arbiters {
            // False: it had stopped by itself.
            let _ = arbiter.stop();
        }
    }
}

pub(super) struct Counter {
    total: u64,
    _alive: Alive,
}

impl Actor for Counter {
    type Context = Context<Self>;

    /// Its mailbox never makes a caller wait.
    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(IN_FLIGHT);
    }
}

struct Add {
    by: u64,
}

impl Message for Add {
    type Result = u64;
}

impl Handler<Add> for Counter {
    type Result = u64;

    fn handle(&mut self, add: Add, _: &mut Context<Self>) -> u64 {
        self.total += add.by;
        self.total
    }
}

pub(super) struct Link {
    next: Option<Addr<Link>>,
    done: Done,
}

impl Actor for Link {
    type Context = Context<Self>;
}

struct Join(Addr<Link>);
struct Pass(usize);

impl Message for Join {
    type Result = ();
}

impl Message for Pass {
    type Result = ();
}

impl Handler<Join> for Link {
    type Result = ();

    fn handle(&mut self, Join(next): Join, _: &mut Context<Self>) {
        self.next = Some(next);
    }
}

impl Handler<Pass> for Link {
    type Result = ();

    fn handle(&mut self, Pass(hops): Pass, _: &mut Context<Self>) {
        match &self.next {
            Some(next) if hops > 0 => next.do_send(Pass(hops - 1)),
            _ => drop(self.done.send(())),
        }
    }
}

impl Peer for Actix {
    const NAME: &'static str = "actix";
    const IN_FLIGHT: usize = IN_FLIGHT;

    type Counter = Addr<Counter>;
    type Link = Addr<Link>;

    fn start(cpus: usize) -> Result<Self> {
        let system = System::new();
        let arbiters = system.block_on(async { (0..cpus).map(|_| Arbiter::new()).collect() });
        Ok(Actix { system, arbiters, started: Cell::new(0) })
    }

    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.system.block_on(work)
    }

    async fn counter(&self, alive: Alive) -> Result<Self::Counter> {
        let counter = |_: &mut Context<Counter>| Counter { total: 0, _alive: alive };
        Ok(Counter::start_in_arbiter(&self.arbiter(), counter))
    }

    fn add(counter: &Self::Counter, by: u64) -> Result<impl Future<Output = Result<u64>>> {
        let reply = counter.send(Add { by });
        Ok(async { Ok(reply.await?) })
    }

    fn tell(counter: &Self::Counter, by: u64) -> Result<()> {
        counter.do_send(Add { by });
        Ok(())
    }

    /// All on one arbiter: one link has the token, and a hop to another thread costs fifty times as much.
    async fn link(&self, done: Done) -> Result<Self::Link> {
        Ok(Link::start_in_arbiter(&self.arbiters[0].handle(), |_| Link { next: None, done }))
    }

    fn join(link: &Self::Link, next: Self::Link) -> Result<()> {
        link.do_send(Join(next));
        Ok(())
    }

    fn pass(link: &Self::Link, hops: usize) -> Result<()> {
        link.do_send(Pass(hops));
        Ok(())
    }
}

/// Caller and actor on one thread, which is the fastest it can be.
pub(super) fn batch_on_one_thread(calls: usize) -> Contender {
    let system = System::new();
    let counter = Counter { total: 0, _alive: Alive::new().0 };
    let counter = system.block_on(async { counter.start() });
    Contender::timed("actix_one_thread", calls, move || {
        system.block_on(add_and_read::<Actix>(&counter, calls))
    })
}
