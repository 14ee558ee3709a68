//! Calls of an actor in another process that are under way, and who waits for each.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Wake, Waker};
use std::thread::Thread;

use crate::cluster::frame::Ended;
use crate::cluster::turn::Ticket;
use crate::cluster::{Progress, Reply};
use crate::error::{Error, Result};
use crate::local::current;
use crate::local::life::{self, Lost};

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

/// What there is to be told of a call.
pub(crate) enum News {
    /// It gives a stream, and has one more item.
    Item(Reply),
    End(End),
}

impl End {
    /// What came of it. What it means for the call's task, which this thread runs or polls, and for the actor, is noted.
    pub(crate) fn read(self) -> Result<Reply> {
        match self {
            Self::Done { reply, how } => {
                if how.looked
                    && let Some(task) = current::task()
                {
                    // SAFETY: this thread runs the task.
                    unsafe { task.running.note_looked() };
                }
                if how.crashed {
                    life::note_lost(Lost::Within);
                }
                Ok(reply)
            }
            Self::Lost { why, begun } => {
                life::note_lost(if begun { Lost::Within } else { Lost::Before(why.clone()) });
                Err(why)
            }
        }
    }
}

impl News {
    /// As of an end.
    pub(crate) fn read(self) -> Result<Progress> {
        match self {
            Self::Item(reply) => Ok(Progress::Item(reply)),
            Self::End(end) => end.read().map(Progress::End),
        }
    }
}

#[derive(Default)]
struct Call {
    items: VecDeque<Reply>,
    end: Option<End>,
    /// Told when there is something.
    waker: Option<Waker>,
}

impl Call {
    fn has_news(&self) -> bool {
        self.end.is_some() || !self.items.is_empty()
    }
}

/// The calls that were sent, until somebody has seen their ends.
#[derive(Default)]
pub(crate) struct Calls(Mutex<HashMap<Ticket, Call>>);

impl Calls {
    pub(crate) fn add(&self, ticket: Ticket) {
        lock(&self.0).insert(ticket, Call::default());
    }

    pub(crate) fn poll(&self, ticket: Ticket, waker: &Waker) -> Poll<News> {
        let mut calls = lock(&self.0);
        let Some(call) = calls.get_mut(&ticket) else {
            unreachable!("a call is polled until its end")
        };
        if let Some(item) = call.items.pop_front() {
            return Poll::Ready(News::Item(item));
        }
        if let Some(end) = call.end.take() {
            calls.remove(&ticket);
            return Poll::Ready(News::End(end));
        }
        let before = call.waker.replace(waker.clone());
        drop(calls);
        drop(before);
        Poll::Pending
    }

    /// Lets whoever polls a call look again.
    pub(crate) fn wake(&self, ticket: Ticket) {
        self.tell(ticket, |_| ());
    }

    /// Whether there is something to be seen.
    pub(crate) fn has_news(&self, ticket: Ticket) -> bool {
        lock(&self.0).get(&ticket).is_some_and(Call::has_news)
    }

    /// All of them, in the order in which they were sent.
    pub(crate) fn tickets(&self) -> Vec<Ticket> {
        let mut tickets: Vec<Ticket> = lock(&self.0).keys().copied().collect();
        tickets.sort_unstable();
        tickets
    }

    /// Nobody wants to know of it any more. If it is under way, gives how many items it has that nobody has seen.
    pub(crate) fn give_up(&self, ticket: Ticket) -> Option<usize> {
        let call = lock(&self.0).remove(&ticket)?;
        call.end.is_none().then_some(call.items.len())
    }

    /// A call has an item. False: nobody wants it any more.
    pub(crate) fn item(&self, ticket: Ticket, item: Reply) -> bool {
        self.tell(ticket, |call| call.items.push_back(item))
    }

    /// A call has ended, if somebody still waits for it; only its first end counts.
    pub(crate) fn end(&self, ticket: Ticket, end: End) {
        self.tell(ticket, |call| call.end = call.end.take().or(Some(end)));
    }

    fn tell(&self, ticket: Ticket, note: impl FnOnce(&mut Call)) -> bool {
        let mut calls = lock(&self.0);
        let Some(call) = calls.get_mut(&ticket) else { return false };
        note(call);
        let waker = call.waker.take();
        drop(calls);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
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
