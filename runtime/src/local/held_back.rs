//! One caller's calls to an actor run in order, also when an early one still waits for its arguments:
//! then the caller's later calls wait behind it, while other callers' go past.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::local::cell::{AnyRef, RunningTask};
use crate::local::current;

/// The calls `C` to one actor that wait, by caller.
pub(crate) struct HeldBack<C> {
    /// How many there are; read without the lock by calls that have all they need. A caller sees its
    /// own calls counted, and only those matter to it.
    count: AtomicUsize,
    callers: Mutex<HashMap<usize, Queue<C>>>,
}

struct Queue<C> {
    calls: VecDeque<Held<C>>,
    numbered: usize,
    /// Whether a thread is letting calls go.
    releasing: bool,
}

impl<C> Default for Queue<C> {
    fn default() -> Self {
        Self { calls: VecDeque::new(), numbered: 0, releasing: false }
    }
}

struct Held<C> {
    number: usize,
    /// The call's cell, which `call` keeps alive.
    cell: RunningTask,
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
    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Queue<C>>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a call back that is not ready, or that comes after such a one of the same caller.
    pub(crate) fn pass(&self, call: C, cell: RunningTask, ready: bool) -> Pass<C> {
        if ready && self.count.load(Ordering::Relaxed) == 0 {
            return Pass::Go(call);
        }
        let caller = current::caller();
        let mut callers = self.lock();
        if ready && !callers.contains_key(&caller) {
            return Pass::Go(call);
        }
        let queue = callers.entry(caller).or_default();
        let number = queue.numbered;
        queue.numbered += 1;
        queue.calls.push_back(Held { number, cell, call, ready });
        self.count.fetch_add(1, Ordering::Relaxed);
        Pass::Held { caller, number }
    }

    /// Whether none waits. SeqCst: pairs with `release`, whose caller then looks whether that is waited for.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    /// What the call at this address waits for: the missing arguments of it and of its caller's earlier
    /// ones. None: it is not held back.
    pub(crate) fn missing_before(&self, call: usize) -> Option<Vec<AnyRef>> {
        let callers = self.lock();
        let is_it = |held: &Held<C>| held.cell.address() == call;
        let mut queues = callers.values();
        let queue = queues.find(|queue| queue.calls.iter().any(is_it))?;
        let place = queue.calls.iter().position(is_it)?;
        // SAFETY: what is in the line holds its cell, and it cannot leave while we hold the lock.
        let missing = |held: &Held<C>| unsafe { held.cell.missing_arguments() };
        Some(queue.calls.iter().take(place + 1).filter_map(missing).flatten().collect())
    }

    /// Call `number` has its arguments: lets go, in order, whatever of its caller now may.
    pub(crate) fn release(&self, caller: usize, number: usize, mut go: impl FnMut(C)) {
        let mut callers = self.lock();
        let Some(queue) = callers.get_mut(&caller) else { return };
        queue
            .calls
            .iter_mut()
            .filter(|held| held.number == number)
            .for_each(|held| held.ready = true);
        // One thread at a time lets a caller's calls go, which keeps their order, and without the lock,
        // because a call that cannot go fails, and that may release others.
        if std::mem::replace(&mut queue.releasing, true) {
            return;
        }
        loop {
            let Some(queue) = callers.get_mut(&caller) else { return };
            let count = queue.calls.iter().take_while(|held| held.ready).count();
            if count == 0 {
                queue.releasing = false;
                if queue.calls.is_empty() {
                    callers.remove(&caller);
                }
                return;
            }
            let released: Vec<C> = queue.calls.drain(..count).map(|held| held.call).collect();
            drop(callers);
            released.into_iter().for_each(&mut go);
            // Counted down after they went, so that the caller's next call cannot come between.
            self.count.fetch_sub(count, Ordering::SeqCst);
            callers = self.lock();
        }
    }
}
