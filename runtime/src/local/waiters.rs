//! Who waits for a cell: a ring of nodes that live with the waiters, so that waiting allocates nothing
//! and can be given up at any time.
//!
//! W1. A list, the links of the nodes in it and their places are changed only under the cell's lock;
//!     only the step from BEING_TOLD to TOLD is made without.
//! W2. A node is in at most one list, and stays where it is until it was told or removed.
//! W3. Marking a node TOLD is the teller's last touch of it: the waiter may be gone a moment later.
//! W4. A waiter that gives up removes its node, or waits out the moment until it was told.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomPinned;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Waker;
use std::thread::Thread;

use arrayvec::ArrayVec;

use crate::local::arguments::Awaited;
use crate::local::cell::{AnyRef, Header};
use crate::local::group::Group;
use crate::local::sync::spin;

/// Who is told, and how.
pub(crate) enum Waiter {
    /// A thread that sleeps until its node was told.
    Thread(Thread),
    /// A future that is polled again.
    Future(Waker),
    /// One of many refs that a group waits for: it learns which.
    Member(NonNull<Group>, usize),
    /// A task that needs the value as an argument.
    Argument(NonNull<Awaited>),
}

/// How many waiters leave the list under one lock.
const TOLD_AT_ONCE: usize = 8;

/// In no list: not yet, or removed.
const OUT: u8 = 0;
const LISTED: u8 = 1;
/// Taken off the list by the completer, who is about to tell it.
const BEING_TOLD: u8 = 2;
const TOLD: u8 = 3;

/// One waiter's place in one cell's list.
pub(crate) struct Node {
    next: Cell<*const Node>,
    previous: Cell<*const Node>,
    place: AtomicU8,
    waiter: UnsafeCell<Option<Waiter>>,
    /// Others point to it while it is listed.
    _pinned: PhantomPinned,
}

// SAFETY: what is not atomic is guarded by the lock of the cell whose list the node is in (W1), and
// by nobody else's knowing the node before it is listed.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

impl Node {
    pub(crate) fn new(waiter: Waiter) -> Self {
        Self {
            next: Cell::new(ptr::null()),
            previous: Cell::new(ptr::null()),
            place: AtomicU8::new(OUT),
            waiter: UnsafeCell::new(Some(waiter)),
            _pinned: PhantomPinned,
        }
    }

    /// Acquire: pairs with the teller's Release, so the waiter sees what came before.
    pub(crate) fn was_told(&self) -> bool {
        self.place.load(Ordering::Acquire) == TOLD
    }

    /// Whether it is in a list, or was and is being told.
    pub(super) fn is_pending(&self) -> bool {
        // Acquire: pairs with the teller's Release, so what it did before telling is seen.
        matches!(self.place.load(Ordering::Acquire), LISTED | BEING_TOLD)
    }

    fn is_listed(&self) -> bool {
        self.place.load(Ordering::Relaxed) == LISTED
    }
}

/// The waiters of one cell in the order of their coming: a ring of which we hold the first.
pub(crate) struct WaiterList(*const Node);

impl Default for WaiterList {
    fn default() -> Self {
        Self(ptr::null())
    }
}

impl WaiterList {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_null()
    }

    /// Puts the node at the end.
    ///
    /// # Safety
    /// The list's lock is held; all nodes in it live (W2).
    unsafe fn push(&mut self, node: &Node) {
        node.place.store(LISTED, Ordering::Relaxed);
        if self.0.is_null() {
            node.next.set(node);
            node.previous.set(node);
            self.0 = node;
            return;
        }
        // SAFETY: listed nodes live, by the caller's promise.
        let first = unsafe { &*self.0 };
        // SAFETY: as above.
        let last = unsafe { &*first.previous.get() };
        node.next.set(first);
        node.previous.set(last);
        last.next.set(node);
        first.previous.set(node);
    }

    /// # Safety
    /// As for `push`, and the node is in this list.
    unsafe fn unlink(&mut self, node: &Node) {
        let (next, previous) = (node.next.get(), node.previous.get());
        if ptr::eq(next, node) {
            self.0 = ptr::null();
            return;
        }
        // SAFETY: listed nodes live, by the caller's promise.
        unsafe { &*next }.previous.set(previous);
        // SAFETY: as above.
        unsafe { &*previous }.next.set(next);
        if ptr::eq(self.0, node) {
            self.0 = next;
        }
    }

    /// Takes the first nodes off the list, and their waiters out of them. They are told next.
    ///
    /// # Safety
    /// As for `push`.
    unsafe fn take_first(&mut self, first: &mut ArrayVec<(NonNull<Node>, Waiter), TOLD_AT_ONCE>) {
        while let Some(pointer) = NonNull::new(self.0.cast_mut())
            && !first.is_full()
        {
            // SAFETY: a listed node lives (W2).
            let node = unsafe { pointer.as_ref() };
            // SAFETY: it is in this list, whose lock is held.
            unsafe { self.unlink(node) };
            node.place.store(BEING_TOLD, Ordering::Relaxed);
            // SAFETY: whoever takes a node off the list has its waiter to himself.
            let waiter = unsafe { &mut *node.waiter.get() }.take();
            first.push((pointer, waiter.expect("a listed node has a waiter")));
        }
    }

    /// Tells every waiter of a cell that was just completed. The caller is its runner.
    ///
    /// # Safety
    /// The caller's claim keeps the cell alive.
    pub(super) unsafe fn tell_all(pointer: NonNull<Header>) {
        // SAFETY: by the caller's promise.
        let cell = unsafe { pointer.as_ref() };
        let mut first = ArrayVec::new();
        loop {
            cell.state.lock();
            // SAFETY: we hold the lock (W1).
            let list = unsafe { &mut *cell.waiters.get() };
            // SAFETY: as above; nodes live by everybody's promise (W2).
            unsafe { list.take_first(&mut first) };
            let more = !list.0.is_null();
            cell.state.unlock(more);

            for (node, waiter) in &first {
                if let Waiter::Member(group, index) = waiter {
                    // SAFETY: the group outlives the telling of its nodes (W4).
                    unsafe { group.as_ref() }.arrived(*index);
                }
                // Release: pairs with `was_told`. From here on the node may be gone (W3).
                // SAFETY: it was not told yet, so it is there (W2).
                unsafe { node.as_ref() }.place.store(TOLD, Ordering::Release);
            }
            // None of these waits for being told any more: what they wake may do as it likes.
            for (_, waiter) in first.drain(..) {
                match waiter {
                    Waiter::Thread(thread) => thread.unpark(),
                    Waiter::Future(waker) => waker.wake(),
                    Waiter::Member(..) => {}
                    // SAFETY: this argument has not been counted yet, so the record is still there.
                    Waiter::Argument(awaited) => unsafe {
                        Awaited::argument_arrived(awaited, pointer);
                    },
                }
            }
            if !more {
                return;
            }
        }
    }
}

impl Header {
    /// Puts `node` on the cell's list. False: there is nothing to wait for, the value is there.
    ///
    /// # Safety
    /// W2: the node stays where it is, and alive, until it was told or removed; and it is in no list.
    pub(super) unsafe fn add_waiter(&self, node: &Node) -> bool {
        let before = self.state.lock();
        // SAFETY: we hold the lock (W1).
        let list = unsafe { &mut *self.waiters.get() };
        let wait = !before.is_complete();
        if wait {
            // SAFETY: we hold the lock, and nodes live by everybody's promise (W2).
            unsafe { list.push(node) };
        }
        self.state.unlock(!list.0.is_null());
        wait
    }
}

impl AnyRef {
    /// Puts `node` on the cell's list. False: there is nothing to wait for, the value is there.
    ///
    /// # Safety
    /// W2: the node stays where it is, and alive, until it was told or removed; and it is in no list.
    pub(crate) unsafe fn add_waiter(&self, node: &Node) -> bool {
        // SAFETY: by the caller's promise.
        unsafe { self.header().add_waiter(node) }
    }

    /// Takes `node` off the list if it is there; if it is being told, waits the moment until it was.
    pub(crate) fn remove_waiter(&self, node: &Node) -> bool {
        let cell = self.header();
        cell.state.lock();
        // SAFETY: we hold the lock (W1).
        let list = unsafe { &mut *cell.waiters.get() };
        let listed = node.is_listed();
        if listed {
            // SAFETY: it is in this list, whose lock we hold.
            unsafe { list.unlink(node) };
            node.place.store(OUT, Ordering::Relaxed);
        }
        cell.state.unlock(!list.0.is_null());
        // Acquire: pairs with the teller's Release, its last touch of the node.
        let mut tries = 0;
        while node.place.load(Ordering::Acquire) == BEING_TOLD {
            spin(&mut tries);
        }
        listed
    }

    /// Gives a listed node another waker, as futures must when they are polled from elsewhere.
    pub(crate) fn renew_waker(&self, node: &Node, waker: &Waker) {
        let cell = self.header();
        // A waker's clone and drop are the program's code: they run before and after the lock.
        let mut waiter = Some(Waiter::Future(waker.clone()));
        cell.state.lock();
        if node.is_listed() {
            // SAFETY: the node is listed and we hold the lock, so the teller has not taken it.
            std::mem::swap(unsafe { &mut *node.waiter.get() }, &mut waiter);
        }
        // SAFETY: we hold the lock (W1).
        let any = unsafe { !(*cell.waiters.get()).0.is_null() };
        cell.state.unlock(any);
    }
}
