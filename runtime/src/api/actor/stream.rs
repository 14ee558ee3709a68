//! Calls of an actor that give many refs, one after the other.

use std::panic::Location;
use std::sync::Arc;

use super::away::{self, ActorStreamCrossing};
use super::{Actor, ActorCell, Kind, awaiting};
use crate::api::crossing::Arguments;
use crate::api::parameter::Params;
use crate::api::stream::{ObjectStream, check_unread_max};
use crate::config::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{Call, Function, Hop};
use crate::local::current;
use crate::local::life::Life;
use crate::local::strand::{
    Access, Body, HostedCall, Kind as StrandKind, MethodOnce, Strand, Waits,
};
use crate::local::stream::{self, Outlet, Shared};

/// A method that streams, as the calls that its actor's handles offer.
pub trait ActorStream: Sized + 'static {
    /// Whose it is.
    type Actor: Actor;
    /// Its parameters.
    type Params: Params;
    /// The `T` of `ObjectStream<T>`.
    type Item: Send + Sync + 'static;
    /// Its name and place.
    fn function() -> &'static Function;
    /// How many items may be there unread, if its attribute says so.
    fn max_unread() -> Option<usize> {
        None
    }
    /// What makes the producer.
    fn body() -> ProducerBody<Self>;
    /// How its calls cross to another process; None: they stay in this one.
    fn crossing() -> Option<ActorStreamCrossing<Self>> {
        None
    }
}

/// What a producer is made from: the arguments, and where its items go.
pub(super) type Ends<M> =
    (<<M as ActorStream>::Params as Params>::Held, Outlet<<M as ActorStream>::Item>);

/// A method that makes a producer.
pub type ProducerBody<M> = Body<<M as ActorStream>::Actor, Ends<M>, ()>;

type Slots<M> = <<M as ActorStream>::Params as Params>::Slots;

impl<A: Actor> ActorCell<A> {
    /// Calls a method that streams.
    #[track_caller]
    pub fn stream<M: ActorStream<Actor = A>>(&self, slots: Slots<M>) -> ObjectStream<M::Item> {
        let call = Call { function: M::function(), called_at: Location::caller() };
        let started = match (&self.0, M::body()) {
            (Kind::Computes(handle), Body::AloneLater(body)) => {
                let begin = move |actor: Access<'_, A>, ends: Ends<M>, shared: &Shared<M::Item>| {
                    let Access::Alone(actor) = actor else {
                        unreachable!("the method has `&mut self`")
                    };
                    stream::run_to_end(shared, body(actor, ends))
                };
                compute::<M, false>(handle.strand(), slots, begin, call)
            }
            (Kind::Computes(handle), Body::SharedLater(body)) => {
                let begin = move |actor: Access<'_, A>, ends: Ends<M>, shared: &Shared<M::Item>| {
                    let actor = match actor {
                        Access::Shared(actor) => actor,
                        Access::Alone(actor) => actor,
                    };
                    stream::run_to_end(shared, body(actor, ends))
                };
                compute::<M, true>(handle.strand(), slots, begin, call)
            }
            (Kind::Computes(_), Body::Alone(_) | Body::Shared(_)) => {
                unreachable!("a producer is a future")
            }
            (Kind::Waits(handle), _) => wait::<M>(handle.strand(), slots, call),
            (Kind::Away(_) | Kind::AwayWaits(_), _) => {
                let arguments = Arguments::Slots(slots);
                away::stream::<M>(self, arguments, current::origin, None, call)
            }
            (Kind::Far(far), _) => far.stream::<M>(&slots, call),
            (Kind::Refused(error), _) => Err(error.clone()),
        };
        started.unwrap_or_else(|error| ObjectStream::failed(error, call))
    }
}

/// What the two ends of a stream share, and the producer's.
type Both<T> = (Arc<Shared<T>>, Outlet<T>);

/// The two ends of a stream of that actor.
///
/// # Errors
/// `Config`, if nothing may be unread.
pub(super) fn ends<M: ActorStream, A: Life, K: StrandKind<A>>(
    strand: &Strand<A, K>,
    hop: Hop,
    call: Call,
) -> Result<Both<M::Item>> {
    let unread_max = check_unread_max(M::max_unread())?;
    let address = std::ptr::from_ref(strand).addr();
    let shared = Shared::of_actor(address, call, hop, unread_max);
    let outlet = Outlet::new(Arc::clone(&shared), Arc::clone(strand.local()));
    Ok((shared, outlet))
}

/// The stream of an actor that computes.
///
/// # Errors
/// Why it cannot be.
fn compute<M: ActorStream, const SHARED: bool>(
    strand: &Strand<M::Actor>,
    slots: Slots<M>,
    begin: impl Fn(Access<'_, M::Actor>, Ends<M>, &Shared<M::Item>) -> Result<()> + Send + 'static,
    call: Call,
) -> Result<ObjectStream<M::Item>> {
    if strand.local().settings().engine == Engine::Inline {
        let name = call.function.name();
        let message = format!(
            "the engine `inline` runs a call to its end where it is made, and the stream `{name}` of an actor \
             waits for its reader in between: use the engine `threads`"
        );
        return Err(Error::new(ErrorKind::Engine, message));
    }
    let (shared, outlet) = ends::<M, _, _>(strand, call.into(), call)?;
    let arguments = awaiting::<M::Params>(&slots);
    let of_producer = Arc::clone(&shared);
    let body = move |actor: Access<'_, M::Actor>| {
        begin(actor, (M::Params::resolve(slots)?, outlet), &of_producer)
    };
    let job = MethodOnce::<M::Actor, _, SHARED>::new(body);
    Ok(ObjectStream::new(shared, strand.call(job, arguments, call)))
}

/// The stream of an actor that waits.
///
/// # Errors
/// Why it cannot be.
fn wait<M: ActorStream>(
    strand: &Strand<M::Actor, Waits<M::Actor>>,
    slots: Slots<M>,
    call: Call,
) -> Result<ObjectStream<M::Item>> {
    let (shared, outlet) = ends::<M, _, _>(strand, call.into(), call)?;
    let arguments = awaiting::<M::Params>(&slots);
    let mut once = Some((slots, outlet));
    let resolve = move |_| {
        let (slots, outlet) = once.take().expect("the only try comes once");
        Ok((M::Params::resolve(slots)?, outlet))
    };
    let job = HostedCall::once(resolve, M::body());
    Ok(ObjectStream::new(shared, strand.call(job, arguments, call)))
}
