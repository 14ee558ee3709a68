//! Turns a hang into a failure: when nothing has gone on for minutes, it says what is pending, and ends
//! the process. Nothing else in this test looks at a clock.

use std::collections::BTreeSet;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::meter;
use crate::model::Model;

/// How long nothing may go on. Far more than the slowest machine needs for one thing.
const STALLED_MAX: Duration = Duration::from_secs(180);

/// The round that runs: its seed, and its drivers' models.
static ROUND: Mutex<(u64, Vec<Arc<Mutex<Model>>>)> = Mutex::new((0, Vec::new()));

/// Watches until it is dropped.
pub(crate) struct Watchdog {
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn start() -> Self {
        let (end, ended) = mpsc::channel();
        let watch = move || {
            let mut before = meter::progress();
            while ended.recv_timeout(STALLED_MAX) == Err(RecvTimeoutError::Timeout) {
                let now = meter::progress();
                if now == before {
                    eprintln!("nothing has gone on for {STALLED_MAX:?}; {}", pending());
                    std::process::abort();
                }
                before = now;
            }
        };
        Self { end: Some(end), thread: Some(thread::spawn(watch)) }
    }

    /// Tells of the round that begins, or of none.
    pub(crate) fn watch(&self, seed: u64, models: &[Arc<Mutex<Model>>]) {
        *lock(&ROUND) = (seed, models.to_vec());
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the drivers wait for, and what is not there yet.
fn pending() -> String {
    let (seed, models) = &*lock(&ROUND);
    let mut text = format!("to run it again: MOBULA_STRESS_SEED={seed}\n");
    for (driver, model) in models.iter().enumerate() {
        let Ok(model) = model.try_lock() else {
            text += &format!("driver {driver} holds its model\n");
            continue;
        };
        let doing = model.doing;
        text += &format!("driver {driver}: {doing:?}; pending, with what that needs:\n");
        for number in unfinished(&model) {
            let object = &model.objects[number];
            text += &format!("  object {number}, {}: {object:?}\n", state(&model, number));
        }
    }
    text
}

fn state(model: &Model, number: usize) -> &'static str {
    let object = &model.objects[number];
    match &object.held {
        _ if object.seen.is_some() => "seen",
        Some(held) if held.is_ready() => "ready",
        Some(_) => "pending",
        None => "given away",
    }
}

/// What is pending or the driver waits for, and all that it needs, except what was seen.
fn unfinished(model: &Model) -> BTreeSet<usize> {
    let pending = (0..model.objects.len()).filter(|&number| state(model, number) == "pending");
    let mut open: Vec<usize> = pending.collect();
    open.extend(model.doing.1);
    let mut found = BTreeSet::new();
    while let Some(number) = open.pop() {
        if found.insert(number) {
            let needs = model.objects[number].origin.needs();
            open.extend(needs.iter().filter(|&&n| state(model, n) != "seen"));
        }
    }
    found
}

#[test]
fn what_is_pending_is_named_with_all_that_it_needs() {
    use crate::counted::Counted;
    use crate::model::{Object, Origin};

    let mut model = Model::default();
    let seen = model.add(Object::new(Origin::Value(1), None));
    model.see(seen, Ok(Counted::new(1)));
    let given_away = model.add(Object::new(Origin::Combined(vec![seen]), None));
    let unrelated = model.add(Object::new(Origin::Value(2), None));
    let awaited = model.add(Object::new(Origin::Combined(vec![seen, given_away]), None));
    model.doing = ("gets an object", Some(awaited));
    assert!(unfinished(&model).into_iter().eq([given_away, awaited]));
    assert_eq!(state(&model, unrelated), "given away");
}
