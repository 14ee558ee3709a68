//! Making room: whoever brings an object into memory waits here while there is none.
//!
//! Only what was let in counts as used. Those who wait are let in one after the other, so that a large object
//! is not passed by small ones for ever. Who waits for the disk keeps its CPU: were it others', they would
//! make more of what there is no room for. Once nothing can be written, the CPU goes to others, who may drop
//! or stop reading what is there.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::store::books::{Busy, Line};
use crate::store::{Hold, Place, Store, report};

/// How long to wait before another look at what nobody tells of: that a value is no longer read.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// What is taken out of memory at once, as a part of the limit: looking for it costs a walk through the books.
const EVICTED_PART: usize = 16;

/// What became of a wait.
#[derive(PartialEq, Eq)]
enum Wait {
    /// There is room, and it is taken.
    Over,
    /// The disk may give some.
    ForDisk,
    /// Only the program can give some.
    InVain,
}

impl<P: Place> Store<P> {
    /// Makes room for a new object, and waits for it.
    ///
    /// # Errors
    /// `StoreFull`, if nothing could be freed for as long as the settings say.
    #[inline]
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Result<()> {
        if self.queued.load(Ordering::Relaxed) == 0 && self.let_new_in(bytes) {
            return Ok(());
        }
        let queued = Queued::new(self);
        let walk = self.want_writer(bytes);
        if self.wait(bytes, walk, || queued.is_first(), None, &mut |_| {}) == Wait::Over {
            return Ok(());
        }
        // From here on others may run on top of this thread, so none of them may stand behind it.
        drop(queued);
        let end = Instant::now() + self.settings.full_after;
        let waited = P::asleep(|between| self.wait(bytes, walk, || true, Some(end), between));
        if waited == Wait::Over { Ok(()) } else { Err(report::full(self, bytes)) }
    }

    /// Makes room for what has to come back from disk. Where nothing can be freed it goes beyond the limit:
    /// who waits for a value may be the one who reads the others.
    pub(super) fn make_room(self: &Arc<Self>, bytes: usize) {
        if !self.let_new_in(bytes) {
            let walk = self.want_writer(bytes);
            if self.wait(bytes, walk, || true, None, &mut |_| {}) != Wait::Over {
                self.used.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    /// Tells those who wait that something went.
    pub(super) fn there_is_room(&self) {
        if self.queued.load(Ordering::Relaxed) > 0 {
            self.changed.notify_all();
        }
    }

    /// Takes room, if there is.
    #[inline]
    pub(super) fn let_in(&self, bytes: usize) -> bool {
        // What is alone may be larger than the limit: it is in memory already.
        let fits = |used: usize| used == 0 || used + bytes <= self.settings.limit;
        let take = |used| fits(used).then_some(used + bytes);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// As `let_in`, and wants the writer where memory runs short.
    #[inline]
    fn let_new_in(self: &Arc<Self>, bytes: usize) -> bool {
        let is_in = self.let_in(bytes);
        if is_in && self.unwritten() > self.settings.high_water() {
            self.want_writer(0);
        }
        is_in
    }

    /// Waits for room, as long as the disk may give some, or until `end`.
    fn wait(
        self: &Arc<Self>,
        bytes: usize,
        walk: u64,
        is_next: impl Fn() -> bool,
        end: Option<Instant>,
        between: &mut dyn FnMut(&dyn Fn() -> bool),
    ) -> Wait {
        loop {
            if is_next() {
                if self.let_new_in(bytes) {
                    return Wait::Over;
                }
                let missing =
                    (self.used.load(Ordering::Relaxed) + bytes).saturating_sub(self.settings.limit);
                if self.evict(missing) {
                    continue;
                }
            }
            match self.look(bytes, walk) {
                Wait::InVain if end.is_none_or(|end| Instant::now() >= end) => return Wait::InVain,
                Wait::Over => return Wait::Over,
                Wait::ForDisk | Wait::InVain => {}
            }
            between(&|| self.used.load(Ordering::Relaxed) + bytes <= self.settings.limit);
            let waited = self.changed.wait_timeout(self.books(), LOOK_AGAIN);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// How it stands with the writer, which is wanted again.
    fn look(&self, bytes: usize, walk: u64) -> Wait {
        let mut books = self.books();
        if books.closed {
            self.used.fetch_add(bytes, Ordering::Relaxed);
            return Wait::Over;
        }
        let in_vain = books.writer.was_in_vain(walk);
        books.writer.want(bytes);
        drop(books);
        self.wanted.notify_one();
        if in_vain { Wait::InVain } else { Wait::ForDisk }
    }

    /// Takes what is written and unread out of memory, the least recently used first. False: there is none.
    pub(super) fn evict(&self, bytes: usize) -> bool {
        let bytes = bytes.max(self.settings.limit / EVICTED_PART);
        let found = self.books().least_recently_used(Line::can_be_evicted);
        let mut freed = 0;
        // One at a time: where a value ends, the program's code may ask for another.
        for (_, number) in found {
            if freed >= bytes {
                break;
            }
            freed += self.evict_one(number);
        }
        freed > 0
    }

    /// Returns how many bytes that freed.
    fn evict_one(&self, number: usize) -> usize {
        let Some(busy) = Busy::begin(self, self.books(), number, Line::can_be_evicted) else {
            return 0;
        };
        if !busy.hold().evict() {
            return 0;
        }
        let bytes = busy.about.bytes;
        self.note_use(&busy.about);
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        self.written.fetch_sub(bytes, Ordering::Relaxed);
        busy.end(|books, number| {
            books.spilled += bytes;
            books.line(number).in_memory = false;
        });
        bytes
    }
}

/// A place in the line of those who wait for room.
struct Queued<'a, P: Place> {
    store: &'a Store<P>,
    number: u64,
}

impl<'a, P: Place> Queued<'a, P> {
    fn new(store: &'a Store<P>) -> Self {
        let mut books = store.books();
        let number = books.queue.back().map_or(0, |last| last + 1);
        books.queue.push_back(number);
        store.queued.fetch_add(1, Ordering::Relaxed);
        Self { store, number }
    }

    fn is_first(&self) -> bool {
        self.store.books().queue.front() == Some(&self.number)
    }
}

impl<P: Place> Drop for Queued<'_, P> {
    fn drop(&mut self) {
        let mut books = self.store.books();
        books.queue.retain(|number| *number != self.number);
        drop(books);
        self.store.queued.fetch_sub(1, Ordering::Relaxed);
        self.store.changed.notify_all();
    }
}
