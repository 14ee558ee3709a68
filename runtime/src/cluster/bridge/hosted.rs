//! This program on a node of a cluster: a child of the Python that runs there as a task, in worker mode.
//!
//! One thread reads what the host says: calls, what calls have asked for, who is to stop, and the end of the host,
//! by which this process ends at once. The first thread runs the calls, one after the other; those of an actor that may
//! be under way side by side it only begins: they go on on an arbiter if they wait, and if they compute, each on a thread
//! of its own.
//!
//! Calls of an actor that run one after the other are sent ahead. None begins before the answer to the one before it is on
//! its way for sure; so if this process dies, the first that was not answered may have begun, and no other has. After a crash of the
//! actor the others are told not to have begun, and once it has ended itself, or where they were asked to stop before,
//! to be cancelled.

use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender as Queue, channel};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use serde_bytes::ByteBuf;
use uuid::Uuid;

use crate::cluster::argument::unfit;
use crate::cluster::bridge::actor::Answered;
use crate::cluster::bridge::blocks::Blocks;
use crate::cluster::bridge::client::{Client, Inside, Unread};
use crate::cluster::bridge::failure::{self, Through};
use crate::cluster::bridge::kept::Kept;
use crate::cluster::bridge::link::{self, Sender};
use crate::cluster::bridge::message::{self, Incoming, Run};
use crate::cluster::bridge::parcel::Parcel;
use crate::cluster::bridge::views::Views;
use crate::cluster::coder;
use crate::cluster::frame::{self, Body, Bytes, Outcome};
use crate::cluster::processes::spawn::HostEnds;
use crate::cluster::turn::Ticket;
use crate::cluster::worker::task::{Ended, Reader, Replier, Running, Start};
use crate::cluster::worker::{self, state};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Failed, Result};
use crate::local::cell::AnyRef;
use crate::local::{current, default};
use crate::wire::{self, Held};

mod unpacked;

use self::unpacked::{Unpacked, unpack};

/// This process, once it serves a host.
static HOSTED: OnceLock<Hosted> = OnceLock::new();

/// What the reading thread and the one that runs calls share.
struct Hosted {
    client: &'static Client,
    sender: Sender,
    running: Running,
    now: Mutex<Now>,
    /// Told when the stream that is produced here may go on, or is to end.
    room: Condvar,
    /// The actor that lives here ends itself: the next answer tells so.
    exits: AtomicBool,
    /// An answer has told so.
    exited: AtomicBool,
}

#[derive(Default)]
struct Now {
    /// The call that runs, and its ticket.
    call: Option<(Uuid, Ticket)>,
    /// The id of its result, as its caller knows it.
    known_as: Uuid,
    /// Calls of an actor that are under way side by side.
    beside: HashMap<Uuid, Beside>,
    last_ticket: Ticket,
    /// If the call that runs gives a stream: whether another item is wanted, or none any more.
    wants_item: bool,
    stops: bool,
    /// Calls that have come and not begun, each with whether it was asked to stop, and then whether with its children.
    queued: HashMap<Uuid, Option<bool>>,
}

/// A call that is under way beside others.
#[derive(Clone, Copy)]
struct Beside {
    ticket: Ticket,
    known_as: Uuid,
    /// If it computes, a number that no other has meanwhile.
    cpu: Option<usize>,
}

impl Now {
    /// The call that this thread was about to run goes on beside others.
    fn go_aside(&mut self, id: Uuid, ticket: Ticket, computes: bool) {
        self.call = None;
        let is_free = |cpu: &usize| !self.beside.values().any(|call| call.cpu == Some(*cpu));
        let cpu = computes.then(|| (0..).find(is_free)).flatten();
        self.beside.insert(id, Beside { ticket, known_as: self.known_as, cpu });
    }
}

impl Hosted {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a call to stop, and maybe what it has submitted. One that has ended is left alone.
    fn cancel(&self, id: &Uuid, children: bool) {
        // The host of a task hears no answers but those of the calls that it runs, in their order.
        if self.running.restarts().is_some() && self.take_back(id) {
            return;
        }
        let mut now = self.now();
        if let Some(stops) = now.queued.get_mut(id) {
            *stops = (*stops).max(Some(children));
        } else if let Some((_, ticket)) = now.call.filter(|(running, _)| running == id) {
            // Under the lock, so that no other call has begun whose children would be hit.
            if children {
                self.cancel_children();
            }
            now.stops = true;
            drop(now);
            self.running.cancel(ticket);
            self.room.notify_all();
        } else if let Some(Beside { ticket, .. }) = now.beside.get(id).copied() {
            // What those call is nobody's children.
            drop(now);
            self.running.cancel(ticket);
        }
    }
}

impl Hosted {
    /// Cancels what the call that runs has submitted. What those have that are under way side by side is nobody's.
    fn cancel_children(&self) {
        if !worker::lets_calls_go_aside() {
            self.client.cancel_children();
        }
    }

    /// The call beside others that is this task.
    fn call_beside(&self, task: &AnyRef) -> Option<Beside> {
        let now = self.now();
        let is_it = |call: &&Beside| self.running.is_among(call.ticket, task);
        now.beside.values().find(is_it).copied()
    }

    /// Whether the actor that lives here has ended itself, or is about to.
    fn has_exited(&self) -> bool {
        self.exits.load(Ordering::Relaxed) || self.exited.load(Ordering::Relaxed)
    }

    /// Lets a call of the actor not begin, and tells so at once: the one that runs may wait for what comes of it. False: it
    /// has begun.
    fn take_back(&self, id: &Uuid) -> bool {
        if self.now().queued.remove(id).is_none() {
            return false;
        }
        let (how, outcome) = (frame::Ended::default(), Err(Failed::from(&cancelled_before())));
        match self.answer(&Answered { how, exits: false, outcome }) {
            Ok(answer) => {
                let (nothing, none): ([message::Id; 0], [(message::Id, u32); 0]) = ([], []);
                self.sender.send_with(6, &("done", message::id(*id), 0, nothing, none), answer);
            }
            Err(error) => eprintln!("mobula: a call was not answered: {error}"),
        }
        true
    }

    /// What comes of a call of the actor, packed.
    fn answer(&self, answered: &Answered) -> Result<Parcel> {
        let mut answer = self.sender.parcel();
        wire::encode_to(answered, &mut answer)?;
        Ok(answer)
    }

    /// The stream of that id, which is produced here, may go on.
    fn wants_item(&self, id: &Uuid) {
        let mut now = self.now();
        if now.call.is_some_and(|(running, _)| running == *id) {
            now.wants_item = true;
            drop(now);
            self.room.notify_all();
        } else if let Some(Beside { ticket, .. }) = now.beside.get(id).copied() {
            drop(now);
            self.running.more(ticket, true);
        }
    }

    /// Sends an item of the stream that is produced here.
    fn send_item(&self, outcome: Outcome, held: Vec<Held>, body: Body) -> Result<()> {
        let mut now = self.now();
        now.wants_item = false;
        let (id, _) = now.call.ok_or_else(|| unfit("an item of no stream"))?;
        drop(now);
        self.send_item_of(id, outcome, held, body)
    }

    /// The same of one that is produced beside other calls.
    fn send_item_among(
        &self,
        ticket: Ticket,
        outcome: Outcome,
        held: Vec<Held>,
        body: Body,
    ) -> Result<()> {
        let now = self.now();
        let call = now.beside.iter().find(|(_, of)| of.ticket == ticket).map(|(id, _)| *id);
        drop(now);
        let id = call.ok_or_else(|| unfit("an item of no stream"))?;
        self.send_item_of(id, outcome, held, body)
    }

    fn send_item_of(&self, id: Uuid, outcome: Outcome, held: Vec<Held>, body: Body) -> Result<()> {
        let (status, payload) = match outcome.map(|part| body.into_parcel(part)) {
            Ok(value) => (0, value),
            Err(failed) => (1, Parcel::from(failure::encode(&failed, None)?)),
        };
        let mut held = held;
        let inside = self.client.export_held(&mut held)?;
        self.sender.send_with(5, &("item", message::id(id), status, &inside.ids), payload);
        Ok(())
    }
}

/// Sends an item of the stream that this process produces, and waits. False: no more are wanted.
pub(in crate::cluster) fn send_item(outcome: Outcome, held: Vec<Held>, body: Body) -> bool {
    let Some(hosted) = HOSTED.get() else { return false };
    if let Err(error) = hosted.send_item(outcome, held, body) {
        let failed = Err(Failed::from(&error));
        if hosted.send_item(failed, Vec::new(), Body::new(None)).is_err() {
            return false;
        }
    }
    let now = hosted.now();
    let waits = |now: &mut Now| !now.wants_item && !now.stops;
    let now = hosted.room.wait_while(now, waits).unwrap_or_else(PoisonError::into_inner);
    !now.stops
}

/// The same of one that is produced beside other calls, which does not wait here. None: there is nobody to send it to.
pub(in crate::cluster) fn send_item_among(
    ticket: Ticket,
    outcome: Outcome,
    held: Vec<Held>,
    body: Body,
) -> Option<&'static Running> {
    let hosted = HOSTED.get()?;
    hosted.running.awaits_more(ticket);
    if let Err(error) = hosted.send_item_among(ticket, outcome, held, body) {
        let failed = Err(Failed::from(&error));
        hosted.send_item_among(ticket, failed, Vec::new(), Body::new(None)).ok()?;
    }
    Some(&hosted.running)
}

/// What a value is packed into that goes to the host.
pub(in crate::cluster) fn body() -> Body {
    HOSTED.get().map_or(Body::new(None), |hosted| Body::of_parcel(hosted.sender.parcel()))
}

/// The id of the result of the call that runs here as `task`.
pub(super) fn task_id(task: &AnyRef) -> Option<Uuid> {
    let hosted = HOSTED.get()?;
    if hosted.running.is_it(task) {
        let now = hosted.now();
        return now.call.map(|_| now.known_as);
    }
    hosted.call_beside(task).map(|call| call.known_as)
}

/// The number of the CPU that the call on this thread computes on.
pub(super) fn cpu() -> Option<usize> {
    let hosted = HOSTED.get()?;
    // SAFETY: this thread runs the task.
    let task = current::task().map(|task| unsafe { task.running.to_ref() });
    match task.and_then(|task| hosted.call_beside(&task)) {
        Some(call) => call.cpu,
        None => Some(0),
    }
}

/// Who calls, where that is a task or a call of an actor: an id of its own.
pub(super) fn caller() -> Uuid {
    /// What no task does.
    static OTHERS: LazyLock<Uuid> = LazyLock::new(Uuid::new_v4);
    // SAFETY: this thread runs the task.
    current::task().map_or(*OTHERS, |task| coder::id_of(&unsafe { task.running.to_ref() }))
}

/// If what runs here is a call of an actor, how often that was made anew.
pub(super) fn restarts() -> Option<u32> {
    HOSTED.get()?.running.restarts()
}

/// The actor that lives here is to end. False: there is none.
pub(super) fn exit_actor() -> bool {
    let hosted = HOSTED.get().filter(|hosted| hosted.running.restarts().is_some());
    if let Some(hosted) = hosted {
        hosted.exits.store(true, Ordering::Relaxed);
    }
    hosted.is_some()
}

/// Serves the host at the other ends, and never returns.
pub(in crate::cluster) fn serve(ends: HostEnds) -> ! {
    if let Err(error) = serve_until_the_end(ends) {
        eprintln!("mobula: this worker ended: {error}");
    }
    worker::end()
}

fn serve_until_the_end(ends: HostEnds) -> Result<()> {
    let HostEnds { channel: stream, blocks } = ends;
    worker::memory::keep();
    let failed = |error: std::io::Error| message::garbled(error);
    let (views, blocks) = match blocks {
        Some((come, go)) => {
            let views = Views::new(&come).map_err(failed)?;
            (Some(views), Some(Blocks::new(go).map_err(failed)?))
        }
        None => (None, None),
    };
    // The host's engine, and what it asks for, do not matter here: the pool of this process runs nothing.
    let settings = Config::new().num_cpus(1).resolve(|name| std::env::var(name).ok())?;
    let engine = settings.engine.name();
    std::mem::forget(default::start(settings)?);
    let client: &'static Client = Box::leak(Box::new(Client::hosted(engine)));
    let sender = Sender::start(stream.try_clone().map_err(failed)?, blocks).map_err(failed)?;
    client.begin(engine, sender.clone());
    super::set_client(client);
    let hosted = HOSTED.get_or_init(|| Hosted {
        client,
        sender: sender.clone(),
        running: Running::default(),
        now: Mutex::default(),
        room: Condvar::new(),
        exits: AtomicBool::new(false),
        exited: AtomicBool::new(false),
    });
    let (queue, calls) = channel();
    let hear = move || {
        if let Err(error) = hear(link::Reader::new(stream, views), hosted, &queue) {
            eprintln!("mobula: this worker ended: {error}");
        }
        worker::end()
    };
    std::thread::Builder::new().name("mobula-hosted".to_owned()).spawn(hear).map_err(failed)?;
    worker::granted::begin();
    sender.send(&("ready",));
    run_all(hosted, &sender, &calls)
}

/// Hears the host until it is gone.
fn hear(
    mut reader: link::Reader<UnixStream>,
    hosted: &'static Hosted,
    calls: &Queue<(Run, Unread)>,
) -> Result<()> {
    while let Some(message) = reader.next()? {
        match message {
            Incoming::Run(run) => {
                let unread = hosted.client.deliver(run.carries.clone());
                hosted.now().queued.insert(run.id, None);
                // Only the end of the process ends the thread that takes them.
                let _ = calls.send((run, unread));
            }
            Incoming::Done(news) => hosted.client.told(news),
            Incoming::Fetched(news) => hosted.client.told(vec![news]),
            Incoming::Cancel(id, children) => hosted.cancel(&id, children),
            Incoming::TakeBack(id) => {
                hosted.take_back(&id);
            }
            Incoming::More(id) => hosted.wants_item(&id),
            Incoming::Item(stream, news) => hosted.client.item_came(stream, news),
            Incoming::Started { .. }
            | Incoming::Refused { .. }
            | Incoming::Lost(..)
            | Incoming::Back(..)
            | Incoming::Upcall(..) => {
                return Err(message::garbled("it came at the wrong time"));
            }
        }
    }
    Ok(())
}

fn run_all(
    hosted: &'static Hosted,
    sender: &Sender,
    calls: &Receiver<(Run, Unread)>,
) -> Result<()> {
    let mut kept = Kept::default();
    let mut gone = None;
    while let Ok((run, unread)) = calls.recv() {
        let (id, sender) = (run.id, sender.clone());
        let Some((ticket, stops)) = begin(hosted, id) else { continue };
        let report = Report { hosted, sender, id, ticket, unread, call: None, of_actor: false };
        match unpack(run, &kept) {
            Ok(unpacked) if unpacked.is_in_turn() => {
                run_in_turn(report, unpacked, &mut kept, stops, &mut gone)?;
            }
            Ok(unpacked) if unpacked.is_call_of_actor() && (stops || hosted.has_exited()) => {
                report.of_an_actor_that_has_ended()?;
            }
            Ok(unpacked) => run_one(report, unpacked, &mut kept).map(drop)?,
            Err(error) => {
                let outcome = Err(Failed::from(&error));
                let how = frame::Ended::default();
                let sender = report.sender.clone();
                report
                    .end(Ended { outcome, held: Vec::new(), how, retry: false }, Body::new(None))?;
                sender.settle();
            }
        }
    }
    Ok(())
}

/// Lets a call begin, and tells whether it was asked to stop. None: it was taken back.
fn begin(hosted: &Hosted, id: Uuid) -> Option<(Ticket, bool)> {
    let (ticket, stops) = {
        let mut now = hosted.now();
        let stops = now.queued.remove(&id)?;
        now.stops = stops.is_some();
        now.last_ticket += 1;
        hosted.running.begin(now.last_ticket);
        (now.call, now.known_as) = (Some((id, now.last_ticket)), id);
        (now.last_ticket, stops)
    };
    if let Some(children) = stops {
        if children {
            hosted.cancel_children();
        }
        hosted.running.cancel(ticket);
    }
    Some((ticket, stops.is_some()))
}

/// Why a call does not begin that was asked to stop.
fn cancelled_before() -> Error {
    Error::new(ErrorKind::Cancelled, "it was cancelled before it ran")
}

/// How an actor that computes has gone.
enum Gone {
    Crashed,
    Exited,
}

/// Runs a call of an actor that computes, if that is there.
fn run_in_turn(
    mut report: Report,
    unpacked: Unpacked,
    kept: &mut Kept,
    stops: bool,
    gone: &mut Option<Gone>,
) -> Result<()> {
    report.of_actor = true;
    match gone {
        Some(Gone::Crashed) => {
            report.not_begun("the actor has crashed before");
            return Ok(());
        }
        Some(Gone::Exited) => return report.of_an_actor_that_has_ended(),
        None => {}
    }
    let (hosted, sender) = (report.hosted, report.sender.clone());
    if stops {
        report.cancelled()?;
        sender.settle();
        return Ok(());
    }
    let crashed = run_one(report, unpacked, kept)?;
    sender.settle();
    if crashed {
        *gone = Some(Gone::Crashed);
    } else if hosted.exited.load(Ordering::Relaxed) {
        *gone = Some(Gone::Exited);
    }
    Ok(())
}

/// Runs one call, or begins it. True: it has crashed the actor whose call it was.
fn run_one(mut report: Report, unpacked: Unpacked, kept: &mut Kept) -> Result<bool> {
    let Unpacked { call, registered, arguments, inline, objects, borrowed, about, of_actor } =
        unpacked;
    let hosted = report.hosted;
    report.call = Some(call);
    report.of_actor = of_actor.is_some();
    if let Some(id) = of_actor {
        hosted.now().known_as = id;
    }
    let Some(registered) = registered else {
        worker::end_state(move || report.end_actor());
        return Ok(false);
    };
    let start = Start {
        about: &about,
        bytes: Bytes { body: inline.bytes(), shared: None },
        objects: &objects,
        running: &hosted.running,
        ticket: report.ticket,
        reader: Reader::Host,
    };
    let computes = registered.beside.filter(|_| state::is_beside());
    if let Some(begin) = registered.later.or(computes).filter(|_| report.of_actor) {
        let begin = begin(start, arguments);
        hosted.now().go_aside(report.id, report.ticket, computes.is_some());
        // What it calls nobody cancels with it.
        hosted.client.end_call();
        let run = move || begin(Replier::ToHost(report));
        if computes.is_none() {
            worker::arbiter().run(run);
        } else {
            worker::granted::lend();
            let cpus = about.cpus;
            default::current().spawn_blocking(move || worker::granted::beside(cpus, run));
        }
        return Ok(false);
    }
    let mut out = report.body();
    let ended =
        worker::granted::in_turn(about.cpus, || (registered.run)(start, arguments, &mut out));
    for (id, bytes) in borrowed {
        if let Some(object) = objects.get(&id) {
            kept.keep(id, object, bytes);
        }
    }
    // They may have handles inside.
    drop(objects);
    let crashed = ended.how.crashed;
    report.end(ended, out).map(|()| crashed)
}

/// What is to be told of a call.
pub(crate) struct Report {
    hosted: &'static Hosted,
    sender: Sender,
    id: Uuid,
    ticket: Ticket,
    /// What is inside of its arguments.
    unread: Unread,
    /// As its failure is to show it.
    call: Option<Through>,
    of_actor: bool,
}

impl Report {
    /// What its result is packed into. That of an actor's call is a part of what is told.
    fn body(&self) -> Body {
        if self.of_actor { Body::new(None) } else { body() }
    }

    /// The call has ended on this thread, the first.
    fn end(self, ended: Ended, out: Body) -> Result<()> {
        self.leave();
        self.tell(ended, out)
    }

    /// The call was not begun, for the actor is gone.
    fn not_begun(self, why: &str) {
        self.leave();
        let (nothing, none): ([message::Id; 0], [(message::Id, u32); 0]) = ([], []);
        let status = message::LOST;
        self.sender.send(&("done", message::id(self.id), status, nothing, none, (false, why)));
    }

    /// The call was asked to stop before it began.
    fn cancelled(self) -> Result<()> {
        let (outcome, how) = (Err(Failed::from(&cancelled_before())), frame::Ended::default());
        self.end(Ended { outcome, held: Vec::new(), how, retry: false }, Body::new(None))
    }

    /// The same of an actor's call, which tells again if the actor has ended itself: answers may come in another order
    /// than they went.
    fn of_an_actor_that_has_ended(mut self) -> Result<()> {
        self.of_actor = true;
        if self.hosted.has_exited() {
            self.hosted.exits.store(true, Ordering::Relaxed);
        }
        self.cancelled()
    }

    /// The call is not that of this thread any more.
    fn leave(&self) {
        self.hosted.running.end();
        self.hosted.now().call = None;
        self.hosted.client.end_call();
    }

    /// The call has ended that went on beside others. `pack` packs what came of it.
    pub(in crate::cluster) fn end_beside(self, pack: impl FnOnce(&mut Body) -> Ended) {
        let mut out = Body::new(None);
        let ended = pack(&mut out);
        self.hosted.running.end_among(self.ticket);
        self.hosted.now().beside.remove(&self.id);
        if let Err(error) = self.tell(ended, out) {
            eprintln!("mobula: this worker ended: {error}");
            worker::end()
        }
    }

    /// The actor's state is gone.
    fn end_actor(self) {
        let mut out = Body::new(None);
        let part = out.part(|_| Ok(())).map_err(|error| Failed::from(&error));
        let how = frame::Ended::default();
        let ended = Ended { outcome: part, held: Vec::new(), how, retry: false };
        let _ = self.end(ended, out);
    }

    fn tell(self, ended: Ended, out: Body) -> Result<()> {
        let Ended { mut outcome, mut held, how, retry } = ended;
        let inside = self.hosted.client.export_held(&mut held).unwrap_or_else(|error| {
            // Whoever gets the value could not look into it.
            outcome = Err(Failed::from(&error));
            held.clear();
            Inside::default()
        });
        let (status, payload) = match outcome.map(|part| out.into_parcel(part)) {
            value if self.of_actor => {
                let exits = self.hosted.exits.swap(false, Ordering::Relaxed);
                self.hosted.exited.fetch_or(exits, Ordering::Relaxed);
                let outcome = value.map(|value| ByteBuf::from(value.into_own()));
                (0, self.hosted.answer(&Answered { how, exits, outcome })?)
            }
            Ok(value) => (0, value),
            Err(failed) => {
                let encoded = failure::encode(&failed, self.call.clone())?;
                (if retry { 5 } else { 1 }, Parcel::from(encoded))
            }
        };
        // What it printed without ending the line.
        let _ = std::io::stdout().flush();
        let Self { hosted, sender, id, unread, of_actor, .. } = self;
        let is_empty = held.is_empty() && unread.ids().is_empty();
        let mut keeps = Some((held, unread));
        let freed = if of_actor || is_empty {
            Vec::new()
        } else {
            // The host of a task hears nothing more until the next.
            hosted.client.given_back(|| drop(keeps.take()))
        };
        sender.send_with(6, &("done", message::id(id), status, &inside.ids, freed), payload);
        Ok(())
    }
}
