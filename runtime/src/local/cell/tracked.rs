//! Objects noted one by one, small and pending ones among them, for those who ask which there are.
//!
//! Nobody notes them until a runtime is told to; so long it is one look at a flag where a ref is handed to the
//! program, and one where a cell goes. From then on it stays so: what was noted is struck off when it goes.

use std::collections::HashSet;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use super::{AnyRef, Header};
use crate::store::{self, ObjectInfo, ObjectState};

/// In how many parts the table is, so that threads seldom meet at one.
const PARTS: usize = 64;

static ON: AtomicBool = AtomicBool::new(false);
static TABLE: LazyLock<[Mutex<HashSet<Noted>>; PARTS]> =
    LazyLock::new(|| std::array::from_fn(|_| Mutex::default()));

/// A cell that lives: it is struck off before it goes.
#[derive(PartialEq, Eq, Hash)]
struct Noted(NonNull<Header>);

// SAFETY: it reaches what a ref reaches; see `AnyRef`.
unsafe impl Send for Noted {}

fn part(cell: NonNull<Header>) -> MutexGuard<'static, HashSet<Noted>> {
    // Cells are aligned, so the lowest bits say nothing.
    let part = &TABLE[(cell.addr().get() >> 6) % PARTS];
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes objects from here on.
pub(crate) fn turn_on() {
    ON.store(true, Ordering::Relaxed);
}

impl AnyRef {
    /// The program is given a ref to this object.
    #[inline]
    pub(crate) fn note(&self) {
        if ON.load(Ordering::Relaxed) {
            note(self.0);
        }
    }
}

#[cold]
fn note(cell: NonNull<Header>) {
    part(cell).insert(Noted(cell));
}

/// Strikes off a cell that is about to go, if it was noted. Relaxed: whoever noted it saw the flag set, and that
/// came before its last ref went.
#[inline]
pub(super) fn forget(cell: NonNull<Header>) {
    if ON.load(Ordering::Relaxed) {
        strike(cell);
    }
}

#[cold]
fn strike(cell: NonNull<Header>) {
    part(cell).remove(&Noted(cell));
}

/// Those that are noted and that no object store has in its books.
pub(crate) fn all() -> Vec<ObjectInfo> {
    let mut objects = Vec::new();
    if ON.load(Ordering::Relaxed) {
        for part in TABLE.iter() {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: what is noted lives as long as we have the lock.
            let headers = part.iter().map(|Noted(cell)| unsafe { cell.as_ref() });
            objects.extend(headers.filter_map(Header::info));
        }
    }
    objects
}

impl Header {
    /// What is told of an object that is not in any books.
    fn info(&self) -> Option<ObjectInfo> {
        let now = self.state.load();
        let (state, size) = match (now.is_complete(), now.is_failed()) {
            (false, _) => (ObjectState::Pending, 0),
            (true, true) => (ObjectState::Failed, 0),
            (true, false) => (ObjectState::Memory, self.vtable.value_bytes),
        };
        let refs = usize::try_from(now.refs()).unwrap_or(usize::MAX);
        let kind = store::kind_of((self.vtable.value_type)());
        (refs > 0 && !now.is_stored()).then(|| ObjectInfo::new(self.hop(), kind, size, state, refs))
    }
}
