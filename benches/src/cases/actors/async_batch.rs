//! Many calls to an actor whose method is async, every reply read: beside plain
//! actix, with a handler that is async too, and with one that is not.

use actix::prelude::{Actor, Addr, Arbiter, AtomicResponse, Context, Handler, Message, System, WrapFuture};
use actix::ActorFutureExt;
use anyhow::Result;
use mobula::prelude::*;

use super::on_actix::{Actix, IN_FLIGHT};
use super::peer;
use crate::case::Case;
use crate::contender::Contender;
use crate::start;

pub(super) const CASE: Case = super::case(
    "async_actor_batch",
    "call an async actor many times, then read all replies",
    |setting| {
        let calls = setting.size(500_000, 20_000);
        let mut all = vec![on_mobula(setting.cpus, calls)?, on_actix(calls)];
        all.push(peer::batch::<Actix>(setting.cpus, calls)?.prefixed("sync_handler_"));
        all.extend(super::on_ray(setting, "async_actor_batch", setting.size(5_000, 500)));
        Ok(all)
    },
);

struct Counter(u64);

#[remote]
impl Counter {
    pub(crate) fn new() -> Self {
        Counter(0)
    }

    pub(crate) async fn add(&mut self, by: u64) -> u64 {
        self.0 += by;
        self.0
    }
}

fn on_mobula(cpus: usize, calls: usize) -> Result<Contender> {
    start::on_mobula(cpus, calls, || {
        let counter = Counter::remote();
        Ok(move || {
            let replies: Vec<ObjectRef<u64>> = (0..calls).map(|_| counter.add(1)).collect();
            mobula::get(replies)?;
            Ok(())
        })
    })
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
    /// Alone with the state, as `&mut self` is.
    type Result = AtomicResponse<Self, u64>;

    fn handle(&mut self, Add { by }: Add, _: &mut Context<Self>) -> Self::Result {
        let add = async {}.into_actor(self).map(move |(), actor, _| {
            actor.0 += by;
            actor.0
        });
        AtomicResponse::new(Box::pin(add))
    }
}

fn on_actix(calls: usize) -> Contender {
    let system = System::new();
    let arbiter = system.block_on(async { Arbiter::new() });
    let counter = <Counter as Actor>::start_in_arbiter(&arbiter.handle(), |_| Counter(0));
    Contender::timed("actix", calls, move || {
        let _alive = &arbiter;
        system.block_on(call_and_read(&counter, calls))
    })
}

async fn call_and_read(counter: &Addr<Counter>, calls: usize) -> Result<()> {
    let mut left = calls;
    while left > 0 {
        let batch = left.min(IN_FLIGHT);
        let replies: Vec<_> = (0..batch).map(|_| counter.send(Add { by: 1 })).collect();
        for reply in replies {
            reply.await?;
        }
        left -= batch;
    }
    Ok(())
}
