//! Which task of those that were sent to a worker has begun.
//!
//! Tasks are sent ahead, so that a worker never waits for the next. What was sent and has not begun can be
//! taken back at any time, without asking the worker, which may compute or be dead: one word in memory that
//! both see says how many tasks have begun. The worker counts it up before it begins one, and the driver
//! takes all others back by starting a new epoch, each by one atomic step. So of each task it is certain
//! whether it has begun: one that has is never run again unless it may be retried, and one that has not is.

use std::sync::atomic::{AtomicU64, Ordering};

/// A task's place in the order: the epoch in the upper half, and below it the number, from 1.
pub(crate) type Ticket = u64;

/// The first ticket of an epoch, less one.
pub(crate) fn before_first(epoch: u32) -> Ticket {
    u64::from(epoch) << 32
}

/// In the worker: begins the task of that ticket, which follows the one before it. False: it was taken back.
pub(crate) fn begin(turn: &AtomicU64, ticket: Ticket) -> bool {
    let before = ticket.wrapping_sub(1);
    // AcqRel: pairs with the step in `take_back`.
    turn.compare_exchange(before, ticket, Ordering::AcqRel, Ordering::Acquire).is_ok()
}

/// In the driver: takes back what has not begun, by beginning the epoch after `epoch`, and gives the ticket of
/// the last task that has begun. None: that of `first` has not either, and nothing was taken back.
pub(crate) fn take_back(turn: &AtomicU64, epoch: u32, first: Ticket) -> Option<Ticket> {
    let next = |begun| (begun >= first).then(|| before_first(epoch.wrapping_add(1)));
    // AcqRel: pairs with `begin`.
    turn.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).ok()
}

/// In the driver: the ticket of the last task that has begun.
pub(crate) fn begun(turn: &AtomicU64) -> Ticket {
    // Acquire: pairs with `begin`.
    turn.load(Ordering::Acquire)
}

/// Of what `begun` gives: whether none has begun in its epoch.
pub(crate) fn is_before_first(ticket: Ticket) -> bool {
    ticket as u32 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_begun_is_not_taken_back_and_what_was_taken_back_does_not_begin() {
        let turn = AtomicU64::new(0);
        assert!(begin(&turn, 1) && begin(&turn, 2));
        assert!(!begin(&turn, 4), "tasks begin in their order");
        assert_eq!(take_back(&turn, 0, 3), None, "its first has not begun");
        assert_eq!(take_back(&turn, 0, 2), Some(2));
        assert!(!begin(&turn, 3));
        assert!(is_before_first(begun(&turn)) && !is_before_first(2));
        let first = before_first(1) + 1;
        assert!(begin(&turn, first));
        assert_eq!(begun(&turn), first);
        assert_eq!(
            take_back(&turn, 1, 2),
            Some(first),
            "what was begun in an epoch before has begun"
        );
    }
}
