//! Streams that another process produces.
//!
//! Here the producer is a future like any: it takes an item from the process, hands it on, and is pending while there
//! is no room. So the task is put back meanwhile and has no CPU, and the process waits, too, for it produces an item
//! when one is wanted.

use crate::api::crossing::{self, Arguments};
use crate::api::parameter::Params;
use crate::api::port::{FailureWay, Way};
use crate::api::stream::{Slots, StreamBody, StreamFn};
use crate::cluster::argument::{Argument, Packing, unfit};
use crate::cluster::frame::Body;
use crate::cluster::registry::Registered;
use crate::cluster::worker;
use crate::cluster::worker::task::{Ended, Items, Start};
use crate::cluster::{self, Answer, Cargo, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::function::Call;
use crate::local::cell::{AnyRef, Ref};
use crate::local::current::{self, Task};
use crate::local::job::AsTask;
use crate::local::stream::{Outlet, Producer};
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
        Self::new(F::function, run::<F>, |_| refuse::<F>(), failure::<F>)
    }
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

/// # Errors
/// `Engine`, if the stream cannot leave this process.
pub(super) fn check<F: StreamFn>() -> Result<()> {
    let name = F::function().name();
    if F::crossing().is_none() {
        let what = format!("the stream `{name}` is declared with `#[remote(local)]`");
        return Err(cluster::stays(&what));
    }
    match cluster::way_out()? {
        Some(_) if worker::is_worker() => Err(within::<F>()),
        Some(_) => {
            Err(cluster::stays(&format!("the stream `{name}` is produced in its caller's process")))
        }
        None => Ok(()),
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

fn task() -> Task {
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
                source.stop(&task());
                return Err(error);
            }
        }
    })
}

fn begin<F: StreamFn>(slots: Slots<F>) -> Result<Box<dyn Source>> {
    let crossing = F::crossing().expect("what was checked can cross");
    let arguments = Arguments::<F::Params>::Slots(slots);
    let load = Load::<F> { arguments: &arguments, crossing: &crossing };
    cluster::engine(&default::current())?.source(&load, &task())
}

fn next<F: StreamFn>(source: &mut dyn Source) -> Result<Option<Result<F::Item>>> {
    let way = F::crossing().expect("what was checked can cross").way;
    let mut item = None;
    let mut take = |answer: Answer<'_>| {
        item = Some(crossing::read(answer, way));
        Ok(())
    };
    Ok(if source.next(&task(), &mut take)? { item } else { None })
}

/// In a worker: produces the stream, item for item as they are wanted.
fn run<F: StreamFn>(start: Start<'_>, arguments: Vec<Argument>, body: &mut Body) -> Ended {
    let StreamCrossing { registered, ports, way, failure } =
        F::crossing().expect("what is registered can cross");
    let here = start.here(F::function());
    let outlet = start
        .items()
        .map(|items| Outlet::away(move |item| send(items, item, way, registered, failure)));
    let mut arguments = arguments.into_iter();
    let mut unpack = || {
        let slots = panics::catch(|| F::Params::unpack(&mut arguments, &ports, &start))?;
        F::Params::resolve(slots)
    };
    let local = default::current();
    let of_task = std::sync::Arc::clone(&local);
    let mut result = None;
    let future = async {
        let held = unpack()?;
        let outlet = outlet.ok_or_else(|| unfit("a stream that nobody reads"))?;
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
    items: Items,
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
