//! The engine whose workers are children of this process, and run the same binary.
//!
//! A thread of the pool that has a task takes a worker that is idle, or starts one, sends the task and does
//! for it what it asks for (`serving.rs`), until it is done. So there are never more workers at work than
//! CPUs, and one whose task waits computes nothing, while its thread has laid its CPU down.
//!
//! Tasks that are short are sent ahead, several at a time: see [`Feed`]. What has not begun can be taken back
//! at any time (`turn.rs`), so those behind a long one are, and those behind one that crashes share nothing
//! with it but the process that is gone.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::cluster::processes::output::Output;
use crate::cluster::processes::process::{Control, Process, Sending};
use crate::cluster::processes::serving::Seen;
use crate::cluster::processes::spawn::Serves;
use crate::cluster::turn::Ticket;
use crate::cluster::{Answer, Cargo, Engine, Host, Parcel, Source, about, no_stream};
use crate::config::WorkerOutput;
use crate::error::{Error, ErrorKind, Result};
use crate::local::abroad::Outside;
use crate::local::cell::AnyRef;
use crate::local::current::{self, Own, Task};
use crate::local::family::FamilyId;
use crate::local::queue::Entry;
use crate::local::{Local, pool};

mod beside;
mod host;
mod listener;
mod output;
mod process;
mod serving;
mod source;
pub(crate) mod spawn;

/// How many workers may die before a task begins, until that is its failure.
const DEATHS_BEFORE_BEGIN_MAX: usize = 16;
/// How many workers without work are kept beyond one for each CPU.
const SPARE_MAX: usize = 16;
/// How many tasks are sent ahead at most.
const AHEAD_MAX: usize = 64;
/// About how much work is sent ahead.
const AHEAD_TIME: Duration = Duration::from_micros(500);
/// When a task runs longer than this, those behind it are taken back.
const PATIENCE: Duration = Duration::from_millis(1);

/// The workers of one runtime.
pub(crate) struct Processes {
    local: Weak<Local>,
    serves: Serves,
    num_cpus: usize,
    block_warning: Duration,
    /// None: workers print where the driver does.
    output: Option<Arc<Output>>,
    workers: Mutex<Workers>,
    closed: AtomicBool,
}

#[derive(Default)]
struct Workers {
    #[expect(clippy::vec_box, reason = "a worker goes from thread to thread as a pointer")]
    idle: Vec<Box<Process>>,
    /// All that live, and some that no longer do.
    all: Vec<Weak<Control>>,
}

impl Processes {
    pub(crate) fn new(local: &Arc<Local>) -> Self {
        let settings = local.settings();
        Self {
            local: Arc::downgrade(local),
            serves: if local.is_from_main() { Serves::FromInit } else { Serves::BeforeMain },
            num_cpus: settings.num_cpus,
            block_warning: settings.block_warning,
            output: (settings.worker_output == WorkerOutput::Prefixed).then(Arc::default),
            workers: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Those of a runtime that has some.
    fn of(local: &Local) -> Option<&Self> {
        local.outside_if_any()?.as_any().downcast_ref()
    }

    fn workers(&self) -> std::sync::MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker without work.
    fn take_out(&self) -> Result<Box<Process>> {
        let idle = self.workers().idle.pop();
        if let Some(process) = idle {
            return Ok(process);
        }
        let Self { serves, num_cpus, block_warning, output, .. } = self;
        let start =
            || Process::start(*serves, *num_cpus, *block_warning, output.as_ref()).transpose();
        let started = std::iter::repeat_with(start).take(DEATHS_BEFORE_BEGIN_MAX).flatten().next();
        let process = started.unwrap_or_else(|| Err(never_began()))?;
        let mut workers = self.workers();
        workers.all.retain(|control| control.strong_count() > 0);
        workers.all.push(Arc::downgrade(&process.control));
        Ok(Box::new(process))
    }

    /// Keeps a worker for the next task.
    fn take_in(&self, mut process: Box<Process>) {
        process.was_read();
        let mut workers = self.workers();
        // Read under the lock: who closes takes all that is idle after it has said so.
        let keep =
            !self.closed.load(Ordering::Relaxed) && workers.idle.len() < self.num_cpus + SPARE_MAX;
        if keep {
            workers.idle.push(process);
        } else {
            drop(workers);
            drop(process);
        }
    }

    /// Runs a call on a worker; on another where that dies before it begins.
    fn call_on_some(
        &self,
        cargo: &dyn Cargo,
        task: &Task,
        take: &mut dyn FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<()> {
        let local = self.local.upgrade().ok_or_else(|| pool::shut_down_before("it ran"))?;
        for _ in 0..DEATHS_BEFORE_BEGIN_MAX {
            let mut process = self.take_out()?;
            let ticket = match process.append(cargo, about(task, &local), Sending::Alone) {
                Ok(ticket) => ticket.expect("only what is sent ahead can be too much"),
                Err(error) => {
                    self.take_in(process);
                    return Err(error);
                }
            };
            // What cannot be sent shows in what cannot be received.
            serving::note_run(&process, task, ticket);
            let _ = process.flush();
            match serving::see_through(&mut process, task, ticket, None, &mut |_| true) {
                Seen::Done(done) => {
                    let taken = done.answer(&process).and_then(take);
                    self.take_in(process);
                    return taken;
                }
                Seen::Item(_) => return Err(no_stream()),
                Seen::NotBegun(_) => {}
                Seen::Failed(error) => return Err(error),
            }
        }
        Err(never_began())
    }
}

fn never_began() -> Error {
    let message = format!("{DEATHS_BEFORE_BEGIN_MAX} worker processes died before it began");
    Error::new(ErrorKind::WorkerCrashed, message)
}

impl Outside for Processes {
    fn kill(&self, task: &AnyRef, families: &[FamilyId]) -> bool {
        let all: Vec<_> = self.workers().all.iter().filter_map(Weak::upgrade).collect();
        let kill = |control: &Arc<Control>| control.kill_if_it_runs(task.address(), families);
        all.iter().filter(|control| kill(control)).count() > 0
    }

    fn run_all(&self, next: &mut dyn FnMut() -> Option<Entry>) {
        let Some(first) = collect_next(next) else { return };
        match self.local.upgrade() {
            Some(local) => Feed::new(self, local, next).run(first),
            None => first.failed(pool::shut_down_before("it ran")),
        }
    }

    fn shut_down(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let idle = std::mem::take(&mut self.workers().idle);
        drop(idle);
        self.output.iter().for_each(|output| output.finish());
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Engine for Processes {
    fn call(
        &self,
        cargo: &dyn Cargo,
        task: &Task,
        take: &mut dyn FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<()> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(pool::shut_down_before("it ran"));
        }
        self.call_on_some(cargo, task, take)
    }

    fn host(&self, cargo: &dyn Cargo, task: &Task) -> Result<Box<dyn Host>> {
        host::start(self, cargo, task)
    }

    fn source(&self, cargo: &dyn Cargo, task: &Task) -> Result<Box<dyn Source>> {
        source::start(self, cargo, task)
    }

    fn run(&self, parcel: Box<dyn Parcel>) {
        let Some(parcel) = collect(parcel) else { return };
        let Some(local) = self.local.upgrade() else {
            return parcel.failed(pool::shut_down_before("it ran"));
        };
        // Who waits on this thread waits for this task, and for none that is behind it in the queues.
        let goes_on = pool::is_at_work();
        let own = Arc::clone(&local);
        let mut next = || if goes_on { own.pool().next_to_send() } else { None };
        Feed::new(self, local, &mut next).run(parcel);
    }
}

/// A task that is to be put aside where it would run.
struct Collecting {
    /// The address of its cell.
    wanted: usize,
    place: Option<Box<dyn Parcel>>,
}

thread_local! {
    static COLLECTING: RefCell<Option<Collecting>> = const { RefCell::new(None) };
}

/// Puts the parcel aside, if this thread collects it; else gives it back.
fn collect(parcel: Box<dyn Parcel>) -> Option<Box<dyn Parcel>> {
    let address = parcel.task().running.address();
    COLLECTING.with_borrow_mut(|collecting| match collecting {
        Some(Collecting { wanted, place }) if *wanted == address && place.is_none() => {
            *place = Some(parcel);
            None
        }
        _ => Some(parcel),
    })
}

/// Takes the next task that can be sent from where `next` gives entries.
fn collect_next(next: &mut dyn FnMut() -> Option<Entry>) -> Option<Box<dyn Parcel>> {
    loop {
        let entry = next()?;
        let wanted = entry.pointer().as_ptr() as usize;
        COLLECTING.set(Some(Collecting { wanted, place: None }));
        // It puts itself aside, unless it was cancelled or begun meanwhile.
        entry.execute();
        let collected = COLLECTING.take().and_then(|collecting| collecting.place);
        if collected.is_some() {
            return collected;
        }
    }
}

/// A task that was sent and is not done.
struct Flight {
    parcel: Box<dyn Parcel>,
    ticket: Ticket,
}

/// One thread's work with one worker: tasks in the order in which they were sent.
struct Feed<'a> {
    processes: &'a Processes,
    local: Arc<Local>,
    flights: VecDeque<Flight>,
    /// What this thread has begun and not sent.
    next: VecDeque<Box<dyn Parcel>>,
    /// Where there may be more of that: gives the entries of tasks that this thread is to run.
    more: &'a mut dyn FnMut() -> Option<Entry>,
    /// How long a task takes, as far as we know.
    pace: Option<Duration>,
}

impl<'a> Feed<'a> {
    fn new(
        processes: &'a Processes,
        local: Arc<Local>,
        more: &'a mut dyn FnMut() -> Option<Entry>,
    ) -> Self {
        let (flights, next, pace) = (VecDeque::new(), VecDeque::new(), None);
        Self { processes, local, flights, next, more, pace }
    }

    /// Runs this task, and those after it that are sent ahead.
    fn run(mut self, first: Box<dyn Parcel>) {
        self.next.push_back(first);
        let mut deaths = 0;
        while let Some(first) = self.next.pop_front() {
            if deaths == DEATHS_BEFORE_BEGIN_MAX {
                first.failed(never_began());
                continue;
            }
            match self.processes.take_out() {
                Ok(process) => deaths = if self.feed(process, first) { deaths + 1 } else { 0 },
                Err(error) => first.failed(error),
            }
        }
    }

    /// Feeds one worker. True: it died before `first` began, which is the next again.
    fn feed(&mut self, mut process: Box<Process>, first: Box<dyn Parcel>) -> bool {
        let too_much = self.send(&mut process, first, false);
        debug_assert!(too_much.is_none(), "only what is sent ahead can be too much");
        let mut done_at = Instant::now();
        loop {
            self.send_ahead(&mut process);
            if let Some(Flight { parcel, ticket }) = self.flights.front() {
                serving::note_run(&process, &parcel.task(), *ticket);
            }
            let _ = process.flush();
            let Some(head) = self.flights.pop_front() else {
                self.processes.take_in(process);
                return false;
            };
            match self.see_through(&mut process, head) {
                Ok(()) => {
                    let now = Instant::now();
                    let took = now - done_at;
                    done_at = now;
                    self.pace = Some(self.pace.map_or(took, |pace| (pace * 7 + took) / 8));
                }
                // Its worker is gone.
                Err(first) => {
                    self.put_back_all();
                    let not_begun = first.is_some();
                    first.into_iter().for_each(|first| self.next.push_front(first));
                    return not_begun;
                }
            }
        }
    }

    /// Sends a task, or gives it back if it is too much to be sent ahead.
    fn send(
        &mut self,
        process: &mut Process,
        parcel: Box<dyn Parcel>,
        ahead: bool,
    ) -> Option<Box<dyn Parcel>> {
        let sending = if ahead { Sending::Ahead } else { Sending::Alone };
        match process.append(&*parcel, about(&parcel.task(), &self.local), sending) {
            Ok(Some(ticket)) => self.flights.push_back(Flight { parcel, ticket }),
            Ok(None) => return Some(parcel),
            Err(error) => parcel.failed(error),
        }
        None
    }

    /// Sends as many tasks ahead as the worker does in a short time.
    fn send_ahead(&mut self, process: &mut Process) {
        let ahead = match self.pace {
            None => 1,
            Some(pace) => {
                (AHEAD_TIME.as_nanos() / pace.as_nanos().max(1)).min(AHEAD_MAX as u128) as usize
            }
        };
        // Refilled when half is done, so that many go in one frame.
        if self.flights.len() > ahead / 2 {
            return;
        }
        while self.flights.len() <= ahead {
            let next = self.next.pop_front().or_else(|| collect_next(self.more));
            let Some(parcel) = next else { return };
            let ahead = !self.flights.is_empty();
            if let Some(parcel) = self.send(process, parcel, ahead) {
                // It goes when the worker has done all that was sent.
                return self.next.push_front(parcel);
            }
        }
    }

    /// Does what the first task asks for, until it is done. Err: its worker is gone, and if the task had not
    /// begun, this is it.
    fn see_through(
        &mut self,
        process: &mut Process,
        head: Flight,
    ) -> std::result::Result<(), Option<Box<dyn Parcel>>> {
        let Flight { parcel, ticket } = head;
        let task = parcel.task();
        let (flights, next, local) = (&mut self.flights, &mut self.next, &self.local);
        let patience = (!flights.is_empty() || !next.is_empty()).then_some(PATIENCE);
        let mut own = Own::default();
        let mut seen = Seen::NotBegun(String::new());
        parcel.begins();
        let see = || {
            let mut take_back = |process: &mut Process| {
                let Some(begun) = process.take_back_behind(ticket) else { return false };
                while flights.back().is_some_and(|last| last.ticket > begun)
                    && let Some(Flight { parcel, .. }) = flights.pop_back()
                {
                    put_back(parcel, local);
                }
                // What was too much to be sent ahead is behind it, too.
                next.drain(..).rev().for_each(|parcel| put_back(parcel, local));
                true
            };
            seen = serving::see_through(process, &task, ticket, patience, &mut take_back);
            Ok(())
        };
        if let Err(error) = current::in_task_with(&task, &mut own, see) {
            // What the program's code does here is caught elsewhere.
            seen = Seen::Failed(error);
        }
        match seen {
            Seen::Done(done) => {
                match done.answer(process) {
                    Ok(answer) => parcel.done(answer),
                    Err(error) => parcel.failed(error),
                }
                Ok(())
            }
            Seen::Item(_) => {
                parcel.failed(no_stream());
                Err(None)
            }
            Seen::NotBegun(_) => Err(Some(parcel)),
            Seen::Failed(error) => {
                parcel.failed(error);
                Err(None)
            }
        }
    }

    /// Puts all that was sent and has not begun back into the queues.
    fn put_back_all(&mut self) {
        for Flight { parcel, .. } in self.flights.drain(..) {
            put_back(parcel, &self.local);
        }
    }
}

/// Puts a task back that was collected, by its entry.
fn put_back(parcel: Box<dyn Parcel>, local: &Arc<Local>) {
    // SAFETY: only what was collected is behind another, sent or not, and that came of its entry.
    unsafe { parcel.put_back(local) }
}
