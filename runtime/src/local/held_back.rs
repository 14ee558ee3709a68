//! One caller's calls to an actor run in order, also when an early one still waits for its arguments:
//! then the caller's later calls wait behind it, while other callers' go past.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::local::current;

/// The calls `C` to one actor that wait, by caller.
pub(crate) struct HeldBack<C> {
    /// How many there are; read without the lock by calls that have all they need. A caller sees its
    /// own calls counted, and only those matter to it.
    count: AtomicUsize,
    callers: Mutex<HashMap<usize, VecDeque<Held<C>>>>,
}

struct Held<C> {
    number: usize,
    call: C,
    ready: bool,
}

/// What becomes of a call.
pub(crate) enum Pass<C> {
    /// It goes on at once.
    Go(C),
    /// It waits; when its arguments are there, `release` lets it go under this number.
    Held { caller: usize, number: usize },
}

impl<C> Default for HeldBack<C> {
    fn default() -> Self {
        Self { count: AtomicUsize::new(0), callers: Mutex::default() }
    }
}

impl<C> HeldBack<C> {
    /// Holds a call back that is not ready, or that comes after such a one of the same caller.
    pub(crate) fn pass(&self, call: C, ready: bool) -> Pass<C> {
        if ready && self.count.load(Ordering::Relaxed) == 0 {
            return Pass::Go(call);
        }
        let caller = current::caller();
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if ready && !callers.contains_key(&caller) {
            return Pass::Go(call);
        }
        let queue = callers.entry(caller).or_default();
        let number = queue.back().map_or(0, |held| held.number + 1);
        queue.push_back(Held { number, call, ready });
        self.count.fetch_add(1, Ordering::Relaxed);
        Pass::Held { caller, number }
    }

    /// Call `number` has its arguments: lets go, in order, whatever of its caller now may.
    pub(crate) fn release(&self, caller: usize, number: usize, mut go: impl FnMut(C)) {
        // Under the lock, so that two releases cannot change the order; counted down after the calls
        // went, so that the caller's next call cannot come between.
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = callers.get_mut(&caller) else {
            return;
        };
        queue.iter_mut().filter(|held| held.number == number).for_each(|held| held.ready = true);
        let count = queue.iter().take_while(|held| held.ready).count();
        queue.drain(..count).for_each(|held| go(held.call));
        if queue.is_empty() {
            callers.remove(&caller);
        }
        self.count.fetch_sub(count, Ordering::Relaxed);
    }
}
