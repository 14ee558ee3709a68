//! Remote functions: how a call becomes a task.
//!
//! The macro implements [`RemoteFn`] for a type named like the function; its [`Body`] is the function
//! itself. `f::remote(..)` turns the arguments into slots, and [`submit`] makes the task of both.

#![expect(clippy::too_many_arguments, reason = "a call has as many as its function")]

use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;

use crate::api::builder::{for_each_arity, pass_on};
use crate::api::crossing::{self, Crossing};
use crate::api::object::ObjectRef;
use crate::api::options::Options;
use crate::api::parameter::{Arg, Awaiting, Param, Params};
use crate::api::placement::Placement;
use crate::cluster;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{Call, Function, Hop};
use crate::local::arguments::{self, Awaited, Then};
use crate::local::caller::Origin;
use crate::local::cell::{AnyRef, Elsewhere, Job, Ref};
use crate::local::job::{Await, Compute, ComputeWith};
use crate::local::place::Place;
use crate::local::queue::Entry;
use crate::local::request::Claim;
use crate::local::retries::RetryDelay;
use crate::local::{Local, current, default, note, pool};
use crate::observe::Number;

/// What the arguments of `F` are while it runs.
pub(crate) type Held<F> = <<F as RemoteFn>::Params as Params>::Held;
/// What the arguments of `F` are until it runs.
pub(crate) type Slots<F> = <<F as RemoteFn>::Params as Params>::Slots;

/// A future that a remote function became.
pub(crate) type BoxedFuture<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// A function with `#[remote]`.
pub trait RemoteFn: Sized + 'static {
    /// Its parameters.
    type Params: Params;
    /// What its result is made of: the `T` of `ObjectRef<T>`.
    type Output: Send + Sync + 'static;
    /// What a call gives: `ObjectRef<T>`, or with `num_returns` a tuple of such.
    type Returns;
    /// Its name and place.
    fn function() -> &'static Function;
    /// The options in its attribute.
    fn defaults() -> Option<&'static Options> {
        None
    }
    /// How its calls cross to another process; None: they stay in this one.
    fn crossing() -> Option<Crossing<Self>> {
        None
    }
    /// How to make its arguments once more.
    fn copiers() -> <Self::Params as Params>::Copiers;
    /// The function itself.
    fn body() -> Body<Self>;
    /// What a call gives, made of the task's ref.
    fn returns(task: ObjectRef<Self::Output>) -> Self::Returns;
}

/// The function itself: it computes, or it waits.
pub enum Body<F: RemoteFn> {
    /// A `fn`.
    Compute(fn(Held<F>) -> Result<F::Output>),
    /// An `async fn`.
    Await(fn(Held<F>) -> BoxedFuture<F::Output>),
}

/// Calls a remote function.
#[track_caller]
pub fn submit<F: RemoteFn>(slots: Slots<F>) -> F::Returns {
    let call = Call { function: F::function(), called_at: Location::caller() };
    F::returns(submit_call::<F>(slots, F::defaults().cloned(), call, current::next_place))
}

/// Calls a remote function, with its attribute's options already among `options`. `place` says where in the
/// tree of calls it stands.
pub(crate) fn submit_call<F: RemoteFn>(
    slots: Slots<F>,
    options: Option<Options>,
    call: Call,
    place: impl FnOnce(&Arc<Local>) -> Place,
) -> ObjectRef<F::Output> {
    if crossing::leaves() {
        return crossing::submit::<F>(slots, options, call, place);
    }
    let claim = match options.map(|options| claim(&options)).transpose() {
        Ok(claim) => claim.flatten(),
        Err(error) => return refused(error, call, place).into(),
    };
    let mut awaiting = Awaiting::default();
    F::Params::awaited(&slots, &mut awaiting);
    match (F::body(), claim) {
        (Body::Compute(_), None) => {
            let work = move || compute::<F>(F::Params::resolve(slots)?);
            submit_task(Compute(work), awaiting, call, None, place)
        }
        (Body::Compute(_), Some(claim)) => {
            let mut arguments = match Arguments::<F>::for_tries(slots, &claim) {
                Ok(arguments) => arguments,
                Err(error) => return refused(error, call, place).into(),
            };
            let work = move |last| compute::<F>(arguments.next(last)?);
            let job = ComputeWith { work, claim: Arc::clone(&claim), attempt: 1 };
            submit_task(job, awaiting, call, Some(claim), place)
        }
        (Body::Await(_), Some(claim)) if claim.request().asks_for_cpus() => {
            refused(Error::new(ErrorKind::Engine, ASYNC_WITH_CPUS), call, place)
        }
        (Body::Await(body), claim) => {
            let arguments = match &claim {
                Some(claim) => Arguments::<F>::for_tries(slots, claim),
                None => Ok(Arguments::for_one(slots)),
            };
            let mut arguments = match arguments {
                Ok(arguments) => arguments,
                Err(error) => return refused(error, call, place).into(),
            };
            let make = move |last| Ok(body(arguments.next(last)?));
            let job = Await { make, local: default::current(), claim: claim.clone(), attempt: 1 };
            submit_task(job, awaiting, call, claim, place)
        }
    }
    .into()
}

/// Calls a function that computes.
fn compute<F: RemoteFn>(held: Held<F>) -> Result<F::Output> {
    match F::body() {
        Body::Compute(body) => body(held),
        Body::Await(_) => unreachable!("a function's body is always the same"),
    }
}

/// The arguments of a task for all of its tries.
struct Arguments<F: RemoteFn> {
    /// Gone with the last try.
    slots: Option<Slots<F>>,
    /// None: there is one try.
    copiers: Option<<F::Params as Params>::Copiers>,
}

impl<F: RemoteFn> Arguments<F> {
    fn for_one(slots: Slots<F>) -> Self {
        Self { slots: Some(slots), copiers: None }
    }

    /// # Errors
    /// `Config`, if an argument cannot be made again.
    fn for_tries(slots: Slots<F>, claim: &Claim) -> Result<Self> {
        if claim.request().is_last(1) {
            return Ok(Self::for_one(slots));
        }
        let copiers = F::copiers();
        let slots = F::Params::prepare(slots, &copiers).map_err(|parameter| {
            let message = format!(
                "max_retries needs argument `{parameter}` again for each try, and its type cannot be \
                 cloned: derive `Clone` for it, or take it as a `&` parameter"
            );
            Error::new(ErrorKind::Config, message)
        })?;
        Ok(Self { slots: Some(slots), copiers: Some(copiers) })
    }

    /// Those of the next try, which may be the last. Only refs of it need to be complete.
    fn next(&mut self, last: bool) -> Result<Held<F>> {
        let copied = match (&self.slots, &self.copiers) {
            (Some(slots), Some(copiers)) if !last => Some(F::Params::copy(slots, copiers)),
            _ => None,
        };
        let slots = copied.or_else(|| self.slots.take());
        F::Params::resolve(slots.expect("the last try comes once"))
    }
}

/// Why an async function is refused that asks for CPUs.
pub(crate) const ASYNC_WITH_CPUS: &str =
    "an async function computes on no CPU of the pool; leave num_cpus out";

/// What the options ask the current runtime for.
pub(crate) fn claim(options: &Options) -> Result<Option<Arc<Claim>>> {
    let Some(request) = options.request()? else { return Ok(None) };
    Claim::new(request, &default::current()).map(Some)
}

/// Makes the task and queues it, now or when its arguments are there. `place` is asked once.
pub(crate) fn submit_task<T: Send + Sync + 'static>(
    job: impl Job<T>,
    awaiting: Awaiting,
    call: Call,
    claim: Option<Arc<Claim>>,
    place: impl FnOnce(&Arc<Local>) -> Place,
) -> Ref<T> {
    let ready = awaiting.is_empty() && claim.is_none();
    let (task, entry) = default::with_current(|local| {
        let origin = Origin { family: current::family(), place: place(local) };
        let (task, entry) = Ref::task(job, ready, local.home(), origin, call);
        if !ready {
            return (task, Err(entry));
        }
        note::submitted(local, task.any(), Number::NONE);
        (task, Ok(local.submit(entry)))
    });
    match entry {
        Ok(scheduled) => {
            // There is nothing to drop.
            std::mem::forget(awaiting);
            scheduled.now();
        }
        Err(entry) => submit_later(task.any(), entry, awaiting, claim),
    }
    task
}

/// As `submit_task`, for a call that was made elsewhere.
pub(crate) fn submit_task_at<T: Send + Sync + 'static>(
    job: impl Job<T>,
    awaiting: Awaiting,
    call: Call,
    claim: Option<Arc<Claim>>,
    place: impl FnOnce(&Arc<Local>) -> Place,
    elsewhere: Option<Elsewhere>,
) -> Ref<T> {
    let Some(elsewhere) = elsewhere else {
        return submit_task(job, awaiting, call, claim, place);
    };
    let (task, entry) = default::with_current(|local| {
        let origin = Origin { family: current::family(), place: place(local) };
        Ref::task(job, false, local.home(), origin, call)
    });
    task.any().extra().note_elsewhere(elsewhere);
    submit_later(task.any(), entry, awaiting, claim);
    task
}

/// Queues a task when its arguments are there and what it asked for is free.
fn submit_later(task: &AnyRef, entry: Entry, awaiting: Awaiting, claim: Option<Arc<Claim>>) {
    let Awaiting { refs, failure } = awaiting;
    if let Some(name) = claim.as_ref().and_then(|claim| claim.request().name.as_ref()) {
        let _ = task.extra().name.set(Arc::clone(name));
    }
    let closed = default::with_current(|local| {
        note::submitted(local, task, Number::NONE);
        local.pool().is_closed()
    });
    if closed && failure.is_none() {
        drop(refs);
        // Refused, as it would be if it were ready.
        let _ = entry.abandon(pool::shut_down_before("the call"));
        return;
    }
    if let Some(error) = failure {
        drop(refs);
        return arguments::fail(entry, error);
    }
    let then = match claim {
        None => Then::Queue(entry),
        Some(claim) => {
            claim.leave_line_if_cancelled(task);
            Then::Claim(entry, claim)
        }
    };
    Awaited::when_ready(refs, then);
}

/// A task that fails before it begins. It has its place all the same, or others would have another.
pub(crate) fn refused<T: Send + Sync + 'static>(
    error: Error,
    call: Call,
    place: impl FnOnce(&Arc<Local>) -> Place,
) -> Ref<T> {
    refused_at(error, call, place, None)
}

/// As `refused`, of a call that stands at that place in another process.
pub(crate) fn refused_at<T: Send + Sync + 'static>(
    error: Error,
    call: Call,
    place: impl FnOnce(&Arc<Local>) -> Place,
    stands_at: Option<Arc<str>>,
) -> Ref<T> {
    let error = error.through(Hop::from(call).at(stands_at.as_ref()));
    let task = Ref::complete(Err(error), call);
    if let Some(stands_at) = stands_at {
        let _ = task.any().extra().stands_at.set(stands_at);
    }
    default::with_current_if_any(|local| {
        if let Some(local) = local {
            let _ = place(local);
            note::refused(local, task.any(), Number::NONE);
        }
    });
    task
}

/// A call that is being given options, ended by `remote(..)` with the function's arguments.
///
/// ```
/// use mobula::prelude::*;
///
/// #[remote]
/// fn add(a: u64, b: u64) -> u64 {
///     a + b
/// }
///
/// assert_eq!(mobula::get(add::options().name("sum").remote(1, 2))?, 3);
/// # Ok::<(), mobula::Error>(())
/// ```
#[must_use = "a call is made by `.remote(..)`"]
pub struct TaskOptions<F: RemoteFn, P = <F as RemoteFn>::Params> {
    options: Options,
    marker: PhantomData<fn() -> (F, P)>,
}

impl<F: RemoteFn> TaskOptions<F> {
    /// The options of the function's attribute.
    #[expect(clippy::new_without_default, reason = "users write `f::options()`")]
    pub fn new() -> Self {
        Self { options: F::defaults().cloned().unwrap_or_default(), marker: PhantomData }
    }
}

// The builder methods are those of [`Options`]; here they keep the function's type.
pass_on! {
    [impl [F: RemoteFn, P] TaskOptions<F, P> => options]
    {
        /// A name for the task, in errors and contexts.
        name(name: impl Into<String>);
        /// How many CPUs the task takes.
        num_cpus(num_cpus: impl Into<f64>);
        /// How much of a named resource the task takes.
        resource(name: impl Into<String>, amount: impl Into<f64>);
        /// How often the task is tried again when it fails; see `retry_if`.
        max_retries(max_retries: u32);
        /// Which failures are worth another try. Without it, only the loss of a worker or of an object is.
        retry_if(retry_if: impl Fn(&Error) -> bool + Send + Sync + 'static);
        /// How long to wait before another try: a [`RetryDelay`](crate::RetryDelay), or a first delay, from
        /// which it grows.
        retry_delay(retry_delay: impl Into<RetryDelay>);
        /// How long the task may run, for each try.
        timeout(timeout: std::time::Duration);
        /// Which of several waiting tasks goes first: the one with the highest.
        priority(priority: i32);
        /// Where on a cluster the task is to run. Only on the engine `ray`.
        placement(placement: impl Into<Placement>);
    }
}

macro_rules! arities {
    ($( ($($param:ident $arg:ident),*) )*) => { $(
        impl<F, $($param: Param + 'static),*> TaskOptions<F, ($($param,)*)>
        where
            F: RemoteFn<Params = ($($param,)*)>,
        {
            /// Calls the function with these options.
            #[track_caller]
            pub fn remote(self, $($arg: impl Arg<$param>),*) -> F::Returns {
                let call = Call { function: F::function(), called_at: Location::caller() };
                let slots = ($($arg.into_slot(),)*);
                F::returns(submit_call::<F>(slots, Some(self.options), call, current::next_place))
            }
        }
    )* };
}

for_each_arity!(arities);

static SPAWNED: Function = Function::new("closure", module_path!(), file!(), line!());

/// Runs a closure as a task, on this machine.
///
/// ```
/// let sum = mobula::spawn(|| (1..=10).sum::<u64>());
/// assert_eq!(mobula::get(sum)?, 55);
/// # Ok::<(), mobula::Error>(())
/// ```
#[track_caller]
pub fn spawn<T: Send + Sync + 'static>(
    closure: impl FnOnce() -> T + Send + 'static,
) -> ObjectRef<T> {
    let call = Call { function: &SPAWNED, called_at: Location::caller() };
    if crossing::leaves() {
        let why = cluster::stays("`mobula::spawn` takes a closure, which stays in its process");
        return refused(why, call, current::next_place).into();
    }
    let job = Compute(move || Ok(closure()));
    submit_task(job, Awaiting::default(), call, None, current::next_place).into()
}
