//! Calls of one actor that are under way side by side: a thread listens to the process in which they run, does what
//! they ask for that takes no time, and wakes whoever waits for one of them.
//!
//! What a call that waits waits for over there it subscribes to, so nobody here waits for it, nor holds a CPU. One that
//! computes was made by a thread, which sees to that (`beside.rs`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use uuid::Uuid;

use crate::cluster::argument::What;
use crate::cluster::calls::End;
use crate::cluster::channel::{Frame, NoFrame};
use crate::cluster::frame::{Answered, Ended, ToDriver, ToWorker};
use crate::cluster::processes::beside::Wait;
use crate::cluster::processes::host::{Shared, lock};
use crate::cluster::processes::process::{self, Process};
use crate::cluster::processes::serving;
use crate::cluster::turn::{self, Ticket};
use crate::cluster::{Reply, engine_error};
use crate::error::Result;
use crate::local::actors::Living;
use crate::local::counted::{self, Counted};
use crate::local::current::{self, Own, Task};
use crate::local::life::ActorEnd;
use crate::local::runtimes::{self, Owner};
use crate::local::{Local, cancelling, default, ids, waiting};

/// The thread that listens to an actor's process.
pub(super) struct Listener {
    thread: JoinHandle<()>,
    /// Whether the calls compute, each made by a thread that waits for it (`beside.rs`).
    compute: bool,
    end: Arc<Finish>,
}

/// That nothing comes any more, and who waits for that.
#[derive(Default)]
struct Finish {
    has_come: AtomicBool,
    waits: Mutex<Option<Thread>>,
}

impl Finish {
    fn has_come(&self) -> bool {
        // Acquire: pairs with `Comes`.
        self.has_come.load(Ordering::Acquire)
    }
}

/// Tells of it when this drops.
struct Comes(Arc<Finish>);

impl Drop for Comes {
    fn drop(&mut self) {
        self.0.has_come.store(true, Ordering::Release);
        lock(&self.0.waits).take().into_iter().for_each(|waits| waits.unpark());
    }
}

impl Listener {
    /// # Errors
    /// `Engine`, if there can be no more threads.
    pub(super) fn start(
        shared: &Arc<Shared>,
        local: Arc<Local>,
        actor: usize,
        compute: bool,
    ) -> Result<Self> {
        let failed =
            |error: std::io::Error| engine_error(format!("failed to hear a worker: {error}"));
        let mut kept = Vec::new();
        let actor = match runtimes::owner(actor, &mut kept) {
            Some(Owner::Actor(actor)) => Counted::downgrade(&actor),
            _ => return Err(engine_error("there is no actor that it is for")),
        };
        let stream = match &*lock(&shared.process) {
            Some(process) => process.incoming.stream().map_err(failed)?,
            None => return Err(engine_error("the actor's process is gone")),
        };
        let shared = Arc::clone(shared);
        let end = Arc::new(Finish::default());
        let comes = Comes(Arc::clone(&end));
        let listen = move || {
            let _comes = comes;
            let _entered = current::enter(local);
            let mut by = None;
            loop {
                let mut fds = [PollFd::new(&stream, PollFlags::IN)];
                // An error is no reason to look less.
                let _ = rustix::event::poll(&mut fds, None);
                if !hear(&shared, &actor, &mut by) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("mobula-listener".to_owned()).spawn(listen);
        thread.map(|thread| Self { thread, compute, end }).map_err(failed)
    }

    pub(super) fn compute(&self) -> bool {
        self.compute
    }

    /// Waits until the actor has ended over there, or its process has; without a CPU, for what it waits for may need one.
    pub(super) fn join(self) {
        let Self { thread, end, .. } = self;
        *lock(&end.waits) = Some(std::thread::current());
        waiting::wait_for(|| end.has_come().then_some(()), || end.has_come());
        // What panicked there was told.
        let _ = thread.join();
    }
}

/// Hears what there is to hear; `by`: whose question comes next, where that is known. False: nothing comes any more.
fn hear(shared: &Arc<Shared>, actor: &counted::Weak<dyn Living>, by: &mut Option<Ticket>) -> bool {
    let mut place = lock(&shared.process);
    let Some(process) = place.as_mut() else { return false };
    let why = loop {
        let Frame { head, body } = match process.receive(Some(Duration::ZERO)) {
            Ok(frame) => frame,
            Err(NoFrame::Late) => return true,
            Err(NoFrame::Gone) => {
                let how = process.ended().how;
                break process::crashed(process.control.pid, &how);
            }
            Err(NoFrame::Garbled(error)) => break process::garbled(process.control.pid, &error),
        };
        let frame = Frame { head: (), body };
        let asker = match head {
            ToDriver::By { ticket } => {
                *by = Some(ticket);
                continue;
            }
            _ => by.take(),
        };
        let done = match head {
            ToDriver::Done { ticket, outcome, how, let_go } => {
                let kept =
                    let_go.iter().filter_map(|(id, _)| Some(process.lent.get(id)?.what.clone()));
                let kept = kept.collect();
                let done = serving::Done::new(outcome, frame, how);
                if let Err(error) = end_call(shared, process, ticket, done, kept) {
                    break error;
                }
                process.let_go = let_go;
                Ok(())
            }
            ToDriver::Item { ticket, outcome, keep } => {
                let done = serving::Done::new(outcome, frame, Ended::default());
                let kept = keep.iter().map(|id| serving::what(process, *id));
                let told = kept.collect::<Result<_>>().and_then(|kept| {
                    // One that nobody wants was asked to stop.
                    let _ = shared.calls.item(ticket, take_out(process, done, kept)?);
                    Ok(())
                });
                if let Err(error) = told {
                    break process::garbled(process.control.pid, &error);
                }
                Ok(())
            }
            ToDriver::ActorEnded => return false,
            ToDriver::ExitActor => {
                if let Some(actor) = actor.upgrade() {
                    actor.end_at_once(ActorEnd::Exited);
                }
                Ok(())
            }
            ToDriver::Await { ids, any, timeout } if asker.is_none() => {
                wait_for_drop(shared, process, ids, any, timeout)
            }
            request => match asker.and_then(|asker| Some((asker, shared.callers.task(asker)?))) {
                Some((asker, task)) => serve(shared, process, request, &frame, asker, &task),
                None => serving::serve(process, request, &frame, None),
            },
        };
        if let Err(error) = done {
            break process::garbled(process.control.pid, &error);
        }
    };
    let begun = turn::begun(process.page.turn());
    if let Some(forced) = process.control.forced_among() {
        let why = cancelling::killed();
        shared.calls.end(forced, End::Lost { why, begun: true });
    }
    shared.note_lost(why.clone());
    let gone = place.take();
    drop(place);
    drop(gone);
    shared.calls.end_all(&why, begun);
    if let Some(actor) = actor.upgrade() {
        actor.look();
    }
    false
}

/// Waits for what the state waits for that is being dropped over there, which is no call.
fn wait_for_drop(
    shared: &Arc<Shared>,
    process: &Process,
    ids: Vec<Uuid>,
    any: bool,
    timeout: Option<Duration>,
) -> Result<()> {
    let refs = serving::find_all(process, &ids)?;
    let shared = Arc::clone(shared);
    default::current().spawn_blocking(move || {
        let ended = serving::wait_for(&refs, any, timeout);
        if let Some(process) = &mut *lock(&shared.process) {
            // What cannot be sent shows in what cannot be received.
            let _ = serving::tell_arrived(process, &ids, &refs, ended);
        }
    });
    Ok(())
}

/// Does what a call asks for that a thread has made, which waits for that, or for the call.
fn serve(
    shared: &Shared,
    process: &mut Process,
    request: ToDriver,
    frame: &Frame<()>,
    asker: Ticket,
    task: &Task,
) -> Result<()> {
    match request {
        ToDriver::Await { ids, any, timeout } => {
            let refs = serving::find_all(process, &ids)?;
            shared.callers.wait(asker, Wait { ids, refs, any, timeout }, &shared.calls);
            Ok(())
        }
        ToDriver::TaskId => {
            // SAFETY: its thread waits for it, until `end_call` tells of its end, on this thread.
            let any = unsafe { task.running.to_ref() };
            let answer = Answered::TaskId(ids::id_of(&any));
            process.control.tell(&ToWorker::Answered { ticket: asker, answer }, &[])
        }
        // As its child.
        request => current::in_task_with(task, &mut Own::default(), || {
            serving::serve(process, request, frame, None)
        }),
    }
}

/// A call is done. An error: its answer lies nowhere.
fn end_call(
    shared: &Shared,
    process: &mut Process,
    ticket: Ticket,
    done: serving::Done,
    kept: Vec<What>,
) -> Result<()> {
    shared.callers.remove(ticket);
    let how = done.how;
    let reply = take_out(process, done, kept)?;
    shared.calls.end(ticket, End::Done { reply, how });
    Ok(())
}

/// Takes an answer out of where it lies.
fn take_out(process: &mut Process, done: serving::Done, kept: Vec<What>) -> Result<Reply> {
    let shares = done.is_shared();
    let reply = Reply { outcome: done.answer(process)?.map(<[u8]>::to_vec), kept };
    if shares {
        process.note_shared_now();
    }
    Ok(reply)
}
