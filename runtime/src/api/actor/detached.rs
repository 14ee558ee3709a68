//! Actors that outlive programs: finding one on the cluster.

use std::panic::Location;

use crate::api::actor::{Actor, ActorCell, ActorConfig, ActorName, Taken};
use crate::api::crossing::{self, Arguments};
use crate::api::port::Way;
use crate::cluster;
use crate::cluster::argument::Packing;
use crate::cluster::detached::Found;
use crate::config::Engine;
use crate::error::{ErrorKind, Result};
use crate::function::Call;
use crate::local::place::Place;
use crate::local::{current, default, waiting};

/// Whether there is a runtime, on the engine `ray`.
pub(super) fn is_on_ray() -> bool {
    default::with_current_if_any(|local| {
        local.is_some_and(|local| local.settings().engine == Engine::Ray)
    })
}

impl<A: Actor> ActorCell<A> {
    /// The actor of that name which outlives programs, if there is one.
    #[track_caller]
    pub(super) fn find_detached(name: &ActorName) -> Result<Option<Self>> {
        let Some(crossing) = A::crossing() else { return Ok(None) };
        let upstream = cluster::way_to_ray("detached actors")?;
        let call = Call { function: A::function(), called_at: Location::caller() };
        let config = ActorConfig::of_detached(name);
        let asked = config.asked::<A>(Found::Expect)?;
        let place = Place::ROOT;
        let (pack, way) = (|_: &mut Packing<'_>| Ok(()), Way::<()>::new());
        let is_there = crossing::send_upstream(
            upstream,
            crossing.registered,
            pack,
            way,
            asked.clone(),
            call,
            &place,
        )?;
        waiting::wait_for_good(is_there.any())?;
        match is_there.into_owned() {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::ActorDied => return Ok(None),
            Err(error) => return Err(error),
        }
        let seed = Arguments::Forwarded(Vec::new(), Vec::new());
        let place = current::next_place;
        Self::start_away(seed, asked, Some(&config), Taken::Share, call, place).map(Some)
    }
}
