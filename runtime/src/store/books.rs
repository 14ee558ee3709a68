//! The books of one store: the objects that are listed, and what is known of each.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::store::ahead::Noted;
use crate::store::disk::Disk;
use crate::store::folder::Folder;
use crate::store::segment::Extent;
use crate::store::writer::Writer;
use crate::store::{Any, Hold, Kind, Place, StoreSettings};

/// The store of one runtime, as its objects and its threads share it.
pub(crate) struct Store<P: Place> {
    pub(super) settings: StoreSettings,
    /// The bytes of what is in memory, and of those what is on disk, too.
    pub(super) used: AtomicUsize,
    pub(super) written: AtomicUsize,
    /// How many wait for room.
    pub(super) queued: AtomicUsize,
    /// The bytes of what was brought back ahead of need and not used yet.
    pub(super) unused: AtomicUsize,
    /// Ticks with each use of an object.
    clock: AtomicU64,
    books: Mutex<Books<P>>,
    /// Somebody is no longer busy, or there may be room.
    pub(super) changed: Condvar,
    /// The writer is wanted.
    pub(super) wanted: Condvar,
    pub(super) disk: Box<dyn Disk>,
}

/// What the lock guards.
pub(super) struct Books<P> {
    /// By their numbers.
    pub(super) lines: Vec<Option<Line<P>>>,
    /// Numbers that are free.
    free: Vec<usize>,
    /// The bytes of what is on disk only.
    pub(super) spilled: usize,
    /// Those who wait for room, in their order.
    pub(super) queue: VecDeque<u64>,
    /// What queued tasks will need.
    pub(super) noted: Noted,
    pub(super) writer: Writer,
    /// Where files go, once there are any; and why there can be none.
    pub(super) folder: Option<Arc<Folder>>,
    pub(super) disk_trouble: Option<String>,
    /// The runtime has ended: nothing is written any more, and nobody waits for room.
    pub(super) closed: bool,
}

/// What the books say of one object.
pub(super) struct Line<P> {
    pub(super) place: P,
    pub(super) about: Arc<About>,
    /// Somebody is busy with it, and maybe by a hold that counts as a ref.
    busy: bool,
    held: bool,
    pub(super) in_memory: bool,
    pub(super) on_disk: Option<Arc<Extent>>,
    /// Why it cannot be written, if that was tried.
    pub(super) refused: Option<Error>,
    /// It was on disk, and what is there cannot be read.
    pub(super) lost: bool,
}

impl<P: Place> Line<P> {
    /// Whether it is to be had by letting go of what is in memory.
    pub(super) fn can_be_evicted(&self) -> bool {
        self.in_memory && !self.busy && self.on_disk.is_some() && !self.place.is_read()
    }

    pub(super) fn is_spilled(&self) -> bool {
        !self.in_memory && !self.busy
    }

    /// Whether it can be written.
    pub(super) fn can_be_written(&self) -> bool {
        let known = self.about.kind.is_some() && self.refused.is_none();
        let fits = self.in_memory && !self.busy && self.on_disk.is_none() && !self.lost;
        known && fits && !self.place.is_read()
    }

    /// How many refs the program has.
    pub(super) fn refs(&self) -> usize {
        self.place.refs().saturating_sub(usize::from(self.held))
    }
}

/// What does not change, or needs no lock.
pub(super) struct About {
    pub(super) bytes: usize,
    pub(super) kind: Option<&'static Kind>,
    /// The tick of the last use.
    pub(super) used_at: AtomicU64,
    /// Whoever writes the object is to stop: it is about to go, or to move.
    pub(super) give_up: AtomicBool,
    /// It was brought back ahead of need, and not used yet.
    pub(super) unused: AtomicBool,
}

/// An object's place in the books, as the object itself has it.
pub(crate) struct Stored<P: Place> {
    pub(super) store: Arc<Store<P>>,
    pub(super) number: usize,
    pub(super) about: Arc<About>,
}

impl<P: Place> Store<P> {
    pub(crate) fn new(settings: StoreSettings, disk: Box<dyn Disk>) -> Arc<Self> {
        Arc::new(Self {
            settings,
            used: AtomicUsize::new(0),
            written: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            unused: AtomicUsize::new(0),
            clock: AtomicU64::new(0),
            books: Mutex::new(Books {
                lines: Vec::new(),
                free: Vec::new(),
                spilled: 0,
                queue: VecDeque::new(),
                noted: Noted::new(),
                writer: Writer::default(),
                folder: None,
                disk_trouble: None,
                closed: false,
            }),
            changed: Condvar::new(),
            wanted: Condvar::new(),
            disk,
        })
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books<P>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists an object that room was made for.
    pub(crate) fn list(
        self: &Arc<Self>,
        bytes: usize,
        kind: Option<&'static Kind>,
        place: P,
    ) -> Stored<P> {
        let used_at = AtomicU64::new(self.tick());
        let about = Arc::new(About {
            bytes,
            kind,
            used_at,
            give_up: AtomicBool::new(false),
            unused: AtomicBool::new(false),
        });
        let line = Line {
            place,
            about: Arc::clone(&about),
            busy: false,
            held: false,
            in_memory: true,
            on_disk: None,
            refused: None,
            lost: false,
        };
        let mut books = self.books();
        let number = books.free.pop().unwrap_or_else(|| {
            books.lines.push(None);
            books.lines.len() - 1
        });
        books.lines[number] = Some(line);
        if kind.is_some() {
            books.writer.note_fresh();
        }
        drop(books);
        Stored { store: Arc::clone(self), number, about }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}

impl<P: Place> Books<P> {
    /// The numbers of those that `fit`, by the tick of their last use.
    pub(super) fn least_recently_used(&self, fits: impl Fn(&Line<P>) -> bool) -> Vec<(u64, usize)> {
        let lines = self.lines.iter().enumerate();
        let fitting = lines.filter_map(|(number, line)| {
            let line = line.as_ref().filter(|line| fits(line))?;
            Some((line.about.used_at.load(Ordering::Relaxed), number))
        });
        let mut found: Vec<_> = fitting.collect();
        found.sort_unstable();
        found
    }

    /// Whoever writes stops.
    pub(super) fn give_up_all(&self) {
        let lines = self.lines.iter().flatten();
        lines.for_each(|line| line.about.give_up.store(true, Ordering::Relaxed));
    }

    pub(super) fn line(&mut self, number: usize) -> &mut Line<P> {
        self.lines[number].as_mut().expect("what is listed has a line")
    }
}

impl<P: Place> Store<P> {
    /// Ends a line; what it held is to be dropped without the lock.
    fn strike(&self, books: &mut Books<P>, number: usize) -> Line<P> {
        let line = books.lines[number].take().expect("an object is struck off once");
        books.free.push(number);
        self.note_use(&line.about);
        let bytes = line.about.bytes;
        if line.lost {
            // It counts for nothing.
        } else if line.in_memory {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            if line.on_disk.is_some() {
                self.written.fetch_sub(bytes, Ordering::Relaxed);
            }
        } else {
            books.spilled -= bytes;
        }
        line
    }
}

/// What became of a wish to strike an object off.
pub(crate) enum Struck {
    /// It is; its value is where it was.
    InMemory,
    /// It is; this is its value.
    OnDisk(Result<Any>),
    /// It is not, for it is not the asker's alone.
    Shared,
}

impl<P: Place> Stored<P> {
    /// Notes that the object is used.
    pub(crate) fn touch(&self) {
        self.about.used_at.store(self.store.tick(), Ordering::Relaxed);
        self.store.note_use(&self.about);
    }

    /// The books, once nobody is busy with the object. `sole`: or once it is seen not to be the asker's alone.
    fn quiet(&self, sole: bool) -> MutexGuard<'_, Books<P>> {
        let mut books = self.store.books();
        loop {
            let line = books.line(self.number);
            if !line.busy || (sole && line.refs() > 1) {
                return books;
            }
            self.about.give_up.store(true, Ordering::Relaxed);
            let waited = self.store.changed.wait(books);
            books = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Strikes the object off, whose end has come. Nobody is busy with it, for nobody holds it.
    pub(crate) fn strike(&self) {
        let line = self.store.strike(&mut self.store.books(), self.number);
        drop(line);
        self.store.there_is_room();
    }

    /// Strikes the object off if it is the asker's alone: `sole` says so, asked under the lock, when nobody
    /// else can get a hold. The value is brought back for the asker where that is `wanted`.
    pub(crate) fn strike_if(&self, sole: impl FnOnce() -> bool, wanted: bool) -> Struck {
        let mut books = self.quiet(true);
        if books.line(self.number).busy || !sole() {
            return Struck::Shared;
        }
        self.strike_from(books, wanted)
    }

    /// As `strike_if`, whoever else has a ref. `strike` is called under the lock.
    pub(crate) fn strike_anyway(&self, strike: impl FnOnce()) -> Struck {
        let books = self.quiet(false);
        strike();
        self.strike_from(books, true)
    }

    fn strike_from(&self, mut books: MutexGuard<'_, Books<P>>, wanted: bool) -> Struck {
        let line = self.store.strike(&mut books, self.number);
        drop(books);
        let struck = match &line.on_disk {
            Some(extent) if !line.in_memory && wanted => {
                // For a moment it is ours, so that others make room for it.
                self.store.make_room(self.about.bytes);
                self.store.used.fetch_sub(self.about.bytes, Ordering::Relaxed);
                Struck::OnDisk(self.read(extent))
            }
            _ => Struck::InMemory,
        };
        drop(line);
        self.store.there_is_room();
        struck
    }

    /// Brings a spilled value back: `put_back` writes it, or why it is lost, where it belongs. One that cannot
    /// be read is made `again`, if there is a way. None: somebody else did so.
    pub(crate) fn restore<R>(
        &self,
        again: impl FnOnce(Error) -> Result<Any>,
        put_back: impl FnOnce(Result<Any>) -> R,
    ) -> Option<R> {
        let mut books = self.quiet(false);
        let line = books.line(self.number);
        if line.in_memory {
            return None;
        }
        line.busy = true;
        let extent = line.on_disk.clone().expect("what is spilled is on disk");
        drop(books);
        let bytes = self.about.bytes;
        self.store.make_room(bytes);
        let value = self.read(&extent);
        let whole = value.is_ok();
        let value = value.or_else(again);
        let lost = value.is_err();
        let done = put_back(value);
        let mut books = self.store.books();
        books.spilled -= bytes;
        if lost {
            self.store.used.fetch_sub(bytes, Ordering::Relaxed);
        } else if whole {
            self.store.written.fetch_add(bytes, Ordering::Relaxed);
        }
        let line = books.line(self.number);
        line.in_memory = true;
        line.lost = lost;
        line.busy = false;
        let gone = if whole { None } else { line.on_disk.take() };
        drop(books);
        drop((gone, extent));
        self.store.changed.notify_all();
        Some(done)
    }

    fn read(&self, extent: &Extent) -> Result<Any> {
        let kind = self.about.kind.expect("only what has a kind is ever written");
        extent.read(kind)
    }
}

/// Being busy with an object (B2), and the hold that goes with it (B4).
pub(super) struct Busy<'a, P: Place> {
    store: &'a Store<P>,
    number: usize,
    pub(super) about: Arc<About>,
    hold: Option<P::Hold>,
}

impl<'a, P: Place> Busy<'a, P> {
    /// None: the object does not fit any more, or is about to go.
    pub(super) fn begin(
        store: &'a Store<P>,
        mut books: MutexGuard<'_, Books<P>>,
        number: usize,
        fits: impl Fn(&Line<P>) -> bool,
    ) -> Option<Self> {
        let line = books.lines[number].as_mut().filter(|line| fits(line))?;
        let hold = line.place.hold()?;
        (line.busy, line.held) = (true, true);
        line.about.give_up.store(false, Ordering::Relaxed);
        Some(Self { store, number, about: Arc::clone(&line.about), hold: Some(hold) })
    }

    pub(super) fn hold(&self) -> &P::Hold {
        self.hold.as_ref().expect("it is given up at the end")
    }

    /// Ends it with a change of the books.
    pub(super) fn end(mut self, change: impl FnOnce(&mut Books<P>, usize)) {
        self.end_with(change);
    }

    fn end_with(&mut self, change: impl FnOnce(&mut Books<P>, usize)) {
        let Some(hold) = self.hold.take() else { return };
        let mut books = self.store.books();
        change(&mut books, self.number);
        let line = books.line(self.number);
        (line.busy, line.held) = (false, false);
        let last = hold.release().err();
        drop(books);
        self.store.changed.notify_all();
        // By now the object is like any other: if ours was the last hold, this strikes it off.
        drop(last);
    }
}

impl<P: Place> Drop for Busy<'_, P> {
    fn drop(&mut self) {
        self.end_with(|_, _| {});
    }
}
