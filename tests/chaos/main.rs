//! Two hundred actors, of both kinds, to which everything happens: their methods and constructors panic, they
//! are killed, stopped, left and restarted, their mailboxes are full, and now and then their runtime ends.
//!
//! Each round starts a runtime and the actors, with random options, and a few callers on threads of their own,
//! each of which calls actors at random ([`caller`]). The actors keep a [`ledger`] of what began and what ended.
//! At the end of a round every call must have come to one end: a value, if it ran to its end once and no more;
//! a panic, if it began and never ended; or a reason why it was not run. What one caller called of one actor
//! must have begun in that order. No state, argument or result may be left ([`counted`]).
//!
//! A failure names the seed of its round, and `MOBULA_STRESS_SEED` begins with that round; `MOBULA_STRESS_OPS`
//! says how many calls are made, as for the stress test. A [`watchdog`] says what is pending where nothing goes
//! on any more. Nothing here ever sleeps.

#![expect(unreachable_pub, reason = "an actor's remote methods are its public ones")]

mod actors;
mod caller;
#[path = "../stress/counted.rs"]
#[expect(dead_code, reason = "the stress test also combines values")]
mod counted;
mod ledger;
#[path = "../stress/random.rs"]
mod random;
mod watchdog;

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use mobula::prelude::*;

use crate::actors::{Either, PLANNED};
use crate::caller::Caller;
use crate::ledger::Ledger;
use crate::random::Random;
use crate::watchdog::Watchdog;

/// How many calls are made unless the environment says otherwise.
const CALLS: usize = if cfg!(debug_assertions) { 40_000 } else { 400_000 };
const CALLS_OF_ROUND: usize = 20_000;
const ACTORS: usize = 200;
const CALLERS: usize = 4;
const CPUS: [usize; 4] = [1, 2, 3, 8];

/// A place for an actor: its handle, while it has one, and what it is to its callers.
pub(crate) type Slot = Mutex<Option<Either>>;

#[test]
fn every_call_ends_once_with_its_value_or_its_reason() {
    quiet_planned_panics();
    let mut seed = setting("MOBULA_STRESS_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let calls = setting("MOBULA_STRESS_OPS").map_or(CALLS, |calls| calls as usize);
    let mut seeds = Random::new(seed);
    let watchdog = Watchdog::start();
    for _ in 0..calls.div_ceil(CALLS_OF_ROUND) {
        let _told = Seed(seed);
        round(seed, &watchdog);
        counted::check_all_gone();
        seed = seeds.next();
    }
}

/// A runtime with its actors and their callers, from beginning to end.
fn round(seed: u64, watchdog: &Watchdog) {
    let mut random = Random::new(seed);
    let cpus = CPUS[random.index(CPUS.len())];
    let runtime = Runtime::new(Config::new().num_cpus(cpus)).unwrap();
    let end_early = random.one_in(4);
    let ledger = Arc::new(Ledger::new(CALLS_OF_ROUND, CALLERS));
    let slots: Vec<Slot> = {
        let _entered = runtime.enter();
        (0..ACTORS).map(|_| Mutex::new(Some(Either::start(&mut random, &ledger)))).collect()
    };
    let callers: Vec<Caller> =
        (0..CALLERS).map(|number| Caller::new(number, random.next(), &ledger)).collect();
    watchdog.watch(seed, &callers);
    thread::scope(|scope| {
        for caller in &callers {
            let (runtime, slots) = (&runtime, &slots);
            scope.spawn(move || {
                let _entered = runtime.enter();
                caller.run(slots, CALLS_OF_ROUND / CALLERS);
                if !end_early {
                    caller.take_all();
                }
            });
        }
    });
    if end_early {
        // The handles outlive the runtime, and so do the refs.
        runtime.shutdown();
        callers.iter().for_each(Caller::take_all);
        drop(slots);
    } else {
        drop(slots);
        // The last handles are gone, so every actor comes to its end, with a runtime that goes on.
        let _entered = runtime.enter();
        ledger.wait_for_ends();
    }
    callers.iter().for_each(|caller| caller.check(end_early));
    watchdog.watch(seed, &[]);
    ledger.forget();
}

/// Says which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("to run it again: MOBULA_STRESS_SEED={}", self.0);
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is no whole number")))
}

/// Leaves the panics that are part of the test out of the output.
fn quiet_planned_panics() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let planned = info.payload().downcast_ref::<&str>().is_some_and(|text| *text == PLANNED);
        if !planned {
            hook(info);
        }
    }));
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
