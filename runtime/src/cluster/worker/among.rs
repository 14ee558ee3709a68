//! Calls of an actor that several threads run side by side: which of them a thread runs, and what they ask the driver.
//!
//! The first thread reads what the driver sends, so none of them does. Each says whose question it is, and has the answer
//! from the thread that hears what is urgent.

use std::cell::Cell;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::cluster::calls;
use crate::cluster::frame::Answered;
use crate::cluster::turn::Ticket;

/// What a thread runs.
#[derive(Clone, Copy)]
pub(super) struct Among {
    pub(super) ticket: Ticket,
    /// The CPU that the driver computes on meanwhile.
    pub(super) cpu: Option<usize>,
}

thread_local! {
    static HERE: Cell<Option<Among>> = const { Cell::new(None) };
}

/// The call that this thread runs, if it is one of several.
pub(super) fn here() -> Option<Among> {
    HERE.get()
}

impl Among {
    /// Runs it on this thread.
    pub(super) fn run<R>(self, run: impl FnOnce() -> R) -> R {
        struct Leave(Option<Among>);
        impl Drop for Leave {
            fn drop(&mut self) {
                HERE.set(self.0);
            }
        }
        let _leave = Leave(HERE.replace(Some(self)));
        run()
    }
}

/// Runs to its end what waits for its reader, on the thread of the call that it is.
pub(crate) fn run_to_end<T>(mut future: Pin<Box<dyn Future<Output = T> + '_>>) -> T {
    let waker = calls::unpark_this_thread();
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(result) => return result,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// The calls that have asked something, each one thing at a time.
#[derive(Default)]
pub(super) struct Questions(Mutex<HashMap<Ticket, Sender<Answered>>>);

impl Questions {
    fn lock(&self) -> MutexGuard<'_, HashMap<Ticket, Sender<Answered>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the answer to what `ask` asks. None: there will be none, for the process ends.
    pub(super) fn ask(&self, ticket: Ticket, ask: impl FnOnce()) -> Option<Answered> {
        let (sender, answer) = channel();
        self.lock().insert(ticket, sender);
        ask();
        answer.recv().ok()
    }

    pub(super) fn answer(&self, ticket: Ticket, answer: Answered) {
        let asked = self.lock().remove(&ticket);
        if let Some(asked) = asked {
            let _ = asked.send(answer);
        }
    }
}
