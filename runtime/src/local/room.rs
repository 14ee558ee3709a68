//! Pressure: how many calls of an actor may wait, and what becomes of one more.
//!
//! A call takes a place when it is made and leaves it when its turn has come. Where there is no place, the
//! call fails, or its caller waits in a line. The wait is one for a cell that looks like a call in the
//! actor's mailbox, so whoever looks for deadlocks sees what it depends on.
//!
//! A place and the line are two words, and each side writes one before it reads the other: whoever joins the
//! line counts itself and then looks for a place once more; whoever leaves a place does so and then looks
//! whether anybody is in the line. So one of them sees the other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::function::Call;
use crate::local::caller::Origin;
use crate::local::cell::{Job, Promise, Ref, Unstarted};
use crate::local::waiting::{self, Ended};

/// The places for calls that wait.
pub(crate) struct Room {
    places: usize,
    /// Whether a caller waits where all are taken.
    waits: bool,
    taken: AtomicUsize,
    /// How many are in the line, or about to be.
    waiting: AtomicUsize,
    line: Mutex<VecDeque<Unstarted<(), Admit>>>,
}

/// What a caller waits for: a place.
struct Admit;

impl Job<()> for Admit {
    fn run(self, _: Promise<()>) {
        unreachable!("a place is given by whoever leaves one, and never queued")
    }
}

impl Room {
    pub(crate) fn new(places: usize, waits: bool) -> Self {
        let (taken, waiting, line) = Default::default();
        Self { places, waits, taken, waiting, line }
    }

    fn line(&self) -> MutexGuard<'_, VecDeque<Unstarted<(), Admit>>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a call to the actor at `home`.
    ///
    /// # Errors
    /// `PendingCallsLimit`: there is none; `Deadlock`: there will never be one.
    pub(crate) fn enter(&self, home: usize, call: Call) -> Result<()> {
        let before_others = self.waiting.load(Ordering::Relaxed) == 0;
        if before_others && self.take() {
            return Ok(());
        }
        if !self.waits {
            let places = self.places;
            let message =
                format!("{places} calls of the actor wait already, its max_pending_calls");
            return Err(Error::new(ErrorKind::PendingCallsLimit, message));
        }
        self.wait(home, call)
    }

    #[cold]
    fn wait(&self, home: usize, call: Call) -> Result<()> {
        let (place, admit) = Ref::<()>::unstarted(Admit, home, Origin::NONE, call);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.line().push_back(admit);
        self.admit();
        match waiting::wait(place.any(), None) {
            Ok(()) => Ok(()),
            Err(Ended::TimedOut) => unreachable!("there is no deadline"),
            // Whoever leaves a place finds the cell complete, and goes on to the next. If it was faster
            // than we, the place is ours.
            Err(Ended::Never(why)) => match place.any().abandon_if_unstarted(why.clone()) {
                true => Err(why),
                false => Ok(()),
            },
        }
    }

    /// Takes a place, if there is one.
    fn take(&self) -> bool {
        let more = |taken| (taken < self.places).then_some(taken + 1);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::Relaxed, more).is_ok()
    }

    /// The turn of a call has come.
    pub(crate) fn leave(&self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.admit();
        }
    }

    /// A call whose turn had come waits again, beside as many as have come since.
    pub(crate) fn come_back(&self) {
        self.taken.fetch_add(1, Ordering::SeqCst);
    }

    /// Gives places to those in the line.
    #[cold]
    fn admit(&self) {
        loop {
            let mut line = self.line();
            if line.is_empty() || !self.take() {
                return;
            }
            let first = line.pop_front();
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            drop(line);
            match first.and_then(Unstarted::begin) {
                Some((Admit, promise)) => promise.complete(Ok(())),
                // It has given up.
                None => drop(self.taken.fetch_sub(1, Ordering::SeqCst)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::Function;

    fn call() -> Call {
        static FUNCTION: Function = Function::new("f", module_path!(), file!(), line!());
        Call { function: &FUNCTION, called_at: std::panic::Location::caller() }
    }

    #[test]
    fn a_full_room_refuses() {
        let room = Room::new(2, false);
        assert!(room.enter(0, call()).is_ok() && room.enter(0, call()).is_ok());
        assert_eq!(room.enter(0, call()).unwrap_err().kind(), ErrorKind::PendingCallsLimit);
        room.leave();
        assert!(room.enter(0, call()).is_ok());
    }

    #[test]
    fn a_full_room_lets_in_one_for_each_that_leaves() {
        let room = Room::new(1, true);
        room.enter(0, call()).unwrap();
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| room.enter(0, call()))).collect();
            for _ in 0..9 {
                while room.taken.load(Ordering::SeqCst) == 0 {
                    std::thread::yield_now();
                }
                room.leave();
            }
            assert!(all.into_iter().all(|one| one.join().unwrap().is_ok()));
        });
        assert_eq!(room.taken.load(Ordering::SeqCst), 0);
    }
}
