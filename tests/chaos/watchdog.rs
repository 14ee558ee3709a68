//! Turns a hang into a failure: when nothing has gone on for minutes, it says what is pending and why, and ends
//! the process. Nothing else in this test looks at a clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::caller::Caller;
use crate::lock;

/// How long nothing may go on. Far more than the slowest machine needs for one thing.
const STALLED_MAX: Duration = Duration::from_secs(120);
/// How many pending calls of a caller are told.
const TOLD_MAX: usize = 5;

static STEPS: AtomicU64 = AtomicU64::new(0);

/// Notes that something went on.
pub(crate) fn step() {
    STEPS.fetch_add(1, Ordering::Relaxed);
}

/// The round that runs: its seed, and its callers.
type Round = Arc<Mutex<(u64, Vec<Caller>)>>;

/// Watches until it is dropped.
pub(crate) struct Watchdog {
    round: Round,
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn start() -> Self {
        let (end, ended) = mpsc::channel();
        let round = Round::default();
        let watched = Arc::clone(&round);
        let watch = move || {
            let mut before = 0;
            while ended.recv_timeout(STALLED_MAX) == Err(RecvTimeoutError::Timeout) {
                let now = STEPS.load(Ordering::Relaxed);
                if now == before {
                    eprintln!("nothing has gone on for {STALLED_MAX:?}; {}", pending(&watched));
                    std::process::abort();
                }
                before = now;
            }
        };
        Self { round, end: Some(end), thread: Some(thread::spawn(watch)) }
    }

    /// Tells of the round that begins, or of none.
    pub(crate) fn watch(&self, seed: u64, callers: &[Caller]) {
        step();
        *lock(&self.round) = (seed, callers.to_vec());
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What each caller does, and what its first pending calls wait for.
fn pending(round: &Round) -> String {
    let (seed, callers) = &*lock(round);
    let mut text = format!("to run it again: MOBULA_STRESS_SEED={seed}\n");
    for caller in callers {
        let shared = lock(&caller.shared);
        let doing = shared.doing;
        text += &format!("caller {} {doing}\n", caller.number());
        let pending = shared.untaken.iter().filter(|(_, object)| !object.is_ready());
        for (call, object) in pending.take(TOLD_MAX) {
            text += &format!("  call {call}: {}\n", object.explain());
        }
    }
    text
}
