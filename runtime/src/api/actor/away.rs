//! Actors whose state lives in another process.
//!
//! In the driver such an actor is a strand like any other, with mailbox, order, names, restarts and ends; only what
//! the strand has for a state, [`Away`], is the process in which that lives. To make it, to call a method, to save
//! and to restore are calls over there, each made by the thread that has the turn, as the task that it runs: so what
//! a method asks for meanwhile is done as for any task, and a process that dies is an actor that crashes.
//!
//! Calls that wait, and the constructors that do, are in `later.rs`; in `beside.rs` calls that compute side by side, and in
//! `stream.rs` calls that give streams.
//!
//! A process that has no runtime of its own, a worker, has handles of the driver's actors: see `far.rs`.

use std::cell::Cell;
use std::io::Write;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::api::actor::{Actor, ActorMethod, Construct};
use crate::api::crossing::{self, Arguments};
use crate::api::parameter::Params;
use crate::api::port::{FailureWay, Way};
use crate::cluster::argument::{Argument, Asked, Packing, unfit};
use crate::cluster::detached::Found;
use crate::cluster::frame::Body;
use crate::cluster::registry::{Later, Nature, Registered};
use crate::cluster::worker::state;
use crate::cluster::worker::task::{Ended, Here, Replier, Start};
use crate::cluster::{self, Answer, Cargo, Host};
use crate::error::{Error, ErrorKind, Result};
use crate::local::current::{self, Task};
use crate::local::life::{ActorEnd, Life};
use crate::local::strand::Body as MethodBody;
use crate::local::{Local, default, panics};
use crate::wire::{self, Held};

mod beside;
mod later;
mod stream;

use self::later::AHEAD_MAX;
pub(super) use self::later::body;
pub use self::stream::ActorStreamCrossing;
pub(super) use self::stream::begin as stream;

/// How what makes an actor crosses to another process, and what it saves back.
pub struct ActorCrossing<A: Actor> {
    /// Its entry in the registry.
    pub registered: &'static Registered,
    /// How the constructor's arguments do.
    pub ports: <A::Params as Params>::Ports,
    /// How what `checkpoint` gives does.
    pub saved: Way<A::Saved>,
    /// How what the constructor fails with does.
    pub failure: Option<FailureWay>,
}

/// How calls of a method cross to another process.
pub struct MethodCrossing<M: ActorMethod> {
    /// Its entry in the registry.
    pub registered: &'static Registered,
    /// How its arguments do.
    pub ports: <M::Params as Params>::Ports,
    /// How its result does.
    pub way: Way<M::Output>,
    /// How what it fails with does.
    pub failure: Option<FailureWay>,
}

impl Registered {
    /// The entry of a method.
    pub const fn of_method<M: ActorMethod>() -> Self {
        let later = if M::Actor::ASYNC { Some(begin_method::<M> as Later) } else { None };
        let (run, submit) = (run_method::<M>, super::far::forward::<M>);
        let beside = if M::Actor::ASYNC { None } else { Some(begin_method::<M> as Later) };
        Self::new(M::function, run, submit, method_failure::<M>)
            .run_later(later)
            .run_beside(beside)
            .of_actors()
            .of_nature(method_nature::<M>)
    }

    /// The entry of an actor's type: what is done with its actors beside their calls.
    pub const fn of_actor<A: Actor>() -> Self {
        let later = if A::ASYNC { Some(later::step::<A> as Later) } else { None };
        let (run, submit) = (run_step::<A>, super::far::wish::<A>);
        let beside = if A::ASYNC { None } else { Some(beside::step::<A> as Later) };
        Self::new(A::function, run, submit, actor_failure::<A>)
            .run_later(later)
            .run_beside(beside)
            .of_actors()
    }
}

fn method_nature<M: ActorMethod>() -> Nature {
    let shares = M::crossing().map(|crossing| M::Params::shares(&crossing.ports));
    Nature { shares: shares.unwrap_or_default(), waits: false }
}

fn method_failure<M: ActorMethod>(bytes: &[u8]) -> Option<Error> {
    decode_failure(M::crossing()?.failure, bytes)
}

fn actor_failure<A: Actor>(bytes: &[u8]) -> Option<Error> {
    decode_failure(A::crossing()?.failure, bytes)
}

fn decode_failure(way: Option<FailureWay>, bytes: &[u8]) -> Option<Error> {
    let way = way?;
    panics::catch(|| Ok((way.decode)(bytes))).ok()?
}

/// What is done with an actor over there, beside its calls: the first argument says.
#[derive(Serialize, Deserialize)]
enum Step {
    /// Make it, of the other arguments, or see that it is there; `beside`: its calls come side by side, and compute.
    Make { found: Found, beside: bool },
    /// Give what `checkpoint` gives.
    Save,
    /// `restore` what that gave.
    Restore,
}

/// What is to become of a result.
struct Outcome<T> {
    encode: fn(&T, &mut dyn Write) -> Result<Vec<Held>>,
    registered: &'static Registered,
    failure: Option<FailureWay>,
}

/// What is sent: the function, and what packs the arguments.
struct Load<P> {
    registered: &'static Registered,
    pack: P,
}

impl<P: Fn(&mut Packing<'_>) -> Result<()>> Cargo for Load<P> {
    fn function(&self) -> &'static Registered {
        self.registered
    }

    fn pack(&self, packing: &mut Packing<'_>) -> Result<()> {
        (self.pack)(packing)
    }
}

/// What an actor is made of, as often as need be.
pub(crate) type Seed<A> = Arc<Plan<A>>;

/// The constructor's arguments, and what the cluster is asked for.
pub(crate) struct Plan<A: Actor> {
    arguments: Mutex<Arguments<A::Params>>,
    asked: Option<Asked>,
    /// Whether calls that compute come side by side.
    beside: bool,
}

impl<A: Actor> Plan<A> {
    pub(super) fn new(
        arguments: Arguments<A::Params>,
        asked: Option<Asked>,
        beside: bool,
    ) -> Seed<A> {
        Arc::new(Self { arguments: Mutex::new(arguments), asked, beside })
    }

    /// What is to be where the actor's name is taken.
    fn found(&self) -> Found {
        let detached = self.asked.as_ref().and_then(|asked| asked.detached.as_ref());
        detached.map_or(Found::Refuse, |detached| detached.found)
    }
}

/// In a worker: whether the actor is there already.
///
/// # Errors
/// `Config`: it is there, and somebody else's; `Value`: it is of another type; `ActorDied`: it is expected, and is not
/// there.
fn is_found<A: Actor>(found: Found) -> Result<bool> {
    let name = A::function().name();
    let (kind, message) = match (found, state::is_there::<A>()) {
        (Found::Refuse | Found::Share, None) => return Ok(false),
        (Found::Refuse, Some(_)) => {
            (ErrorKind::Config, "the name was taken by another program meanwhile".to_owned())
        }
        (_, Some(true)) => return Ok(true),
        (_, Some(false)) => (
            ErrorKind::Value,
            format!("the name is that of an actor of another type than `{name}`"),
        ),
        (Found::Expect, None) => {
            (ErrorKind::ActorDied, format!("the actor `{name}` of that name was not made yet"))
        }
    };
    Err(Error::new(kind, message))
}

/// Whether the calls of such an actor are futures here: those that wait, and those that go to a cluster, unless the
/// state is saved after them, which is waited for.
pub(super) fn calls_wait<A: Actor>(local: &Local) -> bool {
    A::ASYNC || (cluster::is_bridged(local) && !A::SAVES)
}

/// An actor's state, in the process that made it.
pub(crate) struct Away<A: Actor> {
    host: Box<dyn Host>,
    /// Calls that wait are sent one after the other: they go in order.
    sending: tokio::sync::Mutex<()>,
    /// Whether the actor is to end: then what waits to be sent does not wait any more.
    ending: tokio::sync::watch::Sender<bool>,
    actor: PhantomData<fn() -> A>,
}

/// What this thread runs: whatever is done with a state is done in a task.
fn task() -> Task {
    current::task().expect("an actor's turn runs what is the program's as a task")
}

impl<A: Actor> Away<A> {
    /// Calls a method of the actor.
    pub(super) fn call<M: ActorMethod<Actor = A>>(
        &self,
        arguments: &Arguments<M::Params>,
    ) -> Result<M::Output> {
        let MethodCrossing { registered, ports, way, .. } =
            M::crossing().expect("what is away can cross");
        let pack = |packing: &mut Packing<'_>| arguments.pack(&ports, packing);
        self.do_there(registered, pack, way)
    }

    /// Makes the actor, as the task that this thread runs.
    fn make_now(local: &Arc<Local>, task: &Task, seed: &Seed<A>) -> Result<Self> {
        let ActorCrossing { registered, ports, .. } =
            A::crossing().expect("what is away can cross");
        let pack = |packing: &mut Packing<'_>| {
            packing.value(&Step::Make { found: seed.found(), beside: seed.beside })?;
            seed.arguments.lock().unwrap_or_else(PoisonError::into_inner).pack(&ports, packing)
        };
        let (load, in_turn) = (Load { registered, pack }, !A::ASYNC && !seed.beside);
        let host = cluster::host(local, &load, task, in_turn, seed.asked.as_ref())?;
        Ok(Self {
            host,
            sending: tokio::sync::Mutex::default(),
            ending: tokio::sync::watch::Sender::default(),
            actor: PhantomData,
        })
    }

    fn do_there<T>(
        &self,
        registered: &'static Registered,
        pack: impl Fn(&mut Packing<'_>) -> Result<()>,
        way: Way<T>,
    ) -> Result<T> {
        let mut result = None;
        let mut take = |answer: Answer<'_>| {
            result = Some(crossing::read(answer, way));
            Ok(())
        };
        self.host.call(&Load { registered, pack }, &task(), &mut take)?;
        result.expect("a call that went well was answered")
    }
}

impl<A: Actor> Life for Away<A> {
    type Seed = Seed<A>;
    type Saved = A::Saved;
    const SAVES: bool = A::SAVES;
    const AWAY: bool = true;
    // Those that compute wait where they go far.
    const CONCURRENCY: u32 = if A::ASYNC { 1000 } else { AHEAD_MAX };
    const LASTS: bool = !A::ASYNC;

    fn make(seed: Self::Seed) -> Result<Construct<Self>> {
        let local = default::current();
        if calls_wait::<A>(&local) {
            return Ok(Construct::Later(Box::pin(later::make(local, task(), seed))));
        }
        let made = Self::make_now(&local, &task(), &seed).and_then(|actor| {
            if seed.beside {
                actor.host.listen(&task(), true)?;
            }
            Ok(actor)
        });
        Ok(Construct::Now(made))
    }

    fn copy_seed(seed: &Self::Seed) -> Self::Seed {
        Arc::clone(seed)
    }

    fn save(&self) -> Result<A::Saved> {
        let ActorCrossing { registered, saved, .. } =
            A::crossing().expect("what is away can cross");
        self.do_there(registered, |packing| packing.value(&Step::Save), saved)
    }

    fn restore(&mut self, saved: A::Saved) -> Result<()> {
        let ActorCrossing { registered, saved: way, .. } =
            A::crossing().expect("what is away can cross");
        let pack = |packing: &mut Packing<'_>| {
            packing.value(&Step::Restore)?;
            packing.written(|sink| (way.encode)(&saved, sink))
        };
        self.do_there(registered, pack, Way::new())
    }

    fn lost(&self) -> Option<Error> {
        self.host.lost()
    }

    fn take_back(&self) {
        if Self::LASTS {
            self.ending.send_replace(true);
            self.host.take_back();
        }
    }

    fn ends(&self, how: &ActorEnd) {
        if matches!(how, ActorEnd::Unreachable | ActorEnd::ShutDown) {
            self.host.leave();
        }
    }
}

/// In a worker: runs a method of the actor that lives here.
fn run_method<M: ActorMethod>(
    start: Start<'_>,
    arguments: Vec<Argument>,
    body: &mut Body,
) -> Ended {
    let MethodCrossing { registered, ports, way, failure } =
        M::crossing().expect("what is registered can cross");
    let here = start.here(M::function());
    let (result, crashed) = with_state::<M::Actor, M::Params, _>(
        here.task,
        &start,
        arguments,
        &ports,
        |actor, held| match M::body() {
            MethodBody::Alone(method) => method(actor, held),
            MethodBody::Shared(method) => method(actor, held),
            MethodBody::AloneLater(_) | MethodBody::SharedLater(_) => {
                Err(unfit("a call that waits"))
            }
        },
    );
    crossing::end(here, result, crashed, body, way.encode, registered, failure)
}

/// In a worker: begins a method of the actor that lives here, which goes on beside others.
fn begin_method<M: ActorMethod>(
    start: Start<'_>,
    arguments: Vec<Argument>,
) -> Box<dyn FnOnce(Replier) + Send> {
    let MethodCrossing { registered, ports, way, failure } =
        M::crossing().expect("what is registered can cross");
    let outcome = Outcome { encode: way.encode, registered, failure };
    let here = start.here_among(M::function());
    begin_beside::<_, M::Params, _, _>(
        here,
        &start,
        arguments,
        &ports,
        M::body(),
        |held| held,
        outcome,
    )
}

/// In a worker: begins what goes on beside other calls, where these wait, or where they compute. `hold` makes of the
/// arguments what `body` takes.
fn begin_beside<A: Actor, P: Params, H: 'static, T: 'static>(
    here: Here,
    start: &Start<'_>,
    arguments: Vec<Argument>,
    ports: &P::Ports,
    body: MethodBody<A, H, T>,
    hold: impl FnOnce(P::Held) -> H + Send + 'static,
    outcome: Outcome<T>,
) -> Box<dyn FnOnce(Replier) + Send> {
    let mut arguments = arguments.into_iter();
    let held = panics::catch(|| P::unpack(&mut arguments, ports, start));
    let held = move || Ok(hold(panics::catch(|| P::resolve(held?))?));
    Box::new(move |replier| {
        if A::ASYNC {
            later::begin(here, held, body, replier, outcome);
        } else {
            beside::run(here, held, body, replier, outcome);
        }
    })
}

/// In a worker: does something with the actor that lives here, and tells whether that has crashed it.
fn with_state<A: Actor, P: Params, T>(
    task: Task,
    start: &Start<'_>,
    arguments: Vec<Argument>,
    ports: &P::Ports,
    call: impl FnOnce(&mut A, P::Held) -> Result<T>,
) -> (Result<T>, bool) {
    let crashed = Cell::new(false);
    let result = current::in_task(task, || {
        let mut arguments = arguments.into_iter();
        let held = panics::catch(|| P::resolve(P::unpack(&mut arguments, ports, start)?))?;
        state::with(|actor: &mut A| {
            crashed.set(true);
            let result = call(actor, held);
            crashed.set(false);
            result
        })
    });
    if crashed.get() {
        state::end();
    }
    (result, crashed.get())
}

/// In a worker: does what is done with an actor beside its calls.
fn run_step<A: Actor>(start: Start<'_>, arguments: Vec<Argument>, body: &mut Body) -> Ended {
    let ActorCrossing { registered, ports, saved, failure } =
        A::crossing().expect("what is registered can cross");
    let here = start.here(A::function());
    let mut arguments = arguments.into_iter();
    match start.next_bytes(&mut arguments, "no step").and_then(wire::decode) {
        Ok(Step::Save) => {
            let result = current::in_task(here.task, || state::with(|actor: &mut A| actor.save()));
            crossing::end(here, result, false, body, saved.encode, registered, failure)
        }
        Ok(Step::Restore) => {
            let result = current::in_task(here.task, || {
                let saved = (saved.decode)(start.next_bytes(&mut arguments, "nothing saved")?)?;
                state::with(|actor: &mut A| actor.restore(saved))
            });
            crossing::end(here, result, false, body, Way::new().encode, registered, failure)
        }
        Ok(Step::Make { found, beside }) => {
            let there = is_found::<A>(found);
            if !matches!(there, Ok(false)) {
                let encode = Way::new().encode;
                let found = there.map(drop);
                return crossing::end(here, found, false, body, encode, registered, failure);
            }
            let mut construct = None;
            let begun = current::in_task(here.task, || {
                let slots = A::Params::unpack(&mut arguments, &ports, &start)?;
                construct = Some(A::construct(A::Params::resolve(slots)?));
                Ok(())
            });
            let made = begun.and_then(|()| match construct {
                Some(Construct::Now(made)) => made,
                Some(Construct::Later(_)) => Err(unfit("a constructor that waits")),
                None => Err(unfit("no constructor")),
            });
            let made = made.and_then(|actor| {
                match (beside, A::shareable()) {
                    (false, _) => state::put(actor),
                    (true, Some(shareable)) => state::put_beside::<A>(shareable.share(actor)),
                    (true, None) => return Err(unfit("an actor that threads cannot share")),
                }
                Ok(())
            });
            crossing::end(here, made, false, body, Way::new().encode, registered, failure)
        }
        Err(error) => {
            let result: Result<()> = Err(error);
            crossing::end(here, result, false, body, Way::new().encode, registered, failure)
        }
    }
}
