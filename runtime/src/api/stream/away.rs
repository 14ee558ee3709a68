//! Streams that another process produces.
//!
//! Here the producer is a future like any: it takes an item from the process, hands it on, and is pending while there
//! is no room. So the task is put back meanwhile and has no CPU, and the process waits, too, for it produces an item
//! when one is wanted.
//!
//! On a cluster, the producer is over there. What comes here is that an item is there, as a ref to it, as far as items
//! are asked for; each may stay where it is.
//!
//! A worker's tasks may call streams, too: the driver has those for them (`far.rs`).

use std::future::ready;
use std::sync::Arc;

use uuid::Uuid;

use crate::api::crossing::{self, Arguments};
use crate::api::options::Options;
use crate::api::parameter::Params;
use crate::api::port::{FailureWay, Way};
use crate::api::remote::submit_task_at;
use crate::api::stream::{
    End, ObjectStream, Slots, StreamBody, StreamConfig, StreamFn, check_unread_max, far,
};
use crate::cluster::argument::{Argument, Forwarded, Packing};
use crate::cluster::frame::Body;
use crate::cluster::registry::{Nature, Registered};
use crate::cluster::upstream::{Items, Pending, Streaming, Upstream};
use crate::cluster::worker::task::{self, Ended, Start};
use crate::cluster::{self, Answer, Cargo, Source, coder};
use crate::config::Engine;
use crate::error::{Error, ErrorKind, Failed, Result};
use crate::function::{Call, Hop};
use crate::local::cell::{AnyRef, Elsewhere, Promise, Ref};
use crate::local::current::{self, Task};
use crate::local::job::AsTask;
use crate::local::place::Place;
use crate::local::stream::{Feed, Inlet, Outlet, Produce, Producer, Shared};
use crate::local::{Local, default, panics};

/// How calls of a stream cross to another process.
pub struct StreamCrossing<F: StreamFn> {
    /// Its entry in the registry.
    pub registered: &'static Registered,
    /// How its arguments do.
    pub ports: <F::Params as Params>::Ports,
    /// How its items do.
    pub way: Way<F::Item>,
    /// How what an item failed with does.
    pub failure: Option<FailureWay>,
}

impl Registered {
    /// The entry of a stream.
    pub const fn of_stream<F: StreamFn>() -> Self {
        Self::new(F::function, run::<F>, forward::<F>, failure::<F>).of_nature(nature::<F>)
    }
}

fn nature<F: StreamFn>() -> Nature {
    let shares = F::crossing().map(|crossing| F::Params::shares(&crossing.ports));
    Nature { shares: shares.unwrap_or_default(), waits: matches!(F::body(), StreamBody::Await(_)) }
}

fn failure<F: StreamFn>(bytes: &[u8]) -> Option<Error> {
    let failure = F::crossing()?.failure?;
    panics::catch(|| Ok((failure.decode)(bytes))).ok()?
}

/// Has another process produce the stream.
///
/// # Errors
/// `Engine`, if it cannot leave; those of its options.
pub(super) fn submit<F: StreamFn>(
    slots: Slots<F>,
    config: StreamConfig,
    call: Call,
) -> Result<ObjectStream<F::Item>> {
    let name = F::function().name();
    let Some(crossing) = F::crossing() else {
        let what = format!("the stream `{name}` is declared with `#[remote(local)]`");
        return Err(cluster::stays(&what));
    };
    let bridged = cluster::is_over_bridge();
    if bridged && default::with_current(|local| local.settings().engine) != Engine::Ray {
        let what = format!("the stream `{name}` is produced in its caller's process");
        return Err(cluster::stays(&what));
    }
    match cluster::way_out()? {
        None => begin::<F>(Arguments::Slots(slots), config, call, current::next_place, None),
        Some(upstream) if bridged => submit_upstream::<F>(upstream, &slots, config, call),
        Some(upstream) => {
            let StreamCrossing { registered, ports, way, .. } = crossing;
            let max_unread = config.unread_max;
            let options = config.options.into_asked(None)?;
            let pack = |packing: &mut Packing<'_>| F::Params::pack(&slots, &ports, packing);
            let to = far::To { upstream, registered, way, call };
            far::begin(to, max_unread, Some(options), pack)
        }
    }
}

/// In the driver: submits a stream that a worker calls, or does something else with one.
fn forward<F: StreamFn>(forwarded: Forwarded) -> AnyRef {
    let call = Call::elsewhere(F::function());
    let way = F::crossing().expect("what is registered can cross").way;
    far::serve(forwarded, way, call, |forwarded, unread_max| {
        let Forwarded { arguments, keep, options, place, stands_at, .. } = forwarded;
        let options = Options::from_asked(options.unwrap_or_default(), None);
        let config = StreamConfig { options, unread_max };
        let arguments = Arguments::Forwarded(arguments, keep);
        begin::<F>(arguments, config, call, |_| place, Some(stands_at))
    })
}

/// In the driver: makes the task; `stands_at`: where it was called in another process.
fn begin<F: StreamFn>(
    arguments: Arguments<F::Params>,
    config: StreamConfig,
    call: Call,
    place: impl FnOnce(&Arc<Local>) -> Place,
    stands_at: Option<Arc<str>>,
) -> Result<ObjectStream<F::Item>> {
    let (claim, unread_max) = config.claim()?;
    if matches!(F::body(), StreamBody::Await(_)) && claim.request().asks_for_cpus() {
        return Err(super::no_cpus());
    }
    let hop = match &claim.request().name {
        Some(name) => call.named(Arc::clone(name)),
        None => call.into(),
    };
    let hop = hop.at(stands_at.as_ref());
    let shared = Shared::new(call, hop, unread_max);
    let outlet = Outlet::new(Arc::clone(&shared), Arc::clone(claim.local()));
    let awaiting = arguments.awaited();
    let make = move || Ok(producer::<F>(arguments, outlet));
    let job = Produce::new(make, false, Arc::clone(&shared), Arc::clone(&claim));
    let elsewhere = stands_at.map(|at| Elsewhere { id: None, at });
    let task = submit_task_at(job, awaiting, call, Some(claim), place, elsewhere);
    Ok(ObjectStream::new(shared, task))
}

/// Has a cluster produce the stream. Half of what may be unread lies there, and the other half here.
fn submit_upstream<F: StreamFn>(
    upstream: &'static dyn Upstream,
    slots: &Slots<F>,
    config: StreamConfig,
    call: Call,
) -> Result<ObjectStream<F::Item>> {
    let unread_max = check_unread_max(config.unread_max)?;
    let ahead = unread_max / 2;
    let StreamCrossing { registered, ports, way, .. } =
        F::crossing().expect("what was checked can cross");
    let asked = config.options.into_asked(None)?;
    if matches!(F::body(), StreamBody::Await(_)) && asked.num_cpus.is_some_and(|cpus| cpus > 0.0) {
        return Err(super::no_cpus());
    }
    let hop = match &asked.name {
        Some(name) => call.named(name.as_str().into()),
        None => call.into(),
    };
    let shared = Shared::new(call, hop.clone(), unread_max);
    let items = Arc::new(Coming { shared: Arc::clone(&shared), way, call, hop });
    // What Ray counts has a sign.
    let there = (unread_max - ahead).min(i64::MAX as usize);
    let streaming = Streaming { items, unread_max: there };
    let pack = |packing: &mut Packing<'_>| F::Params::pack(slots, &ports, packing);
    let task = crossing::send_stream_upstream(upstream, registered, pack, asked, call, streaming)?;
    let id = coder::id_of(task.any());
    let feed = Feed::new(ahead, move |count| upstream.want_items(id, count));
    Ok(ObjectStream::of(End::Here(Inlet::fed(shared, task.into_any(), feed))))
}

/// The reader's end of a stream that a cluster produces.
struct Coming<T: Send + Sync + 'static> {
    shared: Arc<Shared<T>>,
    way: Way<T>,
    call: Call,
    hop: Hop,
}

impl<T: Send + Sync + 'static> Items for Coming<T> {
    fn came(&self, id: Uuid, tell: &mut dyn FnMut(Box<dyn Pending>)) {
        let (item, promise) = Ref::<T>::promise(self.call, 0);
        (self.way.note)(item.any());
        let _ = item.any().extra().id.set(id);
        coder::id_of(item.any());
        tell(Box::new(ComingItem { promise, way: self.way, hop: self.hop.clone() }));
        self.shared.came(item);
    }
}

/// An item whose value comes when somebody asks, or has come.
struct ComingItem<T: Send + Sync + 'static> {
    promise: Promise<T>,
    way: Way<T>,
    hop: Hop,
}

impl<T: Send + Sync + 'static> Pending for ComingItem<T> {
    fn complete(self: Box<Self>, answer: std::result::Result<&[u8], Failed>, _: u32) {
        let Self { promise, way, hop } = *self;
        promise.complete(crossing::read(answer, way).map_err(|error| error.through(hop)));
    }
}

struct Load<'a, F: StreamFn> {
    arguments: &'a Arguments<F::Params>,
    crossing: &'a StreamCrossing<F>,
}

impl<F: StreamFn> Cargo for Load<'_, F> {
    fn function(&self) -> &'static Registered {
        self.crossing.registered
    }

    fn pack(&self, packing: &mut Packing<'_>) -> Result<()> {
        self.arguments.pack(&self.crossing.ports, packing)
    }
}

fn this_task() -> Task {
    current::task().expect("a producer is polled as its task")
}

/// What takes items from another process, and hands them on.
fn producer<F: StreamFn>(arguments: Arguments<F::Params>, outlet: Outlet<F::Item>) -> Producer {
    Box::pin(async move {
        let source = source::<F>(&arguments)?;
        let way = F::crossing().expect("what was checked can cross").way;
        pass_on(source, way, &outlet).await
    })
}

/// Takes items from another process until its end, and hands them on.
pub(crate) async fn pass_on<T: Send + Sync + 'static>(
    mut source: Box<dyn Source + '_>,
    way: Way<T>,
    outlet: &Outlet<T>,
) -> Result<()> {
    while let Some(item) = next(&mut *source, way)? {
        if let Err(error) = outlet.send(item).await {
            source.stop(&this_task());
            return Err(error);
        }
    }
    Ok(())
}

fn source<F: StreamFn>(arguments: &Arguments<F::Params>) -> Result<Box<dyn Source>> {
    let crossing = F::crossing().expect("what was checked can cross");
    let load = Load::<F> { arguments, crossing: &crossing };
    cluster::engine(&default::current())?.source(&load, &this_task())
}

fn next<T>(source: &mut dyn Source, way: Way<T>) -> Result<Option<Result<T>>> {
    let mut item = None;
    let mut take = |answer: Answer<'_>| {
        item = Some(crossing::read(answer, way));
        Ok(())
    };
    Ok(if source.next(&this_task(), &mut take)? { item } else { None })
}

/// In a worker: produces the stream, item for item as they are wanted.
fn run<F: StreamFn>(start: Start<'_>, arguments: Vec<Argument>, body: &mut Body) -> Ended {
    let StreamCrossing { registered, ports, way, failure } =
        F::crossing().expect("what is registered can cross");
    let here = start.here(F::function());
    let items = start.items();
    let outlet = outlet_of(items, way, registered, failure);
    let mut arguments = arguments.into_iter();
    let mut unpack = || {
        let slots = panics::catch(|| F::Params::unpack(&mut arguments, &ports, &start))?;
        F::Params::resolve(slots)
    };
    let local = default::current();
    let of_task = Arc::clone(&local);
    let mut result = None;
    let future = async {
        let held = unpack()?;
        match F::body() {
            StreamBody::Compute(make) | StreamBody::Await(make) => make(held, outlet).await,
        }
    };
    let running = AsTask::new(here.task, of_task, future);
    local.run_to_end(async { result = Some(running.await) });
    let result = result.expect("a future that ran to its end has a result");
    crossing::end(here, result, false, body, Way::new().encode, registered, failure)
}

/// In a worker: sends items to the driver, and waits until another is wanted, on the thread that runs the calls.
pub(crate) fn outlet_of<T: Send + Sync + 'static>(
    items: task::Items,
    way: Way<T>,
    registered: &'static Registered,
    failure: Option<FailureWay>,
) -> Outlet<T> {
    Outlet::away(move |item| {
        let wanted = items.send(|body| crossing::pack(item, body, way.encode, registered, failure));
        Box::pin(ready(go_on(wanted)))
    })
}

/// The same of a stream that is produced beside other calls: nobody waits but the stream.
pub(crate) fn outlet_among<T: Send + Sync + 'static>(
    items: task::Items,
    way: Way<T>,
    registered: &'static Registered,
    failure: Option<FailureWay>,
) -> Outlet<T> {
    Outlet::away(move |item| {
        Box::pin(async move {
            let pack =
                |body: &mut Body| crossing::pack(item, body, way.encode, registered, failure);
            go_on(items.send_among(pack).await)
        })
    })
}

fn go_on(wanted: bool) -> Result<()> {
    if wanted {
        crate::api::context::check_cancelled()
    } else {
        Err(Error::new(ErrorKind::Cancelled, "nobody reads its stream any more"))
    }
}
