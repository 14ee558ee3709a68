//! What an actor is called for every so often.
//!
//! A tick is a call like any other, made by a timer instead of a handle. The timer waits for its end before it
//! counts on, so ticks never pile up, and it holds nothing that would keep the actor: it ends with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::api::actor::away::Away;
use crate::api::actor::{Actor, ActorCell, Kind};
use crate::api::object::ObjectRef;
use crate::local::Local;
use crate::local::completion::Completion;
use crate::local::counted::{Counted, Weak};
use crate::local::strand::{Strand, Waits};

/// A method that is called every so often.
pub struct Tick<A: Actor> {
    every: Duration,
    call: fn(&ActorCell<A>) -> ObjectRef<()>,
}

/// An actor that this does not keep.
enum WeakCell<A: Actor> {
    Computes(Weak<Strand<A>>),
    Waits(Weak<Strand<A, Waits<A>>>),
    Away(Weak<Strand<Away<A>>>),
    AwayWaits(Weak<Strand<Away<A>, Waits<Away<A>>>>),
}

impl<A: Actor> Tick<A> {
    /// Calls `call` every so often, beginning one such time after the actor was started.
    pub fn new(every: Duration, call: fn(&ActorCell<A>) -> ObjectRef<()>) -> Self {
        Self { every, call }
    }

    /// Starts the ticks of an actor that was started.
    pub(super) fn start_all(cell: &ActorCell<A>, local: &Arc<Local>) {
        for tick in A::ticks() {
            let actor = match &cell.0 {
                Kind::Computes(handle) => WeakCell::Computes(Counted::downgrade(handle.strand())),
                Kind::Waits(handle) => WeakCell::Waits(Counted::downgrade(handle.strand())),
                Kind::Away(handle) => WeakCell::Away(Counted::downgrade(handle.strand())),
                Kind::AwayWaits(handle) => WeakCell::AwayWaits(Counted::downgrade(handle.strand())),
                // The driver calls those of its own.
                Kind::Far(_) | Kind::Refused(_) => return,
            };
            local.spawn_beside(tick.run(actor));
        }
    }

    async fn run(self, actor: WeakCell<A>) {
        // As often as a clock can count.
        let every = self.every.max(Duration::from_nanos(1));
        let Some(first) = Instant::now().checked_add(every) else { return };
        let mut interval = interval_at(first, every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            interval.tick().await;
            // A call may run at once, or wait for a place.
            let tick = || actor.upgrade().map(|cell| (self.call)(&cell));
            let Some(called) = tokio::task::block_in_place(tick) else { return };
            Completion::of(called.into_any()).await;
        }
    }
}

impl<A: Actor> WeakCell<A> {
    /// None: it has ended, or its last handle is gone.
    fn upgrade(&self) -> Option<ActorCell<A>> {
        Some(ActorCell(match self {
            Self::Computes(strand) => Kind::Computes(strand.upgrade()?.callable()?),
            Self::Waits(strand) => Kind::Waits(strand.upgrade()?.callable()?),
            Self::Away(strand) => Kind::Away(strand.upgrade()?.callable()?),
            Self::AwayWaits(strand) => Kind::AwayWaits(strand.upgrade()?.callable()?),
        }))
    }
}
