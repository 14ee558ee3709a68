//! How a pool ends: nothing new begins, what is queued fails, and what runs is waited for (`sleep.md`, 5).

use std::cell::Cell;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use crate::error::{Error, ErrorKind};
use crate::local::current;
use crate::local::pool::Pool;
use crate::local::pool::deque::until_decided;
use crate::local::queue::Entry;

impl Pool {
    /// From now on nothing new begins.
    pub(crate) fn refuse(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Ends the pool: what has not begun fails with `ShutDown`, what has is waited for, unless it is us.
    /// Returns how many tasks never began.
    pub(crate) fn close(&self) -> usize {
        self.refuse();
        let ourselves = current::is_in_task_of(self.home);
        loop {
            self.abandon_queued();
            let mut desk = self.desk();
            for seat in desk.spare.drain(..) {
                seat.dismiss();
            }
            if ourselves || (desk.threads == 0 && desk.guests == 0) {
                break;
            }
            drop(self.somebody_left.wait(desk).unwrap_or_else(PoisonError::into_inner));
        }
        // What the last to leave pushed before it saw that we had closed.
        self.abandon_queued();
        self.desk().never_begun
    }

    pub(super) fn abandon_queued(&self) {
        self.abandon_injected();
        for deque in &self.deques {
            while let Some(entry) = deque.take() {
                self.abandon(entry);
            }
        }
    }

    /// What was pushed while the pool closed has to go, too.
    #[cold]
    pub(super) fn abandon_what_came_late(&self) {
        // This drops what the program made, and its drops may end all but our own hold.
        let _alive = self.local.upgrade();
        self.abandon_injected();
    }

    pub(super) fn abandon(&self, entry: Entry) {
        if entry.abandon(shut_down_before("it ran")) {
            self.count_never_begun();
        }
    }

    /// A task, or a call of an actor, has failed before it began, because the pool closes.
    #[cold]
    pub(crate) fn count_never_begun(&self) {
        self.desk().never_begun += 1;
    }

    fn abandon_injected(&self) {
        let next =
            || until_decided(|| self.injector.steal()).or_else(|| self.prioritized.pop_any());
        // What goes may have held the last handle of an actor of this pool, whose entry then comes here: the loop that is
        // under way on this thread takes that, too, for a chain of them may be longer than a stack is deep.
        let Some(_under_way) = Abandoning::here(self.home) else { return };
        while let Some(entry) = next() {
            self.abandon(entry);
        }
    }

    /// Lets `close` look again, if it waits. It closed before it took the desk's lock, and whoever calls
    /// this had that lock since: so one of the two sees the other.
    pub(super) fn tell_closer(&self) {
        if self.is_closed() {
            self.somebody_left.notify_all();
        }
    }
}

/// Why what had not begun by then will never run.
pub(crate) fn shut_down_before(what: &str) -> Error {
    Error::new(ErrorKind::ShutDown, format!("the runtime was shut down before {what}"))
}

thread_local! {
    /// The pool that this thread empties; 0: none.
    static ABANDONING: Cell<usize> = const { Cell::new(0) };
}

/// While this is there, the thread empties a pool.
struct Abandoning {
    /// Which it did before.
    before: usize,
}

impl Abandoning {
    /// None: it does that one already.
    fn here(home: usize) -> Option<Self> {
        let before = ABANDONING.replace(home);
        (before != home).then(|| Self { before })
    }
}

impl Drop for Abandoning {
    fn drop(&mut self) {
        ABANDONING.set(self.before);
    }
}
