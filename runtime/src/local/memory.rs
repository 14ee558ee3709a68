//! Where the memory of cells comes from.
//!
//! A cell is often made on one thread and freed on another, by the million. That is the worst case of
//! most systems' allocators, and what mimalloc was made for: each thread has pages of its own, and a
//! block that another thread frees goes back to its page by one atomic step. The program's own values
//! stay with the program's allocator.
//!
//! A page's free blocks come out in turn, the coldest first. But where calls come one after the other, such as
//! along a chain of actors, the block that was freed last is in the nearest cache still. So each thread keeps that
//! one at hand.

use std::alloc::{Layout, handle_alloc_error};
use std::ptr::NonNull;

/// Lets memory that is free stay with the process for some seconds: jobs come in bursts, and the next one would
/// pay for each page to be cleared again.
pub(crate) fn prepare() {
    heap::prepare();
}

/// Puts what `make` makes into memory of its own.
#[inline]
pub(crate) fn allocate<T>(make: impl FnOnce() -> T) -> NonNull<T> {
    allocate_for::<T, T>(make)
}

/// As `allocate`, of memory for a `T`: `make` makes what lies there at first. That there is memory before spares a
/// copy.
#[inline]
pub(crate) fn allocate_for<T, P>(make: impl FnOnce() -> P) -> NonNull<T> {
    const { assert!(size_of::<P>() <= size_of::<T>() && align_of::<P>() <= align_of::<T>()) };
    let Some(place) = NonNull::new(heap::allocate::<T>()) else {
        handle_alloc_error(Layout::new::<T>())
    };
    // SAFETY: the memory is fresh, and has room for a `P`.
    unsafe { place.cast().write(make()) };
    place
}

/// Gives memory back, without dropping what is in it.
///
/// # Safety
/// `place` came from here, as memory for the same type, and nobody uses it any more.
pub(crate) unsafe fn deallocate<T>(place: NonNull<T>) {
    // SAFETY: by the caller's promise.
    unsafe { heap::deallocate(place.as_ptr()) };
}

#[cfg(not(any(mobula_loom, mobula_sanitize)))]
mod heap {
    use std::cell::Cell;
    use std::ffi::c_long;
    use std::ptr;

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

    /// The largest block that is kept at hand.
    const AT_HAND_MAX: usize = 512;

    thread_local! {
        static AT_HAND: AtHand =
            const { AtHand { block: Cell::new(ptr::null_mut()), bytes: Cell::new(0) } };
    }

    /// The block that this thread freed last, and for how many bytes it was allocated.
    struct AtHand {
        block: Cell<*mut u8>,
        bytes: Cell<usize>,
    }

    impl Drop for AtHand {
        fn drop(&mut self) {
            // SAFETY: nobody uses the block; null is none.
            unsafe { mi_free(self.block.get().cast()) };
        }
    }

    const fn may_be_at_hand<T>() -> bool {
        align_of::<T>() <= ALIGNMENT && size_of::<T>() <= AT_HAND_MAX
    }

    /// The block at hand, if it has the size of a `T`; else null.
    #[inline]
    fn take<T>() -> *mut T {
        let take = |at_hand: &AtHand| match at_hand.bytes.get() == size_of::<T>() {
            true => at_hand.block.replace(ptr::null_mut()),
            false => ptr::null_mut(),
        };
        // While the thread ends there is none any more.
        AT_HAND.try_with(take).unwrap_or(ptr::null_mut()).cast()
    }

    pub(super) fn allocate<T>() -> *mut T {
        if may_be_at_hand::<T>() {
            let block = take::<T>();
            if !block.is_null() {
                return block;
            }
        }
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
        let mut freed = place.cast();
        if may_be_at_hand::<T>() {
            let keep = |at_hand: &AtHand| {
                at_hand.bytes.set(size_of::<T>());
                freed = at_hand.block.replace(freed);
            };
            let _ = AT_HAND.try_with(keep);
        }
        if !freed.is_null() {
            // SAFETY: by the caller's promise, now or when the block was put at hand.
            unsafe { mi_free(freed.cast()) };
        }
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
