//! What an actor may be asked for at its start, and how it is found by its name.

#![expect(clippy::too_many_arguments, reason = "a call has as many as its constructor")]

use std::marker::PhantomData;
use std::panic::Location;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::actor::{Actor, ActorCell, ActorHandle, ActorName, Taken};
use crate::api::builder::{for_each_arity, pass_on};
use crate::api::options::{amounts, cpus};
use crate::api::parameter::{Arg, Param};
use crate::api::placement::Placement;
use crate::cluster;
use crate::cluster::argument::Asked;
use crate::cluster::detached::{Detached, Found};
use crate::error::{Error, ErrorKind, Result};
use crate::function::Call;
use crate::local::life::Terms;
use crate::millis::Millis;

/// Options of an actor by their names. Unset ones are left to the attribute, then to the default.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ActorConfig {
    name: Option<String>,
    namespace: Option<String>,
    max_restarts: Option<u32>,
    restart_window: Option<Duration>,
    max_task_retries: Option<u32>,
    checkpoint_every: Option<u32>,
    max_concurrency: Option<u32>,
    max_pending_calls: Option<usize>,
    block_when_full: bool,
    detached: bool,
    num_cpus: Option<f64>,
    resources: Vec<(String, f64)>,
    placement: Option<Placement>,
}

impl ActorConfig {
    /// No options.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name by which [`get_actor`] finds it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// In which namespace its name is. Default: that of those which name none.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// How often it is made anew after a crash. Default: 0.
    pub fn max_restarts(mut self, max_restarts: u32) -> Self {
        self.max_restarts = Some(max_restarts);
        self
    }

    /// The time for which `max_restarts` counts. Default: the whole life.
    pub fn restart_window(mut self, restart_window: Duration) -> Self {
        self.restart_window = Some(restart_window);
        self
    }

    /// How often a call is run again that crashed it. Default: 0.
    pub fn max_task_retries(mut self, max_task_retries: u32) -> Self {
        self.max_task_retries = Some(max_task_retries);
        self
    }

    /// After how many `&mut self` calls its `checkpoint` is called. Default: 1.
    pub fn checkpoint_every(mut self, checkpoint_every: u32) -> Self {
        self.checkpoint_every = Some(checkpoint_every);
        self
    }

    /// How many of its calls may run at once. Default: 1.
    pub fn max_concurrency(mut self, max_concurrency: u32) -> Self {
        self.max_concurrency = Some(max_concurrency);
        self
    }

    /// How many of its calls may wait. Default: any number.
    pub fn max_pending_calls(mut self, max_pending_calls: usize) -> Self {
        self.max_pending_calls = Some(max_pending_calls);
        self
    }

    /// A call waits for its place instead of failing.
    pub fn block_when_full(mut self) -> Self {
        self.block_when_full = true;
        self
    }

    /// It outlives the program.
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// How many CPUs each of its calls has, or the actor on a cluster. Default: 1; on a cluster, one to start with, and
    /// none while it lives.
    pub fn num_cpus(mut self, num_cpus: impl Into<f64>) -> Self {
        self.num_cpus = Some(num_cpus.into());
        self
    }

    /// How much it has of a named resource. Default: nothing.
    pub fn resource(mut self, name: impl Into<String>, amount: impl Into<f64>) -> Self {
        self.resources.push((name.into(), amount.into()));
        self
    }

    /// Where on a cluster it lives. Default: anywhere.
    pub fn placement(mut self, placement: impl Into<Placement>) -> Self {
        self.placement = Some(placement.into());
        self
    }

    /// What the cluster is asked for an actor of type `A`; None: nothing.
    ///
    /// # Errors
    /// `Engine`, by name, where the engine cannot do that.
    pub(crate) fn asked<A: Actor>(&self, found: Found) -> Result<Option<Asked>> {
        let bridged = cluster::is_over_bridge();
        // Those of an async actor compute on no CPU of the pool.
        let has_cpus = A::ASYNC && self.num_cpus.is_some_and(|num_cpus| num_cpus != 0.0);
        let wishes = [
            (self.detached, "detached actors"),
            (self.num_cpus.is_some() && bridged, "actors with `num_cpus`"),
            (has_cpus && !bridged, "async actors with `num_cpus`"),
            (!self.resources.is_empty() && bridged, "actors with `resource`"),
            (self.placement.is_some(), "actors with `placement`"),
        ];
        let Some((_, what)) = wishes.into_iter().find(|(wished, _)| *wished) else {
            return Ok(None);
        };
        cluster::way_to_ray(what)?;
        self.placement.as_ref().map_or(Ok(()), Placement::check)?;
        let detached = self.detached.then(|| Detached {
            name: self.name.clone().unwrap_or_default(),
            namespace: self.namespace.clone().unwrap_or_default(),
            kind: A::crossing().map_or("", |crossing| crossing.registered.name()).to_owned(),
            found,
        });
        Ok(Some(Asked {
            num_cpus: self.num_cpus,
            resources: self.resources.clone(),
            placement: self.placement.clone(),
            detached,
            ..Asked::default()
        }))
    }

    /// The options of an actor that lives already, by its name.
    pub(crate) fn of_detached(name: &ActorName) -> Self {
        let (name, namespace) = name.parts();
        let config = Self::new().name(name).detached();
        if namespace.is_empty() { config } else { config.namespace(namespace) }
    }

    /// What an actor of type `A` is promised; None: nothing.
    ///
    /// # Errors
    /// `Config`, if the options make no sense; `Engine`, if the kind of actor does not take one.
    pub(crate) fn terms<A: Actor>(&self) -> Result<Option<Terms>> {
        self.check::<A>()?;
        let beside = !A::ASYNC && self.max_concurrency.is_some_and(|max| max > 1);
        if beside && A::shareable().is_none() {
            let message = format!(
                "max_concurrency runs `&self` calls on several threads at once, and `{}` is not `Sync`",
                A::function().name()
            );
            return Err(Error::new(ErrorKind::Config, message));
        }
        let Self { max_restarts, restart_window, max_task_retries, max_pending_calls, .. } = *self;
        let name = self.name.as_ref().map(|name| {
            let name = ActorName::new(name);
            self.namespace.iter().fold(name, |name, namespace| name.namespace(namespace))
        });
        let max_concurrency = self.max_concurrency.filter(|_| A::ASYNC || beside);
        let (cpus, resources) = (cpus(self.num_cpus)?, amounts(&self.resources)?);
        let plain = max_restarts.unwrap_or(0) == 0
            && name.is_none()
            && max_concurrency.is_none()
            && max_pending_calls.is_none()
            && cpus == Millis::ONE
            && resources.is_empty();
        let terms = Terms {
            name,
            max_restarts: max_restarts.unwrap_or(0),
            restart_window,
            max_task_retries: max_task_retries.unwrap_or(0),
            max_concurrency,
            max_pending_calls,
            block_when_full: self.block_when_full,
            checkpoint_every: self.checkpoint_every.unwrap_or(1),
            cpus,
            resources,
        };
        Ok((!plain).then_some(terms))
    }

    /// Whether each option makes sense, by itself and beside the others.
    fn check<A: Actor>(&self) -> Result<()> {
        let anew = self.max_restarts.is_some_and(|max| max > 0);
        let mistakes = [
            (
                self.name.as_deref() == Some(""),
                "the name is empty; leave it out for an actor without one",
            ),
            (
                self.namespace.is_some() && self.name.is_none(),
                "namespace is given without a name, which is in it",
            ),
            (
                self.restart_window.is_some() && self.max_restarts.is_none(),
                "restart_window is given without max_restarts, which counts in it",
            ),
            (
                self.restart_window.is_some_and(|window| window.is_zero()),
                "restart_window is 0; it takes a time, in which max_restarts counts",
            ),
            (
                self.max_task_retries.is_some_and(|max| max > 0) && !anew,
                "max_task_retries is given without max_restarts: nothing is there to run the call again",
            ),
            (
                self.detached && self.name.is_none(),
                "detached is given without a name, by which other programs find the actor",
            ),
            (
                self.detached && anew,
                "detached is given with max_restarts: no program is sure to be there to make the actor anew",
            ),
            (
                self.detached && !A::ticks().is_empty(),
                "detached is given for an actor with `every`: no program is sure to be there to call it",
            ),
            (
                self.detached && !A::ASYNC && self.max_concurrency.is_some_and(|max| max > 1),
                "detached is given with max_concurrency for an actor without async methods: the calls of several programs \
                 come one at a time",
            ),
            (
                self.detached && self.placement.as_ref().is_some_and(Placement::is_in_group),
                "detached is given with a place in a placement group, which ends with this program",
            ),
            (self.checkpoint_every == Some(0), "checkpoint_every is 0; it takes 1 or more"),
            (
                self.checkpoint_every.is_some() && !(A::SAVES && anew),
                "checkpoint_every is for actors with max_restarts and the methods `checkpoint` and `restore`",
            ),
            (self.max_concurrency == Some(0), "max_concurrency is 0; it takes 1 or more"),
            (self.max_pending_calls == Some(0), "max_pending_calls is 0; it takes 1 or more"),
            (
                self.block_when_full && self.max_pending_calls.is_none(),
                "block_when_full is given without max_pending_calls, which says what is full",
            ),
        ];
        match mistakes.into_iter().find(|(made, _)| *made) {
            Some((_, message)) => Err(Error::new(ErrorKind::Config, message)),
            None => Ok(()),
        }
    }
}

/// An actor that is being given options, started by `remote(..)` with its constructor's arguments.
///
/// Options that make no sense, and a name that is taken, are errors of every call of the actor, for a handle is
/// returned at once.
///
/// ```
/// use std::time::Duration;
///
/// use mobula::prelude::*;
///
/// struct Shaky(u64);
///
/// #[remote]
/// impl Shaky {
///     pub fn new(start: u64) -> Self {
///         Self(start)
///     }
///     pub fn add(&mut self, by: u64) -> u64 {
///         assert_ne!(by, 13, "no");
///         self.0 += by;
///         self.0
///     }
/// }
///
/// let minute = Duration::from_secs(60);
/// let shaky = Shaky::options().name("shaky").max_restarts(3).restart_window(minute).remote(10);
/// assert_eq!(mobula::get(shaky.add(1))?, 11);
/// assert_eq!(mobula::get(shaky.add(13)).unwrap_err().kind(), ErrorKind::Panic);
/// assert_eq!(mobula::get(shaky.add(2))?, 12); // It was made anew.
///
/// let same = mobula::get_actor::<Shaky>("shaky")?;
/// assert_eq!(mobula::get(same.add(1))?, 13);
/// # Ok::<(), mobula::Error>(())
/// ```
#[must_use = "an actor is started by `.remote(..)`"]
pub struct ActorOptions<A: Actor, P = <A as Actor>::Params> {
    config: ActorConfig,
    marker: PhantomData<fn() -> (A, P)>,
}

impl<A: Actor> ActorOptions<A> {
    /// The options of the actor's attribute.
    #[expect(clippy::new_without_default, reason = "users write `Counter::options()`")]
    pub fn new() -> Self {
        Self { config: A::defaults().cloned().unwrap_or_default(), marker: PhantomData }
    }
}

// The builder methods are those of [`ActorConfig`]; here they keep the actor's type.
pass_on! {
    [impl [A: Actor, P] ActorOptions<A, P> => config]
    {
        /// The name by which [`get_actor`] finds the actor, for as long as it has handles and has not ended. A name
        /// that an actor of the same runtime has is an error, unless the actor is started by `get_or_create`.
        name(name: impl Into<String>);
        /// In which namespace its name is.
        namespace(namespace: impl Into<String>);
        /// How often the actor is made anew after a crash, which is a panic in one of its methods: from its
        /// constructor's arguments, which are cloned for each time, and what it has saved. The call that
        /// panicked fails; calls that have not begun wait. Default: 0, a crash ends the actor.
        ///
        /// A constructor that fails at the first time ends the actor; at a restart it uses up another.
        max_restarts(max_restarts: u32);
        /// The time for which `max_restarts` counts: no more restarts than that in any such time. Default: the
        /// actor's whole life.
        restart_window(restart_window: Duration);
        /// How often a call is run again that crashed the actor, once that was made anew; its arguments are cloned
        /// for each try but the last. Default: 0, it fails with [`Panic`](ErrorKind::Panic).
        max_task_retries(max_task_retries: u32);
        /// For an actor with `max_restarts` that has the methods `checkpoint(&self) -> C` and
        /// `restore(&mut self, saved: C)`: after how many `&mut self` calls its state is saved. Default: 1, after
        /// each, so a restart loses nothing but what the crashed call did. The call's result waits for it.
        checkpoint_every(checkpoint_every: u32);
        /// How many `&self` calls of the actor may run at once, on as many CPUs; its type has to be `Sync` for more than
        /// one. Of an async actor: how many may interleave. Default: 1; 1000 for an async actor. Calls with `&mut self`
        /// run alone: after all calls made before, and before all that are made after. On the engine `ray` those of an
        /// actor compute on that many threads, whatever CPUs it has; a detached actor takes one call at a time, unless it
        /// is async.
        max_concurrency(max_concurrency: u32);
        /// How many calls of the actor may wait for their turn; one more fails with
        /// [`PendingCallsLimit`](ErrorKind::PendingCallsLimit). Default: any number.
        max_pending_calls(max_pending_calls: usize);
        /// A call that finds `max_pending_calls` waiting waits, too, until there is a place: it returns no ref
        /// before. A task that does so lays its CPU down.
        block_when_full();
        /// The actor outlives this program, on a cluster: it lives until `stop`, [`kill`](crate::kill),
        /// [`exit_actor`](crate::exit_actor) or a crash, or until the cluster ends. It needs a name, by which
        /// [`get_actor`] and `get_or_create` find it in other runs of the program. Its calls keep their order within
        /// each program. Where a constructor fails that `get_or_create` called, the name stays taken until another
        /// `get_or_create` succeeds. Only on the engine `ray`.
        detached();
        /// How many CPUs each call of the actor takes while it runs, the constructor's too, as for
        /// [tasks](crate::TaskOptions::num_cpus): a whole number, a fraction, or 0. Default: 1. An actor that runs no call
        /// has no CPU, so what is idle keeps nothing from computing. The calls of an async actor compute on no CPU of the
        /// pool: it takes 0 only.
        ///
        /// On the engine `ray` it is how many the actor has for as long as it lives. Default there: as Ray has it, one to
        /// start with and none while it lives; one, if a `resource` is given.
        ///
        /// More than there ever are is [`Infeasible`](ErrorKind::Infeasible).
        num_cpus(num_cpus: impl Into<f64>);
        /// How much of a named resource the actor has for as long as it lives: from before its constructor until it has
        /// ended, over restarts too, except on Ray, where what is made anew asks again. It waits for that in the line in which tasks do, and its calls wait meanwhile. More
        /// than there ever is of it is [`Infeasible`](ErrorKind::Infeasible). See
        /// [`Config::resource`](crate::Config::resource); on Ray `gpu` is what that calls `GPU`.
        resource(name: impl Into<String>, amount: impl Into<f64>);
        /// Where on the cluster the actor lives, and comes to live where it is made anew. Only on the engine `ray`. In
        /// a [`PlacementGroup`](crate::PlacementGroup) it lives no longer than that: keep the group.
        placement(placement: impl Into<Placement>);
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
                let call = Call { function: A::function(), called_at: Location::caller() };
                let slots = ($($arg.into_slot(),)*);
                ActorCell::start(slots, Some(&self.config), Taken::Refuse, call).into()
            }

            /// A handle of the actor of this type that has the name, if one lives; else starts it. Of several
            /// that do this at the same time one starts it, and all get handles of the same actor.
            #[track_caller]
            pub fn get_or_create(self, $($arg: impl Arg<$param>),*) -> ActorHandle<A> {
                let call = Call { function: A::function(), called_at: Location::caller() };
                let slots = ($($arg.into_slot(),)*);
                ActorCell::start(slots, Some(&self.config), Taken::Share, call).into()
            }
        }
    )* };
}

for_each_arity!(arities);

/// A handle of the actor of that name, in the current runtime, or of a detached one of the cluster, which is asked then: one
/// that has no room there yet is waited for. An [`ActorName`] also names a namespace:
/// `get_actor::<Counter>(ActorName::new("c").namespace("lab"))`.
///
/// # Errors
/// `ActorDied`: no actor of that name lives; `Value`: it is of another type; `Engine`: the cluster cannot be asked.
#[track_caller]
pub fn get_actor<A: Actor>(name: impl Into<ActorName>) -> Result<ActorHandle<A>> {
    ActorCell::find(&name.into()).map(ActorHandle::from)
}
