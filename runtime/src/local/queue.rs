//! What waits in a queue: a pointer to something that knows how to run, be it a task or an actor's
//! turn. Its first word is the table of how.

use std::ptr::NonNull;

use crate::error::Error;

/// How a queued thing runs, or is let go.
#[repr(C)]
pub(crate) struct EntryVtable {
    /// Runs it, whatever "it" is, and gives up the entry.
    pub(crate) execute: unsafe fn(Entry),
    /// Lets it fail without running, and gives up the entry. True: it was a task that had not begun.
    pub(crate) abandon: unsafe fn(Entry, Error) -> bool,
    /// Whether it is a task that another process runs, and that may be sent ahead of its turn.
    pub(crate) is_sent: bool,
}

/// The first word of everything that can be queued.
#[repr(C)]
pub(crate) struct EntryHeader {
    vtable: &'static EntryVtable,
}

impl EntryHeader {
    pub(crate) const fn new(vtable: &'static EntryVtable) -> Self {
        Self { vtable }
    }
}

/// One thing in a queue. It holds what it points to, and is used up by `execute` or `abandon`; it has
/// no `Drop`, because only the queues of `pool.rs` hold it, and they never let one go.
pub(crate) struct Entry(NonNull<EntryHeader>);

// SAFETY: whatever is queued is made to run on any thread: `Job` and actors require `Send`.
unsafe impl Send for Entry {}

impl Entry {
    /// # Safety
    /// The pointer leads to something that begins with an `EntryHeader`, or with a table that begins
    /// with an `EntryVtable`, and the caller hands one hold on it to this entry.
    pub(crate) unsafe fn from_pointer(pointer: NonNull<EntryHeader>) -> Self {
        Self(pointer)
    }

    pub(crate) fn pointer(&self) -> NonNull<EntryHeader> {
        self.0
    }

    pub(crate) fn cast<T>(&self) -> NonNull<T> {
        self.0.cast()
    }

    fn vtable(&self) -> &'static EntryVtable {
        // SAFETY: the entry keeps what it points to alive.
        unsafe { self.0.as_ref() }.vtable
    }

    pub(crate) fn is_sent(&self) -> bool {
        self.vtable().is_sent
    }

    pub(crate) fn execute(self) {
        // SAFETY: the table belongs to what the entry points to, and the entry is used up.
        unsafe { (self.vtable().execute)(self) }
    }

    pub(crate) fn abandon(self, error: Error) -> bool {
        // SAFETY: as in `execute`.
        unsafe { (self.vtable().abandon)(self, error) }
    }
}
