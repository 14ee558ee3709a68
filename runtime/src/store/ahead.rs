//! Look-ahead: what queued tasks will need is brought back before they run, by the writer's thread.
//!
//! It takes no more than a part of the limit until somebody uses what it brought, or else it would push out what
//! it has just read. Where there is no room it is left out: then who needs the value reads it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::store::books::{About, Books, Busy, Line};
use crate::store::{Hold, Place, Store, Stored};

/// How many objects wait to be brought back; further ones are not noted.
const NOTED_MAX: usize = 1024;
/// How much may be there that nobody has used yet, as a part of the limit.
const UNUSED_PART: usize = 4;

/// Objects that queued tasks will need, by their numbers.
pub(super) type Noted = VecDeque<(usize, Arc<About>)>;

impl<P: Place> Stored<P> {
    /// Notes that a queued task will need the value.
    pub(crate) fn look_ahead(&self) {
        let mut books = self.store.books();
        let spilled = !books.line(self.number).in_memory;
        if !spilled || books.closed || books.noted.len() >= NOTED_MAX {
            return;
        }
        books.noted.push_back((self.number, Arc::clone(&self.about)));
        drop(books);
        self.store.wanted.notify_one();
    }
}

impl<P: Place> Store<P> {
    /// Whether something noted is to be brought back now.
    pub(super) fn has_noted(&self, books: &Books<P>) -> bool {
        let unused = self.unused.load(Ordering::Relaxed);
        let most = self.settings.limit / UNUSED_PART;
        books.noted.front().is_some_and(|(_, about)| unused == 0 || unused + about.bytes <= most)
    }

    /// Brings the first that was noted back, if that is still worth it.
    pub(super) fn bring_noted(&self) {
        let mut books = self.books();
        let Some((number, about)) = books.noted.pop_front() else { return };
        let fits = |line: &Line<P>| Arc::ptr_eq(&line.about, &about) && line.is_spilled();
        let Some(busy) = Busy::begin(self, books, number, fits) else { return };
        let bytes = about.bytes;
        let is_room = self.let_in(bytes) || (self.evict(bytes) && self.let_in(bytes));
        if !is_room {
            return;
        }
        let extent = self.books().line(number).on_disk.clone().expect("what is spilled is on disk");
        let kind = about.kind.expect("only what has a kind is ever written");
        // If it is lost, whoever needs it will see.
        let Ok(value) = extent.read(kind) else {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            return;
        };
        busy.hold().put_back(value);
        self.unused.fetch_add(bytes, Ordering::Relaxed);
        about.unused.store(true, Ordering::Relaxed);
        self.written.fetch_add(bytes, Ordering::Relaxed);
        busy.end(|books, number| {
            books.spilled -= bytes;
            books.line(number).in_memory = true;
        });
    }

    /// What was brought ahead of need is used now, or goes.
    #[inline]
    pub(super) fn note_use(&self, about: &About) {
        if about.unused.load(Ordering::Relaxed) && about.unused.swap(false, Ordering::Relaxed) {
            self.unused.fetch_sub(about.bytes, Ordering::Relaxed);
            self.wanted.notify_one();
        }
    }
}
