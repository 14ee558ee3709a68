//! A value that is counted while it lives: none may be left at the end, and none may go twice.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

static MADE: AtomicU64 = AtomicU64::new(0);
static LIVING: AtomicI64 = AtomicI64::new(0);
/// The sum of the living ones' marks. A value dropped twice and one never dropped leave `LIVING` at 0,
/// but not this.
static MARKS: AtomicU64 = AtomicU64::new(0);

/// It owns memory, so that a look at a dropped one shows under a sanitizer, too.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(from = "u64", into = "u64")]
pub(crate) struct Counted {
    value: Box<u64>,
    mark: u64,
}

impl Counted {
    pub(crate) fn new(value: u64) -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed) + 1;
        let mark = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        LIVING.fetch_add(1, Ordering::Relaxed);
        MARKS.fetch_add(mark, Ordering::Relaxed);
        Self { value: Box::new(value), mark }
    }

    pub(crate) fn value(&self) -> u64 {
        *self.value
    }
}

impl From<u64> for Counted {
    fn from(value: u64) -> Self {
        Self::new(value)
    }
}

impl From<Counted> for u64 {
    fn from(counted: Counted) -> Self {
        counted.value()
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(*self.value)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LIVING.fetch_sub(1, Ordering::Relaxed);
        MARKS.fetch_sub(self.mark, Ordering::Relaxed);
    }
}

/// Fails if any value lives on, or has been dropped twice. Whoever made or dropped one is gone by now.
pub(crate) fn check_all_gone() {
    let living = LIVING.load(Ordering::SeqCst);
    assert_eq!(living, 0, "values live on after all refs are gone");
    assert_eq!(MARKS.load(Ordering::SeqCst), 0, "a value was dropped twice, another never");
}

/// What all of this test computes.
pub(crate) fn combine(values: impl IntoIterator<Item = u64>) -> u64 {
    values.into_iter().fold(17, |sum, value| sum.wrapping_mul(31).wrapping_add(value))
}
