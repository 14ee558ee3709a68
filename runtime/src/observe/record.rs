//! What lies in a ring: an event as its thread knows it, in 32 bytes.

use std::sync::Arc;

use crate::function::Call;
use crate::observe::EventKind;

/// One entry of a ring. The first two say something about the `Submitted` ones that follow, and go before
/// them only where it is not what was said last.
pub(super) enum Record {
    /// What the tasks are that come next, and which actor's calls.
    Origin(Origin),
    /// The next task was given this name.
    Name(Arc<str>),
    /// There is a new task.
    Submitted { ticks: u64, task: u64, parent: u64 },
    /// Something happened to a task.
    Step { kind: EventKind, ticks: u64, task: u64, worker: Option<u16> },
}

const _: () = assert!(size_of::<Record>() == 32);

/// What calls of one line have in common.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) call: Call,
    /// The number of the actor whose call it is, or 0.
    pub(super) actor: u64,
}

impl Origin {
    pub(super) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.call.function, other.call.function)
            && std::ptr::eq(self.call.called_at, other.call.called_at)
            && self.actor == other.actor
    }
}
