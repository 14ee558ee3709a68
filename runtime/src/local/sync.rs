//! One switch for the atomics of the small protocols, so that loom can run them under every order.

#[cfg(mobula_loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(not(mobula_loom))]
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};

/// Spins this often before it lets other threads run.
const SPINS_MAX: u32 = 64;

/// One turn of waiting for a lock that is held for a few instructions.
pub(crate) fn spin(tries: &mut u32) {
    #[cfg(mobula_loom)]
    loom::thread::yield_now();
    *tries += 1;
    if *tries < SPINS_MAX {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}
