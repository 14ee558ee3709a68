//! Streams: a call that gives many refs, one after the other, as they are produced.
//!
//! The macro implements [`StreamFn`] for a function with `stream`; its [`StreamBody`] makes a future that goes
//! through the function's iterator and hands each item to an [`Outlet`]. `local/stream.rs` is what is between
//! that and the [`ObjectStream`].

#![expect(clippy::too_many_arguments, reason = "a call has as many as its function")]

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::api::builder::{for_each_arity, pass_on};
use crate::api::crossing;
use crate::api::object::ObjectRef;
use crate::api::options::Options;
use crate::api::parameter::{Arg, Awaiting, Param, Params};
use crate::api::remote::submit_task;
use crate::config::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{Call, Function, Hop};
use crate::local::cell::{AnyRef, Ref};
use crate::local::completion::Completion;
use crate::local::job::Await;
use crate::local::request::Claim;
use crate::local::stream::{Inlet, Next, Outlet, Produce, Producer, Shared};
use crate::local::waiting::{self, Ended};
use crate::local::{cancelling, current, default};

pub(crate) mod away;
pub(crate) mod far;

pub use self::away::StreamCrossing;
use self::far::Far;

/// How many items may be there unread, unless `max_unread` says otherwise.
const UNREAD_MAX: usize = 16;

/// The refs that a call with `#[remote(stream)]` gives, one for each item, as they are produced.
///
/// It is an iterator, which waits for the next ref, and a `futures::Stream`. Each ref is ready when it comes;
/// with the engine `ray` the value of a large item comes when it is asked for.
/// Where an item is an `Err`, or the producer panics or is cancelled, a ref comes in its place of which
/// [`get`](crate::get) gives the failure; after a panic and the like it is the last one.
///
/// The producer is at most `max_unread` items ahead (16, unless the option says otherwise). Then it waits, and
/// holds no thread, no CPU and none of what it asked for; but with the engine `ray` it keeps what it asked for. Dropped,
/// the stream stops the producer, and cancels what that has submitted.
///
/// On a method of an actor `#[remote(stream)]` does the same. The actor is in the middle of that call until the
/// stream has ended or is dropped, for its items may borrow from the state: calls made after it wait, but for
/// `&self` calls beside a `&self` stream where the actor is async or has `max_concurrency`. So read a stream to its
/// end, or drop it, before you wait for a later call. While the producer waits for its reader it holds no CPU; of an
/// actor without async methods it does hold a thread. The method is not run again after a crash, whatever
/// `max_task_retries` says, and [`kill`](crate::kill) ends the stream, too.
///
/// ```
/// use mobula::prelude::*;
///
/// #[remote(stream)]
/// fn squares(n: u64) -> impl Iterator<Item = u64> {
///     (0..n).map(|x| x * x)
/// }
///
/// let mut sum = 0;
/// for square in squares::remote(5) {
///     sum += mobula::get(square)?;
/// }
/// assert_eq!(sum, 30);
///
/// // An endless one is stopped by not reading on.
/// let mut some = squares::options().max_unread(2).remote(u64::MAX);
/// assert_eq!(mobula::get(some.nth(3).unwrap())?, 9);
/// # Ok::<(), mobula::Error>(())
/// ```
///
/// Iterators and streams have methods of the same names. In async code a pinned one has those of a stream only:
///
/// ```
/// use futures::StreamExt;
/// use mobula::prelude::*;
///
/// #[remote(stream)]
/// fn squares(n: u64) -> impl Iterator<Item = u64> {
///     (0..n).map(|x| x * x)
/// }
///
/// # futures::executor::block_on(async {
/// let mut squares = std::pin::pin!(squares::remote(5));
/// while let Some(square) = squares.next().await {
///     println!("{}", square.await?);
/// }
/// # Ok::<(), mobula::Error>(())
/// # })?;
/// # Ok::<(), mobula::Error>(())
/// ```
#[must_use = "a stream that is dropped stops its producer"]
pub struct ObjectStream<T: Send + Sync + 'static> {
    end: End<T>,
    /// What `poll_next` waits for.
    later: Option<Pin<Box<Completion>>>,
    /// Set when the reader's wait could never have ended.
    given_up: bool,
}

/// The reader's end.
enum End<T: Send + Sync + 'static> {
    Here(Inlet<T>),
    /// The driver has it, where this is its worker.
    Far(Far<T>),
}

impl<T: Send + Sync + 'static> End<T> {
    fn next(&mut self) -> Next<T> {
        match self {
            Self::Here(inlet) => inlet.next(),
            Self::Far(far) => far.next(),
        }
    }

    /// What stands for the stream: its producer, or what the driver has.
    fn task(&self) -> &AnyRef {
        match self {
            Self::Here(inlet) => &inlet.task,
            Self::Far(far) => far.any(),
        }
    }
}

impl<T: Send + Sync + 'static> ObjectStream<T> {
    pub(crate) fn new(shared: Arc<Shared<T>>, task: Ref<()>) -> Self {
        Self::of(End::Here(Inlet::new(shared, task.into_any())))
    }

    fn of(end: End<T>) -> Self {
        Self { end, later: None, given_up: false }
    }

    pub(crate) fn failed(error: Error, call: Call) -> Self {
        Self::failed_at(error, call, call.into())
    }

    /// As `failed`; `hop`: that call, where it was made in another process.
    pub(crate) fn failed_at(error: Error, call: Call, hop: Hop) -> Self {
        let shared = Shared::new(call, hop.clone(), UNREAD_MAX);
        Self::new(shared, Ref::complete(Err(error.through(hop)), call))
    }

    /// Asks the producer to stop, and whatever it has submitted. The items that it has yielded can still be
    /// read; behind them comes a failure of the kind [`Cancelled`](ErrorKind::Cancelled), unless it had ended.
    pub fn cancel(&self) {
        match &self.end {
            End::Here(inlet) => {
                let _ = cancelling::cancel(&inlet.task, true);
                inlet.shared.wake();
            }
            End::Far(far) => far.cancel(),
        }
    }

    fn give_up(&mut self, why: Error) -> ObjectRef<T> {
        self.given_up = true;
        Ref::complete(Err(why), self.end.task().call()).into()
    }
}

impl<T: Send + Sync + 'static> Iterator for ObjectStream<T> {
    type Item = ObjectRef<T>;

    /// The next ref; waits until there is one. A wait that can never end gives a failure of the kind
    /// [`Deadlock`](ErrorKind::Deadlock), and nothing after it.
    fn next(&mut self) -> Option<ObjectRef<T>> {
        while !self.given_up {
            match self.end.next() {
                Next::Item(item) => return Some(item.into()),
                Next::End => return None,
                Next::Later(later) => match waiting::wait(&later, None) {
                    Err(Ended::Never(why)) => return Some(self.give_up(why)),
                    Ok(()) | Err(Ended::TimedOut) => {}
                },
            }
        }
        None
    }
}

impl<T: Send + Sync + 'static> FusedIterator for ObjectStream<T> {}

impl<T: Send + Sync + 'static> Stream for ObjectStream<T> {
    type Item = ObjectRef<T>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<ObjectRef<T>>> {
        loop {
            if let Some(later) = &mut self.later {
                if later.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.later = None;
            }
            match self.end.next() {
                Next::Item(item) => return Poll::Ready(Some(item.into())),
                Next::End => return Poll::Ready(None),
                Next::Later(later) => {
                    self.later = Some(Box::pin(Completion::of(later)));
                }
            }
        }
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for ObjectStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectStream({})", self.end.task().hop())
    }
}

/// A function with `#[remote(stream)]`.
pub trait StreamFn: Sized + 'static {
    /// Its parameters.
    type Params: Params;
    /// The `T` of `ObjectStream<T>`.
    type Item: Send + Sync + 'static;
    /// Its name and place.
    fn function() -> &'static Function;
    /// The options in its attribute.
    fn defaults() -> Option<&'static StreamConfig> {
        None
    }
    /// How it crosses to another process; None: it stays in this one.
    fn crossing() -> Option<StreamCrossing<Self>> {
        None
    }
    /// The function itself.
    fn body() -> StreamBody<Self>;
}

/// What the arguments of `F` are while it runs.
type Held<F> = <<F as StreamFn>::Params as Params>::Held;
/// What the arguments of `F` are until it runs.
type Slots<F> = <<F as StreamFn>::Params as Params>::Slots;

/// Makes the future that produces.
type Make<F> = fn(Held<F>, Outlet<<F as StreamFn>::Item>) -> Producer;

/// The function itself: its items are computed, or waited for.
pub enum StreamBody<F: StreamFn> {
    /// It returns an iterator.
    Compute(Make<F>),
    /// It returns a stream of its own.
    Await(Make<F>),
}

/// What is next in a stream of the program's.
pub async fn next_of<S: Stream>(mut stream: Pin<&mut S>) -> Option<S::Item> {
    std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await
}

/// Calls a function that streams.
#[track_caller]
pub fn submit_stream<F: StreamFn>(slots: Slots<F>) -> ObjectStream<F::Item> {
    let call = Call { function: F::function(), called_at: Location::caller() };
    submit_call::<F>(slots, F::defaults().cloned().unwrap_or_default(), call)
}

fn submit_call<F: StreamFn>(
    slots: Slots<F>,
    config: StreamConfig,
    call: Call,
) -> ObjectStream<F::Item> {
    if crossing::leaves() {
        return away::submit::<F>(slots, config, call)
            .unwrap_or_else(|why| ObjectStream::failed(why, call));
    }
    let claim = config.claim();
    let (claim, unread_max) = match claim {
        Ok(claim) => claim,
        Err(error) => return ObjectStream::failed(error, call),
    };
    let hop = match &claim.request().name {
        Some(name) => call.named(Arc::clone(name)),
        None => call.into(),
    };
    let shared = Shared::new(call, hop, unread_max);
    let mut awaiting = Awaiting::default();
    F::Params::awaited(&slots, &mut awaiting);
    let outlet = Outlet::new(Arc::clone(&shared), Arc::clone(claim.local()));
    let (body, waits) = match F::body() {
        StreamBody::Compute(body) => (body, false),
        StreamBody::Await(body) => (body, true),
    };
    if waits && claim.request().asks_for_cpus() {
        return ObjectStream::failed(no_cpus(), call);
    }
    let make = move || Ok(body(F::Params::resolve(slots)?, outlet));
    let task = if waits && claim.local().settings().engine == Engine::Threads {
        let mut make = Some(make);
        let make = move |_| (make.take().expect("a stream is not tried again"))();
        let (local, of_job) = (Arc::clone(claim.local()), Some(Arc::clone(&claim)));
        let job = Await { make, local, claim: of_job, attempt: 1 };
        submit_task(job, awaiting, call, Some(claim), current::next_place)
    } else {
        let job = Produce::new(make, waits, Arc::clone(&shared), Arc::clone(&claim));
        submit_task(job, awaiting, call, Some(claim), current::next_place)
    };
    ObjectStream::new(shared, task)
}

fn no_cpus() -> Error {
    let message = "a stream that waits computes on no CPU of the pool; leave num_cpus out";
    Error::new(ErrorKind::Engine, message)
}

/// Options of a stream by their names. Unset ones are left to the attribute, then to the default.
#[derive(Clone, Default)]
pub struct StreamConfig {
    options: Options,
    unread_max: Option<usize>,
}

impl StreamConfig {
    /// No options.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many items may be there that nobody has read. Default: 16.
    pub fn max_unread(mut self, max_unread: usize) -> Self {
        self.unread_max = Some(max_unread);
        self
    }

    /// What the producer asks for, and how far it may be ahead.
    fn claim(&self) -> Result<(Arc<Claim>, usize)> {
        let unread_max = check_unread_max(self.unread_max)?;
        let request = self.options.whole_request()?;
        Ok((Claim::new(request, &default::current())?, unread_max))
    }
}

/// How many items may be there unread.
///
/// # Errors
/// `Config`: none.
pub(crate) fn check_unread_max(max_unread: Option<usize>) -> Result<usize> {
    match max_unread.unwrap_or(UNREAD_MAX) {
        0 => {
            let message = "max_unread is 0; it takes a number from 1";
            Err(Error::new(ErrorKind::Config, message))
        }
        unread_max => Ok(unread_max),
    }
}

/// A call of a stream that is being given options, ended by `remote(..)` with the function's arguments.
#[must_use = "a call is made by `.remote(..)`"]
pub struct StreamOptions<F: StreamFn, P = <F as StreamFn>::Params> {
    config: StreamConfig,
    marker: PhantomData<fn() -> (F, P)>,
}

impl<F: StreamFn> StreamOptions<F> {
    /// The options of the function's attribute.
    #[expect(clippy::new_without_default, reason = "users write `f::options()`")]
    pub fn new() -> Self {
        Self { config: F::defaults().cloned().unwrap_or_default(), marker: PhantomData }
    }
}

impl<F: StreamFn, P> StreamOptions<F, P> {
    /// How many items may be there that nobody has read.
    pub fn max_unread(mut self, max_unread: usize) -> Self {
        self.config = self.config.max_unread(max_unread);
        self
    }
}

// Those that a stream has of a task's.
pass_on! {
    [impl [] StreamConfig => options, impl [F: StreamFn, P] StreamOptions<F, P> => config]
    {
        /// A name for the task, in errors and contexts.
        name(name: impl Into<String>);
        /// How many CPUs the task takes while it produces.
        num_cpus(num_cpus: impl Into<f64>);
        /// How much of a named resource the task takes while it produces.
        resource(name: impl Into<String>, amount: impl Into<f64>);
        /// Which of several waiting tasks goes first: the one with the highest.
        priority(priority: i32);
    }
}

macro_rules! arities {
    ($( ($($param:ident $arg:ident),*) )*) => { $(
        impl<F, $($param: Param + 'static),*> StreamOptions<F, ($($param,)*)>
        where
            F: StreamFn<Params = ($($param,)*)>,
        {
            /// Calls the function with these options.
            #[track_caller]
            pub fn remote(self, $($arg: impl Arg<$param>),*) -> ObjectStream<F::Item> {
                let call = Call { function: F::function(), called_at: Location::caller() };
                submit_call::<F>(($($arg.into_slot(),)*), self.config, call)
            }
        }
    )* };
}

for_each_arity!(arities);
