//! One caller: it calls actors at random, ends some, starts others in their place, and takes results.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use mobula::prelude::*;

use crate::Slot;
use crate::actors::Either;
use crate::counted::Counted;
use crate::ledger::{Ledger, value_of};
use crate::lock;
use crate::random::Random;
use crate::watchdog::step;

/// How many results it leaves for later.
const UNTAKEN_MAX: usize = 500;

/// A caller, as it and the watchdog share it.
#[derive(Clone)]
pub(crate) struct Caller {
    number: usize,
    seed: u64,
    ledger: Arc<Ledger>,
    pub(crate) shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
pub(crate) struct Shared {
    /// Calls whose results were not taken.
    pub(crate) untaken: VecDeque<(usize, ObjectRef<Counted>)>,
    /// What became of the others.
    taken: Vec<(usize, Result<u64, ErrorKind>)>,
    pub(crate) doing: &'static str,
}

impl Caller {
    pub(crate) fn new(number: usize, seed: u64, ledger: &Arc<Ledger>) -> Self {
        Self { number, seed, ledger: Arc::clone(ledger), shared: Arc::default() }
    }

    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// Makes so many calls.
    pub(crate) fn run(&self, slots: &[Slot], calls: usize) {
        let mut random = Random::new(self.seed);
        for nth in 1..=calls as u64 {
            step();
            let slot = &slots[random.index(slots.len())];
            if random.one_in(60) {
                self.meddle(&mut random, slot);
            }
            let actor = self.actor(&mut random, slot);
            let ticket = self.ledger.ticket(self.number, nth);
            let call = ticket.call;
            // Where its mailbox is full, this may wait: nothing is locked.
            self.doing("calls an actor");
            let object = match random.below(50) {
                0 => actor.explode(ticket, u32::MAX),
                1 => actor.explode(ticket, 1),
                2..20 => actor.read(ticket),
                _ => actor.add(ticket),
            };
            drop(actor);
            self.doing("goes on");
            lock(&self.shared).untaken.push_back((call, object));
            if random.one_in(10) {
                self.take(random.index(UNTAKEN_MAX));
            }
        }
    }

    fn doing(&self, what: &'static str) {
        lock(&self.shared).doing = what;
    }

    /// The actor in the slot; started, if there is none.
    fn actor(&self, random: &mut Random, slot: &Slot) -> Either {
        let mut slot = lock(slot);
        slot.get_or_insert_with(|| Either::start(random, &self.ledger)).clone()
    }

    /// Does something to the life of the actor in the slot.
    fn meddle(&self, random: &mut Random, slot: &Slot) {
        let actor = lock(slot).take();
        let Some(actor) = actor else { return };
        match random.below(5) {
            0 => actor.kill(),
            1 => actor.stop(),
            // It ends itself, some time.
            2 => {
                actor.kill();
                *lock(slot) = Some(actor);
            }
            _ => drop(actor),
        }
    }

    /// Takes results until only so many are left.
    fn take(&self, left: usize) {
        loop {
            let mut shared = lock(&self.shared);
            if shared.untaken.len() <= left {
                return;
            }
            let Some((call, object)) = shared.untaken.front().cloned() else { return };
            shared.doing = "takes a result";
            drop(shared);
            let result = get(&object).map(|value| value.value()).map_err(|error| error.kind());
            drop(object);
            let mut shared = lock(&self.shared);
            shared.taken.push((call, result));
            let taken = shared.untaken.pop_front();
            drop(shared);
            drop(taken);
            step();
        }
    }

    pub(crate) fn take_all(&self) {
        self.take(0);
        self.doing("is done");
    }

    /// Compares what became of the calls with what the actors noted.
    pub(crate) fn check(&self, ended_early: bool) {
        for &(call, result) in &lock(&self.shared).taken {
            let times = self.ledger.times(call);
            let right = match (result, times) {
                (Ok(value), (1.., 1)) => value == value_of(call),
                (Err(ErrorKind::Panic), (1.., 0)) => true,
                // It was never run; or it crashed, and the actor ended before it was run again.
                (Err(ErrorKind::ActorDied), (_, 0)) => true,
                (Err(ErrorKind::PendingCallsLimit), (0, 0)) => true,
                (Err(ErrorKind::ShutDown | ErrorKind::Cancelled), (_, 0)) => ended_early,
                _ => false,
            };
            assert!(right, "call {call}: {result:?}, begun and ended {times:?} times");
        }
    }
}
