//! An allocator that counts what each thread has allocated, and how much that was at the most.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counted. A test makes it its own by `#[global_allocator]`.
pub struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn add(bytes: isize) {
    let now = NOW.get() + bytes;
    NOW.set(now);
    MOST.set(MOST.get().max(now));
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as isize);
        // SAFETY: by the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        add(-(layout.size() as isize));
        // SAFETY: by the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// What `run` gives, and how many bytes more than before this thread has now.
pub fn kept<R>(run: impl FnOnce() -> R) -> (R, usize) {
    let before = NOW.get();
    let result = run();
    (result, usize::try_from(NOW.get() - before).unwrap_or(0))
}

/// What `run` gives, and how many bytes more than before this thread had meanwhile.
pub fn most<R>(run: impl FnOnce() -> R) -> (R, usize) {
    let before = NOW.get();
    MOST.set(before);
    let result = run();
    (result, usize::try_from(MOST.get() - before).unwrap_or(0))
}
