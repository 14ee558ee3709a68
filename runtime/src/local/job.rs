//! The two kinds of task: one computes on the pool, one waits on tokio.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::Result;
use crate::local::cell::{Job, Promise};
use crate::local::current::{self, Task};
use crate::local::{Local, panics};

/// A task that computes: a closure that holds the arguments.
pub(crate) struct Compute<W>(pub(crate) W);

impl<T, W> Job<T> for Compute<W>
where
    T: Send + Sync + 'static,
    W: FnOnce() -> Result<T> + Send + 'static,
{
    fn run(self, promise: Promise<T>) {
        let task = Task { running: promise.task(), call: promise.call(), actor: 0 };
        let result = current::in_task(task, || panics::catch(self.0));
        let call = promise.call();
        promise.complete(result.map_err(|error| error.through(call)));
    }
}

/// A task that waits: a closure that makes the future, once the arguments are there.
pub(crate) struct Await<W> {
    pub(crate) make: W,
    pub(crate) local: Arc<Local>,
}

impl<T, W, F> Job<T> for Await<W>
where
    T: Send + Sync + 'static,
    W: FnOnce() -> Result<F> + Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    fn run(self, promise: Promise<T>) {
        let Self { make, local } = self;
        let call = promise.call();
        let task = Task { running: promise.task(), call, actor: 0 };
        let future = async move { make()?.await };
        let work = AsTask { task, local: Arc::clone(&local), future };
        let waiting = Arc::clone(&local);
        let running = async move {
            let _guest = waiting.pool().guest();
            let result = work.await;
            promise.complete(result.map_err(|error| error.through(call)));
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
        match current::in_task(*this.task, || panics::catch(poll)) {
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}
