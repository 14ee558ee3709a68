//! Actors: state that lives on, and calls to it.
//!
//! The macro implements [`Actor`] for the user's type and makes a struct of methods, to which an
//! [`ActorHandle`] dereferences, so that `counter.add(5)` is an ordinary method call. Each method hands
//! its arguments and its body to the [`ActorCell`], which is where the two kinds of actor part.
//!
//! A method's name goes to the actor's own method if it has one of that name, and else to what every handle
//! can do, [`ActorControl`]: the methods dereference to it.

use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::sync::{Arc, Weak};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::api::crossing;
use crate::api::object::ObjectRef;
use crate::api::parameter::{Arg, Awaiting, Borrowed, Lent, Owned, Params, Slot};
use crate::cluster;
use crate::config::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{Call, Function};
use crate::local::arguments::Refs;
use crate::local::cell::Ref;
pub use crate::local::life::{ActorEnd, Construct};
use crate::local::life::{Life, Terms};
pub use crate::local::names::ActorName;
use crate::local::names::Claimed;
use crate::local::strand::{
    Access, Body, Borrowing, HostedCall, HostedHandle, Method, Strand, StrandHandle, Waits,
};
use crate::local::{Local, default, pool};
use crate::wire;

mod control;
mod deliver;
mod options;
mod shareable;
mod tick;

pub use self::shareable::{IsShareable, NotShareable, Shareable, Sharing};

pub use self::control::{ActorControl, exit_actor, kill};
pub use self::deliver::deliver;
pub use self::options::{ActorConfig, ActorOptions, get_actor};
pub use self::tick::Tick;

/// A type whose `impl` block has `#[remote]`.
pub trait Actor: Sized + Send + 'static {
    /// The parameters of its constructor.
    type Params: Params;
    /// The calls that its handle offers.
    type Methods: From<ActorCell<Self>>
        + AsRef<ActorCell<Self>>
        + Deref<Target = dyn ActorControl>
        + Send
        + Sync;
    /// What its `checkpoint` gives; `()` where it has none.
    type Saved: Send + 'static;
    /// Whether it has async methods.
    const ASYNC: bool;
    /// Whether it has `checkpoint` and `restore`.
    const SAVES: bool;
    /// Its name and place.
    fn function() -> &'static Function;
    /// The options in its attribute.
    fn defaults() -> Option<&'static ActorConfig> {
        None
    }
    /// Its constructor.
    fn construct(held: <Self::Params as Params>::Held) -> Construct<Self>;
    /// What it is called for every so often.
    fn ticks() -> Vec<Tick<Self>> {
        Vec::new()
    }
    /// Whether several threads may use it at once.
    fn shareable() -> Option<Shareable<Self>>;
    /// How to make its constructor's arguments once more.
    fn copiers() -> <Self::Params as Params>::Copiers;
    /// Its `checkpoint`.
    fn save(&self) -> Result<Self::Saved>;
    /// Its `restore`.
    fn restore(&mut self, saved: Self::Saved) -> Result<()>;
}

impl<A: Actor> Life for A {
    type Seed = <A::Params as Params>::Slots;
    type Saved = A::Saved;
    const SAVES: bool = A::SAVES;

    fn make(seed: Self::Seed) -> Result<Construct<A>> {
        A::Params::resolve(seed).map(A::construct)
    }

    fn copy_seed(seed: &Self::Seed) -> Self::Seed {
        A::Params::copy(seed, &A::copiers())
    }

    fn save(&self) -> Result<Self::Saved> {
        Actor::save(self)
    }

    fn restore(&mut self, saved: Self::Saved) -> Result<()> {
        Actor::restore(self, saved)
    }
}

/// What the handles of an actor share.
pub struct ActorCell<A: Actor>(Kind<A>);

enum Kind<A: Actor> {
    Computes(StrandHandle<A>),
    Waits(HostedHandle<A>),
    /// It could not begin.
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

/// What is to be where an actor of the wanted name lives already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Refuse,
    Share,
}

impl Taken {
    /// The handle, and whether its actor was started just now.
    fn settle<H>(self, claimed: Claimed<H>) -> Result<(H, bool)> {
        match (claimed, self) {
            (Claimed::Started(handle), _) => Ok((handle, true)),
            (Claimed::Taken(handle, _), Self::Share) => Ok((handle, false)),
            (Claimed::Taken(_, error), Self::Refuse) | (Claimed::Foreign(error), _) => Err(error),
        }
    }
}

impl<A: Actor> ActorCell<A> {
    /// Starts an actor; what keeps it from beginning is what its calls will fail with.
    fn start(
        slots: <A::Params as Params>::Slots,
        config: Option<&ActorConfig>,
        taken: Taken,
        call: Call,
    ) -> Self {
        let started = Self::try_start(slots, config, taken, call);
        started.unwrap_or_else(|error| Self(Kind::Refused(error.through(call))))
    }

    fn try_start(
        slots: <A::Params as Params>::Slots,
        config: Option<&ActorConfig>,
        taken: Taken,
        call: Call,
    ) -> Result<Self> {
        let terms = config.map(ActorConfig::terms::<A>).transpose()?.flatten();
        let named = terms.as_ref().is_some_and(|terms| terms.name.is_some());
        if taken == Taken::Share && !named {
            let message = "get_or_create finds an actor by its name: give it one, with `.name(..)`";
            return Err(Error::new(ErrorKind::Config, message));
        }
        let local = default::current();
        if local.pool().is_closed() {
            return Err(pool::shut_down_before("it began"));
        }
        if crossing::leaves() {
            let name = call.function.name();
            return Err(cluster::stays(&format!(
                "the actor `{name}` keeps its state in one process"
            )));
        }
        let terms = terms.map(|terms| match local.settings().engine {
            // There calls run one at a time, on the threads that make them.
            Engine::Inline if !A::ASYNC => Terms { max_concurrency: None, ..terms },
            _ => terms,
        });
        let anew = terms.as_ref().is_some_and(|terms| terms.max_restarts > 0);
        let slots = if anew { prepare::<A>(slots)? } else { slots };
        let arguments = awaiting::<A::Params>(&slots);
        let runtime = Arc::clone(&local);
        let (kind, is_new) = if A::ASYNC {
            let claimed = Strand::start(local, slots, terms, arguments, call);
            let (handle, is_new) = taken.settle(claimed)?;
            (Kind::Waits(handle), is_new)
        } else {
            let claimed = Strand::start(local, slots, terms, arguments, call);
            let (handle, is_new) = taken.settle(claimed)?;
            (Kind::Computes(handle), is_new)
        };
        let cell = Self(kind);
        if is_new {
            Tick::start_all(&cell, &runtime);
        }
        Ok(cell)
    }

    /// The actor of that name.
    fn find(name: &ActorName) -> Result<Self> {
        let find = |local: &Arc<Local>| {
            Ok(Self(if A::ASYNC {
                Kind::Waits(local.names().find::<Weak<Strand<A, Waits<A>>>>(name)?)
            } else {
                Kind::Computes(local.names().find::<Weak<Strand<A>>>(name)?)
            }))
        };
        default::with_current_if_any(|local| match local {
            Some(local) => find(local),
            None => {
                let message =
                    format!("no actor with the name {name} lives: no runtime was started");
                Err(Error::new(ErrorKind::ActorDied, message))
            }
        })
    }

    /// Calls a `&mut self` method.
    #[track_caller]
    pub fn call_mut<P: Params, T: Send + Sync + 'static>(
        &self,
        function: &'static Function,
        slots: P::Slots,
        body: fn(&mut A, P::Held) -> Result<T>,
        copiers: fn() -> P::Copiers,
    ) -> ObjectRef<T> {
        let call = Call { function, called_at: Location::caller() };
        match &self.0 {
            Kind::Computes(handle) => {
                let body = move |actor: Access<'_, A>, held| match actor {
                    Access::Alone(actor) => body(actor, held),
                    Access::Shared(_) => unreachable!("the method has `&mut self`"),
                };
                call_strand::<A, P, T, false>(handle.strand(), slots, body, copiers, call)
            }
            Kind::Waits(handle) => {
                call_hosted::<A, P, T>(handle, slots, Body::Alone(body), copiers, call)
            }
            Kind::Refused(error) => refused(error, call),
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
        copiers: fn() -> P::Copiers,
    ) -> ObjectRef<T> {
        let call = Call { function, called_at: Location::caller() };
        match &self.0 {
            Kind::Computes(handle) => {
                let body = move |actor: Access<'_, A>, held| match actor {
                    Access::Shared(actor) => body(actor, held),
                    Access::Alone(actor) => body(actor, held),
                };
                call_strand::<A, P, T, true>(handle.strand(), slots, body, copiers, call)
            }
            Kind::Waits(handle) => {
                call_hosted::<A, P, T>(handle, slots, Body::Shared(body), copiers, call)
            }
            Kind::Refused(error) => refused(error, call),
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
        copiers: fn() -> P::Copiers,
    ) -> ObjectRef<T> {
        let call = Call { function, called_at: Location::caller() };
        self.call_async::<P, T>(slots, Body::AloneLater(body), copiers, call)
    }

    /// Calls an async `&self` method.
    #[track_caller]
    pub fn call_ref_async<P: Params, T: Send + Sync + 'static>(
        &self,
        function: &'static Function,
        slots: P::Slots,
        body: for<'a> fn(&'a A, P::Held) -> Borrowing<'a, T>,
        copiers: fn() -> P::Copiers,
    ) -> ObjectRef<T> {
        let call = Call { function, called_at: Location::caller() };
        self.call_async::<P, T>(slots, Body::SharedLater(body), copiers, call)
    }

    fn call_async<P: Params, T: Send + Sync + 'static>(
        &self,
        slots: P::Slots,
        body: Body<A, P::Held, T>,
        copiers: fn() -> P::Copiers,
        call: Call,
    ) -> ObjectRef<T> {
        match &self.0 {
            Kind::Waits(handle) => call_hosted::<A, P, T>(handle, slots, body, copiers, call),
            Kind::Refused(error) => refused(error, call),
            Kind::Computes(_) => unreachable!("an actor with async methods is an async actor"),
        }
        .into()
    }

    fn address(&self) -> usize {
        match &self.0 {
            Kind::Computes(handle) => std::sync::Arc::as_ptr(handle.strand()) as usize,
            Kind::Waits(handle) => std::sync::Arc::as_ptr(handle.strand()) as usize,
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

/// The call of an actor that could not begin.
fn refused<T: Send + Sync + 'static>(why: &Error, call: Call) -> Ref<T> {
    Ref::complete(Err(why.clone().through(call)), call)
}

/// The constructor's arguments, such that they can be copied for each restart.
///
/// # Errors
/// `Config`: one of them cannot be.
fn prepare<A: Actor>(slots: <A::Params as Params>::Slots) -> Result<<A::Params as Params>::Slots> {
    A::Params::prepare(slots, &A::copiers()).map_err(|parameter| {
        let message = format!(
            "max_restarts needs argument `{parameter}` of `new` again for each restart, and its type \
             cannot be cloned: derive `Clone` for it, or take it as a `&` parameter"
        );
        Error::new(ErrorKind::Config, message)
    })
}

/// Calls an actor that computes. Its arguments are kept for another try where there may be one.
fn call_strand<A: Actor, P: Params, T: Send + Sync + 'static, const SHARED: bool>(
    strand: &Arc<Strand<A>>,
    slots: P::Slots,
    body: impl Fn(Access<'_, A>, P::Held) -> Result<T> + Send + 'static,
    copiers: fn() -> P::Copiers,
    call: Call,
) -> Ref<T> {
    let arguments = awaiting::<P>(&slots);
    if strand.max_task_retries() > 0 {
        let mut resolve = match each_try::<P>(slots, copiers()) {
            Ok(resolve) => resolve,
            Err(error) => return strand.refuse(error, call),
        };
        let body = move |actor: Access<'_, A>, last: bool| body(actor, resolve(last)?);
        return strand.call(|strand| Method::<A, _, SHARED>::new(strand, body), arguments, call);
    }
    let mut slots = Some(slots);
    let body = move |actor: Access<'_, A>, _: bool| {
        body(actor, P::resolve(slots.take().expect("the only try comes once"))?)
    };
    strand.call(|strand| Method::<A, _, SHARED>::new(strand, body), arguments, call)
}

/// As `call_strand`, of an actor that waits.
fn call_hosted<A: Actor, P: Params, T: Send + Sync + 'static>(
    handle: &HostedHandle<A>,
    slots: P::Slots,
    body: Body<A, P::Held, T>,
    copiers: fn() -> P::Copiers,
    call: Call,
) -> Ref<T> {
    let strand = handle.strand();
    let arguments = awaiting::<P>(&slots);
    if strand.max_task_retries() > 0 {
        return match each_try::<P>(slots, copiers()) {
            Ok(resolve) => {
                strand.call(|strand| HostedCall::new(strand, resolve, body), arguments, call)
            }
            Err(error) => strand.refuse(error, call),
        };
    }
    let mut slots = Some(slots);
    let resolve = move |_| P::resolve(slots.take().expect("the only try comes once"));
    strand.call(|strand| HostedCall::new(strand, resolve, body), arguments, call)
}

/// The arguments once more for each try of a call; told that it is the last, it uses them up.
///
/// # Errors
/// `Config`: one of them cannot be copied.
fn each_try<P: Params>(
    slots: P::Slots,
    copiers: P::Copiers,
) -> Result<impl FnMut(bool) -> Result<P::Held> + Send + 'static> {
    let prepared = P::prepare(slots, &copiers).map_err(|parameter| {
        let message = format!(
            "max_task_retries needs argument `{parameter}` again for each try, and its type cannot be \
             cloned: derive `Clone` for it, or take it as a `&` parameter"
        );
        Error::new(ErrorKind::Config, message)
    });
    let mut slots = Some(prepared?);
    Ok(move |last: bool| {
        let again = slots.as_ref().filter(|_| !last).map(|slots| P::copy(slots, &copiers));
        P::resolve(again.or_else(|| slots.take()).expect("the last try comes once"))
    })
}

/// Starts an actor with the options of its attribute.
#[track_caller]
pub fn start_actor<A: Actor>(slots: <A::Params as Params>::Slots) -> ActorHandle<A> {
    let call = Call { function: A::function(), called_at: Location::caller() };
    ActorCell::start(slots, A::defaults(), Taken::Refuse, call).into()
}

/// A handle of an actor of type `A`: its methods are the actor's calls, each of which gives an
/// [`ObjectRef`] at once. Cheap to clone. When the last handle is dropped, the calls made so far are
/// run, and then the actor's state is dropped. Beside the actor's own methods there are those of
/// [`ActorControl`], such as `stop` and `watch`.
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

impl<A: Actor> From<ActorCell<A>> for ActorHandle<A> {
    fn from(cell: ActorCell<A>) -> Self {
        Self { methods: cell.into() }
    }
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

/// A reference to a handle is passed as another handle, like a reference to a ref.
impl<A: Actor> Arg<Owned<ActorHandle<A>>> for &ActorHandle<A> {
    fn into_slot(self) -> Slot<ActorHandle<A>> {
        Arg::<Owned<ActorHandle<A>>>::into_slot(self.clone())
    }
}

impl<A: Actor> Arg<Borrowed<ActorHandle<A>>> for &ActorHandle<A> {
    fn into_slot(self) -> Slot<Lent<ActorHandle<A>, ActorHandle<A>>> {
        Arg::<Borrowed<ActorHandle<A>>>::into_slot(self.clone())
    }
}

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
