//! Actors that wait: each lives on an actix arbiter, where its methods interleave at their awaits.
//!
//! The state sits behind tokio's fair lock: `&self` methods share it, `&mut self` methods have it alone,
//! and both get it in the order of their calls.

use std::cell::{Cell, OnceCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak, mpsc};
use std::task::{self, Poll, Waker};

use actix::prelude::*;
use dashmap::DashMap;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::function::Call;
use crate::local::actors::{Identity, Living};
use crate::local::arguments::{Awaited, Refs, Then};
use crate::local::caller::Origin;
use crate::local::cell::{AnyRef, Job, Promise, Ref, Unstarted};
use crate::local::completion::Completion;
use crate::local::current::{self, Task};
use crate::local::held_back::{HeldBack, Pass};
use crate::local::job::AsTask;
use crate::local::life::ActorEnd;
use crate::local::pool::Guest;
use crate::local::{Local, actors, budget, cancelling, note, panics};
use crate::millis::Millis;
use crate::observe::{EventKind, Number};

/// How many `&self` calls of one actor may be under way.
const CONCURRENCY: u32 = 1000;

/// The threads of a runtime's async actors.
pub(crate) struct Arbiters {
    system: System,
    /// Each with its number.
    arbiters: Vec<(usize, ArbiterHandle)>,
    next: AtomicUsize,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Arbiters {
    pub(crate) fn start(count: usize) -> Self {
        let (sender, receiver) = mpsc::channel();
        let run = move || {
            let runner = System::new();
            let arbiters: Vec<_> = (0..count).map(|_| Arbiter::new()).collect();
            let numbered = |arbiter: &Arbiter| {
                let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
                arbiter.spawn_fn(move || {
                    HERE.set(number);
                    budget::waits();
                });
                (number, arbiter.handle())
            };
            let handles = arbiters.iter().map(numbered).collect();
            // The starter waits for this, so it is there to hear it.
            let _ = sender.send((System::current(), handles));
            let _ = runner.run();
            for arbiter in arbiters {
                arbiter.stop();
                let _ = arbiter.join();
            }
        };
        let thread = std::thread::Builder::new()
            .name("mobula-arbiters".to_owned())
            .spawn(run)
            .expect("failed to start the thread of the async actors");
        let (system, arbiters) = receiver.recv().expect("the thread of the async actors started");
        Self { system, arbiters, next: AtomicUsize::new(0), thread: Mutex::new(Some(thread)) }
    }

    /// The arbiter for the next actor: each in turn.
    fn pick(&self) -> &(usize, ArbiterHandle) {
        &self.arbiters[self.next.fetch_add(1, Ordering::Relaxed) % self.arbiters.len()]
    }

    pub(crate) fn stop(&self) {
        self.system.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// Which arbiter an actor lives on, by the actor's address.
static HOMES: LazyLock<DashMap<usize, usize>> = LazyLock::new(DashMap::new);
/// Numbers the arbiters of the process, from 1.
static NUMBERS: AtomicUsize = AtomicUsize::new(1);

thread_local! {
    /// The number of the arbiter whose thread this is; 0: of none.
    static HERE: Cell<usize> = const { Cell::new(0) };
}

/// The number of the arbiter whose thread this is.
pub(crate) fn here() -> Option<usize> {
    HERE.try_with(Cell::get).ok().filter(|&here| here != 0)
}

/// The number of the arbiter on which the actor at this address lives: none of its calls goes on while
/// that one's thread sleeps.
pub(crate) fn home_of(actor: usize) -> Option<usize> {
    HOMES.get(&actor).map(|home| *home)
}

/// The actix actor that hosts one of ours.
struct Host<A: 'static> {
    state: State<A>,
    /// Why the actor ended, once it has.
    ended: Rc<Ended>,
}

/// The end of an actor.
struct Ended {
    why: OnceCell<Error>,
    number: Number,
}

impl Ended {
    /// Only the first reason counts.
    fn set(&self, why: Error) {
        if self.why.set(why).is_ok() {
            note::step(self.number, EventKind::ActorEnded);
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // Its arbiter stopped before its end came.
        if self.why.get().is_none() {
            note::step(self.number, EventKind::ActorEnded);
        }
    }
}

impl<A: 'static> Actor for Host<A> {
    type Context = Context<Self>;
}

/// Something for the host to begin, in the order of its coming.
struct Begin<A: 'static>(Box<Beginning<A>>);

type Beginning<A> = dyn FnOnce(&mut Host<A>, &mut Context<Host<A>>) + Send;

impl<A: 'static> Message for Begin<A> {
    type Result = ();
}

impl<A: 'static> Handler<Begin<A>> for Host<A> {
    type Result = ();

    fn handle(&mut self, Begin(begin): Begin<A>, context: &mut Context<Self>) {
        begin(self, context);
    }
}

/// An actor that waits.
pub(crate) struct Hosted<A: Send + 'static> {
    address: Addr<Host<A>>,
    local: Arc<Local>,
    call: Call,
    /// Why the actor is to end, once somebody said so.
    end: OnceLock<Error>,
    held_back: HeldBack<Begin<A>>,
    handles: AtomicUsize,
    identity: Identity,
    stopped: AtomicBool,
    /// The actor's number in the stream of events.
    number: Number,
}

/// A counted handle of a hosted actor.
pub(crate) struct HostedHandle<A: Send + 'static>(Arc<Hosted<A>>);

impl<A: Send + 'static> HostedHandle<A> {
    pub(crate) fn hosted(&self) -> &Arc<Hosted<A>> {
        &self.0
    }
}

impl<A: Send + 'static> HostedHandle<A> {
    /// The actor's id, by which [`find`](Self::find) gives another handle as long as there is one.
    pub(crate) fn id(&self) -> Uuid {
        self.0.identity.findable(|| Arc::downgrade(&self.0))
    }

    pub(crate) fn find(id: Uuid) -> Option<Self> {
        actors::find(id, |actor: &Weak<Hosted<A>>| {
            let actor = actor.upgrade()?;
            let add = |handles| (handles > 0).then_some(handles + 1);
            actor.handles.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
            Some(Self(actor))
        })
    }
}

impl<A: Send + 'static> Clone for HostedHandle<A> {
    fn clone(&self) -> Self {
        self.0.handles.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl<A: Send + 'static> Drop for HostedHandle<A> {
    fn drop(&mut self) {
        // AcqRel: the last handle's end comes after whatever others did through theirs.
        if self.0.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.end(None);
        }
    }
}

/// A future that borrows the actor; it stays on the actor's thread.
pub(crate) type Borrowing<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// A method: how it borrows the state, and what it does with it.
pub(crate) enum Method<A, H, T> {
    /// `&self`.
    Shared(for<'a> fn(&'a A, H) -> Borrowing<'a, T>),
    /// `&mut self`.
    Alone(for<'a> fn(&'a mut A, H) -> Borrowing<'a, T>),
}

impl<A: Send + 'static> Hosted<A> {
    /// An actor that begins its life by the future that `construct` makes.
    pub(crate) fn start<F>(
        local: Arc<Local>,
        construct: impl FnOnce() -> F + Send + 'static,
        arguments: Refs,
        call: Call,
    ) -> HostedHandle<A>
    where
        F: Future<Output = Result<A>> + 'static,
    {
        let number = note::new_actor(&local, call);
        let make = move |_: &mut Context<Host<A>>| Host {
            state: Arc::new(RwLock::with_max_readers(None, CONCURRENCY)),
            ended: Rc::new(Ended { why: OnceCell::new(), number }),
        };
        let (home, arbiter) = local.arbiters().pick();
        let address = Actor::start_in_arbiter(arbiter, make);
        let hosted = Arc::new(Self {
            address,
            local: Arc::clone(&local),
            call,
            end: OnceLock::new(),
            held_back: HeldBack::default(),
            handles: AtomicUsize::new(1),
            identity: Identity::default(),
            stopped: AtomicBool::new(false),
            number,
        });
        let weak: Weak<dyn Living> = Arc::<Self>::downgrade(&hosted);
        local.actors().add(Arc::as_ptr(&hosted) as usize, weak);
        HOMES.insert(Arc::as_ptr(&hosted) as usize, *home);

        // The first to ask for the lock is the constructor; all calls come after it.
        let origin = Origin { place: current::next_place(&local), ..Origin::NONE };
        let (_, promise) = Ref::<()>::birth(origin, call, 0);
        let actor = Arc::as_ptr(&hosted) as usize;
        let task = Task::new(promise.task(), call, Millis::default(), actor);
        let guest = Guest::of(&local);
        hosted.begin(move |host, context| {
            let ended = Rc::clone(&host.ended);
            let line = InLine::new(Arc::clone(&host.state).write_owned());
            let born = async move {
                let _guest = guest;
                let mut state = line.turn().await;
                // SAFETY: the constructor still holds its arguments.
                for argument in unsafe { arguments.to_vec() } {
                    Completion::of(argument).await;
                }
                let future = async move { construct().await };
                note::step(number, EventKind::Started);
                match AsTask::new(task, local, future).await {
                    Ok(actor) => {
                        note::step(number, EventKind::ActorStarted);
                        *state = Some(actor);
                    }
                    Err(why) => {
                        note::ended(number, Some(why.kind()));
                        let why =
                            ActorEnd::NotMade(why.through(call)).to_error(call.function.name());
                        ended.set(why);
                    }
                }
                promise.complete(Ok(()));
            };
            context.spawn(born.into_actor(host));
        });
        HostedHandle(hosted)
    }

    fn begin(&self, begin: impl FnOnce(&mut Host<A>, &mut Context<Host<A>>) + Send + 'static) {
        self.address.do_send(Begin(Box::new(begin)));
    }

    /// Calls the actor: `method` runs when it may borrow the state and `arguments` are complete.
    pub(crate) fn call<H: 'static, T: Send + Sync + 'static>(
        self: &Arc<Self>,
        method: Method<A, H, T>,
        resolve: impl FnOnce() -> Result<H> + Send + 'static,
        arguments: Refs,
        call: Call,
    ) -> Ref<T> {
        if self.local.pool().is_closed() {
            let error = crate::local::pool::shut_down_before("the call");
            let refused = Ref::complete(Err(error.through(call)), call);
            note::refused(&self.local, refused.any(), self.number);
            return refused;
        }
        let address = Arc::as_ptr(self) as usize;
        let origin = current::origin(&self.local);
        let (result, call) = Ref::unstarted(Resolve(resolve), address, origin, call);
        note::submitted(&self.local, result.any(), self.number);
        let hosted = self.handle();
        let begin = move |host: &mut Host<A>, context: &mut Context<Host<A>>| {
            let method = method.get_in_line(Arc::clone(&host.state));
            let waiting = WaitingCall { hosted, ended: Rc::clone(&host.ended), call };
            context.spawn(waiting.run(method).into_actor(host));
        };
        let cell = result.any().unheld();
        match self.held_back.pass(Begin(Box::new(begin)), cell, arguments.is_empty()) {
            Pass::Go(begin) => self.address.do_send(begin),
            Pass::Held { .. } if arguments.is_empty() => {}
            Pass::Held { caller, number } => {
                let hosted = self.handle();
                let release = move || {
                    let go = |begin| hosted.0.address.do_send(begin);
                    hosted.0.held_back.release(caller, number, go);
                };
                let cell = Some(result.any().clone());
                Awaited::when_ready(arguments, Then::Run(cell, Box::new(release)));
            }
        }
        result
    }

    fn handle(self: &Arc<Self>) -> HostedHandle<A> {
        self.handles.fetch_add(1, Ordering::Relaxed);
        HostedHandle(Arc::clone(self))
    }

    /// Ends the actor: at once, after the calls that run now, or (`None`) after all calls made so far.
    pub(crate) fn end(self: &Arc<Self>, at_once: Option<ActorEnd>) {
        if let Some(how) = at_once {
            let _ = self.end.set(how.to_error(self.call.function.name()));
        }
        if self.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        let hosted = Arc::clone(self);
        self.begin(move |host, context| {
            let ended = Rc::clone(&host.ended);
            // The lock is fair: whoever asked before has it before.
            let line = InLine::new(Arc::clone(&host.state).write_owned());
            let end = async move {
                let state = line.turn().await.take();
                panics::drop_quietly(state);
                let why = hosted.end.get().cloned();
                ended.set(why.unwrap_or_else(|| {
                    Error::new(ErrorKind::ActorDied, "the actor's last handle is gone")
                }));
            };
            context.spawn(end.into_actor(host));
        });
    }
}

impl<A: Send + 'static> Drop for Hosted<A> {
    fn drop(&mut self) {
        let address = std::ptr::from_ref(self) as usize;
        HOMES.remove(&address);
        self.local.actors().remove(address);
    }
}

impl<A: Send + 'static> Living for Hosted<A> {
    fn end_at_once(self: Arc<Self>, how: ActorEnd) {
        self.end(Some(how));
    }

    fn is_callable(&self) -> bool {
        self.end.get().is_none() && self.handles.load(Ordering::Relaxed) > 0
    }

    fn restarts(&self) -> u32 {
        0
    }

    fn call(&self) -> Call {
        self.call
    }

    fn missing_before(&self, call: usize) -> Option<Vec<AnyRef>> {
        self.held_back.missing_before(call)
    }

    fn birth(&self) -> Option<AnyRef> {
        // Its beginning awaits its arguments on the arbiter, which is not tracked.
        None
    }

    fn ahead(&self, _: &AnyRef) -> Option<usize> {
        // Its calls interleave, so they have no order.
        None
    }
}

/// A place in the line for a lock. Actix polls an actor's futures in no certain order, so the place is
/// taken at once, by a first poll, and not when the future happens to be polled.
struct InLine<F: Future> {
    future: Pin<Box<F>>,
    output: Option<F::Output>,
}

impl<F: Future> InLine<F> {
    fn new(future: F) -> Self {
        let mut future = Box::pin(future);
        let output = match future.as_mut().poll(&mut task::Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        };
        Self { future, output }
    }

    async fn turn(self) -> F::Output {
        match self.output {
            Some(output) => output,
            None => self.future.await,
        }
    }
}

type State<A> = Arc<RwLock<Option<A>>>;

/// A method whose place in the line for the state is taken.
enum Waiting<A, H, T, R: Future, W: Future> {
    Shared(InLine<R>, for<'a> fn(&'a A, H) -> Borrowing<'a, T>),
    Alone(InLine<W>, for<'a> fn(&'a mut A, H) -> Borrowing<'a, T>),
}

impl<A: 'static, H, T> Method<A, H, T> {
    fn get_in_line(
        self,
        state: State<A>,
    ) -> Waiting<
        A,
        H,
        T,
        impl Future<Output = OwnedRwLockReadGuard<Option<A>>>,
        impl Future<Output = OwnedRwLockWriteGuard<Option<A>>>,
    > {
        match self {
            Self::Shared(body) => Waiting::Shared(InLine::new(state.read_owned()), body),
            Self::Alone(body) => Waiting::Alone(InLine::new(state.write_owned()), body),
        }
    }
}

/// What a call needs when its turn has come: its arguments.
struct Resolve<R>(R);

impl<T: Send + Sync + 'static, R: Send + 'static> Job<T> for Resolve<R> {
    fn run(self, _: Promise<T>) {
        unreachable!("a call is begun by its host, and never queued")
    }
}

/// A call that has a place in the line, and can be cancelled until its turn has come.
struct WaitingCall<A: Send + 'static, T: Send + Sync + 'static, R: Send + 'static> {
    hosted: HostedHandle<A>,
    ended: Rc<Ended>,
    call: Unstarted<T, Resolve<R>>,
}

impl<A, T, R> WaitingCall<A, T, R>
where
    A: Send + 'static,
    T: Send + Sync + 'static,
    R: Send + 'static,
{
    async fn run<H>(
        self,
        method: Waiting<
            A,
            H,
            T,
            impl Future<Output = OwnedRwLockReadGuard<Option<A>>>,
            impl Future<Output = OwnedRwLockWriteGuard<Option<A>>>,
        >,
    ) where
        R: FnOnce() -> Result<H>,
    {
        let Self { hosted, ended, call } = self;
        let (promise, result) = match method {
            Waiting::Shared(line, body) => {
                let state = line.turn().await;
                let Some((Resolve(resolve), promise)) = call.begin() else { return };
                let running = Running { hosted: &hosted.0, ended: &ended, promise: &promise };
                let call = |actor| async move { body(actor, resolve()?).await };
                let result = running.call(state.as_ref(), call).await;
                (promise, result)
            }
            Waiting::Alone(line, body) => {
                let mut state = line.turn().await;
                let Some((Resolve(resolve), promise)) = call.begin() else { return };
                let running = Running { hosted: &hosted.0, ended: &ended, promise: &promise };
                let call = |actor| async move { body(actor, resolve()?).await };
                let result = running.call(state.as_mut(), call).await;
                (promise, result)
            }
        };
        promise.complete(result);
    }
}

/// A call whose turn it is.
struct Running<'a, A: Send + 'static, T: Send + Sync + 'static> {
    hosted: &'a Hosted<A>,
    ended: &'a Ended,
    promise: &'a Promise<T>,
}

impl<A: Send + 'static, T: Send + Sync + 'static> Running<'_, A, T> {
    /// Runs the method on the state, if the actor lives.
    async fn call<S, F: Future<Output = Result<T>>>(
        &self,
        state: Option<S>,
        method: impl FnOnce(S) -> F,
    ) -> Result<T> {
        let Self { hosted, ended, promise } = *self;
        let call = promise.call();
        let _guest = Guest::of(&hosted.local);
        let why = hosted.end.get().or_else(|| ended.why.get());
        let state = match (why, state) {
            (Some(why), _) => return Err(why.clone().through(call)),
            (None, Some(state)) => state,
            (None, None) => {
                return Err(
                    Error::new(ErrorKind::ActorDied, "the actor has no state").through(call)
                );
            }
        };
        let actor = std::ptr::from_ref(hosted) as usize;
        let task = Task::new(promise.task(), call, Millis::default(), actor);
        note::step(promise.number(), EventKind::Started);
        let mut returned = false;
        let future = async {
            let result = method(state).await;
            returned = true;
            result
        };
        let result = AsTask::new(task, Arc::clone(&hosted.local), future).await;
        cancelling::note_end(promise, &result, Some(&hosted.local));
        let result = result.map_err(|error| error.through(call));
        if let Err(why) = &result
            && !returned
            && why.kind() == ErrorKind::Panic
        {
            let how = ActorEnd::Crashed { error: why.clone(), restarts: 0 };
            ended.set(how.to_error(hosted.call.function.name()));
        }
        result
    }
}
