//! What a thread of the driver does for a task in a worker, until it is done: it is the task, here.
//!
//! What the task calls, its thread here submits, as a child of the task. What the task waits for, its thread
//! waits for, without a CPU, and sends the values.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::cluster::argument::{Argument, Forwarded, ForwardedArgument, What};
use crate::cluster::channel::{Frame, NoFrame};
use crate::cluster::coder::{self, Stored};
use crate::cluster::frame::{self, Body, EndedWait, Outcome, Part, SubmitHead, ToDriver, ToWorker};
use crate::cluster::processes::output::Printer;
use crate::cluster::processes::process::{self, Control, Lent, Process};
use crate::cluster::registry;
use crate::cluster::turn::{self, Ticket};
use crate::cluster::{Answer, error_of};
use crate::error::{Error, Failed, Result};
use crate::function::{Call, Function};
use crate::local::cell::{AnyRef, Ref};
use crate::local::completion::Completion;
use crate::local::current::Task;
use crate::local::family::FamilyId;
use crate::local::group::GroupWait;
use crate::local::job::Wakes;
use crate::local::life::ActorEnd;
use crate::local::place::Place;
use crate::local::runtimes::{self, Owner};
use crate::local::waiting::{self, Ended};
use crate::local::{cancelling, default, ids};
use crate::random::Pool;

/// How a task in a worker ended.
pub(super) enum Seen {
    Done(Done),
    /// It has produced an item.
    Item(Done),
    /// The worker died before, in this way.
    NotBegun(String),
    /// Its worker died, or said what makes no sense; it is of no use any more.
    Failed(Error),
}

/// That a task is done, and where its result lies.
pub(super) struct Done {
    outcome: Outcome,
    frame: Frame<()>,
    pub(super) how: frame::Ended,
}

impl Done {
    pub(super) fn new(outcome: Outcome, frame: Frame<()>, how: frame::Ended) -> Self {
        Self { outcome, frame, how }
    }

    /// Whether the result lies in shared memory.
    pub(super) fn is_shared(&self) -> bool {
        self.outcome.as_ref().is_ok_and(Part::is_shared)
    }

    /// The result, as it lies where it arrived.
    pub(super) fn answer<'a>(self, process: &'a Process) -> Result<Answer<'a>> {
        let body = process.incoming.body(&self.frame);
        match self.outcome {
            Ok(part) => Process::bytes(&process.reader, body).part(part).map(Ok),
            Err(failed) => Ok(Err(failed)),
        }
    }
}

/// Tells a worker that its task is to stop.
pub(super) struct Stop {
    control: Arc<Control>,
    ticket: Ticket,
}

impl Stop {
    pub(super) fn new(control: &Arc<Control>, ticket: Ticket) -> Self {
        Self { control: Arc::clone(control), ticket }
    }
}

impl Wake for Stop {
    fn wake(self: Arc<Self>) {
        let _ = self.control.tell(&ToWorker::Cancel { ticket: self.ticket }, &[]);
    }
}

/// Does what the task asks for until it is done. `take_back` takes back what was sent behind it, if it has begun: where
/// it runs longer than `patience`, and before it waits.
pub(super) fn see_through(
    process: &mut Process,
    task: &Task,
    ticket: Ticket,
    patience: Option<Duration>,
    take_back: &mut dyn FnMut(&mut Process) -> bool,
) -> Seen {
    let mut patience = patience;
    note_run(process, task, ticket);
    let stop = Waker::from(Arc::new(Stop::new(&process.control, ticket)));
    let mut wakes = Wakes::new(task.running);
    wakes.renew(&stop);
    if wakes.is_to_stop() {
        stop.wake();
    }
    loop {
        let Frame { head, body } = match process.receive(patience) {
            Ok(frame) => frame,
            Err(NoFrame::Late) => {
                if take_back(process) {
                    patience = None;
                }
                continue;
            }
            Err(NoFrame::Gone) => return gone(process, ticket),
            Err(NoFrame::Garbled(error)) => {
                process.control.rests();
                return Seen::Failed(process::garbled(process.control.pid, &error));
            }
        };
        let frame = Frame { head: (), body };
        let done = match head {
            ToDriver::Done { ticket: done, outcome, how, let_go } if done == ticket => {
                if how.looked {
                    // SAFETY: this thread runs the task.
                    unsafe { task.running.note_looked() };
                }
                process.wait_for_output(Printer::is_done);
                process.control.rests();
                if let Ok(part) = &outcome {
                    process.note_shared(part);
                }
                process.let_go = let_go;
                return Seen::Done(Done::new(outcome, frame, how));
            }
            ToDriver::Item { ticket: of, outcome, .. } if of == ticket => {
                if let Ok(part) = &outcome {
                    process.note_shared(part);
                }
                return Seen::Item(Done::new(outcome, frame, frame::Ended::default()));
            }
            ToDriver::Await { ids, any, timeout } => {
                take_back(process);
                patience = None;
                bring(process, &ids, any, timeout)
            }
            request => serve(process, request, &frame, Some(task)),
        };
        if let Err(error) = done {
            process.control.rests();
            return Seen::Failed(process::garbled(process.control.pid, &error));
        }
    }
}

/// Notes which task the worker runs, or will when it is sent: what that prints may come through before
/// anything else is heard of it.
pub(super) fn note_run(process: &Process, task: &Task, ticket: Ticket) {
    // SAFETY: whoever has the task runs it.
    let hop = unsafe { task.running.hop() };
    let family = match task.actor {
        // SAFETY: as above.
        0 => unsafe { task.running.family() },
        // An actor goes on when the task ends that has called it.
        _ => FamilyId::NONE,
    };
    process.control.runs(task.running.address(), family, ticket, hop.name());
}

/// The worker's end.
fn gone(process: &mut Process, ticket: Ticket) -> Seen {
    let forced = process.control.rests();
    let end = process.ended().how;
    if forced {
        return Seen::Failed(cancelling::killed());
    }
    if turn::begun(process.page.turn()) < ticket {
        return Seen::NotBegun(end);
    }
    Seen::Failed(process::crashed(process.control.pid, &end))
}

/// Does what a task asks for that takes no time; None: it is one of several, nobody knows which. An error: what it
/// said makes no sense.
pub(super) fn serve(
    process: &mut Process,
    request: ToDriver,
    frame: &Frame<()>,
    task: Option<&Task>,
) -> Result<()> {
    match (request, task) {
        (ToDriver::Submit(head), _) => submit(process, *head, frame),
        (ToDriver::Object { id, value, keep }, _) => store(process, id, value, &keep, frame),
        (ToDriver::Subscribe { id }, _) => {
            subscribe(process, id);
            Ok(())
        }
        (ToDriver::Release { ids }, _) => {
            ids.into_iter().for_each(|(id, count)| process.release(id, count));
            Ok(())
        }
        (ToDriver::Cancel { id, children, force }, _) => {
            if let Some(any) = find(process, id) {
                match force {
                    true => cancelling::force(&any, children, &default::current()),
                    false => cancelling::cancel(&any, children),
                };
            }
            Ok(())
        }
        (ToDriver::TaskId, Some(task)) => {
            // SAFETY: this thread runs the task.
            let any = unsafe { task.running.to_ref() };
            let id = ids::id_of(&any);
            // If the worker is gone, the next look at the connection shows it.
            drop(process.answer(|_, _| Ok(ToWorker::TaskId { id }))?);
            Ok(())
        }
        (ToDriver::ExitActor, Some(task)) => {
            let mut kept = Vec::new();
            if let Some(Owner::Actor(actor)) = runtimes::owner(task.actor, &mut kept) {
                actor.end_at_once(ActorEnd::Exited);
            }
            Ok(())
        }
        _ => Err(frame::garbled("it came at the wrong time")),
    }
}

/// What an id stands for that is in a worker's bytes.
pub(super) fn what(process: &Process, id: Uuid) -> Result<What> {
    let lent = process.lent.get(&id).map(|lent| lent.what.clone());
    lent.or_else(|| ids::find(id).map(What::Object)).ok_or_else(|| no_such(id))
}

fn find(process: &Process, id: Uuid) -> Option<AnyRef> {
    match what(process, id) {
        Ok(What::Object(any)) => Some(any),
        _ => None,
    }
}

/// What a worker waits for.
pub(super) fn find_all(process: &Process, ids: &[Uuid]) -> Result<Vec<AnyRef>> {
    ids.iter().map(|id| find(process, *id).ok_or_else(|| no_such(*id))).collect()
}

fn no_such(id: Uuid) -> Error {
    frame::garbled(format_args!("object {id} is none that it was given"))
}

/// Submits a call that the task made.
fn submit(process: &mut Process, head: SubmitHead, frame: &Frame<()>) -> Result<()> {
    let SubmitHead { id, function, arguments, keep, options, stands_at, place } = head;
    let pool = Pool::from_words(&place).ok_or_else(|| frame::garbled("it is no place"))?;
    let function = registry::find(&function)?;
    let bytes = Process::bytes(&process.reader, process.incoming.body(frame));
    let lookup = |id: &Uuid| find(process, *id).ok_or_else(|| no_such(*id));
    let mut shared = None;
    let argument = |argument| {
        Ok(match argument {
            Argument::Value(part) => {
                shared = shared.or(Some(part).filter(Part::is_shared));
                ForwardedArgument::Value(bytes.part(part)?.to_vec())
            }
            Argument::Object(id) => ForwardedArgument::Object(lookup(&id)?),
            Argument::List(ids) => {
                ForwardedArgument::List(ids.iter().map(lookup).collect::<Result<_>>()?)
            }
        })
    };
    let forwarded = Forwarded {
        id,
        arguments: arguments.into_iter().map(argument).collect::<Result<_>>()?,
        keep: keep.iter().map(|id| Ok((*id, what(process, *id)?))).collect::<Result<_>>()?,
        options,
        place: Place::of_pool(pool),
        stands_at: stands_at.into(),
    };
    if let Some(part) = shared {
        process.note_shared(&part);
    }
    let any = (function.submit)(forwarded);
    process.lent.insert(id, Lent { what: What::Object(any), count: 1 });
    Ok(())
}

static STORED: Function = Function::new("put", module_path!(), file!(), line!());

/// Keeps a value that the task stored, and passes on.
fn store(
    process: &mut Process,
    id: Uuid,
    value: Outcome,
    keep: &[Uuid],
    frame: &Frame<()>,
) -> Result<()> {
    let value = match value {
        Ok(part) => {
            let body = process.incoming.body(frame);
            let bytes = Process::bytes(&process.reader, body).part(part)?.to_vec();
            process.note_shared(&part);
            let keep = keep.iter().map(|id| Ok((*id, what(process, *id)?)));
            Ok(Stored { bytes, held: keep.collect::<Result<_>>()? })
        }
        Err(failed) => Err(error_of(failed)),
    };
    let call = Call::elsewhere(&STORED);
    let stored = Ref::complete(value, call).into_any();
    coder::note_stored(&stored);
    coder::named(&stored, id);
    process.lent.insert(id, Lent { what: What::Object(stored), count: 1 });
    Ok(())
}

/// Waits for objects as the task, and sends their values.
pub(super) fn bring(
    process: &mut Process,
    ids: &[Uuid],
    any: bool,
    timeout: Option<Duration>,
) -> Result<()> {
    let refs = find_all(process, ids)?;
    let ended = wait_for(&refs, any, timeout);
    tell_arrived(process, ids, &refs, ended)
}

/// Sends what is there of objects that were waited for, and what ended the wait.
pub(super) fn tell_arrived(
    process: &mut Process,
    ids: &[Uuid],
    refs: &[AnyRef],
    ended: Option<EndedWait>,
) -> Result<()> {
    let sent = process.answer(|process, body| {
        let mut values = Vec::with_capacity(refs.len());
        for (id, any) in ids.iter().zip(refs).filter(|(_, any)| any.is_complete()) {
            let (outcome, held) = outcome(any, body);
            process.lend(held);
            values.push((*id, outcome));
        }
        Ok(ToWorker::Arrived { values, ended })
    })?;
    // If the worker is gone, the next look at the connection shows it.
    drop(sent);
    Ok(())
}

/// Waits for objects as the task that this thread runs: for all, or until one has failed and all before it are there,
/// or for any. Gives what ended the wait before.
pub(super) fn wait_for(refs: &[AnyRef], any: bool, timeout: Option<Duration>) -> Option<EndedWait> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let waited = if any {
        let mut group = GroupWait::default();
        group.add(refs.iter().cloned());
        waiting::next_of(&group, deadline).map(drop)
    } else {
        let borrowed: Vec<&AnyRef> = refs.iter().collect();
        match borrowed[..] {
            [one] => waiting::wait(one, deadline),
            ref all => waiting::wait_all(all, deadline),
        }
    };
    waited.err().map(|ended| match ended {
        Ended::TimedOut => EndedWait::TimedOut,
        Ended::Never(why) => EndedWait::Never(Failed::from(&why)),
    })
}

/// The value of a complete object, or its failure.
fn outcome(any: &AnyRef, body: &mut Body) -> (Outcome, Vec<crate::wire::Held>) {
    let mut held = Vec::new();
    let encoded = body.part(|sink| {
        held = coder::encode(any, sink)?;
        Ok(())
    });
    (encoded.map_err(|error| Failed::from(&error)), held)
}

/// Sends the value when it is there, on the way that a worker hears while it computes.
fn subscribe(process: &mut Process, id: Uuid) {
    let Some(any) = find(process, id) else {
        let outcome = Err(Failed::from(&no_such(id)));
        let _ = process.control.tell(&ToWorker::Value { id, outcome }, &[]);
        return;
    };
    let control = Arc::downgrade(&process.control);
    default::current().spawn_on_tokio(async move {
        let any = Completion::of(any).await;
        let Some(control) = control.upgrade() else { return };
        send_value(&control, id, &any);
    });
}

/// Sends the value of a complete object on that way.
pub(super) fn send_value(control: &Control, id: Uuid, any: &AnyRef) {
    let mut body = Body::new(None);
    let (outcome, held) = outcome(any, &mut body);
    control.lend(held);
    if let Err(why) = control.tell(&ToWorker::Value { id, outcome }, &body.take()) {
        let outcome = Err(Failed::from(&why));
        let _ = control.tell(&ToWorker::Value { id, outcome }, &[]);
    }
}
