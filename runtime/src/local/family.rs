//! Which task submitted which, so that cancelling a task cancels its children too.
//!
//! A family is what one task submits while it runs. It has a *slot*, an atomic word that says which
//! family it stands for at the moment and whether that was cancelled. A task takes a slot when it first
//! submits something and gives it back when it ends; its children note the family's id, and read the
//! word when they are about to begin or ask whether to stop. Slots are never freed, so an id is safe to
//! look up for ever, and neither parents nor children count each other.
//!
//! F1. A slot's generation grows when the slot is given back, so an old id does not fit its word.
//! F2. Owner and parent are written while the slot stands for nobody: by the thread that took it,
//!     before it publishes the owner.
//! F3. The slot of a cancelled family is kept out of use for as long as [`RETIRED_MAX`] others are
//!     cancelled after it: children that have not begun still find the mark there.
//! F4. Who takes a slot publishes it, then looks whether to be cancelled; who cancels marks, then looks
//!     at all slots. Each has a `SeqCst` fence between the two, so one of them sees the other. A fence costs more
//!     than the rest, and is spared where nobody is left to cancel: the owner is nobody else's, and its own
//!     family is over.
//! F5. A task that ends because it was told to stop marks its family itself: it may be gone before whoever
//!     cancels comes to its slot.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

/// How many ended families are remembered as cancelled.
const RETIRED_MAX: usize = 1 << 16;
/// How many free slots a thread keeps beside the one at hand, and how many it fetches or gives away at once.
const KEPT_MAX: usize = 64;
const BATCH: usize = 16;

/// In a slot's word, below the generation.
const CANCELLED: u64 = 1;
const GENERATION: u64 = 2;
/// The chunks of the table: the first has so many slots, each other twice as many as the one before.
/// Beyond their sum of tasks with children at the same time, further ones' children are no family.
const FIRST_CHUNK: usize = 64;
const CHUNKS: usize = 18;

static TABLE: [OnceLock<Box<[Slot]>>; CHUNKS] = [const { OnceLock::new() }; CHUNKS];
static SPARE: Mutex<Spare> = Mutex::new(Spare { free: Vec::new(), retired: VecDeque::new() });

thread_local! {
    static KEPT: Kept = const { Kept(RefCell::new(Vec::new())) };
    /// A free slot, in a word without a destructor: where tasks with children come one after the other, it
    /// serves them all.
    static AT_HAND: Cell<Option<&'static Slot>> = const { Cell::new(None) };
}

/// A family for good: no two ever have the same.
#[derive(Clone, Copy)]
pub(crate) struct FamilyId {
    slot: Option<&'static Slot>,
    /// The slot's word while the family is there and was not cancelled.
    word: u64,
}

struct Slot {
    /// The generation, and whether the family was cancelled.
    word: AtomicU64,
    /// Whose family it is, by the address of its cell; 0: nobody's.
    owner: AtomicUsize,
    /// The id of the family that the owner itself is of.
    parent_slot: AtomicPtr<Slot>,
    parent_word: AtomicU64,
    watchers: Mutex<Watchers>,
}

/// Who wants to be woken when the family is cancelled.
#[derive(Default)]
struct Watchers {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

/// Slots that stand for nobody.
struct Spare {
    free: Vec<&'static Slot>,
    /// Of cancelled families (F3), the oldest first.
    retired: VecDeque<&'static Slot>,
}

impl Default for FamilyId {
    fn default() -> Self {
        Self::NONE
    }
}

impl PartialEq for FamilyId {
    fn eq(&self, other: &Self) -> bool {
        let address = |family: &Self| family.slot.map(ptr::from_ref);
        address(self) == address(other) && self.word == other.word
    }
}

impl FamilyId {
    /// What belongs to no family.
    pub(crate) const NONE: Self = Self { slot: None, word: 0 };

    /// Whether the task that it was submitted by was cancelled.
    #[inline]
    pub(crate) fn is_cancelled(self) -> bool {
        // Relaxed: who is told of it later learns it later; F4 has fences of its own.
        self.slot.is_some_and(|slot| slot.word.load(Ordering::Relaxed) == self.word | CANCELLED)
    }

    #[inline]
    fn is_none(self) -> bool {
        self.slot.is_none()
    }

    /// Whether it ended, so that nobody can cancel it any more; or there never was one.
    #[inline]
    fn is_over(self) -> bool {
        self.slot.is_none_or(|slot| slot.word.load(Ordering::Relaxed) & !CANCELLED != self.word)
    }

    /// Lets `waker` be woken when the family is cancelled, until the watch drops. None: it has no
    /// family. Look at `is_cancelled` after this, not before.
    pub(crate) fn watch(self, waker: impl FnOnce() -> Waker) -> Option<Watch> {
        let slot = self.slot?;
        let waker = waker();
        let mut watchers = slot.watchers();
        let number = watchers.next;
        watchers.next += 1;
        watchers.wakers.insert(number, waker);
        Some(Watch { slot, number })
    }
}

/// Somebody waits to be told that a family was cancelled.
pub(crate) struct Watch {
    slot: &'static Slot,
    number: u64,
}

impl Watch {
    /// Replaces the waker, if the new one wakes somebody else.
    pub(crate) fn renew(&self, waker: &Waker) {
        let fresh = waker.clone();
        let mut watchers = self.slot.watchers();
        let Some(kept) = watchers.wakers.get_mut(&self.number) else { return };
        let before = (!kept.will_wake(waker)).then(|| std::mem::replace(kept, fresh));
        // Dropped without the lock, as all wakers are.
        drop(watchers);
        drop(before);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let waker = self.slot.watchers().wakers.remove(&self.number);
        drop(waker);
    }
}

impl Slot {
    fn new() -> Self {
        Self {
            word: AtomicU64::new(GENERATION),
            owner: AtomicUsize::new(0),
            parent_slot: AtomicPtr::default(),
            parent_word: AtomicU64::new(0),
            watchers: Mutex::default(),
        }
    }

    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the family that `word` stood for as cancelled, if it does so still.
    fn mark(&self, word: u64) {
        let marked = word | CANCELLED;
        let change = || {
            self.word.compare_exchange(word, marked, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        if word != marked && change() {
            let wakers: Vec<_> = self.watchers().wakers.values().cloned().collect();
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    fn parent(&self) -> FamilyId {
        let slot = self.parent_slot.load(Ordering::Relaxed);
        // SAFETY: what was stored there is null or a slot, and slots stay for ever.
        let slot = unsafe { slot.as_ref() };
        FamilyId { slot, word: self.parent_word.load(Ordering::Relaxed) }
    }

    /// The word, the owner and the owner's family, if it stands for one.
    fn look(&self) -> Option<(u64, usize, FamilyId)> {
        // Acquire: pairs with the Release of `Family::give_back`, so we see at least that owner's end.
        let word = self.word.load(Ordering::Acquire);
        // Acquire: pairs with the Release of `Family::take`, so we see the parent. What is of different
        // generations harms nobody: `mark` finds another word.
        let owner = self.owner.load(Ordering::Acquire);
        (owner != 0).then(|| (word, owner, self.parent()))
    }
}

fn all() -> impl Iterator<Item = &'static Slot> {
    TABLE.iter().map_while(OnceLock::get).flatten()
}

/// Cancels the family of the task at this address, and the families of its children, and so on. The
/// task has been told already, so that a slot it takes later is marked by itself.
pub(crate) fn cancel_of(owner: usize) {
    // F4.
    fence(Ordering::SeqCst);
    for slot in all() {
        if let Some((word, of, _)) = slot.look()
            && of == owner
        {
            slot.mark(word);
        }
    }
    // Each pass marks at least one level of descendants, and levels end.
    loop {
        fence(Ordering::SeqCst);
        let mut more = false;
        for slot in all() {
            if let Some((word, _, parent)) = slot.look()
                && word & CANCELLED == 0
                && parent.is_cancelled()
            {
                slot.mark(word);
                more = true;
            }
        }
        if !more {
            return;
        }
    }
}

/// The families of the task at this address, of its children that run, and so on.
pub(crate) fn of(owner: usize) -> Vec<FamilyId> {
    let mut families: Vec<FamilyId> = Vec::new();
    // Each pass finds at least one level of descendants, and levels end.
    loop {
        let found = families.len();
        for slot in all() {
            let Some((word, of, parent)) = slot.look() else { continue };
            let family = FamilyId { slot: Some(slot), word: word & !CANCELLED };
            let is_one = of == owner || families.contains(&parent);
            if is_one && !families.contains(&family) {
                families.push(family);
            }
        }
        if families.len() == found {
            return families;
        }
    }
}

/// The family of a task that runs: none until it first submits something.
pub(crate) struct Family(Cell<FamilyId>);

impl Default for Family {
    #[inline]
    fn default() -> Self {
        Self(Cell::new(FamilyId::NONE))
    }
}

impl Family {
    /// Its id. `owner`: the task's address; `parent`: its own family; `is_held`: whether somebody has a ref to the
    /// task; `is_cancelled`: whether its children are to be cancelled already.
    #[inline]
    pub(crate) fn id(
        &self,
        owner: usize,
        parent: FamilyId,
        is_held: impl FnOnce() -> bool,
        is_cancelled: impl FnOnce() -> bool,
    ) -> FamilyId {
        if self.0.get().is_none() {
            let may_be_cancelled = is_held() || !parent.is_over();
            self.0.set(Self::take(owner, parent, may_be_cancelled, is_cancelled));
        }
        self.0.get()
    }

    /// Marks the family, if there is one, where the task `is_cancelled` (F5).
    #[inline]
    pub(crate) fn end_if(&self, is_cancelled: impl FnOnce() -> bool) {
        let FamilyId { slot, word } = self.0.get();
        if let Some(slot) = slot
            && is_cancelled()
        {
            slot.mark(word);
        }
    }

    fn take(
        owner: usize,
        parent: FamilyId,
        may_be_cancelled: bool,
        is_cancelled: impl FnOnce() -> bool,
    ) -> FamilyId {
        let Some(slot) = AT_HAND.take().or_else(take_kept) else {
            return FamilyId::NONE;
        };
        let parent_slot =
            parent.slot.map_or(ptr::null_mut(), |slot| ptr::from_ref(slot).cast_mut());
        slot.parent_slot.store(parent_slot, Ordering::Relaxed);
        slot.parent_word.store(parent.word, Ordering::Relaxed);
        // Release: F2.
        slot.owner.store(owner, Ordering::Release);
        if may_be_cancelled {
            // F4.
            fence(Ordering::SeqCst);
        }
        let word = slot.word.load(Ordering::Relaxed);
        if is_cancelled() || parent.is_cancelled() {
            slot.mark(word);
        }
        FamilyId { slot: Some(slot), word: word & !CANCELLED }
    }

    fn give_back(slot: &'static Slot) {
        slot.owner.store(0, Ordering::Relaxed);
        let word = slot.word.load(Ordering::Relaxed);
        if word & CANCELLED != 0 {
            return spare().retire(slot);
        }
        // Release: who sees this generation sees that the owner is gone. Whoever cancels in between
        // comes too late: the task has ended.
        slot.word.store(word + GENERATION, Ordering::Release);
        if let Some(before) = AT_HAND.replace(Some(slot)) {
            keep(before);
        }
    }
}

#[inline(never)]
fn take_kept() -> Option<&'static Slot> {
    KEPT.try_with(Kept::take).unwrap_or_else(|_| spare().take())
}

#[inline(never)]
fn keep(slot: &'static Slot) {
    if KEPT.try_with(|kept| kept.give_back(slot)).is_err() {
        spare().free.push(slot);
    }
}

impl Drop for Family {
    #[inline]
    fn drop(&mut self) {
        if let Some(slot) = self.0.get().slot {
            Self::give_back(slot);
        }
    }
}

fn spare() -> MutexGuard<'static, Spare> {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Spare {
    fn take(&mut self) -> Option<&'static Slot> {
        if self.free.is_empty()
            && let Some(next) = TABLE.iter().position(|chunk| chunk.get().is_none())
        {
            let make = || (0..FIRST_CHUNK << next).map(|_| Slot::new()).collect();
            self.free.extend(TABLE[next].get_or_init(make));
        }
        self.free.pop()
    }

    /// F3.
    fn retire(&mut self, slot: &'static Slot) {
        self.retired.push_back(slot);
        if self.retired.len() > RETIRED_MAX
            && let Some(oldest) = self.retired.pop_front()
        {
            let word = oldest.word.load(Ordering::Relaxed) & !CANCELLED;
            // Release: as in `Family::give_back`. Nobody else changes a word that is marked already.
            oldest.word.store(word + GENERATION, Ordering::Release);
            self.free.push(oldest);
        }
    }
}

/// Free slots that a thread keeps for itself, so that taking one is no lock.
struct Kept(RefCell<Vec<&'static Slot>>);

impl Kept {
    fn take(&self) -> Option<&'static Slot> {
        let mut kept = self.0.borrow_mut();
        if kept.is_empty() {
            let mut spare = spare();
            kept.extend((0..BATCH).map_while(|_| spare.take()));
        }
        kept.pop()
    }

    fn give_back(&self, slot: &'static Slot) {
        let mut kept = self.0.borrow_mut();
        kept.push(slot);
        if kept.len() > KEPT_MAX {
            spare().free.extend(kept.drain(..BATCH));
        }
    }
}

/// When the thread ends: so it has destructors, which come after it has had a slot.
impl Drop for Kept {
    fn drop(&mut self) {
        let mut spare = spare();
        spare.free.append(self.0.get_mut());
        spare.free.extend(AT_HAND.take());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::task::Wake;

    use super::*;

    /// Addresses that no cell has.
    fn owner(number: usize) -> usize {
        number * 2 + 1
    }

    fn family(owner: usize, parent: FamilyId) -> (Family, FamilyId) {
        let family = Family::default();
        let id = family.id(owner, parent, || true, || false);
        (family, id)
    }

    fn address(id: FamilyId) -> usize {
        ptr::from_ref(id.slot.unwrap()) as usize
    }

    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn cancelling_reaches_all_descendants_and_nobody_else() {
        let (_first, first) = family(owner(1), FamilyId::NONE);
        let (_second, second) = family(owner(2), first);
        let (_third, third) = family(owner(3), second);
        let (_other, other) = family(owner(4), FamilyId::NONE);
        cancel_of(owner(2));
        assert!(!first.is_cancelled() && second.is_cancelled() && third.is_cancelled());
        assert!(!other.is_cancelled() && !FamilyId::NONE.is_cancelled());
        let (_late, late) = family(owner(5), third);
        assert!(late.is_cancelled());
        let told = Family::default();
        assert!(told.id(owner(6), FamilyId::NONE, || false, || true).is_cancelled());
    }

    #[test]
    fn a_family_stays_cancelled_after_its_task_and_others_are_forgotten() {
        let (alive, id) = family(owner(11), FamilyId::NONE);
        cancel_of(owner(11));
        drop(alive);
        let (again, other) = family(owner(12), FamilyId::NONE);
        assert!(id.is_cancelled() && !other.is_cancelled() && address(id) != address(other));
        drop(again);
        cancel_of(owner(12));
        assert!(!other.is_cancelled());
    }

    #[test]
    fn slots_are_used_again_and_ids_are_not() {
        let mut ids = HashSet::new();
        let mut slots = HashSet::new();
        for _ in 0..10_000 {
            let (_family, id) = family(owner(21), FamilyId::NONE);
            assert!(ids.insert((address(id), id.word)));
            slots.insert(address(id));
        }
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn watchers_are_woken_until_they_leave() {
        let flag = || Arc::new(Flag(AtomicBool::new(false)));
        let (_family, id) = family(owner(31), FamilyId::NONE);
        let (stays, leaves, replaced) = (flag(), flag(), flag());
        let watch = id.watch(|| Arc::clone(&replaced).into()).unwrap();
        watch.renew(&Arc::clone(&stays).into());
        drop(id.watch(|| Arc::clone(&leaves).into()));
        cancel_of(owner(31));
        assert!(stays.0.load(Ordering::SeqCst));
        assert!(!leaves.0.load(Ordering::SeqCst) && !replaced.0.load(Ordering::SeqCst));
        assert!(FamilyId::NONE.watch(|| flag().into()).is_none());
    }

    #[test]
    fn families_at_the_same_time_have_slots_of_their_own() {
        let held: Vec<_> = (0..1000).map(|n| family(owner(100 + n), FamilyId::NONE)).collect();
        let slots: HashSet<_> = held.iter().map(|(_, id)| address(*id)).collect();
        assert_eq!(slots.len(), 1000);
        assert!(all().count() >= 1000);
    }
}
