//! The work of one CPU: a deque, beneath which what is queued while that is empty has a place of its own.
//!
//! Most work goes on as one thing after another: an actor tells the next one, a task waits for the child that it
//! just made. To put a single entry into a deque and take it out costs two fences and a race with thieves, each time;
//! to swap it into the place and out of it costs less.
//!
//! Thieves take the oldest from the deque, as from any. From the place they take only what lies there for the second
//! time that they look: an entry that its own CPU comes to at once would but change caches.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering, fence};

use crossbeam_deque::{Injector, Steal, Stealer, Worker};

use crate::local::queue::{Entry, EntryHeader};

/// The end that the CPU's holder works at.
pub(super) struct Deque {
    beneath: Arc<Place>,
    entries: Worker<Entry>,
}

/// The end that belongs to all others.
pub(super) struct Others {
    beneath: Arc<Place>,
    entries: Stealer<Entry>,
}

/// For one entry; null: there is none. It has cache lines of its own, since its holder writes there at each push.
#[derive(Default)]
#[repr(align(128))]
struct Place {
    entry: AtomicPtr<EntryHeader>,
    /// How often something was put there. Only the CPU's holder counts.
    puts: AtomicU32,
}

/// What a thief saw in each of the places when it looked last.
pub(super) struct Seen(Box<[Cell<u32>]>);

impl Seen {
    pub(super) fn of(places: usize) -> Self {
        Self(std::iter::repeat_n(Cell::new(0), places).collect())
    }
}

impl Place {
    /// Puts an entry there, which is the holder's to do, while there is none. SeqCst: it is P1 of `sleep.md`, 2.
    fn put(&self, entry: Entry) {
        self.puts.store(self.puts.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        self.entry.store(entry.pointer().as_ptr(), Ordering::SeqCst);
    }

    /// Acquire: the entry is seen as it was put there.
    fn take(&self) -> Option<Entry> {
        // Where there is none, a look is cheaper.
        let seen = self.entry.load(Ordering::Relaxed);
        let none = || ptr::null_mut();
        let taken = if seen.is_null() { seen } else { self.entry.swap(none(), Ordering::Acquire) };
        // SAFETY: `put` has put an entry's pointer there, and one swap takes it, with the entry's hold.
        NonNull::new(taken).map(|pointer| unsafe { Entry::from_pointer(pointer) })
    }

    /// SeqCst: it is H4 of `sleep.md`, 2.
    fn is_empty(&self) -> bool {
        self.entry.load(Ordering::SeqCst).is_null()
    }
}

impl Deque {
    pub(super) fn new() -> Self {
        Self { beneath: Arc::default(), entries: Worker::new_lifo() }
    }

    pub(super) fn others(&self) -> Others {
        Others { beneath: Arc::clone(&self.beneath), entries: self.entries.stealer() }
    }

    /// Puts an entry on top, so that whoever calls this may go on with P3 of `sleep.md`, 2.
    #[inline]
    pub(super) fn push(&self, entry: Entry) {
        if self.is_empty() {
            return self.beneath.put(entry);
        }
        self.entries.push(entry);
        fence(Ordering::SeqCst);
    }

    /// The newest.
    #[inline]
    pub(super) fn pop(&self) -> Option<Entry> {
        let newest = if self.entries.is_empty() { None } else { self.entries.pop() };
        newest.or_else(|| self.beneath.take())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.beneath.is_empty()
    }

    /// Takes some from there, and gives the first.
    pub(super) fn fill(&self, injector: &Injector<Entry>) -> Option<Entry> {
        until_decided(|| injector.steal_batch_and_pop(&self.entries))
    }

    /// Takes some of the oldest from the deque of another, and gives the first.
    pub(super) fn steal(&self, other: &Others) -> Option<Entry> {
        until_decided(|| other.entries.steal_batch_and_pop(&self.entries))
    }
}

impl Others {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.beneath.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len() + usize::from(!self.beneath.is_empty())
    }

    /// Takes what lies beneath deque number `index`, if it lay there when this thief looked last.
    pub(super) fn steal_settled(&self, index: usize, seen: &Seen) -> Option<Entry> {
        let puts = self.beneath.puts.load(Ordering::Relaxed);
        if seen.0[index].replace(puts) != puts {
            return None;
        }
        self.beneath.take()
    }

    /// Takes one.
    pub(super) fn take(&self) -> Option<Entry> {
        until_decided(|| self.entries.steal()).or_else(|| self.beneath.take())
    }
}

/// Retries a steal until it is clear whether there is something.
pub(super) fn until_decided(mut steal: impl FnMut() -> Steal<Entry>) -> Option<Entry> {
    loop {
        match steal() {
            Steal::Success(entry) => return Some(entry),
            Steal::Empty => return None,
            Steal::Retry => std::hint::spin_loop(),
        }
    }
}
