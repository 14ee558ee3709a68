//! What makes calls: a task, an item of a map, or a thread outside of tasks. It counts them, because the
//! count is what tells their places apart (`place.rs`), and it has a stream of random numbers of its own.
//!
//! A stream is lent as a generator that the borrower owns meanwhile, and comes back when he is done: so it
//! costs nothing to draw from, and two borrowers at a time never draw the same numbers. The second gets the
//! stream that a call at this moment would have had.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use crate::local::family::FamilyId;
use crate::local::place::{Children, Place};
use crate::random::{Generator, Pcg64, Pool};

/// What a call has from its caller.
pub(crate) struct Origin {
    pub(crate) family: FamilyId,
    pub(crate) place: Place,
}

impl Origin {
    /// That of what nobody calls.
    pub(crate) const NONE: Self = Self { family: FamilyId::NONE, place: Place::ROOT };
}

/// What somebody needs to make calls and to draw.
#[derive(Default)]
pub(super) struct Caller {
    children: Children,
    /// None: nobody has asked for it.
    stream: Cell<Option<Arc<Slot>>>,
}

/// Where a stream is while it is not lent.
type Slot = Mutex<Option<Generator>>;

impl Caller {
    /// The place of the next call; `place` is the caller's.
    #[inline]
    pub(super) fn next_place(&self, place: &Place, root: &Pool) -> Place {
        self.children.next(place, root)
    }

    /// Makes another caller of it.
    pub(super) fn begin_again(&self) {
        self.children.begin_again();
        self.stream.set(None);
    }

    /// Lends the caller's stream, which goes on where it was left.
    pub(super) fn lend(&self, place: &Place, root: &Pool) -> Lent {
        let Some(slot) = self.stream.take() else {
            let home = Arc::<Slot>::default();
            self.stream.set(Some(Arc::clone(&home)));
            return Lent { generator: generator(&place.pool(root)), home: Some(home) };
        };
        let back = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.stream.set(Some(Arc::clone(&slot)));
        match back {
            Some(generator) => Lent { generator, home: Some(slot) },
            None => {
                let pool = self.next_place(place, root).pool(root);
                Lent { generator: generator(&pool), home: None }
            }
        }
    }
}

fn generator(pool: &Pool) -> Generator {
    Generator::new(Pcg64::from_pool(pool))
}

/// A stream that is lent.
pub(crate) struct Lent {
    pub(crate) generator: Generator,
    /// None: nobody asks for it again.
    home: Option<Arc<Slot>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            let back = Some(self.generator.clone());
            *home.lock().unwrap_or_else(PoisonError::into_inner) = back;
        }
    }
}
