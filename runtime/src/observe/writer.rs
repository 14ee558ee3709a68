//! A thread's end of its rings: one for each runtime of which it has something to tell.
//!
//! Nothing here waits for a reader. The only lock is taken when a thread tells of a runtime for the first
//! time.
//!
//! A thread keeps count of the places that are certainly free, so a full ring is known before anything else is
//! done: an event that is dropped costs no reading of the clock. One that is written has a reading of its own.
//! An older one is never used again, as nothing but the clock could say that it is not too old.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quanta::Clock;
use rtrb::Producer;

use crate::function::Call;
use crate::observe::number::Place;
use crate::observe::record::{Origin, Record};
use crate::observe::{EventKind, Number, Recorder};

thread_local! {
    static WRITERS: RefCell<Writers> = const { RefCell::new(Writers(Vec::new())) };
    /// The writer that this thread used last, so that the next event finds it at once.
    static LAST: Cell<*mut Writer> = const { Cell::new(ptr::null_mut()) };
}

/// This thread's writers; their boxes are their places, to which `LAST` points.
struct Writers(#[expect(clippy::vec_box, reason = "LAST points into the boxes")] Vec<Box<Writer>>);

/// This thread's end of one ring.
pub(super) struct Writer {
    /// The index of `place`, at hand for the look whether this is the right writer.
    pub(super) index: u16,
    pub(super) place: Arc<Place>,
    pub(super) clock: Clock,
    pub(super) ring: Producer<Record>,
    /// In how many places of the ring certainly nothing is.
    pub(super) free: usize,
    /// How many events found no place. Written by this thread alone.
    pub(super) dropped: Arc<AtomicU64>,
    /// Numbers for the tasks that this thread submits.
    pub(super) numbers: Range<u64>,
    /// What the last `Submitted` in the ring was a call of.
    pub(super) origin: Option<Origin>,
}

/// Notes that something happened to the task or actor of this number, on this thread; `worker`: the index
/// of the CPU that it holds.
#[inline]
pub(crate) fn record(number: Number, kind: EventKind, worker: Option<u16>) {
    match last(number.place()) {
        Some(writer) => writer.step(kind, number.count(), worker),
        None => record_by_another(number, kind, worker),
    }
}

/// The same with another writer than the last.
#[cold]
fn record_by_another(number: Number, kind: EventKind, worker: Option<u16>) {
    if let Some(recorder) = number.recorder() {
        with_writer(&recorder, |writer| writer.step(kind, number.count(), worker));
    }
}

/// The writer that this thread used last, if it is one for the recorder at that place. Whoever has it calls
/// nothing of the program's, nor the rest of this file.
#[inline]
fn last(place: u16) -> Option<&'static mut Writer> {
    // SAFETY: `LAST` points into a box of this thread's `WRITERS`, which reset it before they let one go. The
    // borrow has ended when the next begins, because nothing else runs on this thread meanwhile.
    unsafe { LAST.get().as_mut() }.filter(|writer| writer.index == place)
}

/// Lets `write` use this thread's writer for `recorder`, or makes one. None: the recorder or the thread is as
/// good as gone, or there are too many threads.
#[cold]
fn with_writer<R>(recorder: &Recorder, write: impl FnOnce(&mut Writer) -> R) -> Option<R> {
    // In a thread's last moments its locals are gone.
    let done = WRITERS.try_with(|writers| {
        let mut writers = writers.borrow_mut();
        // While we look at the boxes, nothing points into them.
        LAST.set(ptr::null_mut());
        let place = recorder.place().index();
        let known = writers.0.iter().position(|writer| writer.place.index() == place);
        let index = match known {
            Some(index) => index,
            None => {
                let writer = recorder.new_writer()?;
                writers.drop_ended();
                writers.0.push(Box::new(writer));
                writers.0.len() - 1
            }
        };
        LAST.set(&raw mut *writers.0[index]);
        last(place).map(write)
    });
    done.ok().flatten()
}

/// Frees this thread's ends of the rings of runtimes that have ended.
pub(super) fn forget_ended() {
    let _ = WRITERS.try_with(|writers| writers.borrow_mut().drop_ended());
}

impl Writers {
    fn drop_ended(&mut self) {
        LAST.set(ptr::null_mut());
        self.0.retain(|writer| !writer.ring.is_abandoned());
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        LAST.set(ptr::null_mut());
    }
}

impl Recorder {
    /// Notes a new task of `parent`, and gives it its number. `actor`: whose call it is, or none.
    #[inline]
    pub(crate) fn submitted(
        self: &Arc<Self>,
        call: Call,
        name: Option<&Arc<str>>,
        parent: Number,
        actor: Number,
    ) -> Number {
        let (parent, actor) = (self.own(parent), actor.count());
        self.numbered(|writer, task| writer.submitted(task, parent, Origin { call, actor }, name))
    }

    /// Notes a new actor, as a task that its constructor is, and gives it its number.
    pub(crate) fn actor_submitted(self: &Arc<Self>, call: Call, parent: Number) -> Number {
        let parent = self.own(parent);
        let origin = |task| Origin { call, actor: task };
        self.numbered(|writer, task| writer.submitted(task, parent, origin(task), None))
    }

    /// The number of a task of ours, and 0 for another runtime's, whose number means nothing here.
    #[inline]
    fn own(&self, task: Number) -> u64 {
        if task.place() == self.place().index() { task.count() } else { 0 }
    }

    #[inline]
    fn numbered(self: &Arc<Self>, write: impl FnOnce(&mut Writer, u64)) -> Number {
        let write = |writer: &mut Writer| {
            let count = match writer.numbers.next() {
                Some(count) => count,
                None => writer.renew_numbers(self),
            };
            write(writer, count);
            Number::new(self.place(), count)
        };
        match last(self.place().index()) {
            Some(writer) => write(writer),
            None => with_writer(self, write).unwrap_or(Number::NONE),
        }
    }
}

impl Writer {
    #[cold]
    fn renew_numbers(&mut self, recorder: &Recorder) -> u64 {
        self.numbers = recorder.more_numbers();
        self.numbers.next().expect("a block of numbers is not empty")
    }

    #[inline]
    fn submitted(&mut self, task: u64, parent: u64, origin: Origin, name: Option<&Arc<str>>) {
        let known = name.is_none() && self.origin.as_ref().is_some_and(|last| last.is(&origin));
        if known || self.announce(origin, name) {
            self.push(|ticks| Record::Submitted { ticks, task, parent });
        } else {
            self.count_dropped();
        }
    }

    /// Says what the next task is. False: there is no place for all of it and the task too.
    #[cold]
    fn announce(&mut self, origin: Origin, name: Option<&Arc<str>>) -> bool {
        if self.ring.slots() < 3 {
            return false;
        }
        let name = name.map(|name| Record::Name(Arc::clone(name)));
        for record in std::iter::once(Record::Origin(origin)).chain(name) {
            self.ring.push(record).expect("there is place for three");
        }
        self.free = self.ring.slots();
        self.origin = Some(origin);
        true
    }

    #[inline]
    fn step(&mut self, kind: EventKind, task: u64, worker: Option<u16>) {
        self.push(|ticks| Record::Step { kind, ticks, task, worker });
    }

    /// Writes down what happens now. Where there is no place, it does not even look at the clock.
    #[inline]
    fn push(&mut self, record: impl FnOnce(u64) -> Record) {
        if self.free == 0 {
            self.free = self.ring.slots();
            if self.free == 0 {
                return self.count_dropped();
            }
        }
        self.free -= 1;
        let record = record(self.clock.raw());
        let pushed = self.ring.push(record);
        debug_assert!(pushed.is_ok(), "only this thread takes place in the ring");
        // An event owns nothing, so there is nothing to drop.
        std::mem::forget(pushed);
    }

    #[inline]
    fn count_dropped(&mut self) {
        // Ours is the only thread that writes it, so no event is lost from the count.
        let dropped = self.dropped.load(Ordering::Relaxed);
        self.dropped.store(dropped + 1, Ordering::Relaxed);
    }
}
