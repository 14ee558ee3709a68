//! Calls of an actor that give many refs, one after the other.

use std::panic::Location;
use std::sync::Arc;

use super::{Actor, ActorCell, Kind, awaiting};
use crate::api::parameter::Params;
use crate::api::stream::{ObjectStream, check_unread_max};
use crate::cluster;
use crate::config::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{Call, Function};
use crate::local::Local;
use crate::local::life::Life;
use crate::local::strand::{Access, Body, HostedCall, Kind as StrandKind, Method, Strand, Waits};
use crate::local::stream::{self, Outlet, Shared};

/// What a producer is made from: the arguments, and where its items go.
type Ends<P, T> = (<P as Params>::Held, Outlet<T>);

/// A method that makes a producer.
pub type ProducerBody<A, P, T> = Body<A, Ends<P, T>, ()>;

impl<A: Actor> ActorCell<A> {
    /// Calls a method that streams; `body` makes the producer. A `max_unread` of its own it may have from its
    /// attribute.
    #[track_caller]
    pub fn stream<P: Params, T: Send + Sync + 'static>(
        &self,
        function: &'static Function,
        slots: P::Slots,
        body: ProducerBody<A, P, T>,
        max_unread: Option<usize>,
    ) -> ObjectStream<T> {
        let call = Call { function, called_at: Location::caller() };
        let started = match (&self.0, body) {
            (Kind::Computes(handle), Body::AloneLater(body)) => {
                let begin = move |actor: Access<'_, A>, ends: Ends<P, T>, shared: &Shared<T>| {
                    let Access::Alone(actor) = actor else {
                        unreachable!("the method has `&mut self`")
                    };
                    stream::run_to_end(shared, body(actor, ends))
                };
                compute::<A, P, T, false>(handle.strand(), slots, begin, max_unread, call)
            }
            (Kind::Computes(handle), Body::SharedLater(body)) => {
                let begin = move |actor: Access<'_, A>, ends: Ends<P, T>, shared: &Shared<T>| {
                    let actor = match actor {
                        Access::Shared(actor) => actor,
                        Access::Alone(actor) => actor,
                    };
                    stream::run_to_end(shared, body(actor, ends))
                };
                compute::<A, P, T, true>(handle.strand(), slots, begin, max_unread, call)
            }
            (Kind::Computes(_), Body::Alone(_) | Body::Shared(_)) => {
                unreachable!("a producer is a future")
            }
            (Kind::Waits(handle), body) => {
                wait::<A, P, T>(handle.strand(), slots, body, max_unread, call)
            }
            (Kind::Away(_) | Kind::AwayWaits(_) | Kind::Far(_), _) => Err(elsewhere(call)),
            (Kind::Refused(error), _) => Err(error.clone()),
        };
        started.unwrap_or_else(|error| ObjectStream::failed(error, call))
    }
}

/// Why an actor in another process has no streams.
fn elsewhere(call: Call) -> Error {
    let name = call.function.name();
    cluster::stays(&format!("the stream `{name}` is produced in its caller's process"))
}

/// The two ends of a stream of that actor.
///
/// # Errors
/// `Config`, if nothing may be unread.
fn ends<A: Life, T: Send + Sync + 'static, K: StrandKind<A>>(
    strand: &Strand<A, K>,
    local: &Arc<Local>,
    max_unread: Option<usize>,
    call: Call,
) -> Result<(Arc<Shared<T>>, Outlet<T>)> {
    let address = std::ptr::from_ref(strand).addr();
    let shared = Shared::of_actor(address, call, check_unread_max(max_unread)?);
    let outlet = Outlet::new(Arc::clone(&shared), Arc::clone(local));
    Ok((shared, outlet))
}

/// The stream of an actor that computes.
///
/// # Errors
/// Why it cannot be.
fn compute<A: Actor, P: Params, T: Send + Sync + 'static, const SHARED: bool>(
    strand: &Strand<A>,
    slots: P::Slots,
    begin: impl Fn(Access<'_, A>, Ends<P, T>, &Shared<T>) -> Result<()> + Send + 'static,
    max_unread: Option<usize>,
    call: Call,
) -> Result<ObjectStream<T>> {
    let local = strand.local();
    if local.settings().engine == Engine::Inline {
        let name = call.function.name();
        let message = format!(
            "the engine `inline` runs a call to its end where it is made, and the stream `{name}` of an actor \
             waits for its reader in between: use the engine `threads`"
        );
        return Err(Error::new(ErrorKind::Engine, message));
    }
    let (shared, outlet) = ends(strand, local, max_unread, call)?;
    let arguments = awaiting::<P>(&slots);
    let (of_producer, mut once) = (Arc::clone(&shared), Some((slots, outlet)));
    let body = move |actor: Access<'_, A>, _: bool| {
        let (slots, outlet) = once.take().expect("the only try comes once");
        begin(actor, (P::resolve(slots)?, outlet), &of_producer)
    };
    let make = |strand| Method::<A, _, SHARED>::once(strand, body);
    Ok(ObjectStream::new(shared, strand.call(make, arguments, call)))
}

/// The stream of an actor that waits.
///
/// # Errors
/// Why it cannot be.
fn wait<A: Actor, P: Params, T: Send + Sync + 'static>(
    strand: &Strand<A, Waits<A>>,
    slots: P::Slots,
    body: ProducerBody<A, P, T>,
    max_unread: Option<usize>,
    call: Call,
) -> Result<ObjectStream<T>> {
    let (shared, outlet) = ends(strand, strand.local(), max_unread, call)?;
    let arguments = awaiting::<P>(&slots);
    let mut once = Some((slots, outlet));
    let resolve = move |_| {
        let (slots, outlet) = once.take().expect("the only try comes once");
        Ok((P::resolve(slots)?, outlet))
    };
    let make = |strand| HostedCall::once(strand, resolve, body);
    Ok(ObjectStream::new(shared, strand.call(make, arguments, call)))
}
