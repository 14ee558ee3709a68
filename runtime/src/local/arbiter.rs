//! The threads of the actors that wait: a few actix arbiters for each runtime, started with the first such
//! actor. Each actor lives on one of them, and all of its code runs there.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};

use actix::prelude::{Arbiter, ArbiterHandle, System};

use crate::local::{Local, budget};

mod pulse;

pub use self::pulse::Blocking;
pub(crate) use self::pulse::{Blockings, Pulse};

/// The threads of a runtime's async actors.
pub(crate) struct Arbiters {
    system: System,
    homes: Vec<Arc<Home>>,
    next: AtomicUsize,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// An arbiter, as the actors that live on it know it.
pub(crate) struct Home {
    number: usize,
    handle: ArbiterHandle,
    pulse: Pulse,
}

impl Home {
    /// Of all arbiters in the process.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    pub(crate) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Runs `run` on the arbiter's thread, or drops it there or here where that has stopped.
    pub(crate) fn run(&self, run: impl FnOnce() + Send + 'static) {
        // What it drops tells by itself that it was not run.
        let _ = self.handle.spawn_fn(run);
    }
}

impl Arbiters {
    pub(crate) fn start(count: usize, local: &Weak<Local>) -> Self {
        let (sender, receiver) = mpsc::channel();
        let local = Weak::clone(local);
        let run = move || {
            let runner = System::new();
            let arbiters: Vec<_> = (0..count).map(|_| Arbiter::new()).collect();
            let numbered = |arbiter: &Arbiter| {
                let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
                arbiter.spawn_fn(move || {
                    HERE.set(number);
                    budget::waits();
                });
                Arc::new(Home { number, handle: arbiter.handle(), pulse: Pulse::default() })
            };
            let homes: Vec<_> = arbiters.iter().map(numbered).collect();
            let watch = pulse::watch(homes.clone(), local);
            runner.block_on(async { drop(actix::spawn(watch)) });
            // The starter waits for this, so it is there to hear it.
            let _ = sender.send((System::current(), homes));
            let _ = runner.run();
            for arbiter in arbiters {
                arbiter.stop();
                let _ = arbiter.join();
            }
        };
        let thread = std::thread::Builder::new()
            .name("mobula-arbiters".to_owned())
            .spawn(run)
            .expect("failed to start the thread of the async actors");
        let (system, homes) = receiver.recv().expect("the thread of the async actors started");
        Self { system, homes, next: AtomicUsize::new(0), thread: Mutex::new(Some(thread)) }
    }

    /// The arbiter for the next actor: each in turn.
    pub(crate) fn pick(&self) -> Arc<Home> {
        Arc::clone(&self.homes[self.next.fetch_add(1, Ordering::Relaxed) % self.homes.len()])
    }

    pub(crate) fn stop(&self) {
        self.system.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// Numbers the arbiters of the process, from 1.
static NUMBERS: AtomicUsize = AtomicUsize::new(1);

thread_local! {
    /// The number of the arbiter whose thread this is; 0: of none.
    static HERE: Cell<usize> = const { Cell::new(0) };
}

/// The number of the arbiter whose thread this is.
pub(crate) fn here() -> Option<usize> {
    HERE.try_with(Cell::get).ok().filter(|&here| here != 0)
}
