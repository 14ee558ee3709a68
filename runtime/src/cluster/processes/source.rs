//! A worker that produces a stream: it sends an item and waits until the next is wanted. It is the stream's until its
//! end; while the reader is behind, nobody here waits for it, and it computes nothing.
//!
//! That of an actor is the actor's all the time ([`Keeper`]): whoever watches it may find it dead between two items.

use std::sync::Weak;

use crate::cluster::frame::{Ended, ToWorker};
use crate::cluster::processes::process::{Process, Sending};
use crate::cluster::processes::serving::{self, Seen};
use crate::cluster::processes::{DEATHS_BEFORE_BEGIN_MAX, Processes, never_began, process};
use crate::cluster::turn::Ticket;
use crate::cluster::{Answer, Cargo, Source, about, error_of};
use crate::error::{Error, Result};
use crate::local::current::{self, Task};
use crate::local::{Local, pool};

/// Who has the process, and what becomes of it.
pub(super) trait Keeper: Send {
    /// Whether it goes on after the stream, which is ended before, then, whatever happens.
    const STAYS: bool;
    /// Does something with it. None: it is gone.
    fn with<R>(&mut self, run: impl FnOnce(&mut Process) -> R) -> Option<R>;
    /// The stream has ended.
    fn ended(&mut self, how: Ended);
    /// It is of no use any more, be it that the stream had `begun` or not; gives why the stream fails.
    fn lost(&mut self, why: Error, begun: bool) -> Error;
    /// Why it is gone.
    fn why_gone(&mut self) -> Error;
}

/// A worker that is the stream's alone.
struct OwnWorker {
    local: Weak<Local>,
    process: Option<Box<Process>>,
}

impl Keeper for OwnWorker {
    const STAYS: bool = false;

    fn with<R>(&mut self, run: impl FnOnce(&mut Process) -> R) -> Option<R> {
        self.process.as_deref_mut().map(run)
    }

    /// It is there for others.
    fn ended(&mut self, _: Ended) {
        if let Some(process) = self.process.take()
            && let Some(local) = self.local.upgrade()
            && let Some(processes) = Processes::of(&local)
        {
            processes.take_in(process);
        }
    }

    fn lost(&mut self, why: Error, _: bool) -> Error {
        self.process = None;
        why
    }

    fn why_gone(&mut self) -> Error {
        never_began()
    }
}

pub(super) struct StreamSource<K: Keeper> {
    keeper: K,
    ticket: Ticket,
    /// What came of the task so far and was not handed over.
    seen: Option<Seen>,
    ended: bool,
}

/// Has a worker begin to produce.
pub(super) fn start(
    processes: &Processes,
    cargo: &dyn Cargo,
    task: &Task,
) -> Result<Box<dyn Source>> {
    let local = processes.local.upgrade().ok_or_else(|| pool::shut_down_before("it ran"))?;
    for _ in 0..DEATHS_BEFORE_BEGIN_MAX {
        let process = Some(processes.take_out()?);
        let keeper = OwnWorker { local: Weak::clone(&processes.local), process };
        match StreamSource::begin(keeper, cargo, task, &local) {
            Ok(source) => return Ok(Box::new(source)),
            Err(NotBegun::Died(_)) => {}
            Err(NotBegun::Refused(why)) => return Err(why),
        }
    }
    Err(never_began())
}

/// Why a stream has not begun.
pub(super) enum NotBegun {
    /// Its process died before.
    Died(Error),
    /// Its arguments cannot be encoded.
    Refused(Error),
}

/// Sends what is to be sent, and sees to the task until it has produced something, or has ended.
fn see(process: &mut Process, task: &Task, ticket: Ticket) -> Seen {
    serving::note_run(process, task, ticket);
    // What cannot be sent shows in what cannot be received.
    let _ = process.flush();
    serving::see_through(process, task, ticket, None, &mut |_| true)
}

/// What came of one step.
enum Step {
    Item(Result<()>),
    End(Result<()>, Ended),
    Gone { why: Error, begun: bool },
}

impl<K: Keeper> StreamSource<K> {
    /// Sends the call, and waits for the first that comes of it.
    pub(super) fn begin(
        mut keeper: K,
        cargo: &dyn Cargo,
        task: &Task,
        local: &Local,
    ) -> std::result::Result<Self, NotBegun> {
        let begun = keeper.with(|process| {
            let ticket = process.append(cargo, about(task, local), Sending::Alone)?;
            let ticket = ticket.expect("only what is sent ahead can be too much");
            Ok(match see(process, task, ticket) {
                Seen::NotBegun(how) => Err(process::crashed(process.control.pid, &how)),
                seen => Ok((ticket, seen)),
            })
        });
        match begun {
            Some(Ok(Ok((ticket, seen)))) => {
                Ok(Self { keeper, ticket, seen: Some(seen), ended: false })
            }
            Some(Ok(Err(why))) => Err(NotBegun::Died(keeper.lost(why, false))),
            Some(Err(why)) => {
                keeper.ended(Ended::default());
                Err(NotBegun::Refused(why))
            }
            None => {
                let why = keeper.why_gone();
                Err(NotBegun::Died(keeper.lost(why, false)))
            }
        }
    }

    /// Lets the worker go on, unless there is something already. False: the stream has ended.
    fn step(
        &mut self,
        task: &Task,
        wanted: bool,
        take: &mut dyn FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let Self { keeper, ticket, seen, ended } = self;
        let seen = seen.take();
        let step = keeper.with(|process| {
            let mut go_on = || {
                process.was_read();
                let more = ToWorker::More { ticket: *ticket, wanted };
                match process.outgoing.append(&more, &[]) {
                    Ok(()) => see(process, task, *ticket),
                    Err(error) => Seen::Failed(error),
                }
            };
            match seen.unwrap_or_else(&mut go_on) {
                Seen::Item(item) => Step::Item(item.answer(process).and_then(take)),
                Seen::Done(done) => {
                    let how = done.how;
                    let answer = done.answer(process);
                    let ended = answer.and_then(|answer| answer.map(drop).map_err(error_of));
                    process.was_read();
                    Step::End(ended, how)
                }
                Seen::NotBegun(how) => {
                    Step::Gone { why: process::crashed(process.control.pid, &how), begun: false }
                }
                Seen::Failed(why) => Step::Gone { why, begun: true },
            }
        });
        *ended = !matches!(step, Some(Step::Item(_)));
        match step {
            Some(Step::Item(taken)) => taken.map(|()| true),
            Some(Step::End(result, how)) => {
                keeper.ended(how);
                result.map(|()| false)
            }
            Some(Step::Gone { why, begun }) => Err(keeper.lost(why, begun)),
            None => {
                let why = keeper.why_gone();
                Err(keeper.lost(why, true))
            }
        }
    }
}

impl<K: Keeper> Source for StreamSource<K> {
    fn next(
        &mut self,
        task: &Task,
        take: &mut dyn FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<bool> {
        self.step(task, true, take)
    }

    fn stop(&mut self, task: &Task) {
        while !self.ended {
            // What it ends with nobody wants to know.
            let _ = self.step(task, false, &mut |_| Ok(()));
        }
    }
}

impl<K: Keeper> Drop for StreamSource<K> {
    fn drop(&mut self) {
        // Whoever drops a producer does so as its task.
        if K::STAYS
            && !self.ended
            && let Some(task) = current::task()
        {
            self.stop(&task);
        }
    }
}
