//! One word: the newest call in the mailbox, who has the turn, and whether the strand is in a queue.
//!
//! | pointer | the strand                                                       |
//! |---------|------------------------------------------------------------------|
//! | IDLE    | has no call, and no turn; whoever posts the first call gives it  |
//! | BUSY    | has a turn, and nothing has come since that took the mail        |
//! | a call  | has a turn, and this came since                                  |
//! | CLOSED  | has ended, and nothing comes any more                            |
//!
//! The turn of an actor that computes is given to anybody, in the step that makes it, or by its holder:
//!
//! | flag    | the turn                                                          |
//! |---------|-------------------------------------------------------------------|
//! | OFFERED | whoever takes the flag has it                                     |
//! | (none)  | is somebody's; or it is parked (`readers.rs`), or there is no call |
//!
//! ENTRY says that an entry of the strand lies in a queue, or is on its way there. Whoever takes it out takes the
//! turn, if that is still offered: a thread that waits for a call may have been there before. So an entry may be
//! stale, and then it serves for the next offer; there is never a second one.
//!
//! From its first turn on a strand holds itself, and entries rely on that. So to be queued counts nothing. When it
//! is CLOSED, that hold is given up: by whoever closed it, or where there is an entry still, by whoever takes that
//! out.

use std::ptr::{self, NonNull};

use crate::local::sync::{AtomicPtr, Ordering};

const IDLE: usize = 0;
/// Calls are aligned to more than all of these.
const BUSY: usize = 1;
const OFFERED: usize = 2;
const ENTRY: usize = 4;
const FLAGS: usize = OFFERED | ENTRY;
/// No call is at this address.
const CLOSED: usize = 8;

/// Of calls `C`.
pub(super) struct Mail<C>(AtomicPtr<C>);

/// What an entry that was taken out of a queue was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// The turn is the caller's.
    Turn,
    /// It was somebody else's already.
    Stale,
    /// The strand is closed, and its hold on itself is the caller's to give up.
    Closed,
}

/// What has become of a turn without calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// There are calls: the turn is still the caller's.
    Not,
    /// It is over.
    Idle,
    /// It was the last one; and, unless there is an entry, the strand's hold on itself is the caller's to give up.
    Closed { releases: bool },
}

impl<C> Mail<C> {
    /// Of a strand whose turn is the caller's.
    pub(super) fn new() -> Self {
        const { assert!(align_of::<C>() > FLAGS, "the flags have room beside a pointer") };
        Self(AtomicPtr::new(ptr::without_provenance_mut(BUSY)))
    }

    /// Puts a call there; `link` makes it point to the one below it. Where the strand was idle, that gives it a
    /// turn, which is `offered` or the caller's. True: the caller queues the strand.
    #[must_use]
    pub(super) fn post(&self, call: NonNull<C>, offered: bool, link: impl Fn(*mut C)) -> bool {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            let (newest, flags) = parts(now);
            let is_first = newest.addr() == IDLE;
            link(if newest.addr() == BUSY { ptr::null_mut() } else { newest });
            let given = if is_first && offered { FLAGS } else { 0 };
            let next = call.as_ptr().map_addr(|address| address | flags | given);
            // Release: the turn sees the call. Acquire, where the strand was idle: the turn that is given sees what
            // the last one did.
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return is_first && flags & ENTRY == 0,
                Err(seen) => now = seen,
            }
        }
    }

    /// Gives an idle strand a turn, which is the caller's. SeqCst: whoever finds it busy has written down before
    /// this what the turn looks for after it has set IDLE.
    #[must_use]
    pub(super) fn wake(&self) -> bool {
        self.step(Ordering::SeqCst, |newest, flags| {
            (newest.addr() == IDLE).then(|| ptr::without_provenance_mut(BUSY | flags))
        })
        .is_ok()
    }

    /// Whether there is a call, as the turn's holder sees it.
    pub(super) fn has_calls(&self) -> bool {
        parts(self.0.load(Ordering::Relaxed)).0.addr() != BUSY
    }

    /// Ends the caller's turn where there is no call; `last`: and no call can come, nor is there anything to do.
    pub(super) fn settle(&self, last: bool) -> Settled {
        if self.has_calls() {
            return Settled::Not;
        }
        let over = if last { CLOSED } else { IDLE };
        // Release: the next turn sees what this one did. SeqCst: see `wake`.
        let settled = self.step(Ordering::SeqCst, |newest, flags| {
            (newest.addr() == BUSY).then(|| ptr::without_provenance_mut(over | flags))
        });
        match settled {
            Err(_) => Settled::Not,
            Ok(_) if !last => Settled::Idle,
            Ok(before) => Settled::Closed { releases: parts(before).1 & ENTRY == 0 },
        }
    }

    /// The turn's holder takes the calls: gives the newest. SeqCst: see `newest`.
    pub(super) fn take(&self) -> *mut C {
        let taken =
            self.step(Ordering::SeqCst, |_, flags| Some(ptr::without_provenance_mut(BUSY | flags)));
        match taken {
            Ok(before) => parts(before).0,
            Err(_) => unreachable!("calls can always be taken"),
        }
    }

    /// The newest call, for those who walk the mailbox without the turn. SeqCst: pairs with `take`.
    pub(super) fn newest(&self) -> *mut C {
        let newest = parts(self.0.load(Ordering::SeqCst)).0;
        if newest.addr() <= CLOSED { ptr::null_mut() } else { newest }
    }

    /// The turn's holder gives it to anybody. True: it puts an entry into a queue, for there is none.
    ///
    /// Release: whoever takes the turn sees what was done in it.
    #[must_use]
    pub(super) fn offer(&self) -> bool {
        let offered = self.step(Ordering::Release, |newest, flags| {
            Some(newest.map_addr(|address| address | flags | FLAGS))
        });
        offered.is_ok_and(|before| parts(before).1 & ENTRY == 0)
    }

    /// Whoever took an entry out of a queue asks for the turn. Acquire: pairs with `offer` and `post`.
    #[must_use]
    pub(super) fn take_by_entry(&self) -> Entered {
        match self.step(Ordering::AcqRel, |newest, _| Some(newest)) {
            Ok(before) if parts(before).1 & OFFERED != 0 => Entered::Turn,
            Ok(before) if parts(before).0.addr() == CLOSED => Entered::Closed,
            _ => Entered::Stale,
        }
    }

    pub(super) fn is_offered(&self) -> bool {
        parts(self.0.load(Ordering::Relaxed)).1 & OFFERED != 0
    }

    /// Somebody else asks for it. Acquire: as above.
    #[must_use]
    pub(super) fn take_offered(&self) -> bool {
        self.step(Ordering::Acquire, |newest, flags| {
            let left = newest.map_addr(|address| address | flags & !OFFERED);
            (flags & OFFERED != 0).then_some(left)
        })
        .is_ok()
    }

    /// One step, to what `next` makes of the pointer and the flags, if anything; gives what was there before.
    #[inline]
    fn step(
        &self,
        order: Ordering,
        next: impl Fn(*mut C, usize) -> Option<*mut C>,
    ) -> Result<*mut C, *mut C> {
        let failed = if order == Ordering::SeqCst { Ordering::SeqCst } else { Ordering::Relaxed };
        self.0.fetch_update(order, failed, |now| {
            let (newest, flags) = parts(now);
            next(newest, flags)
        })
    }
}

/// The pointer, and the flags.
fn parts<C>(word: *mut C) -> (*mut C, usize) {
    (word.map_addr(|address| address & !FLAGS), word.addr() & FLAGS)
}

/// The protocol under every order of its steps.
#[cfg(all(test, mobula_loom))]
mod loom_tests {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU64, Ordering};
    use loom::thread;

    use super::{Entered, Mail, Settled};

    /// A call knows nothing but that it is one.
    #[repr(align(16))]
    struct Call;

    static CALL: Call = Call;

    struct Strand {
        mail: Mail<Call>,
        entries: AtomicU64,
        turns: UnsafeCell<u64>,
        /// Whether the strand's hold on itself was given up.
        freed: UnsafeCell<bool>,
    }

    impl Strand {
        fn new() -> Arc<Self> {
            let (mail, entries) = (Mail::new(), AtomicU64::new(0));
            Arc::new(Self {
                mail,
                entries,
                turns: UnsafeCell::new(0),
                freed: UnsafeCell::new(false),
            })
        }

        fn queue(&self) {
            assert_eq!(self.entries.fetch_add(1, Ordering::Release), 0, "one entry at most");
        }

        fn offer(&self) {
            if self.mail.offer() {
                self.queue();
            }
        }

        fn post(&self) {
            if self.mail.post(std::ptr::NonNull::from(&CALL), true, |_| ()) {
                self.queue();
            }
        }

        /// A turn is counted; gives how many there were.
        fn count(&self) -> u64 {
            self.turns.with_mut(|turns| {
                // SAFETY: loom checks that the turn is one party's at a time.
                let turns = unsafe { &mut *turns };
                *turns += 1;
                *turns
            })
        }

        fn free(&self) {
            self.freed.with_mut(|freed| {
                // SAFETY: loom checks that nobody else is at it.
                let freed = unsafe { &mut *freed };
                assert!(!std::mem::replace(freed, true), "freed twice");
            });
        }

        /// A thread of the pool: what it gets if there is an entry.
        fn take_entry(&self) -> Option<Entered> {
            let took = self.entries.compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed);
            took.is_ok().then(|| self.mail.take_by_entry())
        }

        fn turns(&self) -> u64 {
            // SAFETY: all have ended.
            self.turns.with(|turns| unsafe { *turns })
        }
    }

    #[test]
    fn loom_each_offer_is_taken_once() {
        /// The first holder offers the turn once more.
        fn turn(strand: &Strand) {
            if strand.count() < 2 {
                strand.offer();
            }
        }
        loom::model(|| {
            let strand = Strand::new();
            strand.offer();
            let (waits, works) = (Arc::clone(&strand), Arc::clone(&strand));
            let waits = thread::spawn(move || {
                if waits.mail.take_offered() {
                    turn(&waits);
                }
            });
            let works = thread::spawn(move || {
                if works.take_entry() == Some(Entered::Turn) {
                    turn(&works);
                }
            });
            waits.join().unwrap();
            works.join().unwrap();
            // No offer is lost: as long as one is open, there is an entry.
            while strand.mail.is_offered() {
                assert_eq!(strand.entries.load(Ordering::Acquire), 1);
                if strand.take_entry() == Some(Entered::Turn) {
                    turn(&strand);
                }
            }
            assert_eq!(strand.turns(), 2);
        });
    }

    /// Calls come from two sides, and each is in some turn; at the end there is none left, and one entry at most.
    #[test]
    fn loom_no_call_is_left() {
        /// Takes calls until there are none.
        fn turn(strand: &Strand) {
            strand.count();
            while strand.mail.settle(false) == Settled::Not {
                assert!(!strand.mail.take().is_null());
            }
        }
        loom::model(|| {
            let strand = Strand::new();
            assert_eq!(strand.mail.settle(false), Settled::Idle);
            let (posts, waits) = (Arc::clone(&strand), Arc::clone(&strand));
            let posts = thread::spawn(move || posts.post());
            let waits = thread::spawn(move || {
                if waits.mail.take_offered() {
                    turn(&waits);
                }
            });
            strand.post();
            posts.join().unwrap();
            waits.join().unwrap();
            match strand.take_entry() {
                Some(Entered::Turn) => turn(&strand),
                Some(Entered::Stale) => {}
                other => {
                    panic!("an entry was put into the queue, and nothing is closed: {other:?}")
                }
            }
            assert!(strand.mail.newest().is_null() && !strand.mail.is_offered());
            assert!(strand.mail.wake(), "idle");
        });
    }

    /// The last turn is taken by a thread that waits, or by the entry: the hold is given up once, and after the
    /// entry is gone.
    #[test]
    fn loom_a_closed_strand_is_let_go_once() {
        fn turn(strand: &Strand) {
            strand.count();
            if strand.mail.settle(true) == (Settled::Closed { releases: true }) {
                strand.free();
            }
        }
        loom::model(|| {
            let strand = Strand::new();
            strand.offer();
            let (waits, works) = (Arc::clone(&strand), Arc::clone(&strand));
            let waits = thread::spawn(move || {
                if waits.mail.take_offered() {
                    turn(&waits);
                }
            });
            let works = thread::spawn(move || match works.take_entry() {
                Some(Entered::Turn) => turn(&works),
                Some(Entered::Closed) => works.free(),
                _ => {}
            });
            waits.join().unwrap();
            works.join().unwrap();
            assert_eq!(strand.turns(), 1);
            if strand.take_entry() == Some(Entered::Closed) {
                strand.free();
            }
            // SAFETY: all have ended.
            assert!(strand.freed.with(|freed| unsafe { *freed }));
            assert!(!strand.mail.wake(), "closed");
        });
    }
}
