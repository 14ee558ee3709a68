//! This program on a node of a cluster: a child of the Python that runs there as a task, in worker mode.
//!
//! One thread reads what the host says: calls, what calls have asked for, who is to stop, and the end of the host,
//! by which this process ends at once. The first thread runs the calls, one after the other.

use std::collections::HashMap;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender as Queue, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use uuid::Uuid;

use crate::cluster::argument::{Argument, unfit};
use crate::cluster::bridge::client::{CallHead, Client};
use crate::cluster::bridge::kept::Kept;
use crate::cluster::bridge::link::{Reader, Sender};
use crate::cluster::bridge::message::{self, Incoming, Run};
use crate::cluster::frame::{self, About, Body, Bytes, Part};
use crate::cluster::registry::{self, Registered};
use crate::cluster::turn::Ticket;
use crate::cluster::worker::task::{Ended, Running, Start};
use crate::cluster::worker::{self, Object, Objects};
use crate::config::Config;
use crate::error::{Failed, Result};
use crate::local::cell::AnyRef;
use crate::local::default;
use crate::wire;

/// The engines by the names that the host gives.
static HOSTED: OnceLock<Hosted> = OnceLock::new();

/// What the reading thread and the one that runs calls share.
struct Hosted {
    client: &'static Client,
    running: Running,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    /// The call that runs, and its ticket.
    call: Option<(Uuid, Ticket)>,
    last_ticket: Ticket,
    /// Calls that have come and not begun, each with whether it was asked to stop.
    queued: HashMap<Uuid, bool>,
}

impl Hosted {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a call to stop, and what it has submitted. One that has ended is left alone.
    fn cancel(&self, id: &Uuid) {
        let mut now = self.now();
        if let Some(stops) = now.queued.get_mut(id) {
            *stops = true;
        } else if let Some((_, ticket)) = now.call.filter(|(running, _)| running == id) {
            // Under the lock, so that no other call has begun whose children would be hit.
            self.client.cancel_children();
            drop(now);
            self.running.cancel(ticket);
        }
    }
}

/// The id of the result of the call that runs here as `task`.
pub(super) fn task_id(task: &AnyRef) -> Option<Uuid> {
    let hosted = HOSTED.get()?;
    if !hosted.running.is_it(task) {
        return None;
    }
    hosted.now().call.map(|(id, _)| id)
}

/// Serves the host at the other end of this descriptor, and never returns.
pub(in crate::cluster) fn serve(channel: OwnedFd) -> ! {
    if let Err(error) = serve_until_the_end(UnixStream::from(channel)) {
        eprintln!("mobula: this worker ended: {error}");
    }
    worker::end()
}

fn serve_until_the_end(stream: UnixStream) -> Result<()> {
    let failed = |error: std::io::Error| message::garbled(error);
    // The host's engine, and what it asks for, do not matter here: the pool of this process runs nothing.
    let settings = Config::new().num_cpus(1).resolve(|name| std::env::var(name).ok())?;
    let engine = settings.engine.name();
    std::mem::forget(default::start(settings)?);
    let client: &'static Client = Box::leak(Box::new(Client::hosted(engine)));
    let sender = Sender::start(stream.try_clone().map_err(failed)?).map_err(failed)?;
    client.begin(engine, sender.clone());
    super::set_client(client);
    let hosted = HOSTED.get_or_init(|| Hosted {
        client,
        running: Running::default(),
        now: Mutex::default(),
    });
    let (queue, calls) = channel();
    let hear = move || {
        if let Err(error) = hear(stream, hosted, &queue) {
            eprintln!("mobula: this worker ended: {error}");
        }
        worker::end()
    };
    std::thread::Builder::new().name("mobula-hosted".to_owned()).spawn(hear).map_err(failed)?;
    sender.send(&("ready",));
    run_all(hosted, &sender, &calls)
}

/// Hears the host until it is gone.
fn hear(stream: UnixStream, hosted: &'static Hosted, calls: &Queue<Run>) -> Result<()> {
    let mut reader = Reader::new(stream);
    while let Some(message) = reader.next()? {
        match message {
            Incoming::Run(run) => {
                hosted.client.deliver(&run.carries);
                hosted.now().queued.insert(run.id, false);
                // Only the end of the process ends the thread that takes them.
                let _ = calls.send(run);
            }
            Incoming::Done(news) => hosted.client.told(news),
            Incoming::Fetched(news) => hosted.client.told(vec![news]),
            Incoming::Cancel(id) => hosted.cancel(&id),
            Incoming::Started { .. } | Incoming::Refused { .. } => {
                return Err(message::garbled("it came at the wrong time"));
            }
        }
    }
    Ok(())
}

fn run_all(hosted: &Hosted, sender: &Sender, calls: &Receiver<Run>) -> Result<()> {
    let mut kept = Kept::default();
    while let Ok(run) = calls.recv() {
        let (id, carries) = (run.id, run.carries.clone());
        let (status, payload, held) = match run_one(hosted, run, &mut kept) {
            Ok((payload, held)) => (0, payload, held),
            Err(failure) => {
                let status = if failure.retry { 5 } else { 1 };
                (status, wire::encode(&failure.failed)?.bytes, Vec::new())
            }
        };
        // What it printed without ending the line.
        let _ = std::io::stdout().flush();
        hosted.client.export_held(&held)?;
        let inside: Vec<_> = held.iter().map(|held| message::id(held.id)).collect();
        sender.send_with(5, &("done", message::id(id), status, inside), payload);
        drop(held);
        hosted.client.drop_undecoded(&carries);
    }
    Ok(())
}

type Returned = (Vec<u8>, Vec<wire::Held>);

/// How a call failed.
struct Failure {
    failed: Failed,
    /// The function's own rule says that another try may help.
    retry: bool,
}

/// Runs one call.
fn run_one(
    hosted: &Hosted,
    run: Run,
    kept: &mut Kept,
) -> std::result::Result<Returned, Box<Failure>> {
    let (ticket, stops) = {
        let mut now = hosted.now();
        now.last_ticket += 1;
        hosted.running.begin(now.last_ticket);
        now.call = Some((run.id, now.last_ticket));
        (now.last_ticket, now.queued.remove(&run.id) == Some(true))
    };
    if stops {
        hosted.client.cancel_children();
        hosted.running.cancel(ticket);
    }
    let ended = unpack(run, kept)
        .map_err(|error| Box::new(Failure { failed: Failed::from(&error), retry: false }))
        .and_then(|unpacked| {
            let Unpacked { registered, arguments, body, objects, borrowed, about } = unpacked;
            let bytes = Bytes { body: &body, shared: None };
            let running = &hosted.running;
            let start = Start {
                about: &about,
                bytes,
                objects: &objects,
                running,
                ticket,
                connection: None,
            };
            let mut out = Body::new(None);
            let Ended { outcome, held, retry, .. } = (registered.run)(start, arguments, &mut out);
            for (id, bytes) in borrowed {
                if let Some(object) = objects.get(&id) {
                    kept.keep(id, object, bytes);
                }
            }
            let part = outcome.map_err(|failed| Box::new(Failure { failed, retry }))?;
            let mut bytes = out.take();
            let Part::Inline { start, end } = part else {
                unreachable!("there is no shared memory")
            };
            bytes.truncate(end as usize);
            bytes.drain(..start as usize);
            Ok((bytes, held))
        });
    hosted.running.end();
    hosted.now().call = None;
    hosted.client.end_call();
    ended
}

/// A call, ready to be run.
struct Unpacked {
    registered: &'static Registered,
    arguments: Vec<Argument>,
    body: Vec<u8>,
    objects: Objects,
    /// What may be kept of them, and how many bytes each takes.
    borrowed: Vec<(Uuid, usize)>,
    about: About,
}

/// Puts the values that came with the call where its arguments are looked for.
fn unpack(run: Run, kept: &Kept) -> Result<Unpacked> {
    let Run { attempt, call, values, carries, .. } = run;
    let lengths =
        frame::lengths(&call)?.ok_or_else(|| message::garbled("a call without a head"))?;
    let (whole, head_bytes) = lengths;
    let rest = call.get(frame::PREFIX_BYTES..).filter(|rest| rest.len() == whole);
    let rest = rest.ok_or_else(|| message::garbled("a call that is cut"))?;
    let head: CallHead = frame::head(&rest[..head_bytes])?;
    let mut body = rest[head_bytes..].to_vec();
    let registered = registry::find(&head.function)?;
    let value_of = |id: &Uuid| {
        let place = head.needs.iter().position(|need| need == id);
        place
            .and_then(|place| values.get(place))
            .ok_or_else(|| unfit("an object that did not come"))
    };
    let objects = Objects::default();
    let mut borrowed = Vec::new();
    let mut shares = (registered.nature)().shares.into_iter();
    let mut arguments = Vec::with_capacity(head.arguments.len());
    for argument in head.arguments {
        let borrows = shares.next().unwrap_or(false);
        arguments.push(match argument {
            Argument::Value(part) => Argument::Value(part),
            Argument::Object(id) if borrows => {
                let bytes = value_of(&id)?;
                let object = kept.get(&id);
                objects.set(id, object.unwrap_or_else(|| Object::Bytes(Arc::new(bytes.clone()))));
                // Where refs came along, they may be inside of it.
                if carries.is_empty() {
                    borrowed.push((id, bytes.len()));
                }
                Argument::Object(id)
            }
            Argument::Object(id) => Argument::Value(append(&mut body, value_of(&id)?)?),
            Argument::List(ids) => {
                let values =
                    ids.iter().map(|id| value_of(id).cloned()).collect::<Result<Vec<_>>>()?;
                Argument::Value(append(&mut body, &wire::sequence(&values)?)?)
            }
        });
    }
    let options = head.options;
    let about = About {
        name: options.as_ref().and_then(|options| options.name.clone()),
        attempt,
        cpus: options.as_ref().and_then(|options| options.num_cpus).unwrap_or(1.0),
        worker: None,
        restarts: None,
        place: head.place,
        time_limit: options.as_ref().and_then(|options| options.timeout),
    };
    Ok(Unpacked { registered, arguments, body, objects, borrowed, about })
}

/// Adds a value to what arguments lie in.
fn append(body: &mut Vec<u8>, value: &[u8]) -> Result<Part> {
    let index =
        |place: usize| u32::try_from(place).map_err(|_| unfit("more than fits into one call"));
    let start = index(body.len())?;
    body.extend_from_slice(value);
    Ok(Part::Inline { start, end: index(body.len())? })
}
