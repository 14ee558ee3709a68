//! One worker, as the driver sees it: a child, a connection, and what it was lent.

use std::collections::{HashMap, HashSet};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use uuid::Uuid;

use crate::cluster::arena::{Page, Reader, Writer};
use crate::cluster::argument::{Packing, What};
use crate::cluster::channel::{Frame, Incoming, NoFrame, Outgoing};
use crate::cluster::coder;
use crate::cluster::frame::{
    About, Body, Bytes, INLINE_BYTES_MAX, Part, TaskHead, ToDriver, ToWorker,
};
use crate::cluster::processes::output::{LastLines, Output, Printer};
use crate::cluster::processes::spawn::{self, Serves};
use crate::cluster::turn::{self, Ticket};
use crate::cluster::{Cargo, engine_error};
use crate::error::{Error, ErrorKind, Result};
use crate::local::cell::AnyRef;
use crate::local::family::FamilyId;
use crate::local::{ids, panics, waits};
use crate::wire::Held;

/// How long a worker may take until it serves: its `main` may have work to do before `init`.
const START_MAX: Duration = Duration::from_secs(60);
/// How long a worker whose connection ended may take to end itself.
const END_MAX: Duration = Duration::from_secs(2);
/// How long a result waits for what its task has printed.
const OUTPUT_MAX: Duration = Duration::from_secs(1);
/// How many objects a worker has before it is told which of them are gone.
const KNOWN_CHECK_MIN: usize = 64;
/// How much may be sent ahead to a worker that computes: less than a socket holds, so that sending never waits.
const AHEAD_BYTES_MAX: usize = INLINE_BYTES_MAX;

/// In what company a task is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// The worker waits for it.
    Alone,
    /// Behind others, and may be taken back.
    Ahead,
    /// While others may run.
    Among,
}

/// A worker. Whoever has it is the only one who talks to it; what others may do goes by its [`Control`].
pub(crate) struct Process {
    child: Child,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    /// Where long values go; in a `Body` while one is being made.
    writer: Option<Writer>,
    pub(super) reader: Reader,
    pub(super) page: Arc<Page>,
    /// A value that was received last lies in shared memory, and may be read until the next is received.
    reads_shared: bool,
    epoch: u32,
    /// The ticket given out last.
    last_ticket: Ticket,
    /// What was sent since the last flush.
    unflushed: usize,
    /// The objects that it has.
    known: HashSet<Uuid>,
    /// One of them is long, or was when somebody last looked which are gone.
    knows_long: bool,
    /// What it holds refs to.
    pub(super) lent: HashMap<Uuid, Lent>,
    /// What it has let go of, and how often it had been given each; kept until its last result was read.
    pub(super) let_go: Vec<(Uuid, u32)>,
    pub(crate) control: Arc<Control>,
    last_lines: Arc<LastLines>,
    printers: Vec<Printer>,
}

/// An object that a worker has refs to, or an actor of which it has handles.
pub(super) struct Lent {
    pub(super) what: What,
    /// How often it was given the id.
    pub(super) count: u32,
}

/// What others than its holder may do to a worker.
pub(crate) struct Control {
    pub(crate) pid: Pid,
    urgent: Mutex<Outgoing>,
    page: Arc<Page>,
    head: Mutex<Head>,
    /// What was lent by others than the holder.
    lent: Mutex<Vec<Held>>,
}

/// What it runs, as far as the driver knows.
#[derive(Default)]
struct Head {
    /// The address of the task's cell; 0: none.
    task: usize,
    /// That of the task which submitted it; none if it is an actor's.
    family: FamilyId,
    ticket: Ticket,
    name: String,
    /// Those that it runs side by side: their tickets, and the addresses of their cells.
    others: Vec<(Ticket, usize)>,
    /// The last that had begun when an epoch ended.
    begun_before: Ticket,
    /// Somebody killed the process for the task's sake.
    forced: bool,
    /// The same, for the sake of one of the others.
    forced_among: Option<Ticket>,
    /// The child was waited for, so its number may be another's by now.
    gone: bool,
}

impl Control {
    fn head(&self) -> std::sync::MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something to the worker that it hears while it computes. If it is gone, nobody needs to hear.
    ///
    /// # Errors
    /// Of what is too long to be said.
    pub(crate) fn tell(&self, head: &ToWorker, body: &[u8]) -> Result<()> {
        let mut urgent = self.urgent.lock().unwrap_or_else(PoisonError::into_inner);
        urgent.send(head, body).map(drop)
    }

    /// Keeps what the worker gets refs to, until its holder does.
    pub(super) fn lend(&self, held: Vec<Held>) {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner).extend(held);
    }

    /// Ends the epoch, as [`turn::take_back`].
    fn take_back(&self, epoch: u32, first: Ticket) -> Option<Ticket> {
        // Whoever may kill must not see the new epoch without the note.
        let mut head = self.head();
        let begun = turn::take_back(self.page.turn(), epoch, first)?;
        if !turn::is_before_first(begun) {
            head.begun_before = begun;
        }
        Some(begun)
    }

    /// Kills the worker, if it runs this task, or one of these families. False: it does not run this task.
    pub(crate) fn kill_if_it_runs(&self, task: usize, families: &[FamilyId]) -> bool {
        let mut head = self.head();
        if head.gone {
            return false;
        }
        let begun = match turn::begun(self.page.turn()) {
            begun if turn::is_before_first(begun) => head.begun_before,
            begun => begun,
        };
        let among = head.others.iter().find(|(ticket, other)| *other == task && *ticket <= begun);
        let among = among.map(|(ticket, _)| *ticket);
        let is_meant = head.task == task || families.contains(&head.family);
        let alone = head.task != 0 && is_meant && begun == head.ticket;
        if alone || among.is_some() {
            head.forced = alone;
            head.forced_among = head.forced_among.or(among);
            if alone {
                waits::end_of_killed(head.task);
            } else if head.forced_among == among {
                waits::end_of_killed(task);
            }
            let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        }
        among.is_some() || alone && head.task == task
    }

    /// Notes what the worker runs now.
    pub(super) fn runs(&self, task: usize, family: FamilyId, ticket: Ticket, name: &str) {
        let mut head = self.head();
        // It is noted again when it is waited for: by then somebody may have killed the process for its sake.
        head.forced &= (head.task, head.ticket) == (task, ticket);
        (head.task, head.family, head.ticket) = (task, family, ticket);
        head.name.clear();
        head.name.push_str(name);
    }

    /// Notes that it runs this task among others.
    pub(super) fn runs_among(&self, task: usize, ticket: Ticket) {
        self.head().others.push((ticket, task));
    }

    /// Notes that one of several has ended.
    pub(super) fn ends_among(&self, ticket: Ticket) {
        let mut head = self.head();
        let place = head.others.iter().position(|(other, _)| *other == ticket);
        let task = place.map(|place| head.others.swap_remove(place).1);
        if head.forced_among == Some(ticket) {
            task.into_iter().for_each(waits::forget_killed);
        }
    }

    /// For the sake of which of several it was killed, if it was.
    pub(super) fn forced_among(&self) -> Option<Ticket> {
        self.head().forced_among
    }

    /// Notes that it runs nothing. True: it was killed for the task's sake.
    pub(super) fn rests(&self) -> bool {
        let mut head = self.head();
        let task = std::mem::take(&mut head.task);
        let forced = std::mem::take(&mut head.forced);
        if forced {
            waits::forget_killed(task);
        }
        forced
    }
}

impl Process {
    /// Starts a worker and waits until it serves. None: it was killed before.
    ///
    /// # Errors
    /// `Engine`, if that fails.
    pub(crate) fn start(
        serves: Serves,
        num_cpus: usize,
        block_warning: Duration,
        output: Option<&Arc<Output>>,
    ) -> Result<Option<Self>> {
        let failed = |why: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Engine, format!("failed to start a worker process: {why}"))
        };
        let (mut child, ends) =
            spawn::spawn(serves, output.is_some()).map_err(|error| failed(&error))?;
        let page = Arc::new(Page::map(&ends.page).map_err(|error| failed(&error))?);
        let pid = Pid::from_child(&child);
        let control = Arc::new(Control {
            pid,
            urgent: Mutex::new(Outgoing::new(ends.urgent)),
            page: Arc::clone(&page),
            head: Mutex::default(),
            lent: Mutex::default(),
        });
        let last_lines = Arc::new(LastLines::default());
        let mut printers = Vec::new();
        if let Some(output) = output {
            let prefix = || {
                let control = Arc::clone(&control);
                move || {
                    let head = control.head();
                    let name = if head.name.is_empty() { "worker" } else { &head.name };
                    format!("[{name} pid={}]", control.pid.as_raw_nonzero())
                }
            };
            let (output, last) = (|| Arc::clone(output), || Arc::clone(&last_lines));
            if let Some(stdout) = child.stdout.take() {
                let printer = Printer::start(stdout.into(), false, output(), last(), prefix());
                printers.push(printer.map_err(|error| failed(&error))?);
            }
            if let Some(stderr) = child.stderr.take() {
                let printer = Printer::start(stderr.into(), true, output(), last(), prefix());
                printers.push(printer.map_err(|error| failed(&error))?);
            }
        }
        let reading = ends.tasks.try_clone().map_err(|error| failed(&error))?;
        let mut process = Self {
            child,
            incoming: Incoming::new(reading),
            outgoing: Outgoing::new(ends.tasks),
            writer: Some(Writer::new(ends.to_worker)),
            reader: Reader::new(ends.to_driver),
            page,
            reads_shared: false,
            epoch: 0,
            last_ticket: 0,
            unflushed: 0,
            known: HashSet::new(),
            knows_long: false,
            lent: HashMap::new(),
            let_go: Vec::new(),
            control,
            last_lines,
            printers,
        };
        let _ = process.outgoing.send(&ToWorker::Welcome { num_cpus, block_warning }, &[])?;
        match process.incoming.receive::<ToDriver>(Some(START_MAX)).map(|frame| frame.head) {
            Ok(ToDriver::Ready) => Ok(Some(process)),
            Ok(_) => Err(failed(&"it said something else than that it serves")),
            Err(NoFrame::Late) => {
                Err(failed(&format_args!("it did not serve within {START_MAX:?}")))
            }
            Err(NoFrame::Gone | NoFrame::Garbled(_)) => {
                let End { how: end, killed } = process.ended();
                if killed {
                    return Ok(None);
                }
                Err(failed(&format_args!(
                    "it ended before it served: {end}; where `main` calls `init`, a worker runs `main` up to \
                     that call, with the same arguments"
                )))
            }
        }
    }

    /// Lets values lie in shared memory, or not: where the worker has not read those sent before.
    fn body(&mut self, shared: bool) -> Body {
        let mut writer = if shared { self.writer.take() } else { None };
        if let Some(writer) = &mut writer {
            writer.rewind();
        }
        Body::new(writer)
    }

    fn put_back(&mut self, body: Body) {
        if let Some(writer) = body.into_shared() {
            self.writer = Some(writer);
        }
    }

    /// Lets a task be sent with the next `flush`, and gives its ticket. None: it is too much to be sent ahead.
    ///
    /// # Errors
    /// Those of encoding its arguments.
    pub(super) fn append(
        &mut self,
        cargo: &dyn Cargo,
        about: About,
        sending: Sending,
    ) -> Result<Option<Ticket>> {
        // Those that run may still read what lies in shared memory.
        let mut body = self.body(sending == Sending::Alone);
        let appended = self.append_with(&mut body, cargo, about, sending == Sending::Ahead);
        self.put_back(body);
        appended
    }

    fn append_with(
        &mut self,
        body: &mut Body,
        cargo: &dyn Cargo,
        about: About,
        ahead: bool,
    ) -> Result<Option<Ticket>> {
        let mut packing = Packing::values(body);
        cargo.pack(&mut packing)?;
        let Packing { arguments, held, objects, .. } = packing;
        // What was sent ahead may be taken back, so nothing is lent with it.
        let lends = !objects.is_empty() || !held.is_empty();
        if ahead && (lends || self.unflushed + body.len() > AHEAD_BYTES_MAX) {
            return Ok(None);
        }
        let values = body.take();
        self.forget_what_is_gone();
        let mut once = Vec::new();
        let sent = objects.into_iter().try_for_each(|(id, any)| {
            if !self.known.contains(&id) && self.append_object(body, id, &any)? {
                once.push(id);
            }
            Ok(())
        });
        for id in once {
            self.known.remove(&id);
        }
        sent?;
        let ticket = self.last_ticket + 1;
        let function = cargo.function().name().to_owned();
        let head = TaskHead { ticket, function, arguments, about };
        self.outgoing.append(&ToWorker::Task(Box::new(head)), &values)?;
        self.unflushed += values.len();
        self.last_ticket = ticket;
        self.lend(held);
        Ok(Some(ticket))
    }

    /// Sends an object that the worker does not know. Whether it is for one task.
    fn append_object(&mut self, body: &mut Body, id: Uuid, any: &AnyRef) -> Result<bool> {
        let mut held = Vec::new();
        let value = body.part(|sink| {
            held = coder::encode(any, sink)?;
            Ok(())
        })?;
        let bytes = body.take();
        // A handle in it would keep its actor for as long as the worker has it.
        let once = held.iter().any(|held| ids::find(held.id).is_none());
        self.knows_long |= value.is_shared() && !once;
        self.outgoing.append(&ToWorker::Object { id, value, once }, &bytes)?;
        self.known.insert(id);
        self.lend(held);
        Ok(once)
    }

    /// Keeps what the worker gets refs to.
    pub(super) fn lend(&mut self, held: Vec<Held>) {
        for Held { id, what } in held {
            match self.lent.get_mut(&id) {
                Some(lent) => lent.count += 1,
                None => {
                    // An id is an object's, or an actor's.
                    let what = match ids::find(id) {
                        Some(any) => What::Object(any),
                        None => What::Handle(what.into()),
                    };
                    self.lent.insert(id, Lent { what, count: 1 });
                }
            }
        }
    }

    /// A body for an answer, which the worker waits for: it has read all that was sent before.
    pub(super) fn answer(
        &mut self,
        make: impl FnOnce(&mut Self, &mut Body) -> Result<ToWorker>,
    ) -> Result<std::io::Result<()>> {
        let mut body = self.body(true);
        let head = make(self, &mut body);
        let bytes = body.take();
        self.put_back(body);
        self.outgoing.send(&head?, &bytes)
    }

    /// Sends what was appended. An error: the worker is gone.
    pub(super) fn flush(&mut self) -> std::io::Result<()> {
        self.unflushed = 0;
        self.outgoing.flush()
    }

    /// Takes back what was sent behind the task of that ticket and has not begun, and gives the ticket of the last that
    /// has. None: that one has not begun, and stays sent. It may have been lent what is counted once, and what it
    /// needs may lie in shared memory.
    pub(super) fn take_back_behind(&mut self, first: Ticket) -> Option<Ticket> {
        let begun = self.control.take_back(self.epoch, first)?;
        self.epoch = self.epoch.wrapping_add(1);
        self.last_ticket = turn::before_first(self.epoch);
        Some(begun)
    }

    /// Lets the worker forget objects that are gone, where they are long, so that the next has their memory, or many.
    fn forget_what_is_gone(&mut self) {
        if !self.knows_long && self.known.len() < KNOWN_CHECK_MIN {
            return;
        }
        let mut ids = Vec::new();
        self.known.retain(|id| {
            let there = ids::is_there(id);
            if !there {
                ids.push(*id);
            }
            there
        });
        if !ids.is_empty() {
            let _ = self.outgoing.append(&ToWorker::Forget { ids }, &[]);
        }
        self.knows_long &= !self.known.is_empty();
    }

    /// The next frame, if it comes in time; None: whenever it comes. What the last one had in shared memory has
    /// been read.
    pub(super) fn receive(
        &mut self,
        timeout: Option<Duration>,
    ) -> std::result::Result<Frame<ToDriver>, NoFrame> {
        self.was_read();
        let frame = self.incoming.receive(timeout)?;
        let lent =
            std::mem::take(&mut *self.control.lent.lock().unwrap_or_else(PoisonError::into_inner));
        self.lend(lent);
        Ok(frame)
    }

    /// Notes that a value lies in shared memory.
    pub(super) fn note_shared(&mut self, part: &Part) {
        self.reads_shared |= part.is_shared();
    }

    /// Notes that one lay there, and was read.
    pub(super) fn note_shared_now(&mut self) {
        self.reads_shared = true;
        self.release_shared();
    }

    /// Lets the worker write to the shared memory again.
    fn release_shared(&mut self) {
        if std::mem::take(&mut self.reads_shared) {
            // Release: pairs with the Acquire of the worker, which writes after we have read.
            self.page.taken().fetch_add(1, Ordering::Release);
        }
    }

    /// What came last was read: lets go of what was kept for that.
    pub(super) fn was_read(&mut self) {
        self.release_shared();
        for (id, count) in std::mem::take(&mut self.let_go) {
            self.release(id, count);
        }
    }

    /// The worker has let go of what it was given so often.
    pub(super) fn release(&mut self, id: Uuid, count: u32) {
        let Some(lent) = self.lent.get_mut(&id) else { return };
        lent.count = lent.count.saturating_sub(count);
        if lent.count == 0 {
            let gone = self.lent.remove(&id);
            panics::drop_quietly(gone);
        }
    }

    /// What a frame's parts lead to.
    pub(super) fn bytes<'a>(reader: &'a Reader, body: &'a [u8]) -> Bytes<'a> {
        Bytes { body, shared: Some(reader) }
    }

    /// Waits until what the task has printed has come through.
    pub(super) fn wait_for_output(&self, done: impl Fn(&Printer) -> bool) {
        let mut deadline = None;
        while !self.printers.iter().all(&done) {
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + OUTPUT_MAX);
            if Instant::now() > deadline {
                return;
            }
            std::thread::sleep(Duration::from_micros(20));
        }
    }

    /// Waits for the end of a worker whose connection ended, and tells how it came.
    pub(super) fn ended(&mut self) -> End {
        let deadline = Instant::now() + END_MAX;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_micros(200));
                }
                Ok(None) | Err(_) => {
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                    break None;
                }
            }
        };
        self.control.head().gone = true;
        // What it printed last is on its way, unless a child of its own still has the stream.
        self.wait_for_output(Printer::has_ended);
        let mut text = status.map_or_else(|| "closed its connection".to_owned(), describe);
        let lines = self.last_lines.get();
        if !lines.is_empty() {
            text.push_str("; the last lines of its standard error:\n");
            text.push_str(&lines.join("\n"));
        }
        End { how: text, killed: status.is_some_and(|status| status.signal() == Some(KILL)) }
    }
}

/// The number of SIGKILL.
const KILL: i32 = 9;

/// How a worker ended.
pub(super) struct End {
    pub(super) how: String,
    /// By a SIGKILL, which is none of its own doing.
    pub(super) killed: bool,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends by itself when its connection does; this is for the one that does not.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.control.head().gone = true;
        self.control.rests();
        self.wait_for_output(Printer::is_done);
    }
}

/// How a process ended.
fn describe(status: ExitStatus) -> String {
    let Some(signal) = status.signal() else {
        let code = status.code().unwrap_or_default();
        return format!("ended by itself, with exit status {code}");
    };
    let name = match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL, by which the system also ends what takes too much memory",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        _ => return format!("was killed by signal {signal}"),
    };
    format!("was killed by signal {signal} ({name})")
}

/// Why a task failed whose worker did not live to tell.
pub(super) fn crashed(pid: Pid, end: &str) -> Error {
    let message = format!("the process that ran it, {}, {end}", pid.as_raw_nonzero());
    Error::new(ErrorKind::WorkerCrashed, message)
}

/// Why a task failed whose worker said what makes no sense.
pub(super) fn garbled(pid: Pid, error: &Error) -> Error {
    engine_error(format!("worker process {}: {}", pid.as_raw_nonzero(), error.message()))
}
