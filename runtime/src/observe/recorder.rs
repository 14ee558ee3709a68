//! What one runtime records, as its threads and its readers share it.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use quanta::Clock;
use rtrb::{Consumer, RingBuffer};

use crate::observe::number::Place;
use crate::observe::reader::Reader;
use crate::observe::record::Record;
use crate::observe::writer::Writer;
use crate::observe::{Events, THREADS_MAX};

/// How many numbers a thread takes at a time.
const NUMBERS_AT_A_TIME: u64 = 1024;

/// The events of one runtime.
pub(crate) struct Recorder {
    place: Arc<Place>,
    clock: Clock,
    start_ticks: u64,
    started_at: SystemTime,
    /// How many events a ring holds.
    capacity: usize,
    next_number: AtomicU64,
    /// Events of threads that got no ring.
    lost: AtomicU64,
    threads: Mutex<Threads>,
    reader: Mutex<Reader>,
}

/// The threads that have come. Locked for moments only: one that comes never waits for a reader at work.
#[derive(Default)]
struct Threads {
    /// The rings that the reader has not seen yet.
    new: Vec<Ring>,
    /// How many rings there are.
    rings: usize,
    /// How many threads there were.
    numbered: usize,
    /// The runtime's guard is gone, so nobody will read.
    closed: bool,
}

/// The reader's end of a thread's ring.
pub(super) struct Ring {
    pub(super) thread: Arc<Thread>,
    pub(super) records: Consumer<Record>,
    /// How many events found no place in it.
    pub(super) dropped: Arc<AtomicU64>,
}

/// Who recorded an event.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) number: usize,
    pub(super) name: String,
}

impl Recorder {
    /// Starts to record, with rings of this capacity.
    pub(crate) fn start(capacity: usize) -> Arc<Self> {
        let clock = Clock::new();
        Arc::new_cyclic(|this| Self {
            place: Place::take(this),
            start_ticks: clock.raw(),
            started_at: SystemTime::now(),
            clock,
            capacity,
            next_number: AtomicU64::new(1),
            lost: AtomicU64::new(0),
            threads: Mutex::default(),
            reader: Mutex::default(),
        })
    }

    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Numbers that no other thread gets.
    pub(super) fn more_numbers(&self) -> Range<u64> {
        let first = self.next_number.fetch_add(NUMBERS_AT_A_TIME, Ordering::Relaxed);
        first..first + NUMBERS_AT_A_TIME
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> MutexGuard<'_, Reader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A ring for this thread, if there is to be one more.
    pub(super) fn new_writer(&self) -> Option<Writer> {
        let mut threads = self.threads();
        if threads.closed || threads.rings >= THREADS_MAX {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let number = threads.numbered;
        let name =
            std::thread::current().name().map_or_else(|| format!("thread {number}"), str::to_owned);
        let (ring, records) = RingBuffer::new(self.capacity);
        let dropped = Arc::<AtomicU64>::default();
        threads.new.push(Ring {
            thread: Arc::new(Thread { number, name }),
            records,
            dropped: Arc::clone(&dropped),
        });
        threads.numbered += 1;
        threads.rings += 1;
        let (place, clock) = (Arc::clone(&self.place), self.clock.clone());
        let index = place.index();
        Some(Writer { index, place, clock, ring, free: 0, dropped, numbers: 0..0, origin: None })
    }

    /// Everything that was recorded up to now and not yet read.
    pub(crate) fn read(&self) -> Events {
        let mut reader = self.reader();
        let until = self.clock.raw();
        // What is seen of a task was recorded after its submission, but the submission's ring may be one that
        // was emptied before that. The second look finds it; what else it finds is for the next time.
        for _ in 0..2 {
            let mut threads = self.threads();
            let new = std::mem::take(&mut threads.new);
            drop(threads);
            let ended = reader.empty(new);
            self.threads().rings -= ended;
        }
        let nanos = |ticks| self.clock.delta_as_nanos(self.start_ticks, ticks);
        let events = reader.take(until, nanos);
        let dropped = reader.dropped() + self.lost.load(Ordering::Relaxed);
        Events::new(events, dropped, self.started_at)
    }

    /// Nobody will read any more: frees the rings, as far as they are not in the hands of other threads.
    pub(crate) fn close(&self) {
        let mut threads = self.threads();
        threads.closed = true;
        let new = std::mem::take(&mut threads.new);
        drop(threads);
        drop(new);
        *self.reader() = Reader::default();
        crate::observe::writer::forget_ended();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::Location;

    use super::*;
    use crate::error::ErrorKind;
    use crate::function::{Call, Function};
    use crate::observe::{EventKind, Number, UNFINISHED_MAX, record};

    static FUNCTION: Function = Function::new("f", "here", file!(), line!());

    #[track_caller]
    fn submit(recorder: &Arc<Recorder>, name: Option<&str>, parent: Number) -> Number {
        let call = Call { function: &FUNCTION, called_at: Location::caller() };
        recorder.submitted(call, name.map(Arc::from).as_ref(), parent, Number::NONE)
    }

    fn read(recorder: &Recorder) -> Vec<(EventKind, u64, u32)> {
        recorder.read().map(|event| (event.kind(), event.task(), event.attempt())).collect()
    }

    #[test]
    fn a_retried_task_counts_its_attempts() {
        let recorder = Recorder::start(100);
        let number = submit(&recorder, None, Number::NONE);
        let task = number.count();
        record(number, EventKind::Started, Some(3));
        record(number, EventKind::Retried { attempt: 2 }, Some(3));
        let first = [
            (EventKind::Submitted, task, 1),
            (EventKind::Started, task, 1),
            (EventKind::Retried { attempt: 2 }, task, 2),
        ];
        assert_eq!(read(&recorder), first);
        record(number, EventKind::Started, Some(4));
        record(number, EventKind::of_end(Some(ErrorKind::Panic)), Some(4));
        let second = recorder.read();
        assert!(second.as_slice().iter().all(|event| event.worker() == Some(4)));
        assert!(second.as_slice().iter().all(|event| event.attempt() == 2));
        let kinds: Vec<_> = second.map(|event| event.kind()).collect();
        assert_eq!(kinds, [EventKind::Started, EventKind::Failed(ErrorKind::Panic)]);
    }

    #[test]
    fn a_restarted_actor_is_still_known() {
        let recorder = Recorder::start(100);
        let call = Call { function: &FUNCTION, called_at: Location::caller() };
        let actor = recorder.actor_submitted(call, Number::NONE);
        let life = [
            EventKind::Started,
            EventKind::ActorStarted,
            EventKind::ActorRestarted,
            EventKind::Failed(ErrorKind::Panic),
            EventKind::ActorEnded,
        ];
        life.into_iter().for_each(|kind| record(actor, kind, None));
        let events = recorder.read();
        assert_eq!(events.len(), 6);
        assert!(
            events
                .into_iter()
                .all(|event| event.actor() == Some(actor.count()) && event.name() == Some("f"))
        );
    }

    #[test]
    fn a_submission_is_recorded_with_all_that_belongs_to_it_or_dropped() {
        // Place for what the call is, its name and the task, but not twice.
        let recorder = Recorder::start(4);
        let first = submit(&recorder, Some("first"), Number::NONE);
        let second = submit(&recorder, Some("second"), first);
        record(second, EventKind::Started, None);
        let events = recorder.read();
        assert_eq!(events.dropped(), 1);
        let names: Vec<_> = events.map(|event| event.name().map(str::to_owned)).collect();
        assert_eq!(names, [Some("first".to_owned()), None]);
        // The ring has place again; nothing of the second is left to be taken for the third's.
        let third = submit(&recorder, None, first);
        let events: Vec<_> = recorder.read().collect();
        assert_eq!((events.len(), events[0].task()), (1, third.count()));
        assert_eq!((events[0].name(), events[0].parent()), (Some("f"), Some(first.count())));
    }

    #[test]
    fn numbers_are_different_on_all_threads() {
        let recorder = Recorder::start(10_000);
        let submit_some = || {
            for _ in 0..3000 {
                submit(&recorder, None, Number::NONE);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(submit_some);
            scope.spawn(submit_some);
        });
        let mut numbers: Vec<_> = recorder.read().map(|event| event.task()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 6000);
    }

    #[test]
    fn the_oldest_unfinished_tasks_are_forgotten_and_no_others() {
        let recorder = Recorder::start(1000);
        let numbers: Vec<_> =
            (0..3 * UNFINISHED_MAX).map(|_| submit(&recorder, None, Number::NONE)).collect();
        recorder.read();
        numbers.iter().for_each(|&number| record(number, EventKind::Finished, None));
        let known: Vec<bool> = recorder.read().map(|event| event.name().is_some()).collect();
        let (forgotten, kept) = known.split_at(UNFINISHED_MAX);
        assert!(forgotten.iter().all(|known| !known) && kept.iter().all(|known| *known));
        // Finished tasks are no burden.
        for _ in 0..10 * UNFINISHED_MAX {
            let number = submit(&recorder, None, Number::NONE);
            record(number, EventKind::Finished, None);
            assert!(recorder.read().all(|event| event.name().is_some()));
        }
    }

    #[test]
    fn threads_beyond_the_limit_are_counted_until_the_ended_ones_were_read() {
        let recorder = Recorder::start(4);
        let on_a_thread = || {
            let submit = || submit(&recorder, None, Number::NONE);
            std::thread::scope(|scope| scope.spawn(submit).join().unwrap())
        };
        for _ in 0..THREADS_MAX {
            assert_ne!(on_a_thread(), Number::NONE);
        }
        assert_eq!(on_a_thread(), Number::NONE);
        let events = recorder.read();
        assert_eq!((events.len(), events.dropped()), (THREADS_MAX, 1));
        assert_ne!(on_a_thread(), Number::NONE);
        assert_eq!(recorder.read().len(), 1);
    }

    #[test]
    fn a_closed_recorder_frees_its_rings_and_takes_nothing_more() {
        let recorder = Recorder::start(4);
        let weak = Arc::downgrade(&recorder);
        let number = submit(&recorder, None, Number::NONE);
        recorder.close();
        assert_eq!(submit(&recorder, None, Number::NONE), Number::NONE);
        drop(recorder);
        assert!(weak.upgrade().is_none());
        record(number, EventKind::Finished, None);
    }
}
