//! Calls that give streams, of actors whose state lives in another process.
//!
//! In the driver such a call is one like any, whose producer takes items from over there and hands them on. That of an
//! actor that computes is polled in the actor's turn, and while its reader is behind the turn sleeps and the process
//! waits, in the middle of the call. Of one that waits it is a future that is told of each item and then asks for the
//! next, and over there it is one, too: what is between two items holds up nobody.
//!
//! | what happens                               | what becomes of the call over there                            |
//! |--------------------------------------------|----------------------------------------------------------------|
//! | the stream is dropped, the actor is killed | it is told that no more is wanted, and its end is waited for   |
//! | the stream is cancelled                    | the same, or it sees so itself                                 |
//! | it panics, or the process dies             | the actor has crashed in it; it is not run again               |
//! | the process dies before it begins          | it comes once more, if the actor does                          |
//!
//! The producer of an actor whose calls wait, or go to a cluster, does not wait for that end: the state is not free over
//! there before it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::later::{UnderWay, read, send};
use super::{Away, Load, Outcome, begin_beside, decode_failure, task, with_state};
use crate::api::actor::stream::{ActorStream, ends};
use crate::api::actor::{Actor, ActorCell, ActorHandle, Kind, awaited_by_call, far};
use crate::api::crossing::{self, Arguments};
use crate::api::parameter::Params;
use crate::api::port::{FailureWay, Way};
use crate::api::stream::ObjectStream;
use crate::api::stream::away::{outlet_among, outlet_of, pass_on};
use crate::api::stream::far::serve;
use crate::cluster::Progress;
use crate::cluster::argument::{Argument, Forwarded, ForwardedArgument, Packing, unfit};
use crate::cluster::frame::Body;
use crate::cluster::registry::{Later, Nature, Registered};
use crate::cluster::worker::task::{Ended, Replier, Start};
use crate::error::{Error, Result};
use crate::function::{Call, Hop};
use crate::local::caller::Origin;
use crate::local::cell::{AnyRef, Elsewhere};
use crate::local::strand::{Access, Body as MethodBody, Borrowing, HostedCall, Method};
use crate::local::stream::{self, Outlet};
use crate::local::{Local, current};

/// How calls of a method that streams cross to another process.
pub struct ActorStreamCrossing<M: ActorStream> {
    /// Its entry in the registry.
    pub registered: &'static Registered,
    /// How its arguments do.
    pub ports: <M::Params as Params>::Ports,
    /// How its items do.
    pub way: Way<M::Item>,
    /// How what an item failed with does.
    pub failure: Option<FailureWay>,
}

impl Registered {
    /// The entry of a method that streams.
    pub const fn of_actor_stream<M: ActorStream>() -> Self {
        let waits = <M::Actor as Actor>::ASYNC;
        let later = if waits { Some(begin_among::<M> as Later) } else { None };
        let beside = if waits { None } else { Some(begin_among::<M> as Later) };
        Self::new(M::function, run::<M>, forward::<M>, failure::<M>)
            .run_later(later)
            .run_beside(beside)
            .of_actors()
            .of_nature(nature::<M>)
    }
}

fn nature<M: ActorStream>() -> Nature {
    let shares = M::crossing().map(|crossing| M::Params::shares(&crossing.ports));
    Nature { shares: shares.unwrap_or_default(), waits: false }
}

fn failure<M: ActorStream>(bytes: &[u8]) -> Option<Error> {
    decode_failure(M::crossing()?.failure, bytes)
}

/// The arguments of a call, for all of its tries.
type Shared<M> = Arc<Mutex<Arguments<<M as ActorStream>::Params>>>;
/// What the producer of an actor that waits is made from.
type Ends<M> = (Shared<M>, Arc<Outlet<<M as ActorStream>::Item>>);

/// In the driver: calls a method that streams; `origin` as for
/// [`Strand::call_from`](crate::local::strand::Strand::call_from), `stands_at`: where the call is in another process.
///
/// # Errors
/// Why it cannot be.
pub(in crate::api::actor) fn begin<M: ActorStream>(
    cell: &ActorCell<M::Actor>,
    arguments: Arguments<M::Params>,
    origin: impl FnOnce(&Arc<Local>) -> Origin,
    stands_at: Option<Arc<str>>,
    call: Call,
) -> Result<ObjectStream<M::Item>> {
    if M::crossing().is_none() {
        return Err(far::stays::<M::Actor>());
    }
    let hop = Hop::from(call).at(stands_at.as_ref());
    let elsewhere = stands_at.map(|at| Elsewhere { id: None, at });
    match &cell.0 {
        Kind::Away(handle) => {
            let strand = handle.strand();
            let awaiting = awaited_by_call(&arguments, strand.local());
            let (shared, outlet) = ends::<M, _, _>(strand, hop, call)?;
            let of_producer = Arc::clone(&shared);
            // Both stay until the call has begun over there: before, it may come once more.
            let body = move |actor: Access<'_, Away<M::Actor>>, _: bool| {
                let actor = match actor {
                    Access::Alone(actor) => &*actor,
                    Access::Shared(actor) => actor,
                };
                stream::run_to_end(&of_producer, producer::<M>(actor, &arguments, &outlet))
            };
            let task = if matches!(M::body(), MethodBody::SharedLater(_)) {
                let job = Method::<_, _, true>::once(body);
                strand.call_from(origin, elsewhere, job, awaiting, call)
            } else {
                let job = Method::<_, _, false>::once(body);
                strand.call_from(origin, elsewhere, job, awaiting, call)
            };
            Ok(ObjectStream::new(shared, task))
        }
        Kind::AwayWaits(handle) => {
            let strand = handle.strand();
            let awaiting = awaited_by_call(&arguments, strand.local());
            let (shared, outlet) = ends::<M, _, _>(strand, hop, call)?;
            let ends = (Arc::new(Mutex::new(arguments)), Arc::new(outlet));
            let resolve = move |_| Ok(Ends::<M>::clone(&ends));
            let body = body::<M>(strand.is_concurrent());
            let job = HostedCall::once(resolve, body);
            let task = strand.call_from(origin, elsewhere, job, awaiting, call);
            Ok(ObjectStream::new(shared, task))
        }
        Kind::Refused(error) => Err(error.clone()),
        _ => Err(unfit("a handle of an actor that lives in this process")),
    }
}

/// What takes items from the actor's process, and hands them on.
fn producer<'a, M: ActorStream>(
    actor: &'a Away<M::Actor>,
    arguments: &'a Arguments<M::Params>,
    outlet: &'a Outlet<M::Item>,
) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>> {
    Box::pin(async move {
        let ActorStreamCrossing { registered, ports, way, .. } =
            M::crossing().expect("what is away can cross");
        let pack = |packing: &mut Packing<'_>| arguments.pack(&ports, packing);
        actor.host.may_stream()?;
        let source = actor.host.source(&Load { registered, pack }, &task())?;
        pass_on(source, way, outlet).await
    })
}

/// The same where calls wait, as the driver's strand calls it; `beside`: those that compute come side by side.
fn body<M: ActorStream>(beside: bool) -> MethodBody<Away<M::Actor>, Ends<M>, ()> {
    let apart = <M::Actor as Actor>::ASYNC || beside;
    match M::body() {
        MethodBody::Alone(_) | MethodBody::AloneLater(_) if apart => {
            MethodBody::AloneLater(alone::<M>)
        }
        // One after the other, where the actor is.
        _ => MethodBody::SharedLater(shared::<M>),
    }
}

fn alone<'a, M: ActorStream>(actor: &'a mut Away<M::Actor>, ends: Ends<M>) -> Borrowing<'a, ()> {
    shared::<M>(actor, ends)
}

fn shared<'a, M: ActorStream>(
    actor: &'a Away<M::Actor>,
    (arguments, outlet): Ends<M>,
) -> Borrowing<'a, ()> {
    Box::pin(async move {
        let ActorStreamCrossing { registered, ports, way, .. } =
            M::crossing().expect("what is away can cross");
        let pack = |packing: &mut Packing<'_>| {
            arguments.lock().unwrap_or_else(PoisonError::into_inner).pack(&ports, packing)
        };
        actor.host.may_stream()?;
        let sent = send(actor, registered, pack).await?;
        let mut under_way = UnderWay::new(actor, sent);
        loop {
            match under_way.next().await? {
                Progress::Item(reply) => under_way.hand_on(read(reply, way), &outlet).await?,
                Progress::End(reply) => return read(reply, Way::new()),
            }
        }
    })
}

/// In the driver: does what a worker asks for that concerns a stream of an actor's.
fn forward<M: ActorStream>(forwarded: Forwarded) -> AnyRef {
    let call = Call::elsewhere(M::function());
    let way = M::crossing().expect("what is registered can cross").way;
    serve(forwarded, way, call, |forwarded, _| {
        let Forwarded { mut arguments, keep, place, stands_at, .. } = forwarded;
        let handle: ActorHandle<M::Actor> = ForwardedArgument::take_first(&mut arguments)?;
        let arguments = Arguments::Forwarded(arguments, keep);
        let origin = Origin { family: current::family(), place };
        begin::<M>(handle.cell(), arguments, |_| origin, Some(stands_at), call)
    })
}

/// In a worker: produces the stream of the actor that lives here, item for item as they are wanted.
fn run<M: ActorStream>(start: Start<'_>, arguments: Vec<Argument>, body: &mut Body) -> Ended {
    let ActorStreamCrossing { registered, ports, way, failure } =
        M::crossing().expect("what is registered can cross");
    let here = start.here(M::function());
    let outlet = outlet_of(start.items(), way, registered, failure);
    let (result, crashed) = with_state::<M::Actor, M::Params, _>(
        here.task,
        &start,
        arguments,
        &ports,
        |actor, held| {
            let mut producer = match M::body() {
                MethodBody::AloneLater(method) => method(actor, (held, outlet)),
                MethodBody::SharedLater(method) => method(actor, (held, outlet)),
                MethodBody::Alone(_) | MethodBody::Shared(_) => {
                    unreachable!("a producer is a future")
                }
            };
            // To send an item is to wait until the next is wanted.
            match producer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(result) => result,
                Poll::Pending => Err(unfit("a stream that waits")),
            }
        },
    );
    crossing::end(here, result, crashed, body, Way::new().encode, registered, failure)
}

/// In a worker: begins the stream of the actor that lives here, which goes on beside other calls.
fn begin_among<M: ActorStream>(
    start: Start<'_>,
    arguments: Vec<Argument>,
) -> Box<dyn FnOnce(Replier) + Send> {
    let ActorStreamCrossing { registered, ports, way, failure } =
        M::crossing().expect("what is registered can cross");
    let outcome = Outcome { encode: Way::<()>::new().encode, registered, failure };
    let outlet = outlet_among(start.items(), way, registered, failure);
    let here = start.here_among(M::function());
    let hold = |held| (held, outlet);
    begin_beside::<_, M::Params, _, _>(here, &start, arguments, &ports, M::body(), hold, outcome)
}
