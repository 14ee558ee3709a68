//! Dropping a value may drop the last ref to another value, and so on: a chain of a million objects
//! must not need a million stack frames. Past a depth the rest waits until the outermost drop is done.

use std::cell::{Cell, RefCell};

use crate::local::cell::Doomed;

/// How many drops may nest before the rest is put aside.
const DEPTH_MAX: u32 = 64;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static PUT_ASIDE: RefCell<Vec<Doomed>> = const { RefCell::new(Vec::new()) };
}

/// Ends the cell `last`, now or a little later on this thread.
pub(super) fn drop_shallow(last: Doomed) {
    // Where the thread is ending and its locals are gone, nesting is all that is left.
    let Ok(depth) = DEPTH.try_with(Cell::get) else {
        return drop(last);
    };
    if depth >= DEPTH_MAX {
        let mut last = Some(last);
        let _ = PUT_ASIDE.try_with(|list| list.borrow_mut().push(last.take().expect("put once")));
        return drop(last);
    }
    let leave = Enter::new(depth);
    drop(last);
    if depth == 0 {
        while let Ok(Some(next)) = PUT_ASIDE.try_with(|list| list.borrow_mut().pop()) {
            drop(next);
        }
    }
    drop(leave);
}

/// Restores the depth, also when a value's `Drop` panics.
struct Enter(u32);

impl Enter {
    fn new(depth: u32) -> Self {
        let _ = DEPTH.try_with(|cell| cell.set(depth + 1));
        Self(depth)
    }
}

impl Drop for Enter {
    fn drop(&mut self) {
        let _ = DEPTH.try_with(|cell| cell.set(self.0));
    }
}
