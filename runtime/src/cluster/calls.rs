//! Calls of an actor in another process that are under way, and who waits for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Wake, Waker};
use std::thread::Thread;

use crate::cluster::Reply;
use crate::cluster::frame::Ended;
use crate::cluster::turn::Ticket;
use crate::error::Error;

/// What became of a call.
pub(crate) enum End {
    Done {
        reply: Reply,
        how: Ended,
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
pub(crate) struct Calls(Mutex<HashMap<Ticket, Call>>);

impl Calls {
    pub(crate) fn add(&self, ticket: Ticket) {
        lock(&self.0).insert(ticket, Call::UnderWay(None));
    }

    pub(crate) fn poll(&self, ticket: Ticket, waker: &Waker) -> Poll<End> {
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

    /// Lets whoever polls a call look again.
    pub(crate) fn wake(&self, ticket: Ticket) {
        let waker = match lock(&self.0).get_mut(&ticket) {
            Some(Call::UnderWay(waker)) => waker.take(),
            _ => None,
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether there is an end to be seen.
    pub(crate) fn has_ended(&self, ticket: Ticket) -> bool {
        matches!(lock(&self.0).get(&ticket), Some(Call::Ended(_)))
    }

    /// All of them, in the order in which they were sent.
    pub(crate) fn tickets(&self) -> Vec<Ticket> {
        let mut tickets: Vec<Ticket> = lock(&self.0).keys().copied().collect();
        tickets.sort_unstable();
        tickets
    }

    /// True: it is under way.
    pub(crate) fn give_up(&self, ticket: Ticket) -> bool {
        let call = lock(&self.0).remove(&ticket);
        matches!(call, Some(Call::UnderWay(_)))
    }

    /// A call has ended, if somebody still waits for it; only its first end counts.
    pub(crate) fn end(&self, ticket: Ticket, end: End) {
        let mut calls = lock(&self.0);
        let Some(call @ Call::UnderWay(_)) = calls.get_mut(&ticket) else { return };
        let before = std::mem::replace(call, Call::Ended(end));
        drop(calls);
        if let Call::UnderWay(Some(waker)) = before {
            waker.wake();
        }
    }

    /// The process is gone; `begun`: the last of them that had begun.
    pub(crate) fn end_all(&self, why: &Error, begun: Ticket) {
        for ticket in self.tickets() {
            self.end(ticket, End::Lost { why: why.clone(), begun: ticket <= begun });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets a thread wait for what it polls.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(crate) fn unpark_this_thread() -> Waker {
    Waker::from(Arc::new(Unpark(std::thread::current())))
}
