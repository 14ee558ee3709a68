//! How a result that was lost is made again: by its function, with its arguments.
//!
//! Only tasks that may be tried again (`max_retries`) can make their arguments a second time, so only their
//! results have a lineage, be they of a `fn` or of an `async fn`, and only where they are large: others are never on disk, and so never lost. A lineage
//! keeps the arguments, and with them the objects that they refer to, as long as the result lives.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::local::caller::Origin;
use crate::local::cell::{AnyRef, Ref, RunningTask};
use crate::local::current::{self, Task};
use crate::local::job::Compute;
use crate::local::{panics, runtimes, waiting};
use crate::millis::Millis;
use crate::store::Any;

/// How many results of a process have a lineage; further ones are lost for good if they are lost.
const LINEAGES_MAX: usize = 10_000;

static COUNT: AtomicUsize = AtomicUsize::new(0);

type Again = Box<dyn FnMut() -> Result<Any> + Send>;

/// The way to a result.
pub(crate) struct Lineage(Arc<Mutex<Option<Again>>>);

impl Lineage {
    /// None: there are too many already, and `again` was dropped.
    pub(crate) fn new<T: Send + Sync + 'static>(
        mut again: impl FnMut() -> Result<T> + Send + 'static,
    ) -> Option<Self> {
        if COUNT.fetch_add(1, Ordering::Relaxed) >= LINEAGES_MAX {
            COUNT.fetch_sub(1, Ordering::Relaxed);
            panics::drop_quietly(again);
            return None;
        }
        let again: Again = Box::new(move || Ok(Arc::new(again()?)));
        Some(Self(Arc::new(Mutex::new(Some(again)))))
    }

    /// Makes the result of `lost` once more, as a task of the runtime that it was made by, and waits for it.
    pub(crate) fn make_again(&self, lost: &AnyRef, why: Error) -> Result<Any> {
        let Some(local) = runtimes::find(lost.home()) else { return Err(why) };
        let _entered = current::enter(Arc::clone(&local));
        let again = Arc::clone(&self.0);
        let (running, call) = (lost.unheld(), lost.call());
        // Whoever wants the value keeps the cell, and waits for this.
        let work = move || run(&again, running, call);
        let (task, entry) = Ref::task(Compute(work), true, local.home(), Origin::NONE, call);
        local.submit(entry).now();
        match waiting::wait(task.any(), None) {
            Ok(()) => task.into_owned(),
            Err(waiting::Ended::TimedOut) => Err(why),
            Err(waiting::Ended::Never(error)) => Err(error),
        }
    }
}

/// The function sees itself where it was: its context and its random numbers are those of the first time.
fn run(
    again: &Mutex<Option<Again>>,
    running: RunningTask,
    call: crate::function::Call,
) -> Result<Any> {
    let lock = || again.lock().unwrap_or_else(PoisonError::into_inner);
    let gone = || Error::new(ErrorKind::ObjectLost, "it is being made again already");
    let mut make = lock().take().ok_or_else(gone)?;
    let made = current::in_task(Task::new(running, call, Millis::ONE, 0), &mut make);
    *lock() = Some(make);
    made
}

impl Drop for Lineage {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
        let again = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        panics::drop_quietly(again);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_and_no_more() {
        // Nobody else in these tests has one.
        let (count, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        struct Kept(Arc<AtomicUsize>, Arc<AtomicUsize>);
        impl Drop for Kept {
            fn drop(&mut self) {
                self.1.fetch_add(1, Ordering::Relaxed);
            }
        }
        let new = || {
            let kept = Kept(Arc::clone(&count), Arc::clone(&dropped));
            Lineage::new(move || Ok(kept.0.fetch_add(1, Ordering::Relaxed)))
        };
        let mut all: Vec<_> = (0..LINEAGES_MAX).map(|_| new().unwrap()).collect();
        assert!(new().is_none() && new().is_none());
        assert_eq!(dropped.load(Ordering::Relaxed), 2, "what is refused keeps no arguments");
        all.pop();
        all.push(new().unwrap());
        assert!(new().is_none());
        drop(all);
        assert_eq!(COUNT.load(Ordering::Relaxed), 0);
        assert_eq!(dropped.load(Ordering::Relaxed), LINEAGES_MAX + 4);
        assert!(new().is_some());
    }
}
