//! The two kinds of task: one computes on the pool, one waits on tokio.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::local::cell::{Job, Promise, RunningTask};
use crate::local::current::{self, Task};
use crate::local::pool::Guest;
use crate::local::request::{Claim, Request};
use crate::local::{Local, grant};
use crate::millis::Millis;

/// A task that computes: a closure that holds the arguments.
pub(crate) struct Compute<W>(pub(crate) W);

/// A task that computes, and asked for something.
pub(crate) struct ComputeWith<W> {
    pub(crate) work: W,
    pub(crate) claim: Arc<Claim>,
}

impl<T, W> Job<T> for Compute<W>
where
    T: Send + Sync + 'static,
    W: FnOnce() -> Result<T> + Send + 'static,
{
    fn run(self, promise: Promise<T>) {
        let task =
            Task { running: promise.task(), call: promise.call(), cpus: Millis::ONE, actor: 0 };
        let result = current::in_task(task, self.0);
        let result = result.map_err(|error| error.through(promise.hop()));
        promise.complete(result);
    }
}

impl<T, W> Job<T> for ComputeWith<W>
where
    T: Send + Sync + 'static,
    W: FnOnce() -> Result<T> + Send + 'static,
{
    fn run(self, promise: Promise<T>) {
        let Self { work, claim } = self;
        let call = promise.call();
        let &Request { cpus, time_limit, .. } = claim.request();
        let task = Task { running: promise.task(), call, cpus, actor: 0 };
        let run = || {
            let limit = time_limit.map(|limit| TimeLimit::start(limit, promise.task(), &claim));
            let result = current::in_task(task, work);
            limit.map_or(Ok(()), TimeLimit::check).and(result)
        };
        let result = grant::with_cpus(claim.local(), cpus, run);
        // What was taken goes back before anybody sees the result.
        drop(claim);
        let result = result.map_err(|error| error.through(promise.hop()));
        promise.complete(result);
    }
}

/// A limit on the time that a task computes: it is asked to stop when the time has come, and whatever
/// it returns after that is an error.
struct TimeLimit {
    limit: Duration,
    start: Instant,
    ask_to_stop: tokio::task::JoinHandle<()>,
}

impl TimeLimit {
    fn start(limit: Duration, running: RunningTask, claim: &Claim) -> Self {
        // SAFETY: the task is running: its job is what calls us.
        let task = unsafe { running.to_ref() };
        let ask_to_stop = claim.local().spawn_timer(limit, move || task.request_cancel());
        Self { limit, start: Instant::now(), ask_to_stop }
    }

    fn check(self) -> Result<()> {
        self.ask_to_stop.abort();
        if self.start.elapsed() < self.limit { Ok(()) } else { Err(exceeded(self.limit)) }
    }
}

fn exceeded(limit: Duration) -> Error {
    Error::new(ErrorKind::TimeLimit, format!("it ran longer than its time limit of {limit:?}"))
}

/// A task that waits: a closure that makes the future, once the arguments are there.
pub(crate) struct Await<W> {
    pub(crate) make: W,
    pub(crate) local: Arc<Local>,
    pub(crate) claim: Option<Arc<Claim>>,
}

impl<T, W, F> Job<T> for Await<W>
where
    T: Send + Sync + 'static,
    W: FnOnce() -> Result<F> + Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    fn run(self, promise: Promise<T>) {
        let Self { make, local, claim } = self;
        let call = promise.call();
        let task = Task { running: promise.task(), call, cpus: Millis::default(), actor: 0 };
        let limit = claim.as_ref().and_then(|claim| claim.request().time_limit);
        let future = async move {
            let future = make()?;
            match limit {
                None => future.await,
                Some(limit) => {
                    tokio::time::timeout(limit, future).await.map_err(|_| exceeded(limit))?
                }
            }
        };
        let work = AsTask { task, local: Arc::clone(&local), future };
        let guest = Guest::of(&local);
        let running = async move {
            let result = work.await;
            // What was taken goes back before anybody sees the result.
            drop(claim);
            let result = result.map_err(|error| error.through(promise.hop()));
            promise.complete(result);
            drop(guest);
        };
        local.spawn_future(running);
    }
}

pin_project_lite::pin_project! {
    /// A future that is polled as a task of its runtime, and whose panics become errors.
    pub(crate) struct AsTask<F> {
        pub(crate) task: Task,
        pub(crate) local: Arc<Local>,
        #[pin]
        pub(crate) future: F,
    }
}

impl<T, F: Future<Output = Result<T>>> Future for AsTask<F> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.project();
        let _entered = current::enter(Arc::clone(this.local));
        let poll = || match this.future.poll(context) {
            Poll::Ready(result) => result.map(Poll::Ready),
            Poll::Pending => Ok(Poll::Pending),
        };
        match current::in_task(*this.task, poll) {
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}
