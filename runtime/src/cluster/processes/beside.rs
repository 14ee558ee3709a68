//! Calls of one actor that compute side by side in its process.
//!
//! Each is made by a thread of the pool, which is that call here, as for any task: it has the CPU on which the call
//! computes over there, and when the call waits the thread waits, without the CPU. Since a listener hears the process
//! (`listener.rs`), it hands on to the thread what its call waits for. What else the call asks for takes no time, and the
//! listener does it, as the task that the call is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use uuid::Uuid;

use crate::cluster::calls::{self, Calls, News};
use crate::cluster::frame::{Answered, ToWorker};
use crate::cluster::processes::process::Control;
use crate::cluster::processes::serving::{self, Stop};
use crate::cluster::turn::Ticket;
use crate::local::cell::AnyRef;
use crate::local::current::Task;
use crate::local::job::Wakes;

/// The calls that threads have made, as long as those wait for them.
#[derive(Default)]
pub(super) struct Callers(Mutex<HashMap<Ticket, Caller>>);

struct Caller {
    task: Task,
    /// What its call waits for, until the thread sees to it.
    wait: Option<Wait>,
}

/// Objects that a call waits for.
pub(super) struct Wait {
    pub(super) ids: Vec<Uuid>,
    pub(super) refs: Vec<AnyRef>,
    pub(super) any: bool,
    pub(super) timeout: Option<Duration>,
}

impl Callers {
    fn lock(&self) -> MutexGuard<'_, HashMap<Ticket, Caller>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call of that ticket is this task, whose thread waits for it until its end is told.
    pub(super) fn add(&self, ticket: Ticket, task: &Task) {
        self.lock().insert(ticket, Caller { task: *task, wait: None });
    }

    pub(super) fn task(&self, ticket: Ticket) -> Option<Task> {
        self.lock().get(&ticket).map(|caller| caller.task)
    }

    /// Lets the thread of that call see to what it waits for. False: there is none.
    pub(super) fn wait(&self, ticket: Ticket, wait: Wait, calls: &Calls) -> bool {
        let mut callers = self.lock();
        let Some(caller) = callers.get_mut(&ticket) else { return false };
        let before = caller.wait.replace(wait);
        drop(callers);
        drop(before);
        calls.wake(ticket);
        true
    }

    fn take_wait(&self, ticket: Ticket) -> Option<Wait> {
        self.lock().get_mut(&ticket)?.wait.take()
    }

    /// The call is over, or about to be: from here on its task may be gone.
    pub(super) fn remove(&self, ticket: Ticket) {
        let caller = self.lock().remove(&ticket);
        drop(caller);
    }

    /// Waits until there is news of a call, as its task, which this thread runs.
    pub(super) fn see_through(
        &self,
        calls: &Calls,
        control: &Arc<Control>,
        task: &Task,
        sent: Ticket,
    ) -> News {
        let stop = Waker::from(Arc::new(Stop::new(control, sent)));
        let mut wakes = Wakes::new(task.running);
        wakes.renew(&stop);
        if wakes.is_to_stop() {
            stop.wake();
        }
        let waker = calls::unpark_this_thread();
        loop {
            // First, so that whoever asks for something after that wakes this thread.
            if let Poll::Ready(news) = calls.poll(sent, &waker) {
                return news;
            }
            match self.take_wait(sent) {
                Some(wait) => wait.see_through(control, sent),
                None => std::thread::park(),
            }
        }
    }
}

impl Wait {
    /// Waits, as the task that this thread runs, and tells the call of what came.
    fn see_through(self, control: &Control, ticket: Ticket) {
        let Self { ids, refs, any, timeout } = self;
        let ended = serving::wait_for(&refs, any, timeout);
        for (id, any) in ids.iter().zip(&refs).filter(|(_, any)| any.is_complete()) {
            serving::send_value(control, *id, any);
        }
        let answer = Answered::Waited(ended);
        let _ = control.tell(&ToWorker::Answered { ticket, answer }, &[]);
    }
}
