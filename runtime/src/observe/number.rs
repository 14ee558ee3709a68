//! Numbers of tasks and actors. A number says whose it is, so that whoever has one can record an event of
//! it with nothing else at hand: its upper 16 bits are the place of the recorder among those of the process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::observe::Recorder;

/// How many bits count within one runtime: at ten million tasks a second they last for 325 days.
const COUNT_BITS: u32 = 48;

/// The number of a task or an actor, or none where nothing is recorded of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Number(u64);

impl Number {
    /// Of whatever no event is recorded.
    pub(crate) const NONE: Self = Self(0);

    #[inline]
    pub(super) fn new(place: &Place, count: u64) -> Self {
        Self(u64::from(place.0) << COUNT_BITS | count)
    }

    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The number as events have it: from 1 in each runtime; 0 for none.
    #[inline]
    pub(super) fn count(self) -> u64 {
        self.0 & ((1 << COUNT_BITS) - 1)
    }

    /// The place of whoever records its events.
    #[inline]
    pub(super) fn place(self) -> u16 {
        (self.0 >> COUNT_BITS) as u16
    }

    /// Who records events of this number, if its runtime still lives.
    pub(super) fn recorder(self) -> Option<Arc<Recorder>> {
        places().get(usize::from(self.place()))?.as_ref()?.upgrade()
    }
}

/// The recorders of the process, by their places.
static PLACES: Mutex<Vec<Option<Weak<Recorder>>>> = Mutex::new(Vec::new());

fn places() -> MutexGuard<'static, Vec<Option<Weak<Recorder>>>> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A recorder's place among those of the process. The recorder holds it, and so does every thread that
/// wrote to it, so that no thread ever takes a new recorder for an old one.
#[derive(Debug)]
pub(super) struct Place(u16);

impl Place {
    #[inline]
    pub(super) fn index(&self) -> u16 {
        self.0
    }

    pub(super) fn take(recorder: &Weak<Recorder>) -> Arc<Self> {
        let mut places = places();
        let free = places.iter().position(Option::is_none).unwrap_or(places.len());
        let place = u16::try_from(free).expect("too many runtimes record events at the same time");
        if free == places.len() {
            places.push(None);
        }
        places[free] = Some(Weak::clone(recorder));
        Arc::new(Self(place))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        places()[usize::from(self.0)] = None;
    }
}
