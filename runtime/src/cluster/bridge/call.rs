//! A call on its way to a cluster: what is told of it beside its arguments, and what it asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cluster::argument::{Argument, Asked, unfit};
use crate::cluster::bridge::actor::Place;
use crate::cluster::bridge::message::{self, Asks};
use crate::cluster::engine_error;
use crate::cluster::frame::{self, About};
use crate::cluster::turn::Ticket;
use crate::error::Result;

/// What a call is, without its arguments.
pub(super) struct Head {
    pub(super) name: String,
    pub(super) options: Option<Asked>,
    pub(super) stands_at: String,
    pub(super) place: Vec<u32>,
    pub(super) of_actor: Option<OfActor>,
}

/// A call as the program on the other side gets it, without the bytes of its arguments.
#[derive(Serialize, Deserialize)]
pub(super) struct CallHead {
    pub(super) function: String,
    pub(super) arguments: Vec<Argument>,
    /// The objects whose values come with the call, in the order in which they come.
    pub(super) needs: Vec<Uuid>,
    pub(super) options: Option<Asked>,
    /// Where it stands in the source.
    pub(super) stands_at: String,
    /// Its place in the tree of random streams.
    pub(super) place: Vec<u32>,
    pub(super) of_actor: Option<OfActor>,
}

/// What is told of a call of an actor besides. It has no function where the actor is to end.
#[derive(Serialize, Deserialize)]
pub(super) struct OfActor {
    pub(super) about: About,
    /// The id of the result, as the program knows it.
    pub(super) id: Uuid,
}

/// A call of an actor on a cluster.
pub(super) struct ActorCall {
    pub(super) place: Arc<Place>,
    pub(super) ticket: Ticket,
    pub(super) of_actor: OfActor,
    pub(super) stands_at: String,
}

impl CallHead {
    /// A call's head, and from where on its arguments lie.
    ///
    /// # Errors
    /// `Engine`, if the bytes are no call.
    pub(super) fn open(call: &[u8]) -> Result<(Self, usize)> {
        let lengths = frame::lengths(call)?;
        let (whole, head_bytes) =
            lengths.ok_or_else(|| message::garbled("a call without a head"))?;
        let rest = call.get(frame::PREFIX_BYTES..).filter(|rest| rest.len() == whole);
        let rest = rest.ok_or_else(|| message::garbled("a call that is cut"))?;
        Ok((frame::head(&rest[..head_bytes])?, frame::PREFIX_BYTES + head_bytes))
    }
}

/// The value of an object that a call needs, among those that came with it.
///
/// # Errors
/// It did not come.
pub(super) fn value_of<'a, V>(id: &Uuid, needs: &[Uuid], values: &'a [V]) -> Result<&'a V> {
    let place = needs.iter().position(|need| need == id);
    place.and_then(|place| values.get(place)).ok_or_else(|| unfit("an object that did not come"))
}

/// What a call asks of the cluster.
///
/// # Errors
/// `Engine`, by name, for what no engine over the bridge can do.
pub(super) fn asks(engine: &str, options: Option<&Asked>, waits: bool) -> Result<Asks> {
    // What waits takes no CPU where the engine counts them; the others have a thread for each task.
    let idle = (waits && engine == "ray").then_some(0.0);
    let Some(options) = options else { return Ok(Asks { num_cpus: idle, ..Asks::default() }) };
    let cannot = |what: &str| {
        engine_error(format!("the engine `{engine}` cannot honour {what}: leave it out"))
    };
    if options.retry_delay.is_some() {
        return Err(cannot("retry_delay"));
    }
    if options.priority.is_some_and(|priority| priority != 0) && engine != "dask" {
        return Err(cannot("priority"));
    }
    if options.placement.is_some() && engine != "ray" {
        return Err(cannot("placement"));
    }
    Ok(Asks {
        name: options.name.clone(),
        num_cpus: options.num_cpus.filter(|cpus| *cpus != 1.0).or(idle),
        resources: resources(options),
        max_retries: options.max_retries.filter(|retries| *retries > 0),
        priority: options.priority.filter(|priority| *priority != 0),
        actor: None,
        placement: options.placement.clone(),
        group: options.reservation.clone(),
        stream: None,
        in_turn: false,
        of_actors: None,
        detached: options.detached.clone(),
        python: options.python,
    })
}

/// What an actor asks of the cluster, on which an engine has it that can do all of that.
pub(super) fn asks_of_actor(options: Option<&Asked>) -> Asks {
    let Some(options) = options else { return Asks::default() };
    Asks {
        // One is not the same as none, which is one to start with.
        num_cpus: options.num_cpus,
        resources: resources(options),
        placement: options.placement.clone(),
        detached: options.detached.clone(),
        ..Asks::default()
    }
}

fn resources(options: &Asked) -> BTreeMap<String, f64> {
    options.resources.iter().cloned().collect()
}
