//! A task, as the worker runs it.

use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::cluster::argument::{Argument, unfit};
use crate::cluster::bridge::hosted::{self, Report};
use crate::cluster::frame::{self, About, Body, Bytes, Outcome};
use crate::cluster::turn::Ticket;
use crate::cluster::worker::Objects;
use crate::cluster::worker::home::Connection;
use crate::error::Result;
use crate::function::{Call, Function};
use crate::local::caller::Origin;
use crate::local::cancelling;
use crate::local::cell::{AnyRef, Promise, Ref};
use crate::local::current::Task;
use crate::local::family::FamilyId;
use crate::local::job::TimeLimit;
use crate::local::place::Place;
use crate::millis::Millis;
use crate::random::Pool;
use crate::wire::Held;

/// What a task begins with.
pub struct Start<'a> {
    pub(crate) about: &'a About,
    pub(crate) bytes: Bytes<'a>,
    pub(crate) objects: &'a Objects,
    pub(in crate::cluster) running: &'a Running,
    pub(in crate::cluster) ticket: Ticket,
    /// If it is a stream's beginning, where its items go.
    pub(in crate::cluster) reader: Reader,
}

/// How it ended.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// What has to live until the driver has the result.
    pub(crate) held: Vec<Held>,
    pub(crate) how: frame::Ended,
    /// Whether it failed, and the function's own rule says that it is worth another try.
    pub(crate) retry: bool,
}

/// A task's cell in the worker: what its context is made of, and what hears that it is to stop.
pub(crate) struct Here {
    promise: Promise<()>,
    pub(crate) task: Task,
}

/// Who takes the items of a stream that this process produces.
#[derive(Clone, Copy)]
pub(in crate::cluster) enum Reader {
    /// The driver, whose worker this is.
    Driver(&'static Connection),
    /// The host, where this is a program on a cluster.
    Host,
}

/// Where the items of a stream go that this process produces.
#[derive(Clone, Copy)]
pub(crate) struct Items {
    reader: Reader,
    ticket: Ticket,
}

impl Items {
    /// Sends what `pack` packs, and waits on the thread that runs the calls. False: no more are wanted.
    pub(crate) fn send(self, pack: impl FnOnce(&mut Body) -> (Outcome, Vec<Held>)) -> bool {
        match self.reader {
            Reader::Driver(connection) => {
                self.send_to_driver(connection, pack);
                connection.wait_for_more(self.ticket)
            }
            Reader::Host => {
                let mut body = hosted::body();
                let (outcome, held) = pack(&mut body);
                hosted::send_item(outcome, held, body)
            }
        }
    }

    /// As `send`, of a stream that is produced beside other calls.
    pub(crate) async fn send_among(
        self,
        pack: impl FnOnce(&mut Body) -> (Outcome, Vec<Held>),
    ) -> bool {
        let running = match self.reader {
            Reader::Driver(connection) => {
                connection.running().awaits_more(self.ticket);
                self.send_to_driver(connection, pack);
                Some(connection.running())
            }
            Reader::Host => {
                let mut body = hosted::body();
                let (outcome, held) = pack(&mut body);
                hosted::send_item_among(self.ticket, outcome, held, body)
            }
        };
        match running {
            Some(running) => {
                poll_fn(|context| running.poll_more(self.ticket, context.waker())).await
            }
            None => false,
        }
    }

    fn send_to_driver(
        self,
        connection: &Connection,
        pack: impl FnOnce(&mut Body) -> (Outcome, Vec<Held>),
    ) {
        let mut lease = connection.borrow_writer();
        let (outcome, held) = pack(&mut lease.body);
        connection.send_item(self.ticket, outcome, &held, lease);
    }
}

impl<'a> Start<'a> {
    /// The bytes of the next argument.
    ///
    /// # Errors
    /// `Serialization`: there is none, or it has none; `what` says what is missing.
    pub(crate) fn next_bytes(
        &self,
        arguments: &mut impl Iterator<Item = Argument>,
        what: &str,
    ) -> Result<&'a [u8]> {
        match arguments.next() {
            Some(Argument::Value(part)) => self.bytes.part(part),
            _ => Err(unfit(what)),
        }
    }

    /// If this is a stream's beginning, where its items go.
    pub(crate) fn items(&self) -> Items {
        Items { reader: self.reader, ticket: self.ticket }
    }

    /// As `here`, of one that is under way among others.
    pub(crate) fn here_among(&self, function: &'static Function) -> Here {
        let here = self.here(function);
        self.running.go_aside();
        here
    }

    /// Makes the task known to this process.
    pub(crate) fn here(&self, function: &'static Function) -> Here {
        let call = Call::elsewhere(function);
        let pool = Pool::from_words(&self.about.place);
        let place = pool.map_or(Place::ROOT, Place::of_pool);
        let origin = Origin { family: FamilyId::NONE, place };
        let (cell, promise) = Ref::<()>::birth(origin, call, 0);
        let any = cell.into_any();
        let About { name, attempt, cpus, time_limit, .. } = self.about;
        if let Some(name) = name {
            let _ = any.extra().name.set(name.as_str().into());
        }
        let cpus = Millis::from_f64(*cpus).unwrap_or_default();
        let limit = time_limit.and_then(TimeLimit::from_now);
        let task = Task { attempt: *attempt, limit, ..Task::new(promise.task(), call, cpus, 0) };
        self.running.is(self.ticket, any.clone(), self.about);
        Here { promise, task }
    }
}

/// Tells of a call's end, from the thread that saw it.
pub(crate) enum Replier {
    /// The driver, whose worker this is.
    ToDriver { connection: &'static Connection, ticket: Ticket },
    /// The host, where this is a program on a cluster.
    ToHost(Report),
}

impl Replier {
    /// `pack` packs what came of it.
    pub(crate) fn end(self, pack: impl FnOnce(&mut Body) -> Ended) {
        match self {
            Self::ToDriver { connection, ticket } => {
                let mut lease = connection.borrow_writer();
                let ended = pack(&mut lease.body);
                connection.done(ticket, ended, lease);
                connection.running().end_among(ticket);
            }
            Self::ToHost(report) => report.end_beside(pack),
        }
    }
}

impl Here {
    /// The task is done; `crashed`: it was a call of an actor, and panicked.
    pub(crate) fn end(self, crashed: bool) -> frame::Ended {
        let looked = self.promise.has_looked();
        self.promise.complete(Ok(()));
        frame::Ended { looked, crashed }
    }
}

/// The task that the worker runs, for those who ask it to stop.
#[derive(Default)]
pub(crate) struct Running(Mutex<Now>);

/// What a stream knows of its reader, once it has sent an item.
enum More {
    Awaited(Option<Waker>),
    /// Another item is wanted, or not.
    Said(bool),
}

#[derive(Default)]
struct Now {
    ticket: Ticket,
    task: Option<AnyRef>,
    /// Those that are under way beside it.
    others: HashMap<Ticket, AnyRef>,
    /// Those of them that are streams and have sent an item, until another is wanted.
    streams: HashMap<Ticket, More>,
    cpu: Option<usize>,
    /// If it is a call of an actor, how often that was made anew.
    restarts: Option<u32>,
    /// The tickets that were asked to stop before they began, which they do in order.
    cancelled: BTreeSet<Ticket>,
    /// What is done when none is under way beside others.
    after: Option<Box<dyn FnOnce() + Send>>,
}

impl Running {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::cluster) fn begin(&self, ticket: Ticket) {
        self.now().ticket = ticket;
    }

    fn is(&self, ticket: Ticket, task: AnyRef, about: &About) {
        let mut now = self.now();
        (now.cpu, now.restarts) = (about.worker, about.restarts);
        let stop = now.cancelled.contains(&ticket).then(|| task.clone());
        now.cancelled.retain(|other| *other > ticket);
        now.task = Some(task);
        drop(now);
        if let Some(task) = stop {
            cancelling::cancel(&task, false);
        }
    }

    /// The task goes on beside those that come.
    fn go_aside(&self) {
        let mut now = self.now();
        if let Some(task) = now.task.take() {
            let ticket = now.ticket;
            now.others.insert(ticket, task);
        }
    }

    pub(in crate::cluster) fn end_among(&self, ticket: Ticket) {
        let mut now = self.now();
        let ended = (now.others.remove(&ticket), now.streams.remove(&ticket));
        let after = if now.others.is_empty() { now.after.take() } else { None };
        drop(now);
        drop(ended);
        if let Some(after) = after {
            after();
        }
    }

    /// Does this when none is under way beside others, whose ends are told before.
    pub(in crate::cluster) fn after_all(&self, after: impl FnOnce() + Send + 'static) {
        let mut now = self.now();
        if !now.others.is_empty() {
            now.after = Some(Box::new(after));
            return;
        }
        drop(now);
        after();
    }

    /// The stream is about to send an item, and waits then.
    pub(in crate::cluster) fn awaits_more(&self, ticket: Ticket) {
        let before = self.now().streams.insert(ticket, More::Awaited(None));
        drop(before);
    }

    /// Whether another item of it is wanted, or no more are; if that is not known yet, `waker` is told.
    fn poll_more(&self, ticket: Ticket, waker: &Waker) -> Poll<bool> {
        let mut now = self.now();
        let before = match now.streams.get_mut(&ticket) {
            Some(More::Said(wanted)) => return Poll::Ready(*wanted),
            Some(More::Awaited(before)) => before.replace(waker.clone()),
            None => return Poll::Ready(false),
        };
        drop(now);
        drop(before);
        Poll::Pending
    }

    /// The reader of a stream has said whether it wants another item. It may have ended.
    pub(in crate::cluster) fn more(&self, ticket: Ticket, wanted: bool) {
        let mut now = self.now();
        let Some(more) = now.streams.get_mut(&ticket) else { return };
        let before = std::mem::replace(more, More::Said(wanted));
        drop(now);
        if let More::Awaited(Some(waker)) = before {
            waker.wake();
        }
    }

    pub(in crate::cluster) fn end(&self) {
        let task = self.now().task.take();
        drop(task);
    }

    /// Asks the task of that ticket to stop.
    pub(in crate::cluster) fn cancel(&self, ticket: Ticket) {
        let mut now = self.now();
        let running = if now.ticket == ticket { now.task.clone() } else { None };
        let task = running.or_else(|| now.others.get(&ticket).cloned());
        if task.is_none() && ticket >= now.ticket {
            now.cancelled.insert(ticket);
        }
        drop(now);
        if let Some(task) = task {
            cancelling::cancel(&task, false);
        }
    }

    /// Whether this is the task that runs.
    pub(in crate::cluster) fn is_it(&self, task: &AnyRef) -> bool {
        self.now().task.as_ref().is_some_and(|now| now.address() == task.address())
    }

    /// Whether this is the task of that ticket, which is under way beside others.
    pub(in crate::cluster) fn is_among(&self, ticket: Ticket, task: &AnyRef) -> bool {
        let now = self.now();
        now.others.get(&ticket).is_some_and(|other| other.address() == task.address())
    }

    pub(in crate::cluster) fn cpu(&self) -> Option<usize> {
        self.now().cpu
    }

    pub(in crate::cluster) fn restarts(&self) -> Option<u32> {
        self.now().restarts
    }
}

/// Encodes what a task returned.
pub(crate) fn encode<T>(
    body: &mut Body,
    value: &T,
    encode: fn(&T, &mut dyn std::io::Write) -> Result<Vec<Held>>,
) -> Result<(crate::cluster::frame::Part, Vec<Held>)> {
    let mut held = Vec::new();
    let part = body.part(|sink| {
        held = encode(value, sink)?;
        Ok(())
    })?;
    Ok((part, held))
}
