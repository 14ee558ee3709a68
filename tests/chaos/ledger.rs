//! What began and what ended, as the actors themselves note it; and how each actor ended.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use mobula::ActorEnd;
use mobula::prelude::*;

use crate::counted::Counted;
use crate::lock;

/// The calls of one round.
pub(crate) struct Ledger {
    calls: Vec<Entry>,
    numbered: AtomicUsize,
    callers: usize,
    ends: Mutex<Vec<ObjectRef<ActorEnd>>>,
}

#[derive(Default)]
struct Entry {
    begun: AtomicU32,
    ended: AtomicU32,
}

/// One call, as its method gets it.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    /// The call's number in the round.
    pub(crate) call: usize,
    caller: usize,
    /// Which call of the caller it is, of whatever actor: it grows.
    nth: u64,
    /// An argument that must not be left, nor dropped twice.
    _argument: Counted,
}

/// What one actor's callers called last: it outlives the actor's restarts.
pub(crate) struct Order(Vec<AtomicU64>);

impl Ledger {
    pub(crate) fn new(calls: usize, callers: usize) -> Self {
        let calls = (0..calls).map(|_| Entry::default()).collect();
        let (numbered, ends) = Default::default();
        Self { calls, numbered, callers, ends }
    }

    /// The ticket of a new call, the `nth` of that caller.
    pub(crate) fn ticket(&self, caller: usize, nth: u64) -> Ticket {
        let call = self.numbered.fetch_add(1, Ordering::Relaxed);
        Ticket { call, caller, nth, _argument: Counted::new(nth) }
    }

    pub(crate) fn order(&self) -> Order {
        Order((0..self.callers).map(|_| AtomicU64::new(0)).collect())
    }

    /// A call begins. Gives how often it began before.
    pub(crate) fn begin(&self, order: &Order, ticket: &Ticket) -> u32 {
        let before = self.calls[ticket.call].begun.fetch_add(1, Ordering::SeqCst);
        let last = order.0[ticket.caller].swap(ticket.nth, Ordering::SeqCst);
        let again = before > 0 && last == ticket.nth;
        if last >= ticket.nth && !again {
            // A panic here would be one of the actor's.
            eprintln!("{ticket:?} began after number {last} of the same caller");
            std::process::abort();
        }
        before
    }

    /// A call has run to its end, and gives this.
    pub(crate) fn end(&self, ticket: &Ticket) -> Counted {
        self.calls[ticket.call].ended.fetch_add(1, Ordering::SeqCst);
        Counted::new(value_of(ticket.call))
    }

    /// How often the call began, and ended.
    pub(crate) fn times(&self, call: usize) -> (u32, u32) {
        let Entry { begun, ended } = &self.calls[call];
        (begun.load(Ordering::SeqCst), ended.load(Ordering::SeqCst))
    }

    pub(crate) fn watch(&self, end: ObjectRef<ActorEnd>) {
        lock(&self.ends).push(end);
    }

    /// Waits for the end of every actor that was ever started.
    pub(crate) fn wait_for_ends(&self) {
        let ends = lock(&self.ends).clone();
        assert!(get(ends).is_ok(), "a watch always tells");
    }

    /// Lets go of all that was watched.
    pub(crate) fn forget(&self) {
        lock(&self.ends).clear();
    }
}

/// What a call gives that runs to its end.
pub(crate) fn value_of(call: usize) -> u64 {
    (call as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
