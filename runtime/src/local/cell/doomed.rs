//! How a cell ends.
//!
//! First its value is dropped, then, when nobody holds the cell any more, its memory goes. A value may
//! hold the last ref to another cell, and that one's value to a third: so [`drop_shallow`] drops no deeper
//! than the stack can bear, and leaves the rest to `deferred.rs`.

use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use super::{Header, tracked};
use crate::local::place::Place;
use crate::local::{deferred, ids};

/// A cell that is ours to end.
pub(in crate::local) enum Doomed {
    /// By the only ref to it, which is ours: others may still hold its memory.
    LastRef(NonNull<Header>),
    /// Nobody holds it.
    Unheld(NonNull<Header>),
}

/// Ends a cell; values may hold refs, so that takes care not to nest too deep.
pub(super) fn drop_shallow(doomed: Doomed) {
    let (Doomed::LastRef(cell) | Doomed::Unheld(cell)) = doomed;
    // SAFETY: the cell is ours, so it is there.
    if unsafe { cell.as_ref() }.vtable.value_needs_drop {
        deferred::drop_shallow(doomed);
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        let cell = match *self {
            // SAFETY: nobody holds it.
            Self::Unheld(cell) => return unsafe { free(cell) },
            Self::LastRef(cell) => cell,
        };
        // SAFETY: our ref keeps the cell alive.
        let header = unsafe { cell.as_ref() };
        // SAFETY: ours is the only ref, so the value is ours (S2).
        unsafe { (header.vtable.drop_value)(cell) };
        if header.state.release_last_ref() {
            // SAFETY: the state says that ours was the last hold.
            unsafe { free(cell) };
        }
    }
}

/// Frees a cell that nobody holds any more.
///
/// # Safety
/// The state said so to the caller (S4).
pub(super) unsafe fn free(cell: NonNull<Header>) {
    // SAFETY: by the caller's promise the cell is still there, and only ours.
    let header = unsafe { cell.as_ref() };
    if header.state.load().is_stored() {
        header.stored().strike();
    }
    // SAFETY: as above.
    unsafe { (header.vtable.drop_value)(cell) };
    // SAFETY: as above.
    unsafe { free_empty(cell) };
}

/// Frees a cell that nobody holds any more, and whose value was taken out.
///
/// # Safety
/// As for `free`.
pub(super) unsafe fn free_empty(cell: NonNull<Header>) {
    tracked::forget(cell);
    // SAFETY: by the caller's promise the cell is still there, and only ours.
    let header = unsafe { cell.as_ref() };
    // SAFETY: nobody else can reach it, and it is not dropped with its memory.
    unsafe { Place::drop_at(&raw const *header.place) };
    let extra = header.extra.load(Ordering::Acquire);
    if !extra.is_null() {
        // SAFETY: `AnyRef::extra` made it from a box, and nobody else can reach it.
        let extra = unsafe { Box::from_raw(extra) };
        if header.state.load().is_findable() {
            // From here on nobody can find the cell; so far nobody could make a ref from none.
            extra.id.get().into_iter().for_each(|id| ids::forget(id, |weak| weak.is_of(cell)));
        }
    }
    // SAFETY: as above.
    unsafe { (header.vtable.deallocate)(cell) };
}
