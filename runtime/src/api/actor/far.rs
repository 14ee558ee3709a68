//! Handles of actors that are elsewhere: in a worker, those of the driver's actors.
//!
//! A handle is the actor's id, which the driver keeps until it is told that this process has let go of it. What is
//! done by a handle goes to the driver as a call does: a method under the method's name, the handle being the first
//! argument, and everything else under that of the actor's type, as a [`Wish`].
//!
//! Whose call it is, is no handle that is passed on: until the driver has the call, whoever makes it keeps one.

use std::panic::Location;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::api::actor::away::{ActorCrossing, ActorStreamCrossing, MethodCrossing};
use crate::api::actor::stream::ActorStream;
use crate::api::actor::{
    Actor, ActorCell, ActorConfig, ActorControl, ActorEnd, ActorHandle, ActorMethod, ActorName,
    Kind, Passed, Taken, kill,
};
use crate::api::crossing::{self, Arguments};
use crate::api::parameter::Params;
use crate::api::port::Way;
use crate::api::stream::{self, ObjectStream};
use crate::cluster;
use crate::cluster::argument::{Forwarded, ForwardedArgument, Packing};
use crate::cluster::coder;
use crate::cluster::upstream::{self, Upstream};
use crate::error::{Error, Result};
use crate::function::{Call, Hop};
use crate::local::caller::Origin;
use crate::local::cell::{AnyRef, Elsewhere, Ref};
use crate::local::place::Place;
use crate::local::{current, default, waiting};

/// What this process was given once by that id.
struct Given {
    upstream: &'static dyn Upstream,
    id: Uuid,
}

impl Drop for Given {
    fn drop(&mut self) {
        self.upstream.let_go_once(self.id);
    }
}

/// A handle of an actor of the driver's.
#[derive(Clone)]
pub(super) struct Far(Arc<Given>);

impl Far {
    /// Of an id that came from the driver just now.
    pub(super) fn given(upstream: &'static dyn Upstream, id: Uuid) -> Self {
        upstream.take_once(id);
        Self(Arc::new(Given { upstream, id }))
    }

    pub(super) fn id(&self) -> Uuid {
        self.0.id
    }

    /// Calls a method of the actor that streams.
    pub(super) fn stream<M: ActorStream>(
        &self,
        slots: &<M::Params as Params>::Slots,
        call: Call,
    ) -> Result<ObjectStream<M::Item>> {
        let ActorStreamCrossing { registered, ports, way, .. } =
            M::crossing().ok_or_else(stays::<M::Actor>)?;
        let pack = |packing: &mut Packing<'_>| {
            packing.addressed(self.id(), &Passed::ById(self.id()))?;
            M::Params::pack(slots, &ports, packing)
        };
        stream::far::begin(
            stream::far::To { upstream: self.0.upstream, registered, way, call },
            None,
            None,
            pack,
        )
    }

    /// Calls a method of the actor.
    pub(super) fn call<M: ActorMethod>(
        &self,
        slots: &<M::Params as Params>::Slots,
        call: Call,
    ) -> Ref<M::Output> {
        let place = default::with_current(current::next_place);
        let Some(MethodCrossing { registered, ports, way, .. }) = M::crossing() else {
            return Ref::complete(Err(stays::<M::Actor>().through(call)), call);
        };
        let pack = |packing: &mut Packing<'_>| {
            packing.addressed(self.id(), &Passed::ById(self.id()))?;
            M::Params::pack(slots, &ports, packing)
        };
        crossing::send_upstream(self.0.upstream, registered, pack, way, None, call, &place)
            .unwrap_or_else(|error| Ref::complete(Err(error.through(call)), call))
    }
}

/// Why the actors of a type are none that leave their process.
pub(super) fn stays<A: Actor>() -> Error {
    cluster::stays(&format!(
        "the actor `{}` is declared with `#[remote(local)]`",
        A::function().name()
    ))
}

/// What a worker asks of the driver that concerns actors, beside their calls.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
enum Wish<A: Actor> {
    /// Start one, of the further arguments.
    Start {
        config: Option<ActorConfig>,
        taken: Taken,
    },
    Find(ActorName),
    Kill(ActorHandle<A>),
    Stop(ActorHandle<A>),
    /// Tell how it ends, which would not be if this kept a handle.
    Watch(#[serde(serialize_with = "as_id")] ActorHandle<A>),
    /// Nothing: whoever asks has a handle until this is there, and all that was asked before.
    Stay(ActorHandle<A>),
}

fn as_id<A: Actor, S: Serializer>(
    handle: &ActorHandle<A>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let id = handle.cell().id().map_err(serde::ser::Error::custom)?;
    Passed::ById(id).serialize(serializer)
}

/// Asks the driver for something.
fn ask<A: Actor, T>(
    upstream: &'static dyn Upstream,
    wish: &Wish<A>,
    further: impl Fn(&mut Packing<'_>) -> Result<()>,
    call: Call,
    place: &Place,
) -> Result<Ref<T>>
where
    T: Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let ActorCrossing { registered, .. } = A::crossing().ok_or_else(stays::<A>)?;
    let pack = |packing: &mut Packing<'_>| {
        packing.value(wish)?;
        further(packing)
    };
    crossing::send_upstream(upstream, registered, pack, Way::new(), None, call, place)
}

/// Waits for what was asked for, which the driver has at once.
fn answered<T: Clone + Send + Sync + 'static>(asked: Ref<T>) -> Result<T> {
    waiting::wait_for_good(asked.any())?;
    asked.into_owned()
}

/// Starts an actor.
pub(super) fn start<A: Actor>(
    upstream: &'static dyn Upstream,
    slots: &<A::Params as Params>::Slots,
    config: Option<&ActorConfig>,
    taken: Taken,
    call: Call,
) -> Result<ActorHandle<A>> {
    let place = default::with_current(current::next_place);
    let ports = A::crossing().ok_or_else(stays::<A>)?.ports;
    let further = |packing: &mut Packing<'_>| A::Params::pack(slots, &ports, packing);
    let wish = Wish::<A>::Start { config: config.cloned(), taken };
    answered(ask(upstream, &wish, further, call, &place)?)
}

/// The actor of that name.
#[track_caller]
pub(super) fn find<A: Actor>(
    upstream: &'static dyn Upstream,
    name: &ActorName,
) -> Result<ActorHandle<A>> {
    let call = Call { function: A::function(), called_at: Location::caller() };
    let wish = Wish::<A>::Find(name.clone());
    answered(ask(upstream, &wish, |_| Ok(()), call, &Place::ROOT)?)
}

/// What is done by a handle of any actor.
pub(super) enum Control {
    Kill,
    Stop,
}

/// Stops or kills an actor. The ref is complete when that is done.
pub(super) fn control<A: Actor>(handle: &ActorHandle<A>, what: &Control, call: Call) -> Ref<()> {
    let wish = match what {
        Control::Kill => Wish::Kill(handle.clone()),
        Control::Stop => Wish::Stop(handle.clone()),
    };
    asked(wish, call)
}

/// Tells how the actor has ended.
pub(super) fn watch<A: Actor>(handle: &ActorHandle<A>, call: Call) -> Ref<ActorEnd> {
    let end = asked(Wish::Watch(handle.clone()), call);
    if cluster::is_over_bridge() {
        drop(asked::<A, ()>(Wish::Stay(handle.clone()), call));
    }
    end
}

fn asked<A: Actor, T>(wish: Wish<A>, call: Call) -> Ref<T>
where
    T: Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let upstream = upstream::upstream().expect("whoever has such a handle came by it so");
    let asked = ask(upstream, &wish, |_| Ok(()), call, &Place::ROOT);
    asked.unwrap_or_else(|error| Ref::complete(Err(error.through(call)), call))
}

/// In the driver: makes a call that a worker made.
pub(super) fn forward<M: ActorMethod>(forwarded: Forwarded) -> AnyRef {
    let Forwarded { id, mut arguments, keep, place, stands_at, .. } = forwarded;
    let call = Call::elsewhere(M::function());
    let hop = Hop::from(call).at(Some(&stands_at));
    let called =
        ForwardedArgument::take_first(&mut arguments).and_then(|handle: ActorHandle<M::Actor>| {
            let arguments = Arguments::Forwarded(arguments, keep);
            let origin = Origin { family: current::family(), place };
            // Where it runs may be asked for its id before this thread goes on.
            let elsewhere = Elsewhere { id: Some(id), at: Arc::clone(&stands_at) };
            handle.cell().call_away::<M>(arguments, |_| origin, Some(elsewhere), call)
        });
    let called = called.unwrap_or_else(|error| {
        let refused = Ref::complete(Err(error.through(hop)), call);
        let _ = refused.any().extra().stands_at.set(stands_at);
        refused
    });
    if let Some(MethodCrossing { way, .. }) = M::crossing() {
        (way.note)(called.any());
    }
    named(called.into_any(), id)
}

/// In the driver: does what a worker asked for.
pub(super) fn wish<A: Actor>(forwarded: Forwarded) -> AnyRef {
    let Forwarded { id, mut arguments, keep, place, .. } = forwarded;
    let call = Call::elsewhere(A::function());
    let handle = |made: Result<ActorHandle<A>>| {
        let made = made.and_then(|handle| match &handle.cell().0 {
            Kind::Refused(error) => Err(error.clone()),
            _ => Ok(handle),
        });
        noted(Ref::complete(made, call))
    };
    let granted = match ForwardedArgument::take_first::<Wish<A>>(&mut arguments) {
        Ok(Wish::Start { config, taken }) => {
            let seed = Arguments::Forwarded(arguments, keep);
            let start = || {
                let asked = ActorCell::<A>::asked(config.as_ref(), taken)?;
                ActorCell::start_away(seed, asked, config.as_ref(), taken, call, |_| place)
            };
            handle(start().map(ActorHandle::from))
        }
        Ok(Wish::Find(name)) => handle(ActorCell::find(&name).map(ActorHandle::from)),
        Ok(Wish::Kill(handle)) => {
            kill(&handle);
            noted(Ref::complete(Ok(()), call))
        }
        Ok(Wish::Stop(handle)) => noted(handle.cell().stop_from(call.called_at).into_inner()),
        Ok(Wish::Watch(handle)) => noted(handle.cell().watch_from(call.called_at).into_inner()),
        Ok(Wish::Stay(_)) => noted(Ref::complete(Ok(()), call)),
        Err(error) => noted(Ref::<()>::complete(Err(error), call)),
    };
    named(granted, id)
}

fn noted<T: Serialize + Send + Sync + 'static>(object: Ref<T>) -> AnyRef {
    coder::note::<T>(object.any());
    object.into_any()
}

/// Lets the object be found by the id that the worker gave it.
fn named(object: AnyRef, id: Uuid) -> AnyRef {
    coder::named(&object, id);
    object
}
