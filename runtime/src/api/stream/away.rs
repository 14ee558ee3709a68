//! Streams that another process produces.
//!
//! Here the producer is a future like any: it takes an item from the process, hands it on, and is pending while there
//! is no room. So the task is put back meanwhile and has no CPU, and the process waits, too, for it produces an item
//! when one is wanted.
//!
//! On a cluster, the producer is over there. What comes here is that an item is there, as a ref to it, as far as items
//! are asked for; each may stay where it is.

use std::sync::Arc;

use uuid::Uuid;

use crate::api::crossing::{self, Arguments};
use crate::api::parameter::Params;
use crate::api::port::{FailureWay, Way};
use crate::api::stream::{
    ObjectStream, Slots, StreamBody, StreamConfig, StreamFn, check_unread_max,
};
use crate::cluster::argument::{Argument, Packing};
use crate::cluster::frame::Body;
use crate::cluster::registry::{Nature, Registered};
use crate::cluster::upstream::{Items, Pending, Streaming, Upstream};
use crate::cluster::worker;
use crate::cluster::worker::task::{self, Ended, Start};
use crate::cluster::{self, Answer, Cargo, Source, coder};
use crate::config::Engine;
use crate::error::{Error, ErrorKind, Failed, Result};
use crate::function::{Call, Hop};
use crate::local::cell::{AnyRef, Promise, Ref};
use crate::local::current::{self, Task};
use crate::local::job::AsTask;
use crate::local::stream::{Feed, Inlet, Outlet, Producer, Shared};
use crate::local::{default, panics};

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
        Self::new(F::function, run::<F>, |_| refuse::<F>(), failure::<F>).of_nature(nature::<F>)
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

/// In the driver: a worker asks for a stream, which it has refused already.
fn refuse<F: StreamFn>() -> AnyRef {
    let call = Call { function: F::function(), called_at: std::panic::Location::caller() };
    Ref::<()>::complete(Err(within::<F>()), call).into_any()
}

fn within<F: StreamFn>() -> Error {
    let name = F::function().name();
    let message = format!(
        "the stream `{name}` is called in a task, and the engine `processes` gives streams to the program's own \
         process only: return its items from a task, or use the engine `threads`"
    );
    Error::new(ErrorKind::Engine, message)
}

/// Where the stream is produced that leaves this process. None: in a worker of its own.
///
/// # Errors
/// `Engine`, if it cannot leave.
pub(super) fn way<F: StreamFn>() -> Result<Option<&'static dyn Upstream>> {
    let name = F::function().name();
    if F::crossing().is_none() {
        let what = format!("the stream `{name}` is declared with `#[remote(local)]`");
        return Err(cluster::stays(&what));
    }
    if !cluster::is_over_bridge() {
        return if worker::is_worker() { Err(within::<F>()) } else { Ok(None) };
    }
    if default::with_current(|local| local.settings().engine) != Engine::Ray {
        let what = format!("the stream `{name}` is produced in its caller's process");
        return Err(cluster::stays(&what));
    }
    cluster::way_out()
}

/// Has a cluster produce the stream. Half of what may be unread lies there, and the other half here.
pub(super) fn submit<F: StreamFn>(
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
    Ok(ObjectStream::of(Inlet::fed(shared, task.into_any(), feed)))
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
pub(super) fn producer<F: StreamFn>(slots: Slots<F>, outlet: Outlet<F::Item>) -> Producer {
    Box::pin(async move {
        let mut source = begin::<F>(slots)?;
        loop {
            let item = match next::<F>(&mut *source) {
                Ok(Some(item)) => item,
                Ok(None) => return Ok(()),
                Err(error) => return Err(error),
            };
            if let Err(error) = outlet.send(item).await {
                source.stop(&this_task());
                return Err(error);
            }
        }
    })
}

fn begin<F: StreamFn>(slots: Slots<F>) -> Result<Box<dyn Source>> {
    let crossing = F::crossing().expect("what was checked can cross");
    let arguments = Arguments::<F::Params>::Slots(slots);
    let load = Load::<F> { arguments: &arguments, crossing: &crossing };
    cluster::engine(&default::current())?.source(&load, &this_task())
}

fn next<F: StreamFn>(source: &mut dyn Source) -> Result<Option<Result<F::Item>>> {
    let way = F::crossing().expect("what was checked can cross").way;
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
    let outlet = Outlet::away(move |item| send(items, item, way, registered, failure));
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

/// Sends an item to the driver, and waits until another is wanted.
fn send<T>(
    items: task::Items,
    item: Result<T>,
    way: Way<T>,
    registered: &'static Registered,
    failure: Option<FailureWay>,
) -> Result<()> {
    let wanted = items.send(|body| crossing::pack(item, body, way.encode, registered, failure));
    if wanted {
        crate::api::context::check_cancelled()
    } else {
        Err(Error::new(ErrorKind::Cancelled, "nobody reads its stream any more"))
    }
}
