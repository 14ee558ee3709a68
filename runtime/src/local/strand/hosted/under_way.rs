//! The calls of an actor that wait, while they go on without the turn, and the turn that waits for one of them
//! to end (H2).

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many calls are under way, and whether the turn is held until one ends: one word (H2).
#[derive(Default)]
pub(super) struct UnderWay(AtomicUsize);

const HELD: usize = 1;
const ONE: usize = 2;

impl UnderWay {
    /// How many there are. Only the turn lets them become more.
    pub(super) fn count(&self) -> usize {
        // Acquire: pairs with `end`, so what the calls did is seen.
        self.0.load(Ordering::Acquire) / ONE
    }

    /// One more. The caller has the turn.
    pub(super) fn begin(&self) {
        self.0.fetch_add(ONE, Ordering::Relaxed);
    }

    /// Holds the turn, if there are `count` still. False: one has ended meanwhile, and the turn goes on.
    pub(super) fn hold(&self, count: usize) -> bool {
        // Release: whoever ends next takes the turn, and sees what it did. Acquire, else: as in `count`.
        let held = self.0.compare_exchange(
            count * ONE,
            (count * ONE) | HELD,
            Ordering::Release,
            Ordering::Acquire,
        );
        held.is_ok()
    }

    /// Takes the turn back if it is held. True: it is the caller's now.
    pub(super) fn take_held(&self) -> bool {
        // Acquire: pairs with `hold`.
        self.0.fetch_and(!HELD, Ordering::Acquire) & HELD != 0
    }

    /// One has ended. True: the turn was held, and is the caller's now.
    pub(super) fn end(&self) -> bool {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            let next = (now - ONE) & !HELD;
            // Release: pairs with `count`. Acquire: pairs with `hold`.
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return now & HELD != 0,
                Err(seen) => now = seen,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_end_takes_a_turn_that_is_held() {
        let under_way = UnderWay::default();
        under_way.begin();
        under_way.begin();
        assert!(!under_way.hold(1), "there are two");
        assert!(!under_way.end());
        assert!(under_way.hold(1));
        assert_eq!(under_way.count(), 1);
        assert!(under_way.end());
        assert_eq!(under_way.count(), 0);
        assert!(!under_way.take_held());
        under_way.begin();
        assert!(under_way.hold(1) && under_way.take_held());
        assert!(!under_way.end(), "somebody has the turn");
    }
}
