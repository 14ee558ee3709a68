//! Calls of one actor that are under way side by side: a thread listens to the process in which they run, does what
//! they ask for that takes no time, and wakes whoever waits for one of them.
//!
//! What a call waits for over there it subscribes to, so nobody here waits for it, nor holds a CPU.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use crate::cluster::argument::What;
use crate::cluster::channel::{Frame, NoFrame};
use crate::cluster::frame::ToDriver;
use crate::cluster::processes::host::{Shared, lock};
use crate::cluster::processes::process::{self, Process};
use crate::cluster::processes::serving;
use crate::cluster::turn::{self, Ticket};
use crate::cluster::{Reply, engine_error};
use crate::error::{Error, Result};
use crate::local::actors::Living;
use crate::local::life::ActorEnd;
use crate::local::runtimes::{self, Owner};
use crate::local::{Local, current};

/// What became of a call.
pub(super) enum End {
    Done {
        reply: Reply,
        crashed: bool,
    },
    /// Its process is gone, for this reason; `begun`: it was running.
    Lost {
        why: Error,
        begun: bool,
    },
}

enum Call {
    UnderWay(Option<Waker>),
    Ended(End),
}

/// The calls that were sent, until somebody has seen their ends.
#[derive(Default)]
pub(super) struct Calls(Mutex<HashMap<Ticket, Call>>);

impl Calls {
    pub(super) fn add(&self, ticket: Ticket) {
        lock(&self.0).insert(ticket, Call::UnderWay(None));
    }

    pub(super) fn poll(&self, ticket: Ticket, waker: &Waker) -> Poll<End> {
        let mut calls = lock(&self.0);
        if let Some(Call::UnderWay(last)) = calls.get_mut(&ticket) {
            let before = last.replace(waker.clone());
            drop(calls);
            drop(before);
            return Poll::Pending;
        }
        match calls.remove(&ticket) {
            Some(Call::Ended(end)) => Poll::Ready(end),
            _ => unreachable!("a call is polled until its end"),
        }
    }

    /// True: it is under way.
    pub(super) fn give_up(&self, ticket: Ticket) -> bool {
        let call = lock(&self.0).remove(&ticket);
        matches!(call, Some(Call::UnderWay(_)))
    }

    /// A call has ended, if somebody still waits for it.
    fn end(&self, ticket: Ticket, end: End) {
        let mut calls = lock(&self.0);
        let Some(call) = calls.get_mut(&ticket) else { return };
        let before = std::mem::replace(call, Call::Ended(end));
        drop(calls);
        if let Call::UnderWay(Some(waker)) = before {
            waker.wake();
        }
    }

    /// The process is gone; `begun`: the last of them that had begun.
    fn end_all(&self, why: &Error, begun: Ticket) {
        let tickets: Vec<Ticket> = lock(&self.0).keys().copied().collect();
        for ticket in tickets {
            self.end(ticket, End::Lost { why: why.clone(), begun: ticket <= begun });
        }
    }
}

/// The thread that listens to an actor's process.
pub(super) struct Listener(JoinHandle<bool>);

impl Listener {
    /// # Errors
    /// `Engine`, if there can be no more threads.
    pub(super) fn start(shared: &Arc<Shared>, local: Arc<Local>, actor: usize) -> Result<Self> {
        let failed =
            |error: std::io::Error| engine_error(format!("failed to hear a worker: {error}"));
        let mut kept = Vec::new();
        let actor = match runtimes::owner(actor, &mut kept) {
            Some(Owner::Actor(actor)) => Arc::downgrade(&actor),
            _ => return Err(engine_error("there is no actor that it is for")),
        };
        let stream = match &*lock(&shared.process) {
            Some(process) => process.incoming.stream().map_err(failed)?,
            None => return Err(engine_error("the actor's process is gone")),
        };
        let shared = Arc::clone(shared);
        let listen = move || {
            let _entered = current::enter(local);
            loop {
                let mut fds = [PollFd::new(&stream, PollFlags::IN)];
                // An error is no reason to look less.
                let _ = rustix::event::poll(&mut fds, None);
                match hear(&shared, &actor) {
                    Heard::More => {}
                    Heard::End => return true,
                    Heard::Gone => return false,
                }
            }
        };
        let thread = std::thread::Builder::new().name("mobula-listener".to_owned()).spawn(listen);
        thread.map(Self).map_err(failed)
    }

    /// Waits until the actor has ended over there. False: its process is of no use any more.
    pub(super) fn join(self) -> bool {
        self.0.join().unwrap_or(false)
    }
}

enum Heard {
    More,
    End,
    Gone,
}

/// Hears what there is to hear.
fn hear(shared: &Shared, actor: &Weak<dyn Living>) -> Heard {
    let mut place = lock(&shared.process);
    let Some(process) = place.as_mut() else { return Heard::Gone };
    let why = loop {
        let Frame { head, body } = match process.receive(Some(Duration::ZERO)) {
            Ok(frame) => frame,
            Err(NoFrame::Late) => return Heard::More,
            Err(NoFrame::Gone) => {
                let how = process.ended().how;
                break process::crashed(process.control.pid, &how);
            }
            Err(NoFrame::Garbled(error)) => break process::garbled(process.control.pid, &error),
        };
        let frame = Frame { head: (), body };
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
            ToDriver::ActorEnded { let_go } => {
                process.let_go = let_go;
                return Heard::End;
            }
            ToDriver::ExitActor => {
                if let Some(actor) = actor.upgrade() {
                    actor.end_at_once(ActorEnd::Exited);
                }
                Ok(())
            }
            request => serving::serve(process, request, &frame, None),
        };
        if let Err(error) = done {
            break process::garbled(process.control.pid, &error);
        }
    };
    let begun = turn::begun(process.page.turn());
    shared.note_lost(why.clone());
    let gone = place.take();
    drop(place);
    drop(gone);
    shared.calls.end_all(&why, begun);
    if let Some(actor) = actor.upgrade() {
        actor.look();
    }
    Heard::Gone
}

/// A call is done: takes its answer out of where it lies. An error: that is nowhere.
fn end_call(
    shared: &Shared,
    process: &mut Process,
    ticket: Ticket,
    done: serving::Done,
    kept: Vec<What>,
) -> Result<()> {
    let (crashed, shares) = (done.crashed, done.is_shared());
    let reply = Reply { outcome: done.answer(process)?.map(<[u8]>::to_vec), kept };
    if shares {
        process.note_shared_now();
    }
    shared.calls.end(ticket, End::Done { reply, crashed });
    Ok(())
}
