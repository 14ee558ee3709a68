//! Where a thread without a CPU sits until it is handed one.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::thread::{self, Thread};

use crate::local::pool::Cpu;

/// A thread's place to be handed a CPU.
pub(super) struct Seat {
    thread: Thread,
    handed: AtomicPtr<Cpu>,
    dismissed: AtomicBool,
}

impl Seat {
    pub(super) fn here() -> Arc<Self> {
        Arc::new(Self {
            thread: thread::current(),
            handed: AtomicPtr::default(),
            dismissed: AtomicBool::new(false),
        })
    }

    /// Release: the receiver sees the CPU's deque as we left it.
    pub(super) fn hand(&self, cpu: Box<Cpu>) {
        self.handed.store(Box::into_raw(cpu), Ordering::Release);
        self.thread.unpark();
    }

    pub(super) fn take(&self) -> Option<Box<Cpu>> {
        let cpu = self.handed.swap(ptr::null_mut(), Ordering::Acquire);
        // SAFETY: a pointer in the seat came from `hand`, and the swap took it out.
        (!cpu.is_null()).then(|| unsafe { Box::from_raw(cpu) })
    }

    /// Sleeps until a CPU is handed over; None: until dismissed.
    pub(super) fn wait(&self) -> Option<Box<Cpu>> {
        loop {
            if let Some(cpu) = self.take() {
                return Some(cpu);
            }
            // Acquire: pairs with the Release in `dismiss`. A CPU may have been handed just before.
            if self.dismissed.load(Ordering::Acquire) {
                return self.take();
            }
            thread::park();
        }
    }

    pub(super) fn dismiss(&self) {
        self.dismissed.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
