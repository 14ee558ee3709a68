//! The thread that writes objects to disk, ahead of need: it begins at a mark below the limit, so that whoever
//! needs room finds objects that have only to be let go.
//!
//! It walks through the books, takes what may be written in the order of last use, and writes until less than
//! the lower mark is in memory and not on disk. A walk that wrote nothing ends in sleep, until somebody who
//! waits for room wants another.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use crate::error::{Error, ErrorKind};
use crate::store::books::{Books, Busy, Line, Store};
use crate::store::folder::{self, Folder};
use crate::store::segment::{Extent, Open, Unwritten};
use crate::store::{Hold, Place};

/// What is written at least where somebody waits, as a part of the limit.
const WRITTEN_PART: usize = 16;

/// What the books say of the writer.
#[derive(Default)]
pub(super) struct Writer {
    thread: Option<JoinHandle<()>>,
    wanted: bool,
    /// Objects that can be written have come since the last walk began.
    fresh: bool,
    /// How much room somebody waits for.
    demand: usize,
    /// How many walks have begun.
    walks: u64,
    /// The last walk that found nothing to write.
    in_vain: u64,
}

impl Writer {
    /// Wants a walk that makes room for so much, and tells its number.
    pub(super) fn want(&mut self, bytes: usize) -> u64 {
        // Ahead of need a walk is only worth it where there is something new.
        self.wanted |= bytes > 0 || self.fresh;
        self.demand = self.demand.max(bytes);
        self.walks + 1
    }

    /// There is another object to write.
    pub(super) fn note_fresh(&mut self) {
        self.fresh = true;
    }

    /// Begins a walk, and tells how much somebody waits for.
    fn begin(&mut self) -> usize {
        (self.wanted, self.fresh) = (false, false);
        self.walks += 1;
        std::mem::take(&mut self.demand)
    }

    /// Whether that walk, or a later one, found nothing to write.
    pub(super) fn was_in_vain(&self, walk: u64) -> bool {
        self.in_vain >= walk
    }

    fn is_idle(&self) -> bool {
        self.in_vain == self.walks
    }
}

impl<P: Place> Store<P> {
    /// Wants a walk of the writer, which is started if need be.
    pub(super) fn want_writer(self: &Arc<Self>, bytes: usize) -> u64 {
        let mut books = self.books();
        let walk = books.writer.want(bytes);
        if books.writer.thread.is_none() && !books.closed {
            let store = Arc::clone(self);
            let thread = std::thread::Builder::new().name("mobula-spill".to_owned());
            match thread.spawn(move || store.write_ahead()) {
                Ok(thread) => books.writer.thread = Some(thread),
                Err(error) => {
                    books.disk_trouble = Some(format!("no thread could be started: {error}"));
                    books.writer.in_vain = walk;
                }
            }
        }
        drop(books);
        self.wanted.notify_one();
        walk
    }

    /// Ends the writer. From here on nothing is written, and nobody waits for room.
    pub(crate) fn close(&self) {
        let mut books = self.books();
        books.closed = true;
        books.give_up_all();
        let (thread, folder) = (books.writer.thread.take(), books.folder.take());
        drop(books);
        self.wanted.notify_all();
        self.changed.notify_all();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
        // It stays as long as there are files in it.
        drop(folder);
    }

    fn write_ahead(&self) {
        loop {
            let mut books = self.books();
            let ahead = |books: &Books<P>| {
                self.unwritten() > self.settings.high_water() && !books.writer.is_idle()
            };
            while !(books.closed || books.writer.wanted || ahead(&books) || self.has_noted(&books))
            {
                books = self.wanted.wait(books).unwrap_or_else(PoisonError::into_inner);
            }
            if books.closed {
                return;
            }
            if !books.writer.wanted && !ahead(&books) {
                drop(books);
                self.bring_noted();
                continue;
            }
            // A walk takes a while, so it is to be worth it.
            let demand = match books.writer.begin() {
                0 => 0,
                demand => demand.max(self.settings.limit / WRITTEN_PART),
            };
            let found = books.least_recently_used(Line::can_be_written);
            drop(books);
            let wrote = self.write_all(found, demand) > 0;
            let mut books = self.books();
            if !wrote {
                books.writer.in_vain = books.writer.walks;
            }
            drop(books);
            self.changed.notify_all();
        }
    }

    /// The bytes of what is in memory and not on disk.
    pub(super) fn unwritten(&self) -> usize {
        self.used.load(Ordering::Relaxed).saturating_sub(self.written.load(Ordering::Relaxed))
    }

    /// Writes of that until little is unwritten, and as much as somebody waits for: what was written before
    /// may be in use. Returns how many bytes that were.
    fn write_all(&self, found: Vec<(u64, usize)>, demand: usize) -> usize {
        let (mut wrote, mut open) = (0, None);
        for (_, number) in found {
            let books = self.books();
            let enough = wrote >= demand && self.unwritten() <= self.settings.low_water();
            if books.closed || enough {
                break;
            }
            let Some(busy) = Busy::begin(self, books, number, Line::can_be_written) else {
                continue;
            };
            match self.write(&busy, &mut open) {
                Ok(Some(extent)) => {
                    let bytes = busy.about.bytes;
                    wrote += bytes;
                    busy.end(|books, number| {
                        books.disk_trouble = None;
                        self.written.fetch_add(bytes, Ordering::Relaxed);
                        books.line(number).on_disk = Some(Arc::new(extent));
                    });
                }
                Ok(None) | Err(Unwritten::GaveUp) => drop(busy),
                Err(Unwritten::Refused(error)) => {
                    busy.end(|books, number| books.line(number).refused = Some(error));
                    open = None;
                }
                Err(Unwritten::Trouble(error)) => {
                    busy.end(|books, _| books.disk_trouble = Some(error.to_string()));
                    // Where there is no room for one, there is hardly any for others.
                    return wrote;
                }
            }
        }
        wrote
    }

    /// Writes one object. None: somebody reads it.
    fn write(
        &self,
        busy: &Busy<'_, P>,
        open: &mut Option<Open>,
    ) -> Result<Option<Extent>, Unwritten> {
        let Some(value) = busy.hold().value() else { return Ok(None) };
        let kind = busy.about.kind.expect("only what has a kind is found");
        let fresh = || Open::create(&*self.disk, &self.folder()?).map_err(Unwritten::Trouble);
        let mut file = match open.take().filter(|open| !open.is_full()) {
            Some(file) => file,
            None => fresh()?,
        };
        let extent = file.write(kind, &value, &busy.about.give_up)?;
        *open = Some(file);
        Ok(Some(extent))
    }

    /// Where files go.
    fn folder(&self) -> Result<Arc<Folder>, Unwritten> {
        let closed =
            || Unwritten::Refused(Error::new(ErrorKind::ShutDown, "the runtime has ended"));
        let books = self.books();
        if let Some(folder) = &books.folder {
            return Ok(Arc::clone(folder));
        }
        if books.closed {
            return Err(closed());
        }
        drop(books);
        let parent = &self.settings.spill_dir;
        folder::remove_leftovers(parent);
        let folder = Arc::new(Folder::create(parent).map_err(Unwritten::Trouble)?);
        let mut books = self.books();
        if books.closed {
            return Err(closed());
        }
        books.folder = Some(Arc::clone(&folder));
        Ok(folder)
    }
}
