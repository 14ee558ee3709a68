//! A worker in which an actor lives. It is that actor's until its end, and any task's after that.
//!
//! Calls come one at a time, from whoever has the actor's turn. When the process dies in a call, that call shows
//! it; when it dies between two, whoever watches the process does, so that the actor is made anew, or its end is
//! told, although nobody calls it. For an actor whose calls wait, or compute side by side, they come so: then a thread
//! listens to the process (`listener.rs`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};

use rustix::process::PidfdFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;

use crate::cluster::calls::{self, Calls, News};
use crate::cluster::channel::Frame;
use crate::cluster::frame::{Ended, ToDriver, ToWorker};
use crate::cluster::processes::beside::Callers;
use crate::cluster::processes::listener::Listener;
use crate::cluster::processes::process::{self, Control, Process, Sending};
use crate::cluster::processes::serving::{self, Seen};
use crate::cluster::processes::source::{Keeper, NotBegun, StreamSource};
use crate::cluster::processes::{DEATHS_BEFORE_BEGIN_MAX, Processes, never_began};
use crate::cluster::turn::{self, Ticket};
use crate::cluster::{Answer, Cargo, Host, Progress, Reply, Source, about, error_of, no_stream};
use crate::error::{Error, Result};
use crate::local::actors::Living;
use crate::local::counted::{self, Counted};
use crate::local::current::{self, Task};
use crate::local::family::FamilyId;
use crate::local::life::{self, Lost};
use crate::local::runtimes::{self, Owner};
use crate::local::{Local, pool};

/// An actor's worker.
struct ActorHost {
    shared: Arc<Shared>,
    watch: Option<AbortHandle>,
    listener: Mutex<Option<Listener>>,
}

pub(super) struct Shared {
    local: Weak<Local>,
    /// None: it is gone, or the actor has ended.
    pub(super) process: Mutex<Option<Box<Process>>>,
    /// The calls that were sent and have not ended, where they come side by side.
    pub(super) calls: Calls,
    /// Who has made them, where they compute.
    pub(super) callers: Callers,
    /// Whether `why` says why the actor is gone.
    is_lost: AtomicBool,
    why: Mutex<Option<Error>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes an actor by this call of its constructor.
pub(super) fn start(
    processes: &Processes,
    cargo: &dyn Cargo,
    task: &Task,
) -> Result<Box<dyn Host>> {
    for _ in 0..DEATHS_BEFORE_BEGIN_MAX {
        let shared = Shared {
            local: Weak::clone(&processes.local),
            process: Mutex::new(Some(processes.take_out()?)),
            calls: Calls::default(),
            callers: Callers::default(),
            is_lost: AtomicBool::new(false),
            why: Mutex::default(),
        };
        let (shared, listener) = (Arc::new(shared), Mutex::default());
        let mut host = ActorHost { shared, watch: None, listener };
        let mut made = Ok(());
        let called = host.call(cargo, task, &mut |answer| {
            made = answer.map(drop).map_err(error_of);
            Ok(())
        });
        match life::take_lost_now() {
            Some(Lost::Before(_)) => continue,
            _ => called.and(made)?,
        }
        host.watch = host.shared.watch(task);
        return Ok(Box::new(host));
    }
    Err(never_began())
}

impl Shared {
    fn call(
        &self,
        cargo: &dyn Cargo,
        task: &Task,
        take: &mut dyn FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<()> {
        let local = self.local.upgrade().ok_or_else(|| pool::shut_down_before("it ran"))?;
        let mut place = lock(&self.process);
        let Some(process) = place.as_mut() else {
            return Err(self.lose(self.why_gone(), Lost::Before));
        };
        let ticket = process.append(cargo, about(task, &local), Sending::Alone)?;
        let ticket = ticket.expect("only what is sent ahead can be too much");
        serving::note_run(process, task, ticket);
        // What cannot be sent shows in what cannot be received.
        let _ = process.flush();
        match serving::see_through(process, task, ticket, None, &mut |_| true) {
            Seen::Done(done) => {
                if done.how.crashed {
                    life::note_lost(Lost::Within);
                }
                let taken = done.answer(process).and_then(take);
                process.was_read();
                taken
            }
            Seen::Item(_) => Err(no_stream()),
            Seen::NotBegun(how) => {
                let why = process::crashed(process.control.pid, &how);
                *place = None;
                Err(self.lose(why, Lost::Before))
            }
            Seen::Failed(error) => {
                *place = None;
                Err(self.lose(error, |_| Lost::Within))
            }
        }
    }

    /// Sends a call among others; `compute`: this thread waits for it, as its task.
    fn send(
        &self,
        cargo: &dyn Cargo,
        task: &Task,
        compute: bool,
    ) -> Result<(Ticket, Arc<Control>)> {
        let local = self.local.upgrade().ok_or_else(|| pool::shut_down_before("it ran"))?;
        let mut place = lock(&self.process);
        let Some(process) = place.as_mut() else {
            let why = lock(&self.why).clone().unwrap_or_else(never_began);
            return Err(self.lose(why, Lost::Before));
        };
        let ticket = process.append(cargo, about(task, &local), Sending::Among)?;
        let ticket = ticket.expect("only what is sent ahead can be too much");
        // Who listens has to wait for the process before it hears of the call.
        self.calls.add(ticket);
        // SAFETY: whoever has the task runs it.
        let hop = unsafe { task.running.hop() };
        process.control.runs(0, FamilyId::NONE, ticket, hop.name());
        if compute {
            self.callers.add(ticket, task);
            process.control.runs_among(task.running.address(), ticket);
        }
        // What cannot be sent shows in what cannot be received.
        let _ = process.flush();
        Ok((ticket, Arc::clone(&process.control)))
    }

    /// As `call`, beside others.
    fn call_among(
        &self,
        cargo: &dyn Cargo,
        task: &Task,
        take: &mut dyn FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut call = Among::begin(self, cargo, task)?;
        match call.news(task)? {
            Progress::End(reply) => reply.take(take),
            // It is dropped, and so brought to its end.
            Progress::Item(_) => Err(no_stream()),
        }
    }

    /// Nobody waits for the call any more: it is to stop.
    fn give_up(&self, sent: Ticket) {
        if self.calls.give_up(sent).is_some() {
            self.tell(&ToWorker::Cancel { ticket: sent });
        }
    }

    /// Tells the process something on the way of the calls, before it begins those that come after.
    fn tell(&self, message: &ToWorker) {
        if let Some(process) = &mut *lock(&self.process) {
            // What cannot be sent shows in what cannot be received.
            let _ = process.outgoing.send(message, &[]);
        }
    }

    /// Waits until the worker has dropped the actor's state, or is gone, and does what that asks for, as the task that
    /// this thread runs.
    fn hear_end(&self) {
        let Some(mut process) = lock(&self.process).take() else { return };
        let task = current::task();
        while let Ok(Frame { head, body }) = process.receive(None) {
            let frame = Frame { head: (), body };
            let done = match head {
                ToDriver::ActorEnded => return,
                ToDriver::Await { ids, any, timeout } => {
                    serving::bring(&mut process, &ids, any, timeout)
                }
                request => serving::serve(&mut process, request, &frame, task.as_ref()),
            };
            if done.is_err() {
                return;
            }
        }
    }

    /// The actor is gone, as a call has shown.
    fn lose(&self, why: Error, when: impl FnOnce(Error) -> Lost) -> Error {
        life::note_lost(when(why.clone()));
        self.note_lost(why.clone());
        why
    }

    /// Why there is no process any more.
    fn why_gone(&self) -> Error {
        lock(&self.why).clone().unwrap_or_else(never_began)
    }

    pub(super) fn note_lost(&self, why: Error) {
        *lock(&self.why) = Some(why);
        // Release: pairs with `lost`.
        self.is_lost.store(true, Ordering::Release);
    }

    /// Lets the actor's turn hear of it if the process ends between two calls. Where the system cannot tell, the
    /// next call shows it.
    fn watch(self: &Arc<Self>, task: &Task) -> Option<AbortHandle> {
        let local = self.local.upgrade()?;
        let mut kept = Vec::new();
        let Some(Owner::Actor(actor)) = runtimes::owner(task.actor, &mut kept) else { return None };
        let pid = lock(&self.process).as_ref()?.control.pid;
        let ended = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
        let (shared, actor) = (Arc::downgrade(self), Counted::downgrade(&actor));
        let runtime = Arc::downgrade(&local);
        Some(local.spawn_beside(async move {
            // SAFETY: what is watched owns its descriptor, and closes it when that is watched no more.
            let ended = unsafe { AsyncFd::register_with_interest(ended, Interest::READABLE) };
            let Ok(ended) = ended else { return };
            if ended.readable().await.is_ok()
                && let (Some(shared), Some(local)) = (shared.upgrade(), runtime.upgrade())
            {
                local.spawn_blocking(move || shared.died(&actor));
            }
        }))
    }

    /// The process has ended. A call that is under way sees to that itself.
    fn died(&self, actor: &counted::Weak<dyn Living>) {
        let mut place = lock(&self.process);
        let Some(mut process) = place.take() else { return };
        let how = process.ended().how;
        let why = process::crashed(process.control.pid, &how);
        let begun = turn::begun(process.page.turn());
        self.note_lost(why.clone());
        drop(place);
        drop(process);
        // Of those that were sent just before.
        self.calls.end_all(&why, begun);
        if let Some(actor) = actor.upgrade() {
            actor.look();
        }
    }
}

/// A call that computes beside others, until it has ended over there.
struct Among<'a> {
    shared: &'a Shared,
    control: Arc<Control>,
    sent: Ticket,
    /// It gives a stream whose last item was taken, and that was not told.
    owes: bool,
    ended: bool,
}

impl<'a> Among<'a> {
    fn begin(shared: &'a Shared, cargo: &dyn Cargo, task: &Task) -> Result<Self> {
        let (sent, control) = shared.send(cargo, task, true)?;
        Ok(Self { shared, control, sent, owes: false, ended: false })
    }

    /// Waits for what comes of it next, as its task, which this thread runs.
    fn news(&mut self, task: &Task) -> Result<Progress> {
        let Self { shared, control, sent, .. } = self;
        let news = shared.callers.see_through(&shared.calls, control, task, *sent);
        self.owes = matches!(news, News::Item(_));
        if !self.owes {
            self.end();
        }
        news.read()
    }

    /// Its task may be gone from here on.
    fn end(&mut self) {
        self.ended = true;
        self.shared.callers.remove(self.sent);
        self.control.ends_among(self.sent);
    }

    /// Lets a stream go on.
    fn more(&mut self, wanted: bool) {
        if std::mem::take(&mut self.owes) {
            self.shared.tell(&ToWorker::More { ticket: self.sent, wanted });
        }
    }
}

impl Source for Among<'_> {
    fn next(
        &mut self,
        task: &Task,
        take: &mut dyn FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.more(true);
        self.news(task)?.take_item(take)
    }

    fn stop(&mut self, task: &Task) {
        while !self.ended {
            self.more(false);
            // What it ends with nobody wants to know.
            drop(self.news(task));
        }
    }
}

impl Drop for Among<'_> {
    fn drop(&mut self) {
        // Whoever drops it does so as its task. The state is not free over there before its end.
        if !self.ended
            && let Some(task) = current::task()
        {
            self.stop(&task);
        }
    }
}

/// The actor's process, while it produces a stream.
struct Kept(Arc<Shared>);

impl Keeper for Kept {
    const STAYS: bool = true;

    fn with<R>(&mut self, run: impl FnOnce(&mut Process) -> R) -> Option<R> {
        lock(&self.0.process).as_deref_mut().map(run)
    }

    fn ended(&mut self, how: Ended) {
        if how.crashed {
            life::note_lost(Lost::Within);
        }
    }

    fn lost(&mut self, why: Error, begun: bool) -> Error {
        *lock(&self.0.process) = None;
        self.0.lose(why, |why| if begun { Lost::Within } else { Lost::Before(why) })
    }

    fn why_gone(&mut self) -> Error {
        self.0.why_gone()
    }
}

impl Host for ActorHost {
    fn call(
        &self,
        cargo: &dyn Cargo,
        task: &Task,
        take: &mut dyn FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<()> {
        let compute = lock(&self.listener).as_ref().map(Listener::compute);
        match compute {
            None => return self.shared.call(cargo, task, take),
            Some(true) => return self.shared.call_among(cargo, task, take),
            Some(false) => {}
        }
        let sent = self.send(cargo, task)?;
        let waker = calls::unpark_this_thread();
        loop {
            match self.poll(sent, &waker) {
                Poll::Ready(reply) => {
                    let Reply { outcome, kept } = reply?;
                    let taken = match outcome {
                        Ok(bytes) => take(Ok(&bytes)),
                        Err(failed) => take(Err(failed)),
                    };
                    drop(kept);
                    return taken;
                }
                Poll::Pending => std::thread::park(),
            }
        }
    }

    fn listen(&self, task: &Task, compute: bool) -> Result<()> {
        let local = self.shared.local.upgrade().ok_or_else(|| pool::shut_down_before("it ran"))?;
        let listener = Listener::start(&self.shared, local, task.actor, compute)?;
        self.watch.iter().for_each(AbortHandle::abort);
        *lock(&self.listener) = Some(listener);
        Ok(())
    }

    fn send(&self, cargo: &dyn Cargo, task: &Task) -> Result<u64> {
        self.shared.send(cargo, task, false).map(|(ticket, _)| ticket)
    }

    fn poll_stream(&self, sent: u64, waker: &Waker) -> Poll<Result<Progress>> {
        self.shared.calls.poll(sent, waker).map(News::read)
    }

    fn more(&self, sent: u64) {
        self.shared.tell(&ToWorker::More { ticket: sent, wanted: true });
    }

    fn source(&self, cargo: &dyn Cargo, task: &Task) -> Result<Box<dyn Source + '_>> {
        let shared = &self.shared;
        if lock(&self.listener).as_ref().is_some_and(Listener::compute) {
            return Ok(Box::new(Among::begin(shared, cargo, task)?));
        }
        let local = shared.local.upgrade().ok_or_else(|| pool::shut_down_before("it ran"))?;
        match StreamSource::begin(Kept(Arc::clone(shared)), cargo, task, &local) {
            Ok(source) => Ok(Box::new(source)),
            Err(NotBegun::Died(why) | NotBegun::Refused(why)) => Err(why),
        }
    }

    fn give_up(&self, sent: u64) {
        self.shared.give_up(sent);
    }

    fn lost(&self) -> Option<Error> {
        // Acquire: pairs with `note_lost`.
        let is_lost = self.shared.is_lost.load(Ordering::Acquire);
        is_lost.then(|| lock(&self.shared.why).clone()).flatten()
    }
}

impl Drop for ActorHost {
    fn drop(&mut self) {
        self.watch.iter().for_each(AbortHandle::abort);
        let listener = lock(&self.listener).take();
        let sent = match lock(&self.shared.process).as_mut() {
            Some(process) => process.outgoing.send(&ToWorker::EndActor, &[]).is_ok(),
            None => false,
        };
        match listener {
            // It hears what comes of it, or that the process is gone.
            Some(listener) => listener.join(),
            None if sent => self.shared.hear_end(),
            None => {}
        }
        // It ends with its actor, and what that has left in statics and the like.
        drop(lock(&self.shared.process).take());
    }
}
