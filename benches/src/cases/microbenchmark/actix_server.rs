//! The same actors on actix, called from the program itself: its callers live
//! on one thread, the actor on that of an arbiter.

use actix::prelude::{
    Actor, Addr, Arbiter, Context, Handler, Message, ResponseFuture, System, SystemRunner,
};
use anyhow::Result;

use super::OK;
use super::traffic::{Argument, Callers, Traffic};
use crate::contender::Contender;

struct SmallValue {
    /// Nobody looks at it, but it has to be sent.
    _number: Option<u64>,
}

impl Message for SmallValue {
    type Result = [u8; 2];
}

struct Computing;
struct Waiting;

impl Actor for Computing {
    type Context = Context<Self>;
}

impl Actor for Waiting {
    type Context = Context<Self>;
}

impl Handler<SmallValue> for Computing {
    type Result = actix::MessageResult<SmallValue>;

    fn handle(&mut self, _: SmallValue, _: &mut Context<Self>) -> Self::Result {
        actix::MessageResult(OK)
    }
}

impl Handler<SmallValue> for Waiting {
    type Result = ResponseFuture<[u8; 2]>;

    fn handle(&mut self, _: SmallValue, _: &mut Context<Self>) -> Self::Result {
        Box::pin(async { OK })
    }
}

/// actix under `traffic` from one caller to one actor, which waits or computes.
pub(super) fn contender(traffic: Traffic, waits: bool) -> Contender {
    if waits { started(traffic, Waiting) } else { started(traffic, Computing) }
}

fn started<A>(traffic: Traffic, actor: A) -> Contender
where
    A: Actor<Context = Context<A>> + Handler<SmallValue> + Send,
{
    let system = System::new();
    let arbiter = system.block_on(async { Arbiter::new() });
    let capacity = traffic.calls;
    let server = A::start_in_arbiter(&arbiter.handle(), move |context| {
        // No caller shall wait for room in the mailbox.
        context.set_mailbox_capacity(capacity);
        actor
    });
    let alive = StopOnDrop(arbiter, system);
    Contender::timed("actix", traffic.ops(), move || {
        let StopOnDrop(_, system) = &alive;
        (0..traffic.rounds).try_for_each(|_| system.block_on(round(&server, traffic)))
    })
}

async fn round<A>(server: &Addr<A>, traffic: Traffic) -> Result<()>
where
    A: Actor<Context = Context<A>> + Handler<SmallValue>,
{
    let calls = (0..traffic.calls as u64).map(|call| {
        let number = (traffic.argument != Argument::None).then_some(call);
        server.send(SmallValue { _number: number })
    });
    if traffic.callers == Callers::OneByOne {
        for reply in calls {
            reply.await?;
        }
    } else {
        let replies: Vec<_> = calls.collect();
        for reply in replies {
            reply.await?;
        }
    }
    Ok(())
}

/// An arbiter whose thread ends with it, and the system that it needs.
struct StopOnDrop(Arbiter, SystemRunner);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
