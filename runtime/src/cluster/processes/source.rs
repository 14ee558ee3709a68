//! A worker that produces a stream: it sends an item and waits until the next is wanted. It is the stream's until its
//! end; while the reader is behind, nobody here waits for it, and it computes nothing.

use std::sync::Weak;

use crate::cluster::frame::ToWorker;
use crate::cluster::processes::process::{Process, Sending};
use crate::cluster::processes::serving::{self, Seen};
use crate::cluster::processes::{DEATHS_BEFORE_BEGIN_MAX, Processes, never_began, process};
use crate::cluster::turn::Ticket;
use crate::cluster::{Answer, Cargo, Source, about, error_of};
use crate::error::Result;
use crate::local::current::Task;
use crate::local::{Local, pool};

struct StreamSource {
    local: Weak<Local>,
    /// None: the stream has ended.
    process: Option<Box<Process>>,
    ticket: Ticket,
    /// What came of the task so far and was not handed over.
    seen: Option<Seen>,
}

/// Has a worker begin to produce.
pub(super) fn start(
    processes: &Processes,
    cargo: &dyn Cargo,
    task: &Task,
) -> Result<Box<dyn Source>> {
    let local = processes.local.upgrade().ok_or_else(|| pool::shut_down_before("it ran"))?;
    for _ in 0..DEATHS_BEFORE_BEGIN_MAX {
        let mut process = processes.take_out()?;
        let ticket = match process.append(cargo, about(task, &local), Sending::Alone) {
            Ok(ticket) => ticket.expect("only what is sent ahead can be too much"),
            Err(error) => {
                processes.take_in(process);
                return Err(error);
            }
        };
        let local = Weak::clone(&processes.local);
        let mut source = StreamSource { local, process: Some(process), ticket, seen: None };
        match source.see(task) {
            Some(Seen::NotBegun(_)) => {}
            seen => {
                source.seen = seen;
                return Ok(Box::new(source));
            }
        }
    }
    Err(never_began())
}

impl StreamSource {
    /// Sends what is to be sent, and sees to the task until it has produced something, or has ended.
    fn see(&mut self, task: &Task) -> Option<Seen> {
        let process = self.process.as_mut()?;
        serving::note_run(process, task, self.ticket);
        // What cannot be sent shows in what cannot be received.
        let _ = process.flush();
        Some(serving::see_through(process, task, &mut self.ticket, None, &mut |_, _| {}))
    }

    /// Lets the worker go on.
    fn go_on(&mut self, wanted: bool) -> Result<()> {
        if let Some(process) = &mut self.process {
            process.was_read();
            process.outgoing.append(&ToWorker::More { wanted }, &[])?;
        }
        Ok(())
    }

    /// The task has ended, and its worker is there for others.
    fn give_back(&mut self) {
        if let Some(process) = self.process.take()
            && let Some(local) = self.local.upgrade()
            && let Some(processes) = Processes::of(&local)
        {
            processes.take_in(process);
        }
    }
}

impl Source for StreamSource {
    fn next(
        &mut self,
        task: &Task,
        take: &mut dyn FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<bool> {
        let seen = match self.seen.take() {
            Some(seen) => seen,
            None => {
                self.go_on(true)?;
                match self.see(task) {
                    Some(seen) => seen,
                    None => return Ok(false),
                }
            }
        };
        let Some(process) = &self.process else { return Ok(false) };
        match seen {
            Seen::Item(item) => item.answer(process).and_then(take).map(|()| true),
            Seen::Done(done) => {
                let ended =
                    done.answer(process).and_then(|answer| answer.map(drop).map_err(error_of));
                self.give_back();
                ended.map(|()| false)
            }
            Seen::NotBegun(how) => {
                let pid = process.control.pid;
                self.process = None;
                Err(process::crashed(pid, &how))
            }
            Seen::Failed(error) => {
                self.process = None;
                Err(error)
            }
        }
    }

    fn stop(&mut self, task: &Task) {
        while self.process.is_some() {
            let seen = match self.seen.take() {
                Some(seen) => Some(seen),
                None if self.go_on(false).is_ok() => self.see(task),
                None => None,
            };
            match seen {
                Some(Seen::Item(_)) => {}
                Some(Seen::Done(_)) => self.give_back(),
                _ => self.process = None,
            }
        }
    }
}
