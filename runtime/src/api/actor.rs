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
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::api::crossing::{self, Arguments};
use crate::api::object::ObjectRef;
use crate::api::parameter::{Arg, Awaiting, Borrowed, Lent, Owned, Params, Slot};
use crate::cluster;
use crate::cluster::argument::{Asked, unfit};
use crate::cluster::detached::Found;
use crate::cluster::upstream;
use crate::config::Engine;
use crate::error::{Error, ErrorKind, Result, as_failed};
use crate::function::{Call, Function};
use crate::local::arguments::Refs;
use crate::local::caller::Origin;
use crate::local::cell::{Elsewhere, Ref};
use crate::local::counted::{Counted, Weak};
pub use crate::local::life::{ActorEnd, Construct};
use crate::local::life::{Life, Terms};
pub use crate::local::names::ActorName;
use crate::local::names::Claimed;
use crate::local::place::Place;
pub use crate::local::strand::Body;
use crate::local::strand::{Access, HostedCall, HostedHandle, Method, Strand, StrandHandle, Waits};
use crate::local::{Local, current, default, pool, request};
use crate::millis::{Amounts, Millis};
use crate::wire;

mod away;
mod calling;
mod control;
mod deliver;
mod detached;
mod far;
mod options;
mod shareable;
mod stream;
mod tick;

pub use self::shareable::{IsShareable, NotShareable, Shareable, Sharing};

pub use self::away::{ActorCrossing, ActorStreamCrossing, MethodCrossing};
use self::away::{Away, Plan};
use self::calling::{call_hosted, call_strand};
pub use self::control::{ActorControl, exit_actor, kill};
pub use self::deliver::deliver;
use self::far::Far;
pub use self::options::{ActorConfig, ActorOptions, get_actor};
pub use self::stream::{ActorStream, ProducerBody};
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
    /// How what makes it crosses to another process; None: it stays in this one.
    fn crossing() -> Option<ActorCrossing<Self>> {
        None
    }
    /// How to make its constructor's arguments once more.
    fn copiers() -> <Self::Params as Params>::Copiers;
    /// Its `checkpoint`.
    fn save(&self) -> Result<Self::Saved>;
    /// Its `restore`.
    fn restore(&mut self, saved: Self::Saved) -> Result<()>;
}

/// What the arguments of a method are while it runs.
type Held<M> = <<M as ActorMethod>::Params as Params>::Held;

/// A method, as the calls that its actor's handles offer.
pub trait ActorMethod: Sized + 'static {
    /// Whose it is.
    type Actor: Actor;
    /// Its parameters.
    type Params: Params;
    /// What its result is made of: the `T` of `ObjectRef<T>`.
    type Output: Send + Sync + 'static;
    /// Its name and place.
    fn function() -> &'static Function;
    /// How to make its arguments once more.
    fn copiers() -> <Self::Params as Params>::Copiers;
    /// The method itself.
    fn body() -> MethodBody<Self>;
    /// How its calls cross to another process; None: they stay in this one.
    fn crossing() -> Option<MethodCrossing<Self>> {
        None
    }
}

/// A method itself, by how it has the actor and whether it waits.
pub type MethodBody<M> = Body<<M as ActorMethod>::Actor, Held<M>, <M as ActorMethod>::Output>;

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
    /// Its state lives in another process.
    Away(StrandHandle<Away<A>>),
    /// Its state lives in another process, and its calls wait.
    AwayWaits(HostedHandle<Away<A>>),
    /// It is elsewhere: the driver's, where this is a worker.
    Far(Far),
    /// It could not begin.
    Refused(Error),
}

impl<A: Actor> Clone for ActorCell<A> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Kind::Computes(handle) => Kind::Computes(handle.clone()),
            Kind::Waits(handle) => Kind::Waits(handle.clone()),
            Kind::Away(handle) => Kind::Away(handle.clone()),
            Kind::AwayWaits(handle) => Kind::AwayWaits(handle.clone()),
            Kind::Far(far) => Kind::Far(far.clone()),
            Kind::Refused(error) => Kind::Refused(error.clone()),
        })
    }
}

/// What is to be where an actor of the wanted name lives already.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
        if crossing::leaves() {
            let way = cluster::way_to_actors(call.function.name());
            if way.is_err() {
                // What it asks for is told by name, where nobody could have that.
                Self::asked(config, taken)?;
            }
            if let Some(upstream) = way? {
                let started = far::start::<A>(upstream, &slots, config, taken, call)?;
                return Ok(started.cell().clone());
            }
            let asked = Self::asked(config, taken)?;
            let (seed, place) = (Arguments::Slots(slots), current::next_place);
            return Self::start_away(seed, asked, config, taken, call, place);
        }
        Self::asked(config, taken)?;
        let (local, terms) = Self::terms(config, taken)?;
        let terms = terms.map(|terms| match local.settings().engine {
            // There calls run one at a time, on the threads that make them.
            Engine::Inline if !A::ASYNC => Terms { max_concurrency: None, ..terms },
            _ => terms,
        });
        let anew = terms.as_ref().is_some_and(|terms| terms.max_restarts > 0);
        let slots = if anew { prepare::<A>(slots)? } else { slots };
        let arguments = awaiting::<A::Params>(&slots);
        let runtime = Arc::clone(&local);
        let place = current::next_place;
        let (kind, is_new) = if A::ASYNC {
            let claimed = Strand::start(local, slots, terms, arguments, call, place);
            let (handle, is_new) = taken.settle(claimed)?;
            (Kind::Waits(handle), is_new)
        } else {
            let claimed = Strand::start(local, slots, terms, arguments, call, place);
            let (handle, is_new) = taken.settle(claimed)?;
            (Kind::Computes(handle), is_new)
        };
        Ok(Self(kind).begun(is_new, &runtime))
    }

    /// What the cluster is asked for, beside the actor itself.
    ///
    /// # Errors
    /// `Engine`: there is no cluster that has it; those of what makes no sense.
    fn asked(config: Option<&ActorConfig>, taken: Taken) -> Result<Option<Asked>> {
        let found = if taken == Taken::Share { Found::Share } else { Found::Refuse };
        config.map_or(Ok(None), |config| config.asked::<A>(found))
    }

    /// In the driver: starts an actor whose state is to live in another process.
    fn start_away(
        seed: Arguments<A::Params>,
        asked: Option<Asked>,
        config: Option<&ActorConfig>,
        taken: Taken,
        call: Call,
        place: impl FnOnce(&Arc<Local>) -> Place,
    ) -> Result<Self> {
        let (local, terms) = Self::terms(config, taken)?;
        if A::crossing().is_none() {
            return Err(far::stays::<A>());
        }
        let runtime = Arc::clone(&local);
        if away::calls_wait::<A>(&local) {
            let beside = !A::ASYNC && terms.as_ref().is_some_and(Terms::is_concurrent);
            let terms = terms.map(|terms| match terms.max_pending_calls {
                _ if A::ASYNC || beside => terms,
                // Calls that are counted wait here.
                Some(_) => Terms { max_concurrency: Some(1), ..terms },
                None => terms,
            });
            let (arguments, seed) = (awaited_here(&seed), Plan::new(seed, asked, beside));
            let claimed = Strand::start(local, seed, terms, arguments, call, place);
            let (handle, is_new) = taken.settle(claimed)?;
            return Ok(Self(Kind::AwayWaits(handle)).begun(is_new, &runtime));
        }
        let beside = terms.as_ref().is_some_and(Terms::is_concurrent);
        let (arguments, seed) = (awaited_here(&seed), Plan::new(seed, asked, beside));
        let claimed = Strand::start(local, seed, terms, arguments, call, place);
        let (handle, is_new) = taken.settle(claimed)?;
        Ok(Self(Kind::Away(handle)).begun(is_new, &runtime))
    }

    /// The runtime of an actor that is to be started, and what that is promised.
    fn terms(config: Option<&ActorConfig>, taken: Taken) -> Result<(Arc<Local>, Option<Terms>)> {
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
        // What it asks for of a cluster is told there, and had there.
        let of_cluster = |terms| Terms { cpus: Millis::ONE, resources: Amounts::new(), ..terms };
        let terms = match terms {
            Some(terms) if cluster::is_bridged(&local) => Some(of_cluster(terms)),
            Some(terms) => {
                request::check(terms.cpus, &terms.resources, &local)?;
                Some(terms)
            }
            None => None,
        };
        Ok((local, terms))
    }

    /// The handle of an actor, whose ticks begin if it `is_new`.
    fn begun(self, is_new: bool, local: &Arc<Local>) -> Self {
        if is_new {
            Tick::start_all(&self, local);
        }
        self
    }

    /// The actor of that name.
    #[track_caller]
    fn find(name: &ActorName) -> Result<Self> {
        if crossing::leaves()
            && let Some(upstream) = cluster::way_to_actors(A::function().name())?
        {
            return Ok(far::find::<A>(upstream, name)?.cell().clone());
        }
        let find = |local: &Arc<Local>| {
            Ok(Self(if cluster::leaves(local) && away::calls_wait::<A>(local) {
                Kind::AwayWaits(local.names().find::<Weak<Strand<Away<A>, Waits<Away<A>>>>>(name)?)
            } else if cluster::leaves(local) {
                Kind::Away(local.names().find::<Weak<Strand<Away<A>>>>(name)?)
            } else if A::ASYNC {
                Kind::Waits(local.names().find::<Weak<Strand<A, Waits<A>>>>(name)?)
            } else {
                Kind::Computes(local.names().find::<Weak<Strand<A>>>(name)?)
            }))
        };
        let found = default::with_current_if_any(|local| match local {
            Some(local) => find(local),
            None => {
                let message =
                    format!("no actor with the name {name} lives: no runtime was started");
                Err(Error::new(ErrorKind::ActorDied, message))
            }
        });
        match found {
            Err(error) if error.kind() == ErrorKind::ActorDied && detached::is_on_ray() => {
                Self::find_detached(name)?.ok_or(error)
            }
            found => found,
        }
    }

    /// Calls a method.
    #[inline]
    #[track_caller]
    pub fn call<M: ActorMethod<Actor = A>>(
        &self,
        slots: <M::Params as Params>::Slots,
    ) -> ObjectRef<M::Output> {
        let call = Call { function: M::function(), called_at: Location::caller() };
        match &self.0 {
            Kind::Computes(handle) => call_strand::<M>(handle.strand(), slots, call),
            Kind::Waits(handle) => call_hosted::<M>(handle, slots, call),
            Kind::Refused(error) => refused(error, call),
            Kind::Away(_) | Kind::AwayWaits(_) => {
                let arguments = Arguments::Slots(slots);
                let called = self.call_away::<M>(arguments, current::origin, None, call);
                called.unwrap_or_else(|error| refused(&error, call))
            }
            Kind::Far(far) => far.call::<M>(&slots, call),
        }
        .into()
    }

    /// In the driver: calls a method of an actor whose state lives in another process; `origin` and `stands_at` as
    /// for [`Strand::call_from`].
    fn call_away<M: ActorMethod<Actor = A>>(
        &self,
        arguments: Arguments<M::Params>,
        origin: impl FnOnce(&Arc<Local>) -> Origin,
        elsewhere: Option<Elsewhere>,
        call: Call,
    ) -> Result<Ref<M::Output>> {
        let note = M::crossing().ok_or_else(far::stays::<A>)?.way.note;
        let strand = match &self.0 {
            Kind::Away(handle) => handle.strand(),
            Kind::AwayWaits(handle) => {
                let awaiting = awaited_by_call(&arguments, handle.strand().local());
                let arguments = Arc::new(Mutex::new(arguments));
                let resolve = move |_| Ok(Arc::clone(&arguments));
                let body = away::body::<M>(handle.strand().is_concurrent());
                let job = HostedCall::new(resolve, body);
                let called = handle.strand().call_from(origin, elsewhere, job, awaiting, call);
                note(called.any());
                return Ok(called);
            }
            Kind::Refused(error) => return Err(error.clone()),
            _ => return Err(unfit("a handle of an actor that lives in this process")),
        };
        let awaiting = awaited_by_call(&arguments, strand.local());
        // The arguments stay until the last try is over: packing only reads them.
        let called = if matches!(M::body(), Body::Shared(_)) {
            let body = move |actor: Access<'_, Away<A>>, _: bool| match actor {
                Access::Alone(actor) => actor.call::<M>(&arguments),
                Access::Shared(actor) => actor.call::<M>(&arguments),
            };
            let job = Method::<Away<A>, _, true>::new(body);
            strand.call_from(origin, elsewhere, job, awaiting, call)
        } else {
            let body = move |actor: Access<'_, Away<A>>, _: bool| match actor {
                Access::Alone(actor) => actor.call::<M>(&arguments),
                Access::Shared(_) => unreachable!("the method has `&mut self`"),
            };
            let job = Method::<Away<A>, _, false>::new(body);
            strand.call_from(origin, elsewhere, job, awaiting, call)
        };
        note(called.any());
        Ok(called)
    }

    /// The actor's id, by which handles are told apart in other processes.
    fn id(&self) -> Result<Uuid> {
        Ok(match &self.0 {
            Kind::Computes(handle) => handle.id(),
            Kind::Waits(handle) => handle.id(),
            Kind::Away(handle) => handle.id(),
            Kind::AwayWaits(handle) => handle.id(),
            Kind::Far(far) => far.id(),
            Kind::Refused(error) => return Err(error.clone()),
        })
    }

    fn address(&self) -> usize {
        match &self.0 {
            Kind::Computes(handle) => Counted::as_ptr(handle.strand()).addr(),
            Kind::Waits(handle) => Counted::as_ptr(handle.strand()).addr(),
            Kind::Away(handle) => Counted::as_ptr(handle.strand()).addr(),
            Kind::AwayWaits(handle) => Counted::as_ptr(handle.strand()).addr(),
            // An id is spread well enough in any of its parts.
            Kind::Far(far) => far.id().as_u64_pair().0 as usize,
            Kind::Refused(_) => std::ptr::from_ref(self) as usize,
        }
    }
}

/// The refs that the slots have to wait for. A failed argument shows when the call's turn comes.
#[inline(always)]
fn awaiting<P: Params>(slots: &P::Slots) -> Refs {
    let mut awaiting = Awaiting::default();
    P::awaited(slots, &mut awaiting);
    awaiting.refs
}

/// The refs that a call waits for here, before it goes to the process where the actor lives. A cluster waits for them
/// itself, and gives their values to the actor without a way through here.
fn awaited_here<P: Params>(arguments: &Arguments<P>) -> Refs {
    if cluster::is_over_bridge() { Refs::default() } else { arguments.awaited().refs }
}

/// The same, of a call to an actor of this runtime. One that a cluster waited with would keep all others waiting, also
/// those of which its arguments are made; so it waits here, for what is not known to be there.
fn awaited_by_call<P: Params>(arguments: &Arguments<P>, local: &Local) -> Refs {
    let refs = arguments.awaited().refs;
    if !cluster::is_bridged(local) {
        return refs;
    }
    let mut missing = Refs::default();
    // SAFETY: the arguments hold them.
    let all = unsafe { refs.to_vec() };
    all.iter().filter(|any| !cluster::is_there(any)).for_each(|any| missing.add(any));
    missing
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

/// Serialized, a handle becomes the actor's id; it can be read back in the process that holds the actor, as long as
/// some handle lives, and in that process's workers, as long as it is sent to them in an argument or an object.
/// A handle on its way to another process.
#[derive(Serialize, Deserialize)]
enum Passed {
    ById(Uuid),
    /// Of an actor that could not begin.
    Refused(#[serde(with = "as_failed")] Error),
}

impl<A: Actor> Serialize for ActorHandle<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let passed = match &self.cell().0 {
            Kind::Refused(why) => Passed::Refused(why.clone()),
            _ => Passed::ById(self.cell().id().map_err(serde::ser::Error::custom)?),
        };
        if let Passed::ById(id) = passed {
            wire::hold(id, || self.clone());
        }
        passed.serialize(serializer)
    }
}

impl<'de, A: Actor> Deserialize<'de> for ActorHandle<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = match Passed::deserialize(deserializer)? {
            Passed::ById(id) => id,
            Passed::Refused(why) => {
                return Ok(Self { methods: ActorCell(Kind::Refused(why)).into() });
            }
        };
        let here = if A::ASYNC {
            HostedHandle::find(id).map(Kind::Waits)
        } else {
            StrandHandle::find(id).map(Kind::Computes)
        };
        let kind = here
            .or_else(|| StrandHandle::find(id).map(Kind::Away))
            .or_else(|| HostedHandle::find(id).map(Kind::AwayWaits))
            .or_else(|| Some(Kind::Far(Far::given(upstream::to_owner()?, id))));
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
