//! Where the memory of cells comes from.
//!
//! A cell is often made on one thread and freed on another, by the million. That is the worst case of
//! most systems' allocators, and what mimalloc was made for: each thread has pages of its own, and a
//! block that another thread frees goes back to its page by one atomic step. The program's own values
//! stay with the program's allocator.

use std::alloc::{Layout, handle_alloc_error};
use std::ptr::NonNull;

/// Lets memory that is free stay with the process for some seconds: jobs come in bursts, and the next one would
/// pay for each page to be cleared again.
pub(crate) fn prepare() {
    heap::prepare();
}

/// Puts what `make` makes into memory of its own. That there is memory first spares a copy.
#[inline]
pub(crate) fn allocate<T>(make: impl FnOnce() -> T) -> NonNull<T> {
    let Some(place) = NonNull::new(heap::allocate::<T>()) else {
        handle_alloc_error(Layout::new::<T>())
    };
    // SAFETY: the memory is fresh, and has the size and alignment of a `T`.
    unsafe { place.write(make()) };
    place
}

/// Gives memory back, without dropping what is in it.
///
/// # Safety
/// `place` came from [`allocate`] of the same type, and nobody uses it any more.
pub(crate) unsafe fn deallocate<T>(place: NonNull<T>) {
    // SAFETY: by the caller's promise.
    unsafe { heap::deallocate(place.as_ptr()) };
}

#[cfg(not(any(mobula_loom, mobula_sanitize)))]
mod heap {
    use std::ffi::c_long;

    use libmimalloc_sys::{
        mi_free, mi_malloc, mi_malloc_aligned, mi_option_get, mi_option_set, mi_option_t,
    };

    /// What every block of mimalloc is aligned to: `MI_MAX_ALIGN_SIZE` in its `types.h`.
    const ALIGNMENT: usize = 16;
    /// Options by their places in `mi_option_e` of its `mimalloc.h`, and what they are unless the program or
    /// its environment (`MIMALLOC_PURGE_DELAY`) wants something else: after how many milliseconds a thread's
    /// free pages go back to the system, and how much longer whole arenas take.
    const PURGE_DELAY: (mi_option_t, c_long) = (15, 10);
    const ARENA_PURGE_FACTOR: (mi_option_t, c_long) = (24, 10);
    /// As long as jemalloc's `dirty_decay_ms`.
    const PURGE_MILLIS: c_long = 10_000;

    pub(super) fn prepare() {
        // SAFETY: options may be read by any thread at any time; a number that is none reads as 0.
        let is_unchanged = |(option, default)| unsafe { mi_option_get(option) } == default;
        // SAFETY: as above, and a number that is none changes nothing.
        let set = |(option, _), value| unsafe { mi_option_set(option, value) };
        if is_unchanged(PURGE_DELAY) && is_unchanged(ARENA_PURGE_FACTOR) {
            set(PURGE_DELAY, PURGE_MILLIS);
            set(ARENA_PURGE_FACTOR, 1);
        }
    }

    pub(super) fn allocate<T>() -> *mut T {
        let pointer = if align_of::<T>() <= ALIGNMENT {
            // SAFETY: it may be called with any size, by any thread.
            unsafe { mi_malloc(size_of::<T>()) }
        } else {
            // SAFETY: as above; a type's alignment is a power of two.
            unsafe { mi_malloc_aligned(size_of::<T>(), align_of::<T>()) }
        };
        pointer.cast()
    }

    /// # Safety
    /// As for [`deallocate`](super::deallocate).
    pub(super) unsafe fn deallocate<T>(place: *mut T) {
        // SAFETY: by the caller's promise.
        unsafe { mi_free(place.cast()) };
    }
}

/// Checkers know what the system's allocator has given out.
#[cfg(any(mobula_loom, mobula_sanitize))]
mod heap {
    use std::alloc::{Layout, alloc, dealloc};

    pub(super) fn prepare() {}

    pub(super) fn allocate<T>() -> *mut T {
        const { assert!(size_of::<T>() > 0, "a cell is never empty") };
        // SAFETY: the size is not 0.
        unsafe { alloc(Layout::new::<T>()) }.cast()
    }

    /// # Safety
    /// As for [`deallocate`](super::deallocate).
    pub(super) unsafe fn deallocate<T>(place: *mut T) {
        // SAFETY: by the caller's promise.
        unsafe { dealloc(place.cast(), Layout::new::<T>()) };
    }
}
