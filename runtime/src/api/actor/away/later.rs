//! Actors in other processes whose calls wait.
//!
//! Here a call is a future: it sends the call when it is polled first, and is woken when the answer is there, or when
//! there will be none. So calls are under way side by side as in one process, and as there the strand lets a
//! `&mut self` call begin when no other is.
//!
//! Over there each is a future on an arbiter, which has the state by a lock: what the strand keeps apart never waits
//! for it, except where a call was given up here and has not ended there yet.
//!
//! On a cluster that is so for calls that compute, too, since the way there is long: they are sent ahead of each other,
//! up to [`AHEAD_MAX`], and the place runs one after the other in that order. What is sent has not begun: so it can be
//! taken back, and where the actor crashes before, it waits for the next one. Where they may compute side by side, each
//! begins when it gets there, so only those are sent that may be under way at once.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use super::{Away, Load, Outcome, Seed, Step, is_found, task};
use crate::api::actor::{Actor, ActorCrossing, ActorMethod, Construct, MethodCrossing};
use crate::api::crossing::{self, Arguments};
use crate::api::parameter::Params;
use crate::api::port::Way;
use crate::cluster::argument::{Argument, Packing, unfit};
use crate::cluster::registry::Registered;
use crate::cluster::worker::task::{Here, Replier, Start};
use crate::cluster::worker::{self, state};
use crate::cluster::{self, Host, Progress, Reply, error_of};
use crate::error::Result;
use crate::local::completion::Completion;
use crate::local::current::{self, Own, Task};
use crate::local::job::{AsTask, Stops};
use crate::local::life::Life;
use crate::local::strand::{Body, Borrowing};
use crate::local::stream::Outlet;
use crate::local::{Local, cancelling, default, panics};
use crate::wire;

/// The arguments of a call, for all of its tries.
pub(crate) type Shared<M> = Arc<Mutex<Arguments<<M as ActorMethod>::Params>>>;

/// How many calls that compute are with the place of an actor on a cluster, at most.
pub(super) const AHEAD_MAX: u32 = 64;

/// A method, as the driver's strand calls it; `beside`: those that compute come side by side.
pub(crate) fn body<M: ActorMethod>(beside: bool) -> Body<Away<M::Actor>, Shared<M>, M::Output> {
    match M::body() {
        Body::Alone(_) if !<M::Actor as Actor>::ASYNC && !beside => Body::SharedLater(shared::<M>),
        Body::Alone(_) | Body::AloneLater(_) => Body::AloneLater(alone::<M>),
        Body::Shared(_) | Body::SharedLater(_) => Body::SharedLater(shared::<M>),
    }
}

fn alone<'a, M: ActorMethod>(
    actor: &'a mut Away<M::Actor>,
    arguments: Shared<M>,
) -> Borrowing<'a, M::Output> {
    shared::<M>(actor, arguments)
}

fn shared<'a, M: ActorMethod>(
    actor: &'a Away<M::Actor>,
    arguments: Shared<M>,
) -> Borrowing<'a, M::Output> {
    Box::pin(async move {
        let MethodCrossing { registered, ports, way, .. } =
            M::crossing().expect("what is away can cross");
        let pack = |packing: &mut Packing<'_>| {
            arguments.lock().unwrap_or_else(PoisonError::into_inner).pack(&ports, packing)
        };
        let sent = send(actor, registered, pack).await?;
        let mut under_way = UnderWay::new(actor, sent);
        let reply = poll_fn(|context| {
            under_way.pass_cancel_on(&task());
            let polled = under_way.host.poll(sent, context.waker());
            under_way.ended = polled.is_ready();
            polled
        })
        .await?;
        read(reply, way)
    })
}

/// Sends a call, as soon as the cluster can know what is inside of its arguments, and if the actor is not to end before.
/// Those after it wait: they go in order.
pub(super) async fn send<A: Actor>(
    actor: &Away<A>,
    registered: &'static Registered,
    pack: impl Fn(&mut Packing<'_>) -> Result<()>,
) -> Result<u64> {
    let mut sending = pin!(send_in_order(actor, registered, pack));
    let mut ending = actor.ending.subscribe();
    let mut ends = pin!(ending.wait_for(|ends| *ends));
    poll_fn(|context| match sending.as_mut().poll(context) {
        Poll::Pending if is_cancelled(&task()) || ends.as_mut().poll(context).is_ready() => {
            Poll::Ready(Err(cancelling::cancelled_while_running()))
        }
        polled => polled,
    })
    .await
}

async fn send_in_order<A: Actor>(
    actor: &Away<A>,
    registered: &'static Registered,
    pack: impl Fn(&mut Packing<'_>) -> Result<()>,
) -> Result<u64> {
    let _turn = actor.sending.lock().await;
    loop {
        let missing = RefCell::default();
        let pack = |packing: &mut Packing<'_>| {
            pack(packing)?;
            // To wait for it here would keep the thread that it may need.
            match cluster::missing_inside(packing) {
                inside if inside.is_empty() => Ok(()),
                inside => {
                    missing.replace(inside);
                    Err(unfit("an object that is not there yet"))
                }
            }
        };
        let sent = actor.host.send(&Load { registered, pack }, &task());
        let missing = missing.into_inner();
        if missing.is_empty() {
            return sent;
        }
        for any in missing {
            Completion::of(any).await;
        }
    }
}

/// What came of a call, or is an item.
pub(super) fn read<T>(Reply { outcome, kept }: Reply, way: Way<T>) -> Result<T> {
    let result = match outcome {
        Ok(bytes) => panics::catch(|| (way.decode)(&bytes)),
        Err(failed) => Err(error_of(failed)),
    };
    drop(kept);
    result
}

/// A call that was sent. Dropped before its end, it is to stop.
pub(super) struct UnderWay<'a> {
    host: &'a dyn Host,
    sent: u64,
    /// Whether it goes on to its own end when it is cancelled.
    lasts: bool,
    ended: bool,
    /// What it was told of being asked to stop.
    told: Stops,
    /// It gives a stream, and waits for word that its last item was taken.
    owes: bool,
}

fn is_cancelled(task: &Task) -> bool {
    // SAFETY: what is polled is running.
    unsafe { task.running.is_cancelled() }
}

impl<'a> UnderWay<'a> {
    pub(super) fn new<A: Actor>(actor: &'a Away<A>, sent: u64) -> Self {
        let lasts = <Away<A> as Life>::LASTS;
        UnderWay {
            host: &*actor.host,
            sent,
            lasts,
            ended: false,
            told: Stops::default(),
            owes: false,
        }
    }

    /// Of a call that gives a stream: the next item, and then its end.
    pub(super) async fn next(&mut self) -> Result<Progress> {
        if std::mem::take(&mut self.owes) {
            self.host.more(self.sent);
        }
        poll_fn(|context| {
            self.pass_cancel_on(&task());
            let polled = self.host.poll_stream(self.sent, context.waker());
            self.owes = matches!(polled, Poll::Ready(Ok(Progress::Item(_))));
            self.ended = polled.is_ready() && !self.owes;
            polled
        })
        .await
    }

    /// Hands an item on, until there is room for another.
    pub(super) async fn hand_on<T: Send + Sync + 'static>(
        &self,
        item: Result<T>,
        outlet: &Outlet<T>,
    ) -> Result<()> {
        let mut sending = pin!(outlet.send(item));
        let send = poll_fn(|context| match sending.as_mut().poll(context) {
            Poll::Pending if self.lasts && is_cancelled(&task()) => {
                Poll::Ready(Err(cancelling::cancelled_while_running()))
            }
            polled => polled,
        });
        send.await
    }

    /// Asks it to stop if the task was that it is, which this thread polls; one that does not last is dropped.
    fn pass_cancel_on(&mut self, task: &Task) {
        if self.lasts
            && let Some(children) = self.told.news(task)
        {
            self.host.cancel(self.sent, children);
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.host.give_up(self.sent);
            if self.owes {
                // It comes to its end by that.
                self.host.more(self.sent);
            }
        }
    }
}

/// Makes an actor as the task `task`, on a thread that may block: a process may have to be started.
pub(super) async fn make<A: Actor>(
    local: Arc<Local>,
    task: Task,
    seed: Seed<A>,
) -> Result<Away<A>> {
    let (made, when_made) = tokio::sync::oneshot::channel();
    let (done, when_done) = channel::<()>();
    // The thread runs as the task for as long as this lives, and no longer.
    let _joined = Joined(when_done);
    let on_thread = Arc::clone(&local);
    local.spawn_blocking(move || {
        let _done = done;
        let made_there = current::in_task_with(&task, &mut Own::default(), || {
            let actor = Away::<A>::make_now(&on_thread, &task, &seed)?;
            actor.host.listen(&task, false)?;
            Ok(actor)
        });
        // Nobody waits for it any more where the arbiter has stopped.
        drop(made.send(made_there));
    });
    when_made.await.unwrap_or_else(|_| Err(crate::local::pool::shut_down_before("it began")))
}

/// Dropped, it waits until the thread is done whose end this is.
struct Joined(Receiver<()>);

impl Drop for Joined {
    fn drop(&mut self) {
        let _ = self.0.recv();
    }
}

/// In a worker: begins something with the actor that lives here, with what `held` gives.
pub(super) fn begin<A: Actor, H: 'static, T: 'static>(
    here: Here,
    held: impl FnOnce() -> Result<H> + 'static,
    body: Body<A, H, T>,
    replier: Replier,
    outcome: Outcome<T>,
) {
    let future = async move {
        let held = held()?;
        let state = state::shared::<A>()?;
        match body {
            Body::Alone(method) => method(&mut *state.write().await, held),
            Body::Shared(method) => method(&*state.read().await, held),
            Body::AloneLater(method) => {
                let mut actor = state.write().await;
                method(&mut actor, held).await
            }
            Body::SharedLater(method) => {
                let actor = state.read().await;
                method(&actor, held).await
            }
        }
    };
    go_on(here, future, replier, outcome);
}

/// In a worker: does what is done with an actor beside its calls.
pub(super) fn step<A: Actor>(
    start: Start<'_>,
    arguments: Vec<Argument>,
) -> Box<dyn FnOnce(Replier) + Send> {
    let ActorCrossing { registered, ports, saved: way, failure } =
        A::crossing().expect("what is registered can cross");
    let here = start.here_among(A::function());
    let mut arguments = arguments.into_iter();
    let plain = Outcome { encode: Way::<()>::new().encode, registered, failure };
    match start.next_bytes(&mut arguments, "no step").and_then(wire::decode) {
        Ok(Step::Make { found, .. }) => {
            let slots = panics::catch(|| A::Params::unpack(&mut arguments, &ports, &start));
            Box::new(move |replier| {
                let future = async move {
                    // Several programs may ask for it at once, and it may take its time.
                    let _making = state::MAKING.lock().await;
                    if is_found::<A>(found)? {
                        return Ok(());
                    }
                    let actor = match A::construct(A::Params::resolve(slots?)?) {
                        Construct::Now(made) => made?,
                        Construct::Later(making) => making.await?,
                    };
                    state::share(actor);
                    Ok(())
                };
                go_on(here, future, replier, plain);
            })
        }
        Ok(Step::Save) => Box::new(move |replier| {
            let future = async move { state::shared::<A>()?.read().await.save() };
            go_on(here, future, replier, Outcome { encode: way.encode, registered, failure });
        }),
        Ok(Step::Restore) => {
            let saved = start.next_bytes(&mut arguments, "nothing saved");
            let saved = saved.and_then(|bytes| panics::catch(|| (way.decode)(bytes)));
            Box::new(move |replier| {
                let future = async move { state::shared::<A>()?.write().await.restore(saved?) };
                go_on(here, future, replier, plain);
            })
        }
        Err(error) => Box::new(move |replier| {
            go_on(here, async move { Err(error) }, replier, plain);
        }),
    }
}

/// On the actor's thread: lets the call go on to its end, and tells of that.
fn go_on<T: 'static>(
    here: Here,
    future: impl Future<Output = Result<T>> + 'static,
    replier: Replier,
    Outcome { encode, registered, failure }: Outcome<T>,
) {
    let call = here.task.call;
    let mut running = AsTask::new(here.task, default::current(), Box::pin(future));
    actix::spawn(async move {
        let poll = |context: &mut Context<'_>| {
            let _polled = worker::arbiter().pulse().poll(call);
            Pin::new(&mut running).poll(context)
        };
        let result = poll_fn(poll).await;
        let crashed = !running.has_returned();
        // It knows the task, which ends with `here`.
        drop(running);
        if crashed {
            state::end_shared();
        }
        replier.end(|body| crossing::end(here, result, crashed, body, encode, registered, failure));
    });
}
