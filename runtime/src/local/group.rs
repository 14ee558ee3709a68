//! Waiting for many refs at once: each that completes puts its number into a queue, and wakes the one
//! who reads it. Entering n refs costs O(n), each arrival O(1).

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomPinned;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};
use std::thread::Thread;

use crate::local::cell::AnyRef;
use crate::local::waiters::{Node, Waiter};

/// The queue of arrivals and the one who reads it.
#[derive(Default)]
pub(crate) struct Group(Mutex<Arrivals>, PhantomPinned);

#[derive(Default)]
struct Arrivals {
    arrived: VecDeque<usize>,
    reader: Option<Thread>,
    /// Whether the last who asked for an arrival found none.
    lacking: bool,
}

impl Arrivals {
    fn next(&mut self) -> Option<usize> {
        let next = self.arrived.pop_front();
        self.lacking = next.is_none();
        next
    }
}

impl Group {
    fn lock(&self) -> std::sync::MutexGuard<'_, Arrivals> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ref number `index` is complete.
    pub(super) fn arrived(&self, index: usize) {
        let mut arrivals = self.lock();
        arrivals.arrived.push_back(index);
        let reader = arrivals.reader.take();
        drop(arrivals);
        if let Some(thread) = reader {
            thread.unpark();
        }
    }
}

/// Refs that have not completed.
pub(crate) struct Pending {
    pub(crate) refs: Vec<AnyRef>,
    /// Whether there are no others.
    pub(crate) are_all: bool,
}

/// Refs that are waited for together, numbered in the order of their adding.
#[derive(Default)]
pub(crate) struct GroupWait {
    group: Box<Group>,
    /// What was added at once, by its first number.
    members: BTreeMap<usize, Box<[(AnyRef, Node)]>>,
    added: usize,
    /// Those from this number on were offered to the waiter to run.
    offered: Cell<usize>,
}

impl GroupWait {
    /// Waits for these too; those complete already arrive at once, in their order.
    pub(crate) fn add(&mut self, refs: impl Iterator<Item = AnyRef>) {
        let pointer = NonNull::from(&*self.group);
        let first = self.added;
        let members: Box<[_]> = refs
            .enumerate()
            .map(|(nth, any)| (any, Node::new(Waiter::Member(pointer, first + nth))))
            .collect();
        if members.is_empty() {
            return;
        }
        self.added += members.len();
        self.offered.set(self.added);
        let members = self.members.entry(first).or_insert(members);
        for (nth, (any, node)) in members.iter().enumerate() {
            // SAFETY: the box keeps the node in its place, and our `Drop` removes it.
            if !unsafe { any.add_waiter(node) } {
                self.group.lock().arrived.push_back(first + nth);
            }
        }
    }

    /// Lets go of a ref that was added alone and has arrived.
    pub(crate) fn forget(&mut self, number: usize) {
        if let Some(members) = self.members.get(&number) {
            leave(members);
        }
        self.members.remove(&number);
    }

    /// The number of a ref that has completed since the last call, if there is one.
    pub(crate) fn next(&self) -> Option<usize> {
        self.group.lock().next()
    }

    /// The members that are not complete.
    pub(super) fn incomplete(&self) -> Vec<AnyRef> {
        let members = self.members.values().flatten().map(|(any, _)| any);
        members.filter(|any| !any.is_complete()).cloned().collect()
    }

    /// A member that the waiter might run instead of waiting for it: each once, the last first, as they lie
    /// on the deque of the one who submitted them.
    pub(super) fn offer(&self) -> Option<&AnyRef> {
        loop {
            let number = self.offered.get().checked_sub(1)?;
            self.offered.set(number);
            let (first, members) = self.members.range(..=number).next_back()?;
            if let Some((any, _)) = members.get(number - first) {
                return Some(any);
            }
        }
    }

    /// Whether `next` would give one.
    pub(crate) fn has_next(&self) -> bool {
        !self.group.lock().arrived.is_empty()
    }

    /// The refs that have not completed, among the first so many members; None: one has, and its teller is not
    /// done with it, so that `next` will give it, or has given it just now.
    pub(super) fn pending(&self, members_max: usize) -> Option<Pending> {
        let mut refs = Vec::new();
        for (any, node) in self.members.values().flatten().take(members_max) {
            match (node.is_pending(), any.is_complete()) {
                (true, true) => return None,
                (true, false) => refs.push(any.clone()),
                (false, _) => {}
            }
        }
        // Asked last: who was told before we saw that has arrived by now.
        let arrivals = self.group.lock();
        let are_all = self.added <= members_max;
        (arrivals.lacking && arrivals.arrived.is_empty()).then_some(Pending { refs, are_all })
    }

    /// As `next`; if there is none, the current thread will be unparked at the next arrival.
    pub(crate) fn next_or_register(&self) -> Option<usize> {
        let mut arrivals = self.group.lock();
        let next = arrivals.next();
        if next.is_none() {
            arrivals.reader = Some(std::thread::current());
        }
        next
    }
}

impl Drop for GroupWait {
    fn drop(&mut self) {
        // All leave before anything is dropped: a ref's last drop runs the program's code.
        self.members.values().for_each(|members| leave(members));
    }
}

/// Takes the nodes off their lists, so that they may be dropped.
fn leave(members: &[(AnyRef, Node)]) {
    for (any, node) in members {
        if !node.was_told() {
            any.remove_waiter(node);
        }
    }
}
