//! The threads that call from outside of tasks, and the tree that their calls grow (`place.rs`).
//!
//! The thread that started the runtime is the root: its first call is the root's first child. Any other has
//! a place of its own below the root, by the order in which they first called, counted down from the last
//! index there is, so that no call ever has the same. Who wants the same numbers each time calls from one
//! thread, or lets several call for the first time in a certain order.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, ThreadId};

use crate::local::caller::Caller;
use crate::local::place::Place;
use crate::random::Pool;

/// The tree of one runtime's calls.
pub(crate) struct Tree {
    root: Arc<Pool>,
    /// The thread that started the runtime.
    starter: ThreadId,
    /// How many others have called.
    others: AtomicU64,
}

impl Tree {
    pub(super) fn new(root: Pool) -> Self {
        let starter = thread::current().id();
        Self { root: Arc::new(root), starter, others: AtomicU64::new(0) }
    }

    pub(crate) fn root(&self) -> &Pool {
        &self.root
    }
}

/// A thread as a caller in one tree.
pub(super) struct Outsider {
    /// The tree, by the address of its root, which is no other's for as long as this is kept.
    tree: *const Pool,
    root: Weak<Pool>,
    pub(super) place: Place,
    pub(super) caller: Caller,
}

impl Outsider {
    fn new(tree: &Tree) -> Self {
        let place = if thread::current().id() == tree.starter {
            Place::ROOT
        } else {
            // Relaxed: it only counts.
            let index = u64::MAX - tree.others.fetch_add(1, Ordering::Relaxed);
            Place::ROOT.child(index, &tree.root)
        };
        let (tree, root) = (Arc::as_ptr(&tree.root), Arc::downgrade(&tree.root));
        Self { tree, root, place, caller: Caller::default() }
    }

    #[inline]
    fn is_in(&self, tree: &Tree) -> bool {
        ptr::eq(self.tree, Arc::as_ptr(&tree.root))
    }
}

thread_local! {
    /// What this thread was last, which `PARTS` keeps.
    static KNOWN: Cell<*const Outsider> = const { Cell::new(ptr::null()) };
    static PARTS: Parts = const { Parts(RefCell::new(Vec::new())) };
}

/// What a thread is in the trees of the runtimes that it has called, each in its place for good.
#[expect(clippy::vec_box, reason = "`KNOWN` points to one")]
struct Parts(RefCell<Vec<Box<Outsider>>>);

impl Drop for Parts {
    fn drop(&mut self) {
        KNOWN.set(ptr::null());
    }
}

/// Lets `look` see what this thread is in that tree. `look` must not come here again.
#[inline]
pub(super) fn with<R>(tree: &Tree, look: impl FnOnce(&Outsider) -> R) -> R {
    // SAFETY: what is known stays in its place until another is, which `look` does not lead to.
    match unsafe { KNOWN.get().as_ref() } {
        Some(known) if known.is_in(tree) => look(known),
        _ => with_another(tree, look),
    }
}

#[cold]
fn with_another<R>(tree: &Tree, look: impl FnOnce(&Outsider) -> R) -> R {
    let known = PARTS.try_with(|parts| {
        let mut parts = parts.0.borrow_mut();
        KNOWN.set(ptr::null());
        parts.retain(|part| part.root.strong_count() > 0);
        let at = parts.iter().position(|part| part.is_in(tree)).unwrap_or_else(|| {
            parts.push(Box::new(Outsider::new(tree)));
            parts.len() - 1
        });
        let known = ptr::from_ref(&*parts[at]);
        KNOWN.set(known);
        known
    });
    match known {
        // SAFETY: as in `with`.
        Ok(known) => look(unsafe { &*known }),
        // The thread is about to end, and has forgotten what it was.
        Err(_) => look(&Outsider::new(tree)),
    }
}
