//! The reader: empties the rings, brings the records of all threads into one order, and gives each what is
//! known of its task.
//!
//! Events come in the order of their times. Of one task none comes before its submission, also where the
//! counters of two CPUs differ by some ticks. A later reading never goes back before an earlier one, except
//! for an event whose thread was interrupted between taking the time and writing it down.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::function::Call;
use crate::observe::UNFINISHED_MAX;
use crate::observe::event::{Event, EventKind};
use crate::observe::record::{Origin, Record};
use crate::observe::recorder::{Ring, Thread};

/// What the reader knows between two readings.
#[derive(Default)]
pub(super) struct Reader {
    rings: Vec<Source>,
    /// Taken from the rings, and not given out yet.
    pending: Vec<Pending>,
    unfinished: Unfinished,
    /// Events dropped by threads whose rings are gone.
    dropped: u64,
}

/// A ring, and what was last said in it of the tasks to come.
struct Source {
    ring: Ring,
    origin: Option<Origin>,
    name: Option<Arc<str>>,
}

/// An event that waits for its turn.
struct Pending {
    ticks: u64,
    kind: EventKind,
    task: u64,
    worker: Option<u16>,
    thread: Arc<Thread>,
}

/// What is known of a task.
#[derive(Clone)]
pub(super) struct About {
    pub(super) call: Call,
    pub(super) name: Option<Arc<str>>,
    pub(super) parent: u64,
    pub(super) actor: u64,
    pub(super) attempt: u32,
    submitted_ticks: u64,
}

impl About {
    /// Whether nothing comes after an event of this kind.
    fn ends_with(&self, kind: EventKind, task: u64) -> bool {
        match kind {
            EventKind::ActorEnded => true,
            // A constructor's end is not its actor's.
            _ => kind.ends_task() && self.actor != task,
        }
    }
}

impl Reader {
    /// Takes what is in the rings. Returns how many of them are gone: their threads have ended.
    pub(super) fn empty(&mut self, new: Vec<Ring>) -> usize {
        self.rings.extend(new.into_iter().map(|ring| Source { ring, origin: None, name: None }));
        let before = self.rings.len();
        self.rings.retain_mut(|source| {
            // Asked first: what an ended thread wrote is all there.
            let ended = source.ring.records.is_abandoned();
            source.empty(&mut self.pending, &mut self.unfinished);
            if ended {
                self.dropped += source.ring.dropped.load(Ordering::Relaxed);
            }
            !ended
        });
        before - self.rings.len()
    }

    /// How many events were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        let of_ring = |source: &Source| source.ring.dropped.load(Ordering::Relaxed);
        self.dropped + self.rings.iter().map(of_ring).sum::<u64>()
    }

    /// The events up to that time, in order; `nanos` makes nanoseconds since the start of ticks.
    pub(super) fn take(&mut self, until: u64, nanos: impl Fn(u64) -> u64) -> Vec<Event> {
        for event in &mut self.pending {
            if let Some(about) = self.unfinished.get(event.task) {
                event.ticks = event.ticks.max(about.submitted_ticks);
            }
        }
        // Stable, so the events of one thread keep their order.
        self.pending.sort_by_key(|event| (event.ticks, event.kind != EventKind::Submitted));
        let count = self.pending.partition_point(|event| event.ticks <= until);
        let unfinished = &mut self.unfinished;
        let full = |event: Pending| {
            let Pending { ticks, kind, task, worker, thread } = event;
            if let EventKind::Retried { attempt } = kind
                && let Some(about) = unfinished.get_mut(task)
            {
                about.attempt = attempt;
            }
            let about = unfinished.get(task).cloned();
            if about.as_ref().is_some_and(|about| about.ends_with(kind, task)) {
                unfinished.remove(task);
            }
            Event::new(nanos(ticks), kind, task, about, worker, thread)
        };
        self.pending.drain(..count).map(full).collect()
    }
}

impl Source {
    /// Takes what was in the ring when this began, so that a busy thread cannot keep us here.
    fn empty(&mut self, pending: &mut Vec<Pending>, unfinished: &mut Unfinished) {
        for _ in 0..self.ring.records.slots() {
            let Ok(record) = self.ring.records.pop() else { return };
            let (ticks, kind, task, worker) = match record {
                Record::Origin(origin) => {
                    self.origin = Some(origin);
                    continue;
                }
                Record::Name(name) => {
                    self.name = Some(name);
                    continue;
                }
                Record::Submitted { ticks, task, parent } => {
                    let Origin { call, actor } = self.origin.expect("said before the first task");
                    let (name, attempt) = (self.name.take(), 1);
                    let about =
                        About { call, name, parent, actor, attempt, submitted_ticks: ticks };
                    unfinished.insert(task, about);
                    (ticks, EventKind::Submitted, task, None)
                }
                Record::Step { kind, ticks, task, worker } => (ticks, kind, task, worker),
            };
            let thread = Arc::clone(&self.ring.thread);
            pending.push(Pending { ticks, kind, task, worker, thread });
        }
    }
}

/// The tasks whose last event was not given out yet. That event may have been dropped, so the oldest are
/// forgotten where they grow too many: what comes in goes to the young, and when these are as many as may be,
/// they become the old ones, and the old ones go.
#[derive(Default)]
struct Unfinished {
    young: HashMap<u64, About>,
    old: HashMap<u64, About>,
}

impl Unfinished {
    fn insert(&mut self, task: u64, about: About) {
        if self.young.len() >= UNFINISHED_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(task, about);
    }

    fn get(&self, task: u64) -> Option<&About> {
        self.young.get(&task).or_else(|| self.old.get(&task))
    }

    fn get_mut(&mut self, task: u64) -> Option<&mut About> {
        match self.young.get_mut(&task) {
            None => self.old.get_mut(&task),
            about => about,
        }
    }

    fn remove(&mut self, task: u64) {
        if self.young.remove(&task).is_none() {
            self.old.remove(&task);
        }
    }
}
