//! Counted pointers, as std's `Arc` and its `Weak`, to what lies in the memory of cells (`memory.rs`): actors are often
//! made on one thread and freed on another, by the million, and std's cannot be told where their memory comes from.
//!
//! Who may touch what: (C1) the value is shared by all [`Counted`], and dropped by whoever takes `strong` to 0. (C2) The
//! block is freed by whoever takes `weak` to 0, where all [`Counted`] together are one. (C3) Nobody makes a [`Counted`] out
//! of a [`Weak`] once `strong` is 0.

use std::mem::{ManuallyDrop, offset_of};
use std::ops::Deref;
use std::ptr::{self, NonNull};

use crate::local::actors::Living;
use crate::local::memory;
use crate::local::sync::{AtomicUsize, Ordering, fence};

/// More pointers than this are a leak, and the count is not to begin anew.
const COUNT_MAX: usize = isize::MAX as usize;

/// The order of the fields is that of the memory, so that the block is found by its value.
#[repr(C)]
struct Block<T: ?Sized> {
    strong: AtomicUsize,
    weak: AtomicUsize,
    /// Frees the block, whose type a pointer to any type does not know.
    free: unsafe fn(NonNull<()>),
    value: T,
}

pub(crate) struct Counted<T: ?Sized>(NonNull<Block<T>>);

pub(crate) struct Weak<T: ?Sized>(NonNull<Block<T>>);

// SAFETY: as std's: the value is shared by all threads that have a pointer, and dropped by any of them.
unsafe impl<T: ?Sized + Send + Sync> Send for Counted<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for Counted<T> {}
// SAFETY: as above, for it can become such a pointer.
unsafe impl<T: ?Sized + Send + Sync> Send for Weak<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for Weak<T> {}

impl<T> Counted<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(memory::allocate(|| Block {
            strong: AtomicUsize::new(1),
            weak: AtomicUsize::new(1),
            free: free::<T>,
            value,
        }))
    }

    /// Where the value is.
    pub(crate) fn as_ptr(this: &Self) -> *const T {
        &raw const **this
    }

    /// One more pointer to the value.
    ///
    /// # Safety
    /// The value is in a [`Counted`], of which there is one while this runs.
    pub(crate) unsafe fn of(value: *const T) -> Self {
        // SAFETY: by the caller's promise.
        let block = unsafe { block_of(value) };
        // SAFETY: as above.
        count(unsafe { &block.as_ref().strong });
        Self(block)
    }

    /// Gives up a pointer that was forgotten.
    ///
    /// # Safety
    /// It is the caller's to give up, and the value is not used after this.
    pub(crate) unsafe fn give_up(value: *const T) {
        // SAFETY: by the caller's promise.
        drop(Self(unsafe { block_of(value) }));
    }
}

/// The block that a value is in.
///
/// # Safety
/// It is in one.
unsafe fn block_of<T>(value: *const T) -> NonNull<Block<T>> {
    // SAFETY: by the caller's promise.
    let block = unsafe { value.byte_sub(offset_of!(Block<T>, value)) };
    // SAFETY: nothing is at null.
    unsafe { NonNull::new_unchecked(block.cast_mut().cast()) }
}

/// Frees the block of a value of that type.
///
/// # Safety
/// C2.
unsafe fn free<T>(block: NonNull<()>) {
    // SAFETY: by the caller's promise; `new` has allocated it.
    unsafe { memory::deallocate(block.cast::<Block<T>>()) };
}

/// Counts one more pointer, which is made from another one.
fn count(pointers: &AtomicUsize) {
    // Relaxed: as std's. Whoever gets the pointer gets it in an ordered way.
    if pointers.fetch_add(1, Ordering::Relaxed) > COUNT_MAX {
        std::process::abort();
    }
}

impl<T: ?Sized> Counted<T> {
    fn block(&self) -> &Block<T> {
        // SAFETY: C2, and nobody has a `&mut` to it.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn downgrade(this: &Self) -> Weak<T> {
        count(&this.block().weak);
        Weak(this.0)
    }
}

impl<T: ?Sized> Deref for Counted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.block().value
    }
}

impl<T: ?Sized> Clone for Counted<T> {
    fn clone(&self) -> Self {
        count(&self.block().strong);
        Self(self.0)
    }
}

impl<T: ?Sized> Drop for Counted<T> {
    fn drop(&mut self) {
        // Release: whoever drops the value has seen what was done by all pointers.
        if self.block().strong.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire);
        // Also where the value's drop panics.
        let _of_all = Weak(self.0);
        // SAFETY: C2, as long as there is that one.
        let value = unsafe { &raw mut (*self.0.as_ptr()).value };
        // SAFETY: C1.
        unsafe { ptr::drop_in_place(value) };
    }
}

impl<T: ?Sized> Weak<T> {
    /// None: the value is gone.
    pub(crate) fn upgrade(&self) -> Option<Counted<T>> {
        // Acquire: who made the value has done so before.
        let add = |pointers| (pointers > 0 && pointers <= COUNT_MAX).then_some(pointers + 1);
        self.counts().0.fetch_update(Ordering::Acquire, Ordering::Relaxed, add).ok()?;
        Some(Counted(self.0))
    }

    /// Where the value is, or was.
    pub(crate) fn address(&self) -> usize {
        let block = self.0.as_ptr();
        // SAFETY: C2. Nothing is read.
        unsafe { &raw const (*block).value }.cast::<()>().addr()
    }

    /// Both counts. The value may be gone.
    fn counts(&self) -> (&AtomicUsize, &AtomicUsize) {
        let block = self.0.as_ptr();
        // SAFETY: C2.
        let strong = unsafe { &(*block).strong };
        // SAFETY: as above.
        (strong, unsafe { &(*block).weak })
    }
}

impl<T: Living + 'static> Counted<T> {
    pub(crate) fn of_any_type(self) -> Counted<dyn Living> {
        Counted(ManuallyDrop::new(self).0)
    }
}

impl<T: Living + 'static> Weak<T> {
    pub(crate) fn of_any_type(self) -> Weak<dyn Living> {
        Weak(ManuallyDrop::new(self).0)
    }
}

impl<T: ?Sized> Clone for Weak<T> {
    fn clone(&self) -> Self {
        count(self.counts().1);
        Self(self.0)
    }
}

impl<T: ?Sized> Drop for Weak<T> {
    fn drop(&mut self) {
        // Release: whoever frees the block does so after all others have done with it.
        if self.counts().1.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire);
        // SAFETY: C2: it is ours.
        let free = unsafe { (*self.0.as_ptr()).free };
        // SAFETY: as above, and it is the one for its type.
        unsafe { free(self.0.cast()) };
    }
}

#[cfg(all(test, not(mobula_loom)))]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Counts when it is dropped.
    struct Dropped<'a>(&'a AtomicUsize);

    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_last_pointer_drops_the_value() {
        let drops = AtomicUsize::new(0);
        let first = Counted::new(Dropped(&drops));
        let value = Counted::as_ptr(&first);
        let weak = Counted::downgrade(&first);
        // SAFETY: `first` is there.
        let second = unsafe { Counted::of(value) };
        drop(first);
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        std::mem::forget(weak.upgrade().expect("there is one"));
        drop(second);
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        // SAFETY: it was forgotten just now.
        unsafe { Counted::give_up(value) };
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        assert!(weak.upgrade().is_none() && weak.clone().upgrade().is_none());
    }

    #[test]
    fn a_value_is_where_its_alignment_wants_it() {
        #[repr(align(64))]
        struct Aligned(u8);
        let counted = Counted::new(Aligned(7));
        assert_eq!(Counted::as_ptr(&counted).addr() % 64, 0);
        // SAFETY: it is there.
        assert_eq!(unsafe { Counted::of(Counted::as_ptr(&counted)) }.0, counted.0);
        assert_eq!(counted.deref().0, 7);
    }

    #[test]
    fn a_drop_that_panics_frees_the_block() {
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                panic!("on purpose");
            }
        }
        let counted = Counted::new(Panics);
        let weak = Counted::downgrade(&counted);
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(counted)));
        assert!(dropped.is_err() && weak.upgrade().is_none());
        assert_eq!(weak.counts().1.load(Ordering::Relaxed), 1);
    }
}

/// The counts under every order of their steps.
#[cfg(all(test, mobula_loom))]
mod loom_tests {
    use loom::cell::UnsafeCell;
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::thread;

    use super::*;

    /// Its drop writes what its users have read.
    struct Value {
        place: UnsafeCell<u64>,
        drops: loom::sync::Arc<AtomicUsize>,
    }

    impl Value {
        fn read(&self) {
            // SAFETY: loom checks that nobody writes it meanwhile.
            assert_eq!(self.place.with(|place| unsafe { *place }), 7);
        }
    }

    impl Drop for Value {
        fn drop(&mut self) {
            // SAFETY: as above.
            self.place.with_mut(|place| unsafe { *place = 0 });
            self.drops.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn loom_the_value_is_dropped_once_and_after_its_last_use() {
        loom::model(|| {
            let drops = loom::sync::Arc::new(AtomicUsize::new(0));
            let value = Value { place: UnsafeCell::new(7), drops: loom::sync::Arc::clone(&drops) };
            let counted = Counted::new(value);
            let weak = Counted::downgrade(&counted);
            let (other, late) = (Counted::clone(&counted), weak.clone());
            let uses = thread::spawn(move || {
                other.read();
                drop(other);
            });
            let upgrades = thread::spawn(move || {
                if let Some(again) = late.upgrade() {
                    again.read();
                }
            });
            counted.read();
            drop(counted);
            uses.join().unwrap();
            upgrades.join().unwrap();
            assert!(weak.upgrade().is_none());
            assert_eq!(drops.load(Ordering::Relaxed), 1);
        });
    }
}
