//! Actors: state that lives on, and calls to it.
//!
//! The macro implements [`Actor`] for the user's type and makes a struct of methods, to which an
//! [`ActorHandle`] dereferences, so that `counter.add(5)` is an ordinary method call. Each method hands
//! its arguments and its body to the [`ActorCell`], which is where the two kinds of actor part.

#![expect(clippy::too_many_arguments, reason = "a call has as many as its constructor")]

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::api::object::ObjectRef;
use crate::api::parameter::{Arg, Awaiting, Param, Params};
use crate::error::{Error, ErrorKind, Result};
use crate::function::{Call, Function};
use crate::local::arbiter::{Borrowing, Hosted, HostedHandle, Method};
use crate::local::arguments::Refs;
use crate::local::cell::Ref;
use crate::local::strand::{Strand, StrandHandle};
use crate::local::{default, pool};
use crate::wire;

/// A type whose `impl` block has `#[remote]`.
pub trait Actor: Sized + Send + 'static {
    /// The parameters of its constructor.
    type Params: Params;
    /// The calls that its handle offers.
    type Methods: From<ActorCell<Self>> + AsRef<ActorCell<Self>> + Send + Sync;
    /// Whether it has async methods.
    const ASYNC: bool;
    /// Its name and place.
    fn function() -> &'static Function;
    /// The options in its attribute.
    fn defaults() -> Option<&'static ActorConfig> {
        None
    }
    /// Its constructor.
    fn construct(held: <Self::Params as Params>::Held) -> Construct<Self>;
}

/// A constructor's outcome, now or later.
pub enum Construct<A> {
    /// Of a `fn new`.
    Now(Result<A>),
    /// Of an `async fn new`.
    Later(Pin<Box<dyn Future<Output = Result<A>>>>),
}

/// What the handles of an actor share.
pub struct ActorCell<A: Actor>(Kind<A>);

enum Kind<A: Actor> {
    Computes(StrandHandle<A>),
    Waits(HostedHandle<A>),
    /// Its runtime had ended before it could begin.
    Refused(Error),
}

impl<A: Actor> Clone for ActorCell<A> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Kind::Computes(handle) => Kind::Computes(handle.clone()),
            Kind::Waits(handle) => Kind::Waits(handle.clone()),
            Kind::Refused(error) => Kind::Refused(error.clone()),
        })
    }
}

impl<A: Actor> ActorCell<A> {
    #[track_caller]
    fn start(slots: <A::Params as Params>::Slots) -> Self {
        let call = Call { function: A::function(), called_at: Location::caller() };
        let local = default::current();
        if local.pool().is_closed() {
            return Self(Kind::Refused(pool::shut_down_before("it began").through(call)));
        }
        let arguments = awaiting::<A::Params>(&slots);
        let construct = move || A::Params::resolve(slots).map(A::construct);
        if A::ASYNC {
            let construct = async move || match construct()? {
                Construct::Now(actor) => actor,
                Construct::Later(actor) => actor.await,
            };
            Self(Kind::Waits(Hosted::start(local, construct, arguments, call)))
        } else {
            let construct = move || match construct()? {
                Construct::Now(actor) => actor,
                Construct::Later(_) => unreachable!("an async constructor makes an async actor"),
            };
            Self(Kind::Computes(Strand::start(local, construct, arguments, call)))
        }
    }

    /// Calls a `&mut self` method.
    #[track_caller]
    pub fn call_mut<P: Params, T: Send + Sync + 'static>(
        &self,
        function: &'static Function,
        slots: P::Slots,
        body: fn(&mut A, P::Held) -> Result<T>,
    ) -> ObjectRef<T> {
        let call = Call { function, called_at: Location::caller() };
        let arguments = awaiting::<P>(&slots);
        match &self.0 {
            Kind::Computes(handle) => {
                let body = move |actor: &mut A| body(actor, P::resolve(slots)?);
                handle.strand().call(body, arguments, call)
            }
            Kind::Waits(handle) => {
                let resolve = move || Ok((P::resolve(slots)?, body));
                let method = Method::Alone(|actor, (held, body): (_, fn(&mut A, P::Held) -> _)| {
                    Box::pin(std::future::ready(body(actor, held)))
                });
                handle.hosted().call(method, resolve, arguments, call)
            }
            Kind::Refused(error) => Ref::complete(Err(error.clone().through(call)), call),
        }
        .into()
    }

    /// Calls a `&self` method.
    #[track_caller]
    pub fn call_ref<P: Params, T: Send + Sync + 'static>(
        &self,
        function: &'static Function,
        slots: P::Slots,
        body: fn(&A, P::Held) -> Result<T>,
    ) -> ObjectRef<T> {
        let call = Call { function, called_at: Location::caller() };
        let arguments = awaiting::<P>(&slots);
        match &self.0 {
            Kind::Computes(handle) => {
                let body = move |actor: &mut A| body(actor, P::resolve(slots)?);
                handle.strand().call(body, arguments, call)
            }
            Kind::Waits(handle) => {
                let resolve = move || Ok((P::resolve(slots)?, body));
                let method = Method::Shared(|actor, (held, body): (_, fn(&A, P::Held) -> _)| {
                    Box::pin(std::future::ready(body(actor, held)))
                });
                handle.hosted().call(method, resolve, arguments, call)
            }
            Kind::Refused(error) => Ref::complete(Err(error.clone().through(call)), call),
        }
        .into()
    }

    /// Calls an async `&mut self` method.
    #[track_caller]
    pub fn call_mut_async<P: Params, T: Send + Sync + 'static>(
        &self,
        function: &'static Function,
        slots: P::Slots,
        body: for<'a> fn(&'a mut A, P::Held) -> Borrowing<'a, T>,
    ) -> ObjectRef<T> {
        self.call_async::<P, T>(function, slots, Method::Alone(body), Location::caller())
    }

    /// Calls an async `&self` method.
    #[track_caller]
    pub fn call_ref_async<P: Params, T: Send + Sync + 'static>(
        &self,
        function: &'static Function,
        slots: P::Slots,
        body: for<'a> fn(&'a A, P::Held) -> Borrowing<'a, T>,
    ) -> ObjectRef<T> {
        self.call_async::<P, T>(function, slots, Method::Shared(body), Location::caller())
    }

    fn call_async<P: Params, T: Send + Sync + 'static>(
        &self,
        function: &'static Function,
        slots: P::Slots,
        method: Method<A, P::Held, T>,
        called_at: &'static Location<'static>,
    ) -> ObjectRef<T> {
        let call = Call { function, called_at };
        let arguments = awaiting::<P>(&slots);
        match &self.0 {
            Kind::Waits(handle) => {
                handle.hosted().call(method, move || P::resolve(slots), arguments, call)
            }
            Kind::Refused(error) => Ref::complete(Err(error.clone().through(call)), call),
            Kind::Computes(_) => unreachable!("an actor with async methods is an async actor"),
        }
        .into()
    }

    fn address(&self) -> usize {
        match &self.0 {
            Kind::Computes(handle) => std::sync::Arc::as_ptr(handle.strand()) as usize,
            Kind::Waits(handle) => std::sync::Arc::as_ptr(handle.hosted()) as usize,
            Kind::Refused(_) => std::ptr::from_ref(self) as usize,
        }
    }
}

/// The refs that the slots have to wait for. A failed argument shows when the call's turn comes.
fn awaiting<P: Params>(slots: &P::Slots) -> Refs {
    let mut awaiting = Awaiting::default();
    P::awaited(slots, &mut awaiting);
    awaiting.refs
}

/// Starts an actor.
#[track_caller]
pub fn start_actor<A: Actor>(slots: <A::Params as Params>::Slots) -> ActorHandle<A> {
    ActorHandle { methods: ActorCell::start(slots).into() }
}

/// A handle of an actor of type `A`: its methods are the actor's calls, each of which gives an
/// [`ObjectRef`] at once. Cheap to clone. When the last handle is dropped, the calls made so far are
/// run, and then the actor's state is dropped.
///
/// ```
/// use mobula::prelude::*;
///
/// struct Counter(u64);
///
/// #[remote]
/// impl Counter {
///     pub fn new(start: u64) -> Self {
///         Self(start)
///     }
///     pub fn add(&mut self, by: u64) -> u64 {
///         self.0 += by;
///         self.0
///     }
/// }
///
/// let counter = Counter::remote(10);
/// let (a, b) = (counter.add(1), counter.add(2));
/// assert_eq!(mobula::get((a, b))?, (11, 13));
/// # Ok::<(), mobula::Error>(())
/// ```
pub struct ActorHandle<A: Actor> {
    methods: A::Methods,
}

impl<A: Actor> ActorHandle<A> {
    fn cell(&self) -> &ActorCell<A> {
        self.methods.as_ref()
    }
}

impl<A: Actor> Deref for ActorHandle<A> {
    type Target = A::Methods;
    fn deref(&self) -> &A::Methods {
        &self.methods
    }
}

impl<A: Actor> Clone for ActorHandle<A> {
    fn clone(&self) -> Self {
        Self { methods: self.cell().clone().into() }
    }
}

impl<A: Actor> PartialEq for ActorHandle<A> {
    fn eq(&self, other: &Self) -> bool {
        self.cell().address() == other.cell().address()
    }
}

impl<A: Actor> Eq for ActorHandle<A> {}

/// Serialized, a handle becomes the actor's id; it can be read back in the process that holds the actor,
/// as long as some handle lives.
impl<A: Actor> Serialize for ActorHandle<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let id = match &self.cell().0 {
            Kind::Computes(handle) => handle.id(),
            Kind::Waits(handle) => handle.id(),
            Kind::Refused(error) => return Err(serde::ser::Error::custom(error)),
        };
        wire::hold(id, || self.clone());
        id.serialize(serializer)
    }
}

impl<'de, A: Actor> Deserialize<'de> for ActorHandle<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = Uuid::deserialize(deserializer)?;
        let kind = if A::ASYNC {
            HostedHandle::find(id).map(Kind::Waits)
        } else {
            StrandHandle::find(id).map(Kind::Computes)
        };
        let name = A::function().name();
        let gone = || {
            let message = format_args!("no {name} with the id {id} lives in this process");
            serde::de::Error::custom(message)
        };
        Ok(Self { methods: ActorCell(kind.ok_or_else(gone)?).into() })
    }
}

impl<A: Actor> fmt::Debug for ActorHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorHandle<{}>({:#x})", A::function().name(), self.cell().address())
    }
}

/// Ends an actor after the call that runs now. Calls that have not begun, and later ones, fail with
/// [`ActorDied`](ErrorKind::ActorDied).
pub fn kill<A: Actor>(actor: &ActorHandle<A>) {
    let why = Error::new(ErrorKind::ActorDied, "it was killed");
    match &actor.cell().0 {
        Kind::Computes(handle) => handle.strand().end(Some(why)),
        Kind::Waits(handle) => handle.hosted().end(Some(why)),
        Kind::Refused(_) => {}
    }
}

/// Options of an actor by their names.
#[derive(Clone, Debug, Default)]
pub struct ActorConfig {}

impl ActorConfig {
    /// No options.
    pub fn new() -> Self {
        Self::default()
    }
}

/// An actor that is being given options, started by `remote(..)` with its constructor's arguments.
#[must_use = "an actor is started by `.remote(..)`"]
pub struct ActorOptions<A: Actor, P = <A as Actor>::Params> {
    marker: PhantomData<fn() -> (A, P)>,
}

impl<A: Actor> ActorOptions<A> {
    /// The options of the actor's attribute.
    #[expect(clippy::new_without_default, reason = "users write `Counter::options()`")]
    pub fn new() -> Self {
        Self { marker: PhantomData }
    }
}

macro_rules! arities {
    ($( ($($param:ident $arg:ident),*) )*) => { $(
        impl<A, $($param: Param + 'static),*> ActorOptions<A, ($($param,)*)>
        where
            A: Actor<Params = ($($param,)*)>,
        {
            /// Starts the actor with these options.
            #[track_caller]
            pub fn remote(self, $($arg: impl Arg<$param>),*) -> ActorHandle<A> {
                start_actor(($($arg.into_slot(),)*))
            }
        }
    )* };
}

arities! {
    ()
    (P0 a0)
    (P0 a0, P1 a1)
    (P0 a0, P1 a1, P2 a2)
    (P0 a0, P1 a1, P2 a2, P3 a3)
    (P0 a0, P1 a1, P2 a2, P3 a3, P4 a4)
    (P0 a0, P1 a1, P2 a2, P3 a3, P4 a4, P5 a5)
    (P0 a0, P1 a1, P2 a2, P3 a3, P4 a4, P5 a5, P6 a6)
    (P0 a0, P1 a1, P2 a2, P3 a3, P4 a4, P5 a5, P6 a6, P7 a7)
    (P0 a0, P1 a1, P2 a2, P3 a3, P4 a4, P5 a5, P6 a6, P7 a7, P8 a8)
    (P0 a0, P1 a1, P2 a2, P3 a3, P4 a4, P5 a5, P6 a6, P7 a7, P8 a8, P9 a9)
    (P0 a0, P1 a1, P2 a2, P3 a3, P4 a4, P5 a5, P6 a6, P7 a7, P8 a8, P9 a9, P10 a10)
    (P0 a0, P1 a1, P2 a2, P3 a3, P4 a4, P5 a5, P6 a6, P7 a7, P8 a8, P9 a9, P10 a10, P11 a11)
}
