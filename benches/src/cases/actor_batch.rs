//! Many calls to one actor, every reply read.
//!
//! actix takes part twice: with the actor on an arbiter of its own, so that
//! caller and actor are on two threads as they are on mobula, and with both on
//! one thread, which is the fastest it can be.

use std::rc::Rc;

use actix::prelude::{Actor, Addr, Arbiter, Context, Handler, Message, System, SystemRunner};
use anyhow::Result;
use mobula::prelude::*;

use crate::case::{Case, Setting};
use crate::contender::{Contender, MOBULA};
use crate::python::Work;
use crate::start;
use crate::unit::Unit;

pub(crate) const CASE: Case = Case {
    name: "actor_batch",
    about: "call an actor many times, then read all replies",
    unit: Unit::NanosPerOp,
    contenders,
};

const CALLS: usize = 1_000_000;
const CALLS_QUICK: usize = 20_000;
const CALLS_PYTHON: usize = 5_000;
const CALLS_PYTHON_QUICK: usize = 500;

/// Calls in flight on actix. It ran fastest with about a thousand, each reply
/// awaited in turn; `join_all` and `FuturesUnordered` took twice as long or
/// more, as tokio's cooperative budget makes them poll every waiting future
/// again after each 128 replies.
const ACTIX_IN_FLIGHT: usize = 1_000;

fn contenders(setting: &Setting) -> Result<Vec<Contender>> {
    let calls = setting.size(CALLS, CALLS_QUICK);
    let system = Rc::new(System::new());
    let mut all = vec![
        on_mobula(setting.cpus, calls)?,
        on_actix(&system, calls),
        on_actix_one_thread(&system, calls),
    ];
    let calls = setting.size(CALLS_PYTHON, CALLS_PYTHON_QUICK);
    let work = Work::new("actor_batch", calls);
    all.extend(setting.on_python(&["ray", "dask"], &work, calls));
    Ok(all)
}

struct Counter {
    total: u64,
}

#[remote]
impl Counter {
    pub(crate) fn new(start: u64) -> Self {
        Counter { total: start }
    }

    pub(crate) fn add(&mut self, by: u64) -> u64 {
        self.total += by;
        self.total
    }
}

fn on_mobula(cpus: usize, calls: usize) -> Result<Contender> {
    let runtime = start::mobula(cpus)?;
    let counter = Counter::remote(0);
    Ok(Contender::timed(MOBULA, calls, move || {
        let _alive = &runtime;
        let replies: Vec<ObjectRef<u64>> = (0..calls).map(|_| counter.add(1)).collect();
        mobula::get(replies)?;
        Ok(())
    }))
}

struct ActixCounter {
    total: u64,
}

impl ActixCounter {
    /// Starts with a mailbox that never makes a caller wait.
    fn new(context: &mut Context<Self>) -> Self {
        context.set_mailbox_capacity(ACTIX_IN_FLIGHT);
        ActixCounter { total: 0 }
    }
}

impl Actor for ActixCounter {
    type Context = Context<Self>;
}

struct Add {
    by: u64,
}

impl Message for Add {
    type Result = u64;
}

impl Handler<Add> for ActixCounter {
    type Result = u64;

    fn handle(&mut self, add: Add, _: &mut Context<Self>) -> u64 {
        self.total += add.by;
        self.total
    }
}

fn on_actix(system: &Rc<SystemRunner>, calls: usize) -> Contender {
    let arbiter = system.block_on(async { Arbiter::new() });
    let counter = ActixCounter::start_in_arbiter(&arbiter.handle(), ActixCounter::new);
    let system = Rc::clone(system);
    let arbiter = StopOnDrop(arbiter);
    Contender::timed("actix", calls, move || {
        let _alive = &arbiter;
        system.block_on(call_and_read(&counter, calls))
    })
}

fn on_actix_one_thread(system: &Rc<SystemRunner>, calls: usize) -> Contender {
    let counter = system.block_on(async { <ActixCounter as Actor>::create(ActixCounter::new) });
    let system = Rc::clone(system);
    Contender::timed("actix_one_thread", calls, move || {
        system.block_on(call_and_read(&counter, calls))
    })
}

async fn call_and_read(counter: &Addr<ActixCounter>, calls: usize) -> Result<()> {
    let mut left = calls;
    while left > 0 {
        let batch = left.min(ACTIX_IN_FLIGHT);
        let replies: Vec<_> = (0..batch).map(|_| counter.send(Add { by: 1 })).collect();
        for reply in replies {
            reply.await?;
        }
        left -= batch;
    }
    Ok(())
}

/// An arbiter whose thread ends with it.
struct StopOnDrop(Arbiter);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
