//! Calls that leave this process: the place where the two ways of a call part.
//!
//! In the driver, a task whose function runs in a worker holds its arguments as any task does, until it has its
//! turn. Then they are packed, and the answer is read into the result: [`Sent`] for a task that asks for
//! nothing, which may go ahead of its turn, and `ComputeWith` for all others. In a worker, a call packs its
//! arguments at once and goes to the driver, and what it gives is a ref whose value comes from there.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::api::object::ObjectRef;
use crate::api::options::Options;
use crate::api::parameter::{Awaiting, Params};
use crate::api::port::{FailureWay, Way};
use crate::api::remote::{Body, Held, RemoteFn, Slots, claim, refused, refused_at, submit_task_at};
use crate::cluster::argument::{
    Argument, Asked, Forwarded, ForwardedArgument, Packing, What, unfit,
};
use crate::cluster::coder::Stored;
use crate::cluster::frame;
use crate::cluster::registry::{Nature, Registered};
use crate::cluster::upstream::{Departure, Pending, Streaming, Upstream};
use crate::cluster::worker::task::{self, Ended, Here, Start};
use crate::cluster::{self, Answer, Cargo, Parcel, coder};
use crate::error::{Error, ErrorKind, Failed, Result};
use crate::function::{Call, Function};
use crate::local::cell::{AnyRef, Elsewhere, Job, Promise, Ref};
use crate::local::current::{self, Task};
use crate::local::job::{AsTask, ComputeWith};
use crate::local::place::Place;
use crate::local::{Local, abroad, cancelling, default, ids, note, panics};
use crate::observe::EventKind;
use crate::wire;

/// How calls of a function cross to another process.
pub struct Crossing<F: RemoteFn> {
    /// Its entry in the registry.
    pub registered: &'static Registered,
    /// How its arguments do.
    pub ports: <F::Params as Params>::Ports,
    /// How its result does.
    pub way: Way<F::Output>,
    /// How what it fails with does.
    pub failure: Option<FailureWay>,
}

impl Registered {
    /// The entry of a function.
    pub const fn of<F: RemoteFn>() -> Self {
        Self::new(F::function, run::<F>, forward::<F>, failure::<F>).of_nature(nature::<F>)
    }
}

fn nature<F: RemoteFn>() -> Nature {
    let shares = F::crossing().map(|crossing| F::Params::shares(&crossing.ports));
    Nature { shares: shares.unwrap_or_default(), waits: matches!(F::body(), Body::Await(_)) }
}

/// Whether calls of this thread's runtime leave this process.
#[inline]
pub(crate) fn leaves() -> bool {
    abroad::is_used() && default::with_current(|local| cluster::leaves(local))
}

/// A call, until it has been made over there.
struct Load<F: RemoteFn> {
    arguments: Arguments<F::Params>,
    crossing: Crossing<F>,
}

/// The arguments of a call that leaves this process.
pub(crate) enum Arguments<P: Params> {
    Slots(P::Slots),
    /// From a worker: bytes, and the objects that are named in them.
    Forwarded(Vec<ForwardedArgument>, Vec<(Uuid, What)>),
}

impl<P: Params> Arguments<P> {
    pub(crate) fn awaited(&self) -> Awaiting {
        let mut awaiting = Awaiting::default();
        match self {
            Self::Slots(slots) => P::awaited(slots, &mut awaiting),
            Self::Forwarded(arguments, _) => {
                arguments
                    .iter()
                    .flat_map(ForwardedArgument::refs)
                    .for_each(|any| awaiting.add(any));
            }
        }
        awaiting
    }

    /// Packs them for a worker. All refs are complete.
    pub(crate) fn pack(&self, ports: &P::Ports, packing: &mut Packing<'_>) -> Result<()> {
        match self {
            Self::Slots(slots) => panics::catch(|| P::pack(slots, ports, packing)),
            Self::Forwarded(arguments, keep) => {
                packing.held.extend(keep.iter().map(|(id, what)| what.clone().held(*id)));
                let shares = P::shares(ports);
                let each = &mut arguments.iter().zip(shares);
                each.try_for_each(|(argument, shares)| argument.pack(shares, packing))
            }
        }
    }
}

impl<F: RemoteFn> Cargo for Load<F> {
    fn function(&self) -> &'static Registered {
        self.crossing.registered
    }

    fn pack(&self, packing: &mut Packing<'_>) -> Result<()> {
        self.arguments.pack(&self.crossing.ports, packing)
    }
}

impl<F: RemoteFn> Load<F> {
    /// Makes the call, as the task that this thread runs.
    fn call(&self, local: &Arc<Local>) -> Result<F::Output> {
        let task = current::task().expect("a job runs as its task");
        let engine = cluster::engine(local)?;
        let mut result = None;
        engine.call(self, &task, &mut |answer| {
            result = Some(self.read(answer));
            Ok(())
        })?;
        result.expect("a call that went well was answered")
    }

    fn read(&self, answer: Answer<'_>) -> Result<F::Output> {
        read(answer, self.crossing.way)
    }
}

/// What an answer says.
pub(crate) fn read<T>(answer: Answer<'_>, way: Way<T>) -> Result<T> {
    match answer {
        Ok(bytes) => panics::catch(|| (way.decode)(bytes)),
        Err(failed) => Err(cluster::error_of(failed)),
    }
}

/// The error that a function failed with, from its bytes.
fn failure<F: RemoteFn>(bytes: &[u8]) -> Option<Error> {
    let failure = F::crossing()?.failure?;
    panics::catch(|| Ok((failure.decode)(bytes))).ok()?
}

/// Calls a function whose tasks run in another process.
pub(crate) fn submit<F: RemoteFn>(
    slots: Slots<F>,
    options: Option<Options>,
    call: Call,
    place: impl FnOnce(&Arc<Local>) -> Place,
) -> ObjectRef<F::Output> {
    // Whatever becomes of it, it counts as a call.
    let place = default::with_current(place);
    let Some(crossing) = F::crossing() else {
        let what = format!("`{}` is declared with `#[remote(local)]`", call.function.name());
        return refused(cluster::stays(&what), call, |_| place).into();
    };
    let submitted = match cluster::way_out() {
        Err(error) => Err(error),
        Ok(Some(upstream)) => {
            submit_upstream::<F>(upstream, &slots, crossing, options, call, &place)
        }
        Ok(None) => submit_abroad(Arguments::Slots(slots), crossing, options, call, place, None),
    };
    submitted.unwrap_or_else(|error| refused(error, call, |_| Place::ROOT)).into()
}

/// In the driver: makes the task, which may be called `elsewhere`.
fn submit_abroad<F: RemoteFn>(
    arguments: Arguments<F::Params>,
    crossing: Crossing<F>,
    options: Option<Options>,
    call: Call,
    place: Place,
    elsewhere: Option<Elsewhere>,
) -> Result<Ref<F::Output>> {
    let note = crossing.way.note;
    let awaiting = arguments.awaited();
    let load = Load { arguments, crossing };
    let task = match (F::body(), options.as_ref().map(claim).transpose()?.flatten()) {
        (Body::Compute(_), None) => {
            submit_task_at(Sent(load), awaiting, call, None, |_| place, elsewhere)
        }
        (Body::Await(_), Some(claim)) if claim.request().asks_for_cpus() => {
            return Err(Error::new(ErrorKind::Engine, crate::api::remote::ASYNC_WITH_CPUS));
        }
        (body, asked) => {
            // What waits has a thread of its own here, without a CPU, as its process has.
            let claim = match (body, asked) {
                (Body::Await(_), _) => claim(&options.unwrap_or_default().num_cpus(0))?,
                (Body::Compute(_), asked) => asked,
            };
            let claim = claim.expect("it asks for something");
            let local = Arc::clone(claim.local());
            // The arguments stay until the last try is over: packing only reads them.
            let work = move |_| load.call(&local);
            let job = ComputeWith { work, claim: Arc::clone(&claim), attempt: 1 };
            submit_task_at(job, awaiting, call, Some(claim), |_| place, elsewhere)
        }
    };
    note(task.any());
    Ok(task)
}

/// A task that asks for nothing and runs in another process.
struct Sent<F: RemoteFn>(Load<F>);

impl<F: RemoteFn> Job<F::Output> for Sent<F> {
    const IS_SENT: bool = true;

    fn run(self, promise: Promise<F::Output>) {
        let local = default::current();
        let parcel = Box::new(SentParcel { load: self.0, promise });
        match cluster::engine(&local) {
            Ok(engine) => engine.run(parcel),
            Err(error) => parcel.failed(error),
        }
    }
}

/// It, once begun.
struct SentParcel<F: RemoteFn> {
    load: Load<F>,
    promise: Promise<F::Output>,
}

impl<F: RemoteFn> SentParcel<F> {
    fn end(self, result: Result<F::Output>) {
        let Self { load, promise } = self;
        cancelling::note_end(&promise, &result, None);
        let result = result.map_err(|error| error.through(promise.hop()));
        // The arguments go before anybody sees the result.
        panics::drop_quietly(load);
        promise.complete(result);
    }
}

impl<F: RemoteFn> Cargo for SentParcel<F> {
    fn function(&self) -> &'static Registered {
        self.load.function()
    }

    fn pack(&self, packing: &mut Packing<'_>) -> Result<()> {
        self.load.pack(packing)
    }
}

impl<F: RemoteFn> Parcel for SentParcel<F> {
    fn task(&self) -> Task {
        Task::new(self.promise.task(), self.promise.call(), crate::millis::Millis::ONE, 0)
    }

    fn begins(&self) {
        note::step(self.promise.number(), EventKind::Started);
    }

    fn done(self: Box<Self>, answer: Answer<'_>) {
        let result = self.load.read(answer);
        self.end(result);
    }

    fn failed(self: Box<Self>, error: Error) {
        self.end(Err(error));
    }

    unsafe fn put_back(self: Box<Self>, local: &Arc<Local>) {
        let Self { load, promise } = *self;
        // SAFETY: the cell was made with a `Sent<F>`, and by the caller's promise this came of its entry.
        match unsafe { promise.put_back(Sent(load)) } {
            Ok(entry) => local.schedule_last(entry).now(),
            Err((Sent(load), promise)) => {
                let error = Error::new(ErrorKind::Cancelled, "it was cancelled before it ran");
                Self { load, promise }.end(Err(error));
            }
        }
    }
}

/// In the driver: submits a call that a worker made.
fn forward<F: RemoteFn>(forwarded: Forwarded) -> AnyRef {
    let Forwarded { id, arguments, keep, options, place, stands_at } = forwarded;
    let call = Call::elsewhere(F::function());
    let options = options.map(|asked| Options::from_asked(asked, F::defaults()));
    let arguments = Arguments::Forwarded(arguments, keep);
    let submitted = match F::crossing() {
        Some(crossing) => {
            // Whoever runs it may ask for its id before this thread goes on.
            let elsewhere = Some(Elsewhere { id: Some(id), at: Arc::clone(&stands_at) });
            submit_abroad::<F>(arguments, crossing, options, call, place, elsewhere)
        }
        None => Err(cluster::stays("it is local")),
    };
    let refused = |error| refused_at(error, call, |_| Place::ROOT, Some(stands_at));
    let task = submitted.unwrap_or_else(refused).into_any();
    coder::named(&task, id);
    task
}

/// Sends a call to whoever runs it: from a worker to the driver, or to a cluster.
fn submit_upstream<F: RemoteFn>(
    upstream: &dyn Upstream,
    slots: &Slots<F>,
    crossing: Crossing<F>,
    options: Option<Options>,
    call: Call,
    place: &Place,
) -> Result<Ref<F::Output>> {
    let Crossing { registered, ports, way, .. } = crossing;
    let options = options.map(|options| options.into_asked(F::defaults())).transpose()?;
    let pack = |packing: &mut Packing<'_>| F::Params::pack(slots, &ports, packing);
    send_upstream(upstream, registered, pack, way, options, call, place)
}

/// As `send_upstream`, for a call that gives a stream: the ref is complete at its end.
pub(crate) fn send_stream_upstream(
    upstream: &dyn Upstream,
    registered: &'static Registered,
    pack: impl Fn(&mut Packing<'_>) -> Result<()>,
    options: Asked,
    call: Call,
    streaming: Streaming,
) -> Result<Ref<()>> {
    let place = default::with_current(current::next_place);
    let read = |answer: Answer<'_>| read(answer, Way::new());
    let options = Some(options);
    let task = send_with(upstream, registered, pack, read, options, call, &place, Some(streaming))?;
    coder::note::<()>(task.any());
    Ok(task)
}

/// Has whoever runs calls do what stands under this name, and gives a ref to what comes of it.
pub(crate) fn send_upstream<T: Send + Sync + 'static>(
    upstream: &dyn Upstream,
    registered: &'static Registered,
    pack: impl Fn(&mut Packing<'_>) -> Result<()>,
    way: Way<T>,
    options: Option<Asked>,
    call: Call,
    place: &Place,
) -> Result<Ref<T>> {
    let read = move |answer: Answer<'_>| read(answer, way);
    let task = send_with(upstream, registered, pack, read, options, call, place, None)?;
    (way.note)(task.any());
    Ok(task)
}

/// As `send_upstream`; `read` reads the answer, as soon as that is there.
#[expect(clippy::too_many_arguments, reason = "a call has all of them")]
pub(crate) fn send_with<T: Send + Sync + 'static>(
    upstream: &dyn Upstream,
    registered: &'static Registered,
    pack: impl Fn(&mut Packing<'_>) -> Result<()>,
    read: impl FnOnce(Answer<'_>) -> Result<T> + Send + 'static,
    options: Option<Asked>,
    call: Call,
    place: &Place,
    streaming: Option<Streaming>,
) -> Result<Ref<T>> {
    let (task, promise) = Ref::<T>::promise(call, 0);
    if let Some(name) = options.as_ref().and_then(|options| options.name.as_deref()) {
        let _ = task.any().extra().name.set(name.into());
    }
    let id = coder::fresh_id(task.any());
    let mut pack = |packing: &mut Packing<'_>| panics::catch(|| pack(packing));
    let departure = Departure {
        id,
        registered,
        pack: &mut pack,
        options,
        stands_at: call.called_at.to_string(),
        place: default::with_current(|local| place.pool(local.tree().root()).to_words()),
        streaming,
    };
    let noted = cluster::is_over_bridge();
    upstream.submit(departure, Box::new(Coming { promise, noted, read }))?;
    Ok(task)
}

/// A value that comes from elsewhere.
struct Coming<T: Send + Sync + 'static, R> {
    promise: Promise<T>,
    /// Whether it is the result of a call that is noted here on the way of its failure.
    noted: bool,
    read: R,
}

impl<T, R> Pending for Coming<T, R>
where
    T: Send + Sync + 'static,
    R: FnOnce(Answer<'_>) -> Result<T> + Send,
{
    fn complete(self: Box<Self>, mut answer: Answer<'_>, tries: u32) {
        let Self { promise, noted, read } = *self;
        let call = answer.as_mut().err().and_then(|failed| failed.call.take());
        let result = read(answer).map_err(|error| match call {
            _ if noted => error.through(promise.hop().tried(tries)),
            Some(call) => error.through_told(call),
            None => error,
        });
        promise.complete(result);
    }
}

static IMPORTED: Function = Function::new("object", module_path!(), file!(), line!());

/// A ref to an object that is elsewhere, whose value comes when somebody asks for it.
///
/// # Errors
/// `Serialization`, if this process has the object with another type.
pub(crate) fn import<T>(upstream: &dyn Upstream, id: Uuid) -> Result<ObjectRef<T>>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let making = ids::making();
    if let Some(any) = ids::find(id) {
        upstream.import_again(id);
        drop(making);
        // A driver that has joined a cluster may have workers of its own, too.
        let found = match Ref::from_any(any.clone()) {
            Some(object) => Some(object.into()),
            None => from_stored(any)?,
        };
        return found.ok_or_else(|| unfit("an object of another type"));
    }
    let call = Call::elsewhere(&IMPORTED);
    let (object, before) = make_import(upstream, id, Way::<T>::new(), call);
    drop(making);
    drop(before);
    Ok(object.into())
}

/// The same of one that this process does not have yet.
pub(crate) fn import_new<T: Send + Sync + 'static>(
    upstream: &dyn Upstream,
    id: Uuid,
    way: Way<T>,
    call: Call,
) -> Ref<T> {
    make_import(upstream, id, way, call).0
}

/// The ref, and what was pending of an object of that id that has no ref any more, to be dropped while no lock is held.
fn make_import<T: Send + Sync + 'static>(
    upstream: &dyn Upstream,
    id: Uuid,
    way: Way<T>,
    call: Call,
) -> (Ref<T>, Option<Box<dyn Pending>>) {
    let (object, promise) = Ref::<T>::promise(call, 0);
    (way.note)(object.any());
    coder::named(object.any(), id);
    let read = move |answer: Answer<'_>| read(answer, way);
    let before = upstream.import(id, Box::new(Coming { promise, noted: false, read }));
    (object, before)
}

/// In the driver: a ref to what a worker stored, of which only the bytes are known. None: it is none.
pub(crate) fn from_stored<T>(any: AnyRef) -> Result<Option<ObjectRef<T>>>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    let call = any.call();
    let Some(stored) = Ref::<Stored>::from_any(any) else { return Ok(None) };
    // It may have failed.
    let value = match stored.share() {
        Ok(stored) => Ok(wire::decode(&stored.bytes)?),
        Err(why) => Err(why),
    };
    Ok(Some(Ref::complete(value, call).into()))
}

/// In a worker: runs the function.
fn run<F: RemoteFn>(start: Start<'_>, arguments: Vec<Argument>, body: &mut frame::Body) -> Ended {
    let Crossing { registered, ports, way, failure } =
        F::crossing().expect("what is registered can cross");
    let here = start.here(F::function());
    let held = || -> Result<Held<F>> {
        let mut arguments = arguments.into_iter();
        let slots = F::Params::unpack(&mut arguments, &ports, &start)?;
        F::Params::resolve(slots)
    };
    let result = match F::body() {
        Body::Compute(function) => {
            let result = current::in_task(here.task, || function(held()?));
            here.task.check_time().and(result)
        }
        Body::Await(function) => {
            let local = default::current();
            let limit = here.task.limit;
            let future = async {
                let future = function(held()?);
                match limit {
                    None => future.await,
                    Some(limit) => limit.run(future).await,
                }
            };
            let mut result = None;
            let running = AsTask::new(here.task, Arc::clone(&local), future);
            local.run_to_end(async { result = Some(running.await) });
            result.expect("a future that ran to its end has a result")
        }
    };
    let retry = result.as_ref().err().is_some_and(is_worth_a_try::<F>);
    Ended { retry, ..end(here, result, false, body, way.encode, registered, failure) }
}

/// Whether the function's own rule says so. Only a cluster asks: a driver of workers knows the rule itself.
fn is_worth_a_try<F: RemoteFn>(error: &Error) -> bool {
    let rule = F::defaults().and_then(Options::retry_rule);
    let rule = rule.filter(|_| cluster::is_over_bridge());
    rule.is_some_and(|retry_if| panics::catch(|| Ok(retry_if(error))).unwrap_or(false))
}

/// In a worker: packs what came of a call, which panicked as one of an actor if it `crashed`.
pub(crate) fn end<T>(
    here: Here,
    result: Result<T>,
    crashed: bool,
    body: &mut frame::Body,
    encode: fn(&T, &mut dyn std::io::Write) -> Result<Vec<wire::Held>>,
    registered: &'static Registered,
    failure: Option<FailureWay>,
) -> Ended {
    let (outcome, held) = pack(result, body, encode, registered, failure);
    Ended { outcome, held, how: here.end(crashed), retry: false }
}

/// In a worker: packs a value, or why there is none.
pub(crate) fn pack<T>(
    result: Result<T>,
    body: &mut frame::Body,
    encode: fn(&T, &mut dyn std::io::Write) -> Result<Vec<wire::Held>>,
    registered: &'static Registered,
    failure: Option<FailureWay>,
) -> (frame::Outcome, Vec<wire::Held>) {
    let encoded = result.and_then(|value| {
        let encoded = panics::catch(|| task::encode(body, &value, encode));
        panics::drop_quietly(value);
        encoded
    });
    match encoded {
        Ok((part, held)) => (Ok(part), held),
        Err(error) => {
            let mut failed = Failed::from(&error);
            let encode = |way: FailureWay| {
                let bytes = panics::catch(|| Ok((way.encode)(&error))).ok().flatten()?;
                Some((registered.name().to_owned(), bytes))
            };
            failed.value = failed.value.take().or_else(|| failure.and_then(encode));
            (Err(failed), Vec::new())
        }
    }
}
