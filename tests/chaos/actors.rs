//! The actors: one kind computes, the other waits, and both do the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mobula::prelude::*;

use crate::counted::Counted;
use crate::ledger::{Ledger, Order, Ticket};
use crate::random::Random;

/// What a planned panic says.
pub(crate) const PLANNED: &str = "planned";

/// What an actor is made from, and keeps over its restarts.
#[derive(Clone)]
pub(crate) struct Seed {
    ledger: Arc<Ledger>,
    order: Arc<Order>,
    /// How often it was made.
    made: Arc<AtomicU64>,
    /// Each so many times that is made anew, that fails; 0: never.
    fails_each: u64,
}

impl Seed {
    fn new(random: &mut Random, ledger: &Arc<Ledger>) -> Self {
        let order = Arc::new(ledger.order());
        let fails_each = if random.one_in(4) { 2 + random.below(4) } else { 0 };
        Self { ledger: Arc::clone(ledger), order, made: Arc::default(), fails_each }
    }

    /// The first time goes well.
    fn make(&self) {
        let made = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        if self.fails_each > 0 && made.is_multiple_of(self.fails_each) {
            std::panic::panic_any(PLANNED);
        }
    }

    fn begin(&self, ticket: &Ticket) -> u32 {
        self.ledger.begin(&self.order, ticket)
    }

    fn end(&self, ticket: &Ticket) -> Counted {
        self.ledger.end(ticket)
    }
}

/// A state: what it was made from, and something that must go once.
pub(crate) struct State {
    seed: Seed,
    calls: Counted,
}

impl State {
    fn new(seed: Seed) -> Self {
        seed.make();
        Self { seed, calls: Counted::new(0) }
    }

    fn count(&mut self) {
        self.calls = Counted::new(self.calls.value() + 1);
    }
}

pub(crate) struct Computing(State);

#[remote(local)]
impl Computing {
    pub fn new(seed: Seed) -> Self {
        Self(State::new(seed))
    }

    pub fn add(&mut self, ticket: Ticket) -> Counted {
        self.0.seed.begin(&ticket);
        self.0.count();
        self.0.seed.end(&ticket)
    }

    pub fn read(&self, ticket: Ticket) -> Counted {
        self.0.seed.begin(&ticket);
        self.0.seed.end(&ticket)
    }

    /// Panics in its first `tries` tries.
    pub fn explode(&mut self, ticket: Ticket, tries: u32) -> Counted {
        if self.0.seed.begin(&ticket) < tries {
            std::panic::panic_any(PLANNED);
        }
        self.0.seed.end(&ticket)
    }

    fn checkpoint(&self) -> Counted {
        self.0.calls.clone()
    }

    fn restore(&mut self, saved: Counted) {
        self.0.calls = saved;
    }
}

pub(crate) struct Waiting(State);

#[remote(local)]
impl Waiting {
    pub async fn new(seed: Seed) -> Self {
        tokio::task::yield_now().await;
        Self(State::new(seed))
    }

    pub async fn add(&mut self, ticket: Ticket) -> Counted {
        self.0.seed.begin(&ticket);
        yield_sometimes(&ticket).await;
        self.0.count();
        self.0.seed.end(&ticket)
    }

    pub async fn read(&self, ticket: Ticket) -> Counted {
        self.0.seed.begin(&ticket);
        yield_sometimes(&ticket).await;
        yield_sometimes(&ticket).await;
        self.0.seed.end(&ticket)
    }

    pub async fn explode(&mut self, ticket: Ticket, tries: u32) -> Counted {
        let before = self.0.seed.begin(&ticket);
        yield_sometimes(&ticket).await;
        if before < tries {
            std::panic::panic_any(PLANNED);
        }
        self.0.seed.end(&ticket)
    }

    fn checkpoint(&self) -> Counted {
        self.0.calls.clone()
    }

    fn restore(&mut self, saved: Counted) {
        self.0.calls = saved;
    }
}

/// Waits in every third call.
async fn yield_sometimes(ticket: &Ticket) {
    if ticket.call.is_multiple_of(3) {
        tokio::task::yield_now().await;
    }
}

/// An actor of either kind, by its handle.
#[derive(Clone)]
pub(crate) enum Either {
    Computing(ActorHandle<Computing>),
    Waiting(ActorHandle<Waiting>),
}

/// What both kinds have.
macro_rules! both {
    ($either:expr, $handle:ident => $call:expr) => {
        match $either {
            Either::Computing($handle) => $call,
            Either::Waiting($handle) => $call,
        }
    };
}

impl Either {
    /// One of either kind, with random options.
    pub(crate) fn start(random: &mut Random, ledger: &Arc<Ledger>) -> Self {
        let seed = Seed::new(random, ledger);
        macro_rules! start {
            ($actor:ident) => {{
                let mut options = $actor::options();
                if !random.one_in(3) {
                    options = options.max_restarts(1 + random.below(20) as u32);
                    options = options.max_task_retries(random.below(3) as u32);
                    if random.one_in(2) {
                        options = options.checkpoint_every(1 + random.below(5) as u32);
                    }
                }
                if random.one_in(3) {
                    options = options.max_pending_calls(1 + random.below(8) as usize);
                    if random.one_in(2) {
                        options = options.block_when_full();
                    }
                }
                let handle = options.remote(seed);
                ledger.watch(handle.watch());
                Self::$actor(handle)
            }};
        }
        if random.one_in(2) { start!(Waiting) } else { start!(Computing) }
    }

    pub(crate) fn add(&self, ticket: Ticket) -> ObjectRef<Counted> {
        both!(self, handle => handle.add(ticket))
    }

    pub(crate) fn read(&self, ticket: Ticket) -> ObjectRef<Counted> {
        both!(self, handle => handle.read(ticket))
    }

    pub(crate) fn explode(&self, ticket: Ticket, tries: u32) -> ObjectRef<Counted> {
        both!(self, handle => handle.explode(ticket, tries))
    }

    pub(crate) fn kill(&self) {
        both!(self, handle => mobula::kill(handle));
    }

    pub(crate) fn stop(&self) {
        both!(self, handle => drop(handle.stop()));
    }
}
