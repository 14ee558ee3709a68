//! The life of a cell in one word: who may touch what, and when its memory goes.
//!
//! | flags set            | phase                   | job and value belong to        | memory is kept by      |
//! |----------------------|-------------------------|--------------------------------|------------------------|
//! | (none)               | waits for its arguments | nobody; whoever claims it      | ENTRY, refs            |
//! | READY                | in a queue              | nobody; whoever claims it      | ENTRY, refs            |
//! | RUNNING              | claimed, computing      | the runner                     | RUNNING, ENTRY, refs   |
//! | COMPLETE + RUNNING   | done, telling waiters   | the refs (value); no job       | RUNNING, ENTRY, refs   |
//! | COMPLETE             | done                    | the refs (value); no job       | ENTRY, refs            |
//!
//! S1. Exactly one party at a time has RUNNING; it alone touches the job and writes the value, which takes the job's
//!     place in memory: before COMPLETE there is none to be read. It either completes the cell or puts the job
//!     back, and then the cell is as if nobody had begun it.
//! S2. After COMPLETE the value changes only under LOCKED, or by the holder of the only ref.
//! S3. The waiter list is touched only under LOCKED; nothing is added to it after COMPLETE.
//! S4. The memory goes when refs is 0 and neither ENTRY nor RUNNING is set, which cannot change back:
//!     a ref is only ever copied from a ref, or made by the runner or by whoever has the entry, or, with
//!     FINDABLE, made from an id while refs is not 0. The holder of the only ref may end FINDABLE.
//! S5. With SHARED the value sits in an `Arc` and does not change until the last ref goes: whoever holds
//!     a ref reads it without the lock.
//! S6. With STORED the value is in the store's books, which may put it on disk and back: it changes
//!     under LOCKED only, by the party that the books know to be at work on it (`cell/stored.rs`), and
//!     SHARED is never set. Even the only ref first has the object struck off, which ends STORED.
//!
//! ENTRY is the queue's (or the unfinished arguments') hold on the cell. It outlives a run that a
//! `get` started on its own, so a stale queue entry is always safe to look at.

use crate::local::sync::{AtomicU64, Ordering, spin};

const RUNNING: u64 = 1;
const COMPLETE: u64 = 1 << 1;
const READY: u64 = 1 << 2;
const ENTRY: u64 = 1 << 3;
const LOCKED: u64 = 1 << 4;
const WAITERS: u64 = 1 << 5;
/// Asked to stop.
const CANCEL: u64 = 1 << 6;
/// Complete, and the value is an error.
const FAILED: u64 = 1 << 7;
/// The cell can be found by its id, so a ref may appear from nowhere.
const FINDABLE: u64 = 1 << 8;
/// Complete, and the value sits in an `Arc` for good.
const SHARED: u64 = 1 << 9;
/// The arguments are there, and who reads the record of their coming (`arguments.rs`) is too late.
const ARRIVED: u64 = 1 << 10;
/// Asked to stop, and its children too.
const CANCEL_CHILDREN: u64 = 1 << 11;
/// The task has asked whether to stop, once at least.
const LOOKED: u64 = 1 << 12;
/// The value is in the store's books.
const STORED: u64 = 1 << 13;
/// The rest of the word counts the refs.
const REF: u64 = 1 << 16;

/// The word.
pub(crate) struct State(AtomicU64);

/// What the word said at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot(u64);

impl Snapshot {
    pub(crate) fn is_complete(self) -> bool {
        self.0 & COMPLETE != 0
    }
    pub(crate) fn is_failed(self) -> bool {
        self.0 & FAILED != 0
    }
    pub(crate) fn is_running(self) -> bool {
        self.0 & (RUNNING | COMPLETE) == RUNNING
    }
    /// In a queue, and nobody has begun it.
    pub(crate) fn is_claimable(self) -> bool {
        self.0 & (READY | RUNNING | COMPLETE) == READY
    }
    pub(crate) fn has_arrived(self) -> bool {
        self.0 & ARRIVED != 0
    }
    pub(crate) fn cancel_requested(self) -> bool {
        self.0 & CANCEL != 0
    }
    pub(crate) fn cancels_children(self) -> bool {
        self.0 & CANCEL_CHILDREN != 0
    }
    /// Whether the task has ever asked if it is to stop.
    pub(crate) fn has_looked(self) -> bool {
        self.0 & LOOKED != 0
    }
    pub(crate) fn refs(self) -> u64 {
        self.0 / REF
    }
    /// Done, and the asker holds the only ref there will ever be: the value is the asker's alone (S2).
    pub(crate) fn is_sole_and_complete(self) -> bool {
        self.refs() == 1 && self.0 & (COMPLETE | FINDABLE | STORED) == COMPLETE
    }
    /// The same, if the store's books forget the object.
    pub(crate) fn is_sole_but_stored(self) -> bool {
        self.refs() == 1 && self.0 & (COMPLETE | FINDABLE | STORED) == COMPLETE | STORED
    }
    pub(crate) fn is_stored(self) -> bool {
        self.0 & STORED != 0
    }
    pub(crate) fn is_shared(self) -> bool {
        self.0 & SHARED != 0
    }
    pub(crate) fn is_findable(self) -> bool {
        self.0 & FINDABLE != 0
    }
    /// Done, and the asker holds the only ref, beside what may be made from the id.
    pub(crate) fn is_sole_but_findable(self) -> bool {
        self.refs() == 1 && self.0 & (COMPLETE | FINDABLE) == COMPLETE | FINDABLE
    }
    /// Nobody has a ref.
    pub(crate) fn is_unheld(self) -> bool {
        self.refs() == 0
    }
    /// It runs, and nobody else knows it.
    pub(crate) fn is_runners_alone(self) -> bool {
        self.is_held_by(RUNNING)
    }
    fn is_free(self) -> bool {
        self.refs() == 0 && self.0 & (ENTRY | RUNNING) == 0
    }
    /// Nobody knows the cell but whoever has this one of ENTRY and RUNNING, so that nobody else changes the word
    /// (S4).
    fn is_held_by(self, hold: u64) -> bool {
        self.refs() == 0 && self.0 & (ENTRY | RUNNING | COMPLETE | LOCKED | WAITERS) == hold
    }
}

/// What became of a try to claim a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The caller is now the runner.
    Won,
    /// Somebody else runs it, or it is done.
    Lost,
    /// As `Lost`, and the caller's entry was the last hold on the memory: the caller frees it.
    LostAndFree,
}

/// What a completion left to do.
pub(crate) enum Completed {
    /// Nothing; the cell may be gone already.
    Done,
    /// The runner held the last claim on the cell: it drops the value and frees it.
    Free,
    /// There are waiters to tell; then call [`State::release_runner`].
    TellWaiters,
}

impl State {
    /// A task in a queue (`ready`), or one that waits for arguments; held by its entry and one ref.
    #[inline]
    pub(crate) fn task(ready: bool) -> Self {
        Self(AtomicU64::new(ENTRY | REF | if ready { READY } else { 0 }))
    }

    /// A cell that somebody already undertook to complete; held by that promise and one ref.
    pub(crate) fn promise() -> Self {
        Self(AtomicU64::new(RUNNING | REF))
    }

    /// A cell that was born with its value.
    pub(crate) fn complete(failed: bool) -> Self {
        Self(AtomicU64::new(COMPLETE | REF | if failed { FAILED } else { 0 }))
    }

    /// Acquire: pairs with the Release in `finish` and `unlock`, so a reader that sees COMPLETE sees
    /// the value.
    #[inline]
    pub(crate) fn load(&self) -> Snapshot {
        Snapshot(self.0.load(Ordering::Acquire))
    }

    /// The arguments are there; `ready`: and whoever waits for the task may run it. From here on nobody
    /// begins to read the record of their coming, and nobody still does: readers hold the lock, so they
    /// either saw ARRIVED, or we see them and wait until they are done.
    ///
    /// Release: whoever claims the task by READY sees the arguments. Acquire: pairs with `unlock`.
    pub(crate) fn arrive(&self, ready: bool) {
        let flags = if ready { ARRIVED | READY } else { ARRIVED };
        let mut now = self.0.fetch_or(flags, Ordering::AcqRel);
        let mut tries = 0;
        while now & LOCKED != 0 {
            spin(&mut tries);
            now = self.0.load(Ordering::Acquire);
        }
    }

    /// Asks the task to stop, and maybe its children; it looks when it likes. False: it is complete.
    pub(crate) fn request_cancel(&self, children: bool) -> bool {
        let flags = if children { CANCEL | CANCEL_CHILDREN } else { CANCEL };
        let before = self.0.fetch_or(flags, Ordering::Relaxed);
        !Snapshot(before).is_complete()
    }

    /// Notes that the task has asked.
    pub(crate) fn set_looked(&self) {
        self.0.fetch_or(LOOKED, Ordering::Relaxed);
    }

    /// The holder of the entry claims the task and gives the entry up, in one step.
    #[inline]
    pub(crate) fn claim_by_entry(&self) -> Claim {
        // Acquire: where ours is the only hold, we see the last touch of those who had others.
        let mut now = self.0.load(Ordering::Acquire);
        if Snapshot(now).is_held_by(ENTRY) {
            self.0.store((now | RUNNING) & !ENTRY, Ordering::Relaxed);
            return Claim::Won;
        }
        loop {
            let taken = now & (RUNNING | COMPLETE) != 0;
            let next = if taken { now & !ENTRY } else { (now | RUNNING) & !ENTRY };
            // Acquire: see the job. Release: whoever frees the cell sees our last touch of it.
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if !taken => return Claim::Won,
                Ok(_) if Snapshot(next).is_free() => return Claim::LostAndFree,
                Ok(_) => return Claim::Lost,
                Err(seen) => now = seen,
            }
        }
    }

    /// The holder of a ref claims a task, leaving its entry where it is. `unready` also takes one
    /// whose arguments are still awaited: to cancel it.
    pub(crate) fn claim_by_ref(&self, unready: bool) -> bool {
        let mut tries = 0;
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            if now & (RUNNING | COMPLETE) != 0 || !(unready || now & READY != 0) {
                return false;
            }
            if now & LOCKED != 0 {
                // Somebody looks at what the task waits for, which is the job's.
                spin(&mut tries);
                now = self.0.load(Ordering::Relaxed);
                continue;
            }
            // Acquire: pairs with `arrive`.
            match self.0.compare_exchange_weak(
                now,
                now | RUNNING,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(seen) => now = seen,
            }
        }
    }

    /// The runner has written the value; `failed`: which is an error.
    #[inline]
    pub(crate) fn finish(&self, failed: bool) -> Completed {
        let done = if failed { COMPLETE | FAILED } else { COMPLETE };
        // Acquire: as in `claim_by_entry`.
        let mut now = self.0.load(Ordering::Acquire);
        if Snapshot(now).is_held_by(RUNNING) {
            return Completed::Free;
        }
        loop {
            let watched = now & (WAITERS | LOCKED) != 0;
            let next = if watched { now | done } else { (now | done) & !RUNNING };
            // Release: publishes the value to every `load`.
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if watched => return Completed::TellWaiters,
                Ok(_) if Snapshot(next).is_free() => return Completed::Free,
                Ok(_) => return Completed::Done,
                Err(seen) => now = seen,
            }
        }
    }

    /// The runner, which claimed by the entry, has put the job back: the task waits for its entry, which
    /// is the caller's, and whoever holds a ref may cancel it. False: it was cancelled meanwhile, and
    /// nothing has changed.
    #[must_use]
    pub(crate) fn put_back(&self) -> bool {
        let mut now = self.0.load(Ordering::Relaxed);
        while now & CANCEL == 0 {
            debug_assert_eq!(now & (RUNNING | ENTRY), RUNNING, "claimed by its entry");
            // Not READY any more: whoever begins it next does so by its entry, and may put it back again.
            let next = (now & !(RUNNING | READY)) | ENTRY;
            // Release: pairs with the Acquire of the next claim, which sees the job.
            match self.0.compare_exchange_weak(now, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => now = seen,
            }
        }
        false
    }

    /// The runner has told all waiters. True: it frees the cell.
    #[must_use]
    pub(crate) fn release_runner(&self) -> bool {
        let before = self.0.fetch_and(!RUNNING, Ordering::AcqRel);
        Snapshot(before & !RUNNING).is_free()
    }

    pub(crate) fn add_ref(&self) {
        // Relaxed: a ref is copied from a ref, which keeps the cell alive meanwhile.
        self.0.fetch_add(REF, Ordering::Relaxed);
    }

    /// Enters the value into the books; the caller is its runner, or the only holder (S6).
    pub(crate) fn set_stored(&self) {
        self.0.fetch_or(STORED, Ordering::Relaxed);
    }

    /// The books have forgotten the object. The lock of the books orders this with what they did to it.
    pub(crate) fn clear_stored(&self) {
        self.0.fetch_and(!STORED, Ordering::Relaxed);
    }

    /// The value of a complete cell is lost; the caller holds the lock.
    pub(crate) fn set_failed(&self) {
        self.0.fetch_or(FAILED, Ordering::Relaxed);
    }

    pub(crate) fn set_findable(&self) {
        self.0.fetch_or(FINDABLE, Ordering::Relaxed);
    }

    /// The id leads nowhere any more; the caller has the only ref.
    pub(crate) fn clear_findable(&self) {
        self.0.fetch_and(!FINDABLE, Ordering::Relaxed);
    }

    /// Makes a ref from nowhere, if there is still another.
    pub(crate) fn try_add_ref(&self) -> bool {
        let mut now = self.0.load(Ordering::Relaxed);
        while Snapshot(now).refs() > 0 {
            match self.0.compare_exchange_weak(now, now + REF, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(seen) => now = seen,
            }
        }
        false
    }

    /// Gives up a ref that is not the only one of a complete cell. Err: it has become just that, or would
    /// if the books forgot the object. Ok(true): the caller frees the cell.
    pub(crate) fn release_ref(&self) -> Result<bool, Snapshot> {
        let mut now = self.load();
        loop {
            if now.refs() == 1 && now.0 & (COMPLETE | FINDABLE) == COMPLETE {
                return Err(now);
            }
            let next = now.0 - REF;
            match self.0.compare_exchange_weak(now.0, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(Snapshot(next).is_free()),
                Err(seen) => now = Snapshot(seen),
            }
        }
    }

    /// Gives up a ref, whatever others there are, and leaves the value to whoever frees the cell. True:
    /// the caller does.
    #[must_use]
    pub(crate) fn release_any_ref(&self) -> bool {
        // Release: whoever frees the cell sees our last touch. Acquire: if we do, we see theirs.
        let before = self.0.fetch_sub(REF, Ordering::AcqRel);
        Snapshot(before - REF).is_free()
    }

    /// Gives up a ref unless it is the only one. False: it is.
    #[must_use]
    pub(crate) fn release_ref_of_several(&self) -> bool {
        let mut now = self.0.load(Ordering::Relaxed);
        while Snapshot(now).refs() > 1 {
            // Release: as in `release_any_ref`.
            match self.0.compare_exchange_weak(now, now - REF, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(seen) => now = seen,
            }
        }
        false
    }

    /// Gives up the only ref of a complete cell whose value was dropped. True: the caller frees it.
    #[must_use]
    pub(crate) fn release_last_ref(&self) -> bool {
        // No other ref can appear (S4), so only ENTRY and RUNNING can still change: both only go.
        if self.load().0 & (ENTRY | RUNNING) == 0 {
            return true;
        }
        let before = self.0.fetch_sub(REF, Ordering::AcqRel);
        Snapshot(before - REF).is_free()
    }

    /// Takes the cell's small lock, held for a few instructions only and never while user code runs.
    pub(crate) fn lock(&self) -> Snapshot {
        let mut tries = 0;
        loop {
            let now = self.0.load(Ordering::Relaxed);
            // Acquire: pairs with the Release in `unlock`.
            if now & LOCKED == 0
                && self
                    .0
                    .compare_exchange_weak(now, now | LOCKED, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return Snapshot(now);
            }
            spin(&mut tries);
        }
    }

    /// Gives the lock back. `waiters`: whether the list is not empty.
    pub(crate) fn unlock(&self, waiters: bool) {
        self.unlock_and_set(if waiters { WAITERS } else { 0 });
    }

    /// Gives the lock of a complete cell back. `shared`: whether its value sits in an `Arc`.
    pub(crate) fn unlock_value(&self, shared: bool) {
        self.unlock_and_set(if shared { SHARED } else { 0 });
    }

    /// Gives the lock of a complete cell back, with nothing changed.
    pub(crate) fn unlock_and_keep(&self) {
        self.0.fetch_and(!LOCKED, Ordering::Release);
    }

    /// Gives the lock of a complete cell back, and a ref to it. True: the caller frees the cell.
    #[must_use]
    pub(crate) fn unlock_and_release_ref(&self) -> bool {
        // Release: others see our last touch. Acquire: whoever frees the cell sees theirs.
        let before = self.0.fetch_sub(LOCKED + REF, Ordering::AcqRel);
        Snapshot(before - LOCKED - REF).is_free()
    }

    fn unlock_and_set(&self, flags: u64) {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            let next = now & !(WAITERS | LOCKED) | flags;
            match self.0.compare_exchange_weak(now, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => now = seen,
            }
        }
    }
}
