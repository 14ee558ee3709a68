//! Streams that become calls.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

use futures_core::Stream;

use crate::api::actor::{Actor, ActorControl as _, ActorEnd, ActorHandle};
use crate::api::object::ObjectRef;
use crate::api::parameter::Awaiting;
use crate::api::remote::submit_task;
use crate::error::Result;
use crate::function::{Call, Function};
use crate::local::completion::Completion;
use crate::local::job::Await;
use crate::local::{current, default};

/// How many calls of a delivery may wait for their results before the next item is taken.
const UNDER_WAY_MAX: usize = 32;

static DELIVER: Function = Function::new("deliver", module_path!(), file!(), line!());

/// Calls an actor for each item of a stream, in the order of the items. The ref gives how many there were, when
/// the stream has ended and all calls are done.
///
/// Items are taken as the actor gets on: at most 32 calls are under way. The first call that fails ends the
/// delivery, and the ref fails with its error; the calls made after it still run. So does the end of the actor, with
/// [`ActorDied`](crate::ErrorKind::ActorDied), while the stream has no item to give. [`cancel`](crate::cancel) of the
/// ref ends it, too. Meanwhile the delivery holds a handle, so the actor lives at least as long unless it is stopped.
///
/// ```
/// use mobula::prelude::*;
///
/// struct Total(u64);
///
/// #[remote]
/// impl Total {
///     pub fn new() -> Self {
///         Self(0)
///     }
///     pub fn add(&mut self, value: u64) -> u64 {
///         self.0 += value;
///         self.0
///     }
/// }
///
/// let total = Total::remote();
/// let readings = futures::stream::iter([3, 4, 5]); // From a socket, a channel, a timer.
/// let delivered = mobula::deliver(readings, &total, |total, value| total.add(value));
/// assert_eq!(mobula::get(delivered)?, 3);
/// assert_eq!(mobula::get(total.add(0))?, 12);
/// # Ok::<(), mobula::Error>(())
/// ```
#[track_caller]
pub fn deliver<S, A, T, C>(stream: S, actor: &ActorHandle<A>, call: C) -> ObjectRef<u64>
where
    S: Stream<Item: Send> + Send + 'static,
    A: Actor,
    T: Send + Sync + 'static,
    C: FnMut(&ActorHandle<A>, S::Item) -> ObjectRef<T> + Send + 'static,
{
    let actor = actor.clone();
    let mut delivery = Some((stream, actor, call));
    let called_at = Location::caller();
    let make = move |_| {
        let (stream, actor, call) = delivery.take().expect("a delivery is made once");
        Ok(deliver_all(stream, actor, call, called_at))
    };
    let job = Await { make, local: default::current(), claim: None, attempt: 1 };
    let call = Call { function: &DELIVER, called_at };
    submit_task(job, Awaiting::default(), call, None, current::next_place).into()
}

async fn deliver_all<S, A, T, C>(
    stream: S,
    actor: ActorHandle<A>,
    mut call: C,
    at: &'static Location<'static>,
) -> Result<u64>
where
    S: Stream,
    A: Actor,
    T: Send + Sync + 'static,
    C: FnMut(&ActorHandle<A>, S::Item) -> ObjectRef<T>,
{
    let mut stream = pin!(stream);
    // Watched only where nobody else would tell.
    let mut end = None;
    // Boxed, because they do not move while they wait.
    let mut under_way: VecDeque<Pin<Box<Completion>>> = VecDeque::new();
    let mut delivered = 0;
    let mut is_over = false;
    poll_fn(|context| {
        loop {
            while let Some(first) = under_way.front_mut()
                && let Poll::Ready(done) = first.as_mut().poll(context)
            {
                under_way.pop_front();
                if let Some(error) = done.failure() {
                    return Poll::Ready(Err(error));
                }
            }
            if is_over && under_way.is_empty() {
                return Poll::Ready(Ok(delivered));
            }
            if is_over || under_way.len() == UNDER_WAY_MAX {
                return Poll::Pending;
            }
            match stream.as_mut().poll_next(context) {
                Poll::Ready(None) => is_over = true,
                Poll::Ready(Some(item)) => {
                    let called = call(&actor, item).into_any();
                    under_way.push_back(Box::pin(Completion::of(called)));
                    delivered += 1;
                }
                // Where calls are under way, they tell of the actor's end, too.
                Poll::Pending if under_way.is_empty() => {
                    let end =
                        end.get_or_insert_with(|| Box::pin(actor.watch_from(at).into_future()));
                    let end = ready!(end.as_mut().poll(context));
                    let error = |end: ActorEnd| end.to_error(A::function().name());
                    return Poll::Ready(Err(end.map_or_else(|error| error, error)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}
