//! What a worker has of objects that live with the driver: refs to cells whose values come when somebody asks.
//!
//! Such a cell is an *import*. It is pending, its promise kept here, until its value has come; when the last
//! ref to it in this process is gone, the driver is told. What a task stores stays here as an ordinary cell
//! until its ref leaves: then it is *exported*, value and all.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::cluster::arena::{Page, Reader, Writer};
use crate::cluster::argument::Packing;
use crate::cluster::channel::{Frame, Incoming, NoFrame, Outgoing};
use crate::cluster::frame::{
    self, Answered, Body, Bytes, EndedWait, Outcome, SubmitHead, ToDriver, ToWorker,
};
use crate::cluster::turn::Ticket;
use crate::cluster::upstream::{Departure, Pending, Upstream};
use crate::cluster::worker::among::{self, Among, Questions};
use crate::cluster::worker::granted::{self, Asked};
use crate::cluster::worker::task::{self, Running};
use crate::cluster::{coder, error_of};
use crate::error::{Failed, Result};
use crate::local::abroad;
use crate::local::cell::AnyRef;
use crate::local::ids;
use crate::local::waiting::{self, Ended};
use crate::wire::Held;

/// After so many new imports, those that nobody has any more are looked for.
const SWEEP_EVERY: usize = 1024;
/// How long a look at whether the driver has read a long value waits before the next.
const LOOK: Duration = Duration::from_micros(20);

struct Import {
    /// How often this process was given the id.
    count: u32,
    /// Gone when the value has come.
    pending: Option<Box<dyn Pending>>,
    /// It was asked for, and comes by itself.
    subscribed: bool,
}

/// A frame that came while something else was awaited.
pub(super) type Late = (ToWorker, Vec<u8>);

/// A worker's ends of what it shares with the driver.
pub(crate) struct Connection {
    /// The first thread's.
    incoming: Mutex<Incoming>,
    backlog: Mutex<VecDeque<Late>>,
    outgoing: Mutex<Outgoing>,
    /// In a `Lease` while somebody writes with it.
    writer: Mutex<Option<Writer>>,
    /// How many frames with long values were sent.
    shared_sent: Mutex<u64>,
    reader: Reader,
    page: Arc<Page>,
    imports: Mutex<HashMap<Uuid, Import>>,
    /// Objects that this process has let go of, to be told.
    let_go: Mutex<Vec<(Uuid, u32)>>,
    since_sweep: Mutex<usize>,
    running: Running,
    questions: Questions,
    /// Objects that are being exported.
    exporting: Mutex<Vec<Uuid>>,
    exported: Condvar,
}

/// An object that is being exported, until it was.
struct Exporting<'a> {
    connection: &'a Connection,
    id: Uuid,
}

impl Drop for Exporting<'_> {
    fn drop(&mut self) {
        lock(&self.connection.exporting).retain(|id| *id != self.id);
        self.connection.exported.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    pub(super) fn new(
        incoming: Incoming,
        outgoing: Outgoing,
        writer: Writer,
        reader: Reader,
        page: Arc<Page>,
    ) -> Self {
        Self {
            incoming: Mutex::new(incoming),
            backlog: Mutex::default(),
            outgoing: Mutex::new(outgoing),
            writer: Mutex::new(Some(writer)),
            shared_sent: Mutex::new(0),
            reader,
            page,
            imports: Mutex::default(),
            let_go: Mutex::default(),
            since_sweep: Mutex::new(0),
            running: Running::default(),
            questions: Questions::default(),
            exporting: Mutex::default(),
            exported: Condvar::new(),
        }
    }

    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    pub(super) fn questions(&self) -> &Questions {
        &self.questions
    }

    /// The next frame for the first thread.
    pub(super) fn receive(&self) -> Result<Late> {
        let mut incoming = lock(&self.incoming);
        let frame: Frame<ToWorker> = incoming.receive(None).map_err(|no_frame| match no_frame {
            NoFrame::Garbled(error) => error,
            NoFrame::Late | NoFrame::Gone => frame::garbled("the driver is gone"),
        })?;
        let body = incoming.body(&frame).to_vec();
        Ok((frame.head, body))
    }

    pub(super) fn take_backlog(&self, into: &mut VecDeque<Late>) {
        into.append(&mut lock(&self.backlog));
    }

    pub(super) fn bytes<'a>(&'a self, body: &'a [u8]) -> Bytes<'a> {
        Bytes { body, shared: Some(&self.reader) }
    }

    /// Sends a frame. If the driver is gone, so is this process, soon.
    pub(super) fn send(&self, head: &ToDriver, body: &[u8]) {
        let let_go = self.take_let_go();
        let mut outgoing = lock(&self.outgoing);
        if !let_go.is_empty() {
            let _ = outgoing.append(&ToDriver::Release { ids: let_go }, &[]);
        }
        let asks = matches!(head, ToDriver::Submit(_) | ToDriver::Await { .. } | ToDriver::TaskId);
        if let Some(Among { ticket, .. }) = among::here().filter(|_| asks) {
            let _ = outgoing.append(&ToDriver::By { ticket }, &[]);
        }
        if let Err(error) = outgoing.append(head, body) {
            // Only a result can be too long, and its task has failed then.
            if let ToDriver::Done { ticket, how, let_go, .. } = head {
                let outcome = Err(Failed::from(&error));
                let let_go = let_go.clone();
                let done = ToDriver::Done { ticket: *ticket, outcome, how: *how, let_go };
                let _ = outgoing.append(&done, &[]);
            }
        }
        let _ = outgoing.flush();
    }

    /// Sends an item of a stream.
    pub(super) fn send_item(
        &self,
        ticket: Ticket,
        outcome: Outcome,
        held: &[Held],
        mut lease: Lease<'_>,
    ) {
        self.export_held(held);
        let keep = held.iter().map(|held| held.id).collect();
        let body = lease.body.take();
        self.send_leased(&lease, &ToDriver::Item { ticket, outcome, keep }, &body);
    }

    /// Waits on the first thread until another item is wanted. False: no more are.
    pub(super) fn wait_for_more(&self, ticket: Ticket) -> bool {
        let asked = granted::ask(None, || {
            loop {
                let Ok((head, body)) = self.receive() else { super::end() };
                match head {
                    ToWorker::More { ticket: of, wanted } if of == ticket => return wanted,
                    other => lock(&self.backlog).push_back((other, body)),
                }
            }
        });
        matches!(asked, Asked::Answered(true))
    }

    /// Tells what came of a task.
    pub(super) fn done(&self, ticket: Ticket, ended: task::Ended, mut lease: Lease<'_>) {
        let task::Ended { outcome, held, how, .. } = ended;
        self.export_held(&held);
        // The driver keeps what this process lets go of until it has read the result. Where others tell it of that
        // meanwhile, it does so here by the name, and this lets go when it has been told.
        let held = match among::here() {
            Some(_) => held,
            None => {
                drop(held);
                Vec::new()
            }
        };
        self.sweep();
        let mut let_go = self.take_let_go();
        let_go.extend(held.iter().map(|held| (held.id, 0)));
        let body = lease.body.take();
        let done = ToDriver::Done { ticket, outcome, how, let_go };
        self.send_leased(&lease, &done, &body);
        drop(lease);
        if !held.is_empty() {
            drop(held);
            self.sweep();
            let ids = self.take_let_go();
            self.send(&ToDriver::Release { ids }, &[]);
        }
    }

    /// What this process has let go of since it told the driver.
    pub(super) fn take_let_go(&self) -> Vec<(Uuid, u32)> {
        std::mem::take(&mut *lock(&self.let_go))
    }

    /// Memory for long values, if nobody else has it, once the driver has read what was written before.
    pub(crate) fn borrow_writer(&self) -> Lease<'_> {
        let mut writer = lock(&self.writer).take();
        if let Some(writer) = &mut writer {
            let sent = *lock(&self.shared_sent);
            // Acquire: pairs with the Release of the driver, which has read by then. It reads all that comes, and
            // when it ends, so does this process: so the wait ends.
            while self.page.taken().load(Ordering::Acquire) != sent {
                std::thread::sleep(LOOK);
            }
            writer.rewind();
        }
        Lease { connection: self, body: Body::new(writer) }
    }

    /// The value of an import has come.
    pub(super) fn arrived(&self, id: Uuid, answer: std::result::Result<Result<&[u8]>, Failed>) {
        let pending = lock(&self.imports).get_mut(&id).and_then(|import| import.pending.take());
        let Some(pending) = pending else { return };
        let answer = match answer {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(Failed::from(&error)),
            Err(failed) => Err(failed),
        };
        pending.complete(answer, 1);
    }

    /// Notes that this process was given a ref, which is `pending` if it is new. Gives what was pending of an object of
    /// that id that has no ref any more.
    fn import(&self, id: Uuid, pending: Option<Box<dyn Pending>>) -> Option<Box<dyn Pending>> {
        let mut imports = lock(&self.imports);
        let new = Import { count: 0, pending: None, subscribed: false };
        let import = imports.entry(id).or_insert(new);
        import.count += 1;
        let before = match pending {
            None => None,
            pending => {
                import.subscribed = false;
                std::mem::replace(&mut import.pending, pending)
            }
        };
        drop(imports);
        *lock(&self.since_sweep) += 1;
        before
    }

    /// Looks for imports that nobody has any more, where there were many new ones.
    fn sweep_if_due(&self) {
        let mut since = lock(&self.since_sweep);
        let is_due = *since >= SWEEP_EVERY;
        if is_due {
            *since = 0;
        }
        drop(since);
        if is_due {
            self.sweep();
        }
    }

    /// Notes that this process was given a ref again that it has already.
    fn import_again(&self, id: Uuid) {
        if let Some(import) = lock(&self.imports).get_mut(&id) {
            import.count += 1;
        }
    }

    fn is_import(&self, id: &Uuid) -> bool {
        lock(&self.imports).contains_key(id)
    }

    /// Ends imports that never came and that nobody here has any more.
    pub(super) fn sweep(&self) {
        let pending: Vec<Uuid> = {
            let imports = lock(&self.imports);
            imports
                .iter()
                .filter(|(_, import)| import.pending.is_some())
                .map(|(id, _)| *id)
                .collect()
        };
        let making = ids::making();
        let ended: Vec<_> = pending
            .into_iter()
            .filter(ids::forget_if_unheld)
            .filter_map(|id| Some((id, lock(&self.imports).remove(&id)?)))
            .collect();
        drop(making);
        lock(&self.let_go).extend(ended.iter().map(|(id, import)| (*id, import.count)));
        // Their promises are the last holds on the cells, which go with them.
        drop(ended);
    }

    /// Sends the values of those refs that the driver does not know.
    pub(crate) fn export_held(&self, held: &[Held]) {
        for Held { id, .. } in held {
            if let Some(any) = ids::find(*id) {
                self.export(*id, &any);
            }
        }
    }

    /// The right to export an object. None: the driver knows it; if another thread was at it, from now on.
    fn begin_export(&self, id: Uuid) -> Option<Exporting<'_>> {
        let mut exporting = lock(&self.exporting);
        while exporting.contains(&id) {
            exporting = self.exported.wait(exporting).unwrap_or_else(PoisonError::into_inner);
        }
        let begins = !self.is_import(&id);
        begins.then(|| {
            exporting.push(id);
            Exporting { connection: self, id }
        })
    }

    /// Lets the driver know an object of this process, value and all.
    pub(crate) fn export(&self, id: Uuid, any: &AnyRef) {
        let Some(_exporting) = self.begin_export(id) else { return };
        // Of a part of what a call returns, the call's result has to be here first.
        let here = waiting::wait_for_good(any);
        let mut lease = self.borrow_writer();
        let mut held = Vec::new();
        let encoded = lease.body.part(|sink| {
            here?;
            held = coder::encode(any, sink)?;
            Ok(())
        });
        self.export_held(&held);
        let keep = held.iter().map(|held| held.id).collect();
        // A failure goes as one.
        let value = encoded.map_err(|error| Failed::from(&error));
        let body = lease.body.take();
        drop(self.import(id, None));
        self.send_leased(&lease, &ToDriver::Object { id, value, keep }, &body);
    }

    /// Sends a frame whose long values are in shared memory.
    pub(crate) fn send_leased(&self, lease: &Lease<'_>, head: &ToDriver, body: &[u8]) {
        if lease.body.is_shared() {
            *lock(&self.shared_sent) += 1;
        }
        self.send(head, body);
    }

    /// The imports among what is awaited: a ref itself, or what it is made of.
    fn imports_of(&self, refs: &[&AnyRef], into: &mut Vec<Uuid>) {
        for any in refs.iter().filter(|any| !any.is_complete()) {
            match any.known_id() {
                Some(id) if self.is_import(&id) => into.push(id),
                _ => {
                    let producers: Vec<&AnyRef> = any.producers().unwrap_or(&[]).iter().collect();
                    if !producers.is_empty() {
                        self.imports_of(&producers, into);
                    }
                }
            }
        }
    }

    /// Asks for the id of the task that this process runs on the first thread, or that of a call that is one of several.
    fn task_id(&self, task: &AnyRef) -> Option<Uuid> {
        if let Some(Among { ticket, .. }) = among::here() {
            if !self.running.is_among(ticket, task) {
                return None;
            }
            return match self.questions.ask(ticket, || self.send(&ToDriver::TaskId, &[])) {
                Some(Answered::TaskId(id)) => Some(id),
                _ => super::end(),
            };
        }
        if !self.running.is_it(task) {
            return None;
        }
        self.send(&ToDriver::TaskId, &[]);
        loop {
            let Ok((head, body)) = self.receive() else { super::end() };
            match head {
                ToWorker::TaskId { id } => return Some(id),
                other => lock(&self.backlog).push_back((other, body)),
            }
        }
    }

    /// Waits for objects on the first thread, or on that of a call that is one of several.
    fn wait(&self, ids: Vec<Uuid>, any: bool, deadline: Option<Instant>) -> Result<(), Ended> {
        self.sweep_if_due();
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let ask = || self.send(&ToDriver::Await { ids, any, timeout }, &[]);
        let of_wait = |ended| match ended {
            None => Ok(()),
            Some(EndedWait::TimedOut) => Err(Ended::TimedOut),
            Some(EndedWait::Never(why)) => Err(Ended::Never(error_of(why))),
        };
        if let Some(Among { ticket, .. }) = among::here() {
            match self.questions.ask(ticket, ask) {
                Some(Answered::Waited(ended)) => return of_wait(ended),
                _ => super::end(),
            }
        }
        ask();
        loop {
            let Ok((head, body)) = self.receive() else { super::end() };
            match head {
                ToWorker::Arrived { values, ended } => {
                    let bytes = self.bytes(&body);
                    for (id, outcome) in values {
                        self.arrived(id, outcome.map(|part| bytes.part(part)));
                    }
                    return of_wait(ended);
                }
                other => lock(&self.backlog).push_back((other, body)),
            }
        }
    }
}

/// The right to write long values, until the frame that tells of them was sent.
pub(crate) struct Lease<'a> {
    connection: &'a Connection,
    pub(crate) body: Body,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let body = std::mem::replace(&mut self.body, Body::new(None));
        if let Some(writer) = body.into_shared() {
            *lock(&self.connection.writer) = Some(writer);
        }
    }
}

/// This process's home.
pub(super) struct Home(pub(super) &'static Connection);

impl abroad::Home for Home {
    fn bring(
        &self,
        refs: &[&AnyRef],
        any: bool,
        deadline: Option<Instant>,
    ) -> Option<Result<(), Ended>> {
        let mut ids = Vec::new();
        self.0.imports_of(refs, &mut ids);
        if ids.is_empty() {
            return None;
        }
        let asked = granted::ask(deadline, || {
            if cfg!(feature = "rayon") {
                // Others of this call may have asked meanwhile.
                ids.clear();
                self.0.imports_of(refs, &mut ids);
                if ids.is_empty() || (any && refs.iter().any(|any| any.is_complete())) {
                    return Ok(());
                }
            }
            self.0.wait(ids, any, deadline)
        });
        match asked {
            Asked::Answered(brought) => Some(brought),
            Asked::TooLate => Some(Err(Ended::TimedOut)),
            Asked::OfNone => {
                refs.iter().for_each(|any| self.subscribe(any));
                None
            }
        }
    }

    fn subscribe(&self, any: &AnyRef) {
        let mut ids = Vec::new();
        self.0.imports_of(&[any], &mut ids);
        for id in ids {
            let first = lock(&self.0.imports)
                .get_mut(&id)
                .is_some_and(|import| !std::mem::replace(&mut import.subscribed, true));
            if first {
                self.0.send(&ToDriver::Subscribe { id }, &[]);
            }
        }
    }

    /// Messages are read by who waits.
    fn look(&self, any: &AnyRef) {
        // It came, or did not.
        let _ = self.bring(&[any], true, Some(Instant::now()));
    }

    fn cancel(&self, any: &AnyRef, children: bool, force: bool) {
        let mut ids = Vec::new();
        self.0.imports_of(&[any], &mut ids);
        for id in ids {
            self.0.send(&ToDriver::Cancel { id, children, force }, &[]);
        }
    }

    fn is_of_actor(&self, _: &AnyRef) -> bool {
        // The driver knows, and may kill those, too.
        false
    }

    fn task_id(&self, task: &AnyRef) -> Option<Uuid> {
        match granted::ask(None, || self.0.task_id(task)) {
            Asked::Answered(id) => id,
            Asked::TooLate | Asked::OfNone => None,
        }
    }

    fn let_go(&self, id: &Uuid) {
        let mut imports = lock(&self.0.imports);
        if imports.get(id).is_some_and(|import| import.pending.is_some()) {
            // It is another's by now.
            return;
        }
        let import = imports.remove(id);
        drop(imports);
        if let Some(Import { count, .. }) = import {
            lock(&self.0.let_go).push((*id, count));
        }
    }

    fn cpu(&self) -> Option<usize> {
        among::here().map_or_else(|| self.0.running.cpu(), |among| among.cpu)
    }

    fn restarts(&self) -> Option<u32> {
        self.0.running.restarts()
    }

    fn exit_actor(&self) -> bool {
        let is_actor = self.restarts().is_some();
        if is_actor {
            self.0.send(&ToDriver::ExitActor, &[]);
        }
        is_actor
    }
}

impl Upstream for Connection {
    fn submit(&self, call: Departure<'_>, pending: Box<dyn Pending>) -> Result<()> {
        self.sweep_if_due();
        let Departure { id, registered, pack, options, stands_at, place, .. } = call;
        let mut lease = self.borrow_writer();
        let mut packing = Packing::ids(&mut lease.body);
        pack(&mut packing)?;
        let Packing { arguments, held, objects, .. } = packing;
        let values = lease.body.take();
        objects.iter().for_each(|(id, any)| self.export(*id, any));
        self.export_held(&held);
        drop(self.import(id, Some(pending)));
        let keep = held.iter().map(|held| held.id).collect();
        let function = registered.name().to_owned();
        let head = SubmitHead { id, function, arguments, keep, options, stands_at, place };
        self.send_leased(&lease, &ToDriver::Submit(Box::new(head)), &values);
        Ok(())
    }

    fn import(&self, id: Uuid, pending: Box<dyn Pending>) -> Option<Box<dyn Pending>> {
        self.import(id, Some(pending))
    }

    fn import_again(&self, id: Uuid) {
        self.import_again(id);
    }

    fn take_once(&self, _: Uuid) {
        // The driver counts how often it has given the id.
    }

    fn let_go_once(&self, id: Uuid) {
        lock(&self.let_go).push((id, 1));
    }

    fn want_items(&self, _: Uuid, _: usize) {
        unreachable!("a worker asks its driver for each item")
    }
}
