//! The two kinds of task: one computes on the pool, one waits on tokio.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::local::cell::{Job, Promise, RunningTask, may_be_stored};
use crate::local::current::{self, Own, Task};
use crate::local::family::Watch;
use crate::local::lineage::Lineage;
use crate::local::pool::Guest;
use crate::local::request::{Claim, Request};
use crate::local::retries::{self, Retried};
use crate::local::{Local, cancelling, default, grant, note, panics};
use crate::millis::Millis;
use crate::observe::EventKind;

/// A task that computes: a closure that holds the arguments.
pub(crate) struct Compute<W>(pub(crate) W);

/// A task that computes, and asked for something. `work` is told whether it runs for the last time, and
/// then uses the arguments up.
pub(crate) struct ComputeWith<W> {
    pub(crate) work: W,
    pub(crate) claim: Arc<Claim>,
    /// Which try this is, counted from 1.
    pub(crate) attempt: u32,
}

impl<T, W> Job<T> for Compute<W>
where
    T: Send + Sync + 'static,
    W: FnOnce() -> Result<T> + Send + 'static,
{
    fn run(self, promise: Promise<T>) {
        let task = Task::new(promise.task(), promise.call(), Millis::ONE, 0);
        note::step(promise.number(), EventKind::Started);
        let result = current::in_task(task, self.0);
        cancelling::note_end(&promise, &result, None);
        let result = result.map_err(|error| error.through(promise.hop()));
        promise.complete(result);
    }
}

impl<T, W> Job<T> for ComputeWith<W>
where
    T: Send + Sync + 'static,
    W: FnMut(bool) -> Result<T> + Send + 'static,
{
    fn run(mut self, promise: Promise<T>) {
        let &Request { cpus, time_limit, .. } = self.claim.request();
        let last = self.claim.request().is_last(self.attempt);
        let (running, call, attempt) = (promise.task(), promise.call(), self.attempt);
        let work = &mut self.work;
        let run = || {
            note::step(promise.number(), EventKind::Started);
            let limit = time_limit.and_then(TimeLimit::from_now);
            let task = Task { attempt, limit, ..Task::new(running, call, cpus, 0) };
            let result = current::in_task(task, || work(last));
            task.check_time().and(result)
        };
        let result = grant::with_cpus(self.claim.local(), cpus, run);
        // SAFETY: this is the cell's job, and a task with a claim is never begun but by its entry.
        unsafe { retries::conclude(self, promise, result) }
    }
}

impl<T, W> Retried<T> for ComputeWith<W>
where
    T: Send + Sync + 'static,
    W: FnMut(bool) -> Result<T> + Send + 'static,
{
    fn claim(&self) -> Option<&Arc<Claim>> {
        Some(&self.claim)
    }

    fn local(&self) -> &Local {
        self.claim.local()
    }

    fn attempt(&self) -> u32 {
        self.attempt
    }

    fn again(self, claim: Arc<Claim>) -> Self {
        Self { claim, attempt: self.attempt + 1, ..self }
    }

    fn end(self) -> Option<Lineage> {
        let Self { mut work, claim, attempt } = self;
        let last = claim.request().is_last(attempt);
        drop(claim);
        if last || !may_be_stored::<T>() {
            panics::drop_quietly(work);
            return None;
        }
        Lineage::new(move || work(false))
    }
}

/// The end of the time that a task may run. Whatever it returns after that is an error.
#[derive(Clone, Copy)]
pub(crate) struct TimeLimit {
    limit: Duration,
    end: Instant,
}

impl TimeLimit {
    /// None: the clock does not reach that far.
    pub(crate) fn from_now(limit: Duration) -> Option<Self> {
        Some(Self { limit, end: Instant::now().checked_add(limit)? })
    }

    pub(crate) fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Runs a future until the time is over.
    pub(crate) async fn run<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        let in_time = tokio::time::timeout_at(self.end.into(), future).await;
        in_time.unwrap_or_else(|_| Err(self.exceeded()))
    }

    pub(crate) fn exceeded(&self) -> Error {
        let message = format!("it ran longer than its time limit of {:?}", self.limit);
        Error::new(ErrorKind::TimeLimit, message)
    }
}

/// A task that waits: a closure that makes the future, once the arguments are there. As in
/// [`ComputeWith`], it is told whether it does so for the last time.
pub(crate) struct Await<W> {
    pub(crate) make: W,
    pub(crate) local: Arc<Local>,
    pub(crate) claim: Option<Arc<Claim>>,
    /// Which try this is, counted from 1.
    pub(crate) attempt: u32,
}

impl<T, W, F> Job<T> for Await<W>
where
    T: Send + Sync + 'static,
    W: FnMut(bool) -> Result<F> + Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    fn run(mut self, promise: Promise<T>) {
        let request = self.claim.as_ref().map(|claim| claim.request());
        let last = request.is_none_or(|request| request.is_last(self.attempt));
        let limit = request.and_then(|request| request.time_limit).and_then(TimeLimit::from_now);
        let task = Task::new(promise.task(), promise.call(), Millis::default(), 0);
        let task = Task { attempt: self.attempt, limit, ..task };
        let local = Arc::clone(&self.local);
        let guest = Guest::of(&local);
        let running = async move {
            note::step(promise.number(), EventKind::Started);
            let make = &mut self.make;
            let future = async move {
                let future = make(last)?;
                match limit {
                    None => future.await,
                    Some(limit) => limit.run(future).await,
                }
            };
            let result = AsTask::new(task, Arc::clone(&self.local), future).await;
            // SAFETY: this is the cell's job, and a task with a claim is never begun but by its entry;
            // one without is not tried again.
            unsafe { retries::conclude(self, promise, result) }
            drop(guest);
        };
        local.spawn_future(running);
    }
}

impl<T, W, F> Retried<T> for Await<W>
where
    T: Send + Sync + 'static,
    W: FnMut(bool) -> Result<F> + Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    fn claim(&self) -> Option<&Arc<Claim>> {
        self.claim.as_ref()
    }

    fn local(&self) -> &Local {
        &self.local
    }

    fn attempt(&self) -> u32 {
        self.attempt
    }

    fn again(self, claim: Arc<Claim>) -> Self {
        Self { claim: Some(claim), attempt: self.attempt + 1, ..self }
    }

    fn end(self) -> Option<Lineage> {
        let Self { mut make, local, claim, attempt } = self;
        let last = claim.is_none_or(|claim| claim.request().is_last(attempt));
        drop(local);
        if last || !may_be_stored::<T>() {
            panics::drop_quietly(make);
            return None;
        }
        // It is made again as a task of its runtime that computes, whose thread waits for the future.
        Lineage::new(move || {
            let future = make(false)?;
            default::current().run_to_end(future)
        })
    }
}

pin_project_lite::pin_project! {
    /// A future that is polled as a task of its runtime, whose panics become errors, and which is dropped
    /// at its next await when the task is cancelled; one that lasts is polled once more, and sees to that itself.
    pub(crate) struct AsTask<F> {
        task: Task,
        local: Arc<Local>,
        // Gone once it is done.
        #[pin]
        future: Option<F>,
        own: Own,
        wakes: Wakes,
        // Whether the last poll returned, and did not panic.
        returned: bool,
        lasts: bool,
        // One that lasts was polled since the task was cancelled, or will be.
        told: bool,
    }
}

impl<F> AsTask<F> {
    /// The task's promise outlives what this makes.
    pub(crate) fn new(task: Task, local: Arc<Local>, future: F) -> Self {
        Self::begun(task, local, future, Own::default())
    }

    /// As `new`, of a future that was polled as that task already, with this of its own.
    pub(crate) fn begun(task: Task, local: Arc<Local>, future: F, own: Own) -> Self {
        let wakes = Wakes::new(task.running);
        let future = Some(future);
        Self { task, local, future, own, wakes, returned: false, lasts: false, told: false }
    }

    /// The same, which is not dropped before its end.
    pub(crate) fn lasting(self) -> Self {
        Self { lasts: true, ..self }
    }

    /// Whether the future has returned: if it is done and has not, it panicked, or was cancelled.
    pub(crate) fn has_returned(&self) -> bool {
        self.returned
    }
}

impl<T, F: Future<Output = Result<T>>> Future for AsTask<F> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let mut this = self.project();
        let _entered = current::enter(Arc::clone(this.local));
        let mut returned = false;
        let mut done = current::in_task_with(this.task, this.own, || {
            let Some(future) = this.future.as_mut().as_pin_mut() else {
                unreachable!("a task is not polled once it is done")
            };
            let polled = future.poll(context);
            returned = true;
            match polled {
                Poll::Ready(result) => result.map(Some),
                Poll::Pending => Ok(None),
            }
        });
        *this.returned = returned;
        if matches!(done, Ok(None)) {
            this.wakes.renew(context.waker());
            if *this.lasts {
                if !*this.told && this.wakes.is_to_stop() {
                    *this.told = true;
                    context.waker().wake_by_ref();
                }
            } else if this.wakes.is_cancelled() {
                done = Err(cancelling::cancelled_while_running());
            }
        }
        let Some(result) = done.transpose() else { return Poll::Pending };
        // What the future holds goes before anybody sees the result, and as part of the task.
        let _ = current::in_task_with(this.task, this.own, || {
            this.future.set(None);
            Ok(())
        });
        Poll::Ready(result)
    }
}

/// What somebody who passes it on was told of a task's being asked to stop, which may come again, for its children.
#[derive(Default)]
pub(crate) struct Stops(Option<bool>);

impl Stops {
    /// If there is news, whether the children of the task, which runs, are to stop, too.
    pub(crate) fn news(&mut self, task: &Task) -> Option<bool> {
        // SAFETY: the task runs.
        let children = unsafe { task.running.cancels_children() };
        // SAFETY: as above.
        let stops = (children || unsafe { task.running.is_cancelled() }).then_some(children);
        let is_news = stops > self.0;
        self.0 = stops.max(self.0);
        stops.filter(|_| is_news)
    }
}

/// How a task at an await is woken when it, or the task that submitted it, is cancelled; or one that runs in
/// another process.
pub(crate) struct Wakes {
    running: RunningTask,
    /// The waker that the cell has.
    last: Option<Waker>,
    watch: Option<Watch>,
}

impl Wakes {
    /// Of a task that runs for longer than this lives.
    pub(crate) fn new(running: RunningTask) -> Self {
        Self { running, last: None, watch: None }
    }

    /// Whether the task was asked to stop, which it need not know.
    pub(crate) fn is_to_stop(&self) -> bool {
        // SAFETY: the promise outlives us, so the task is running.
        unsafe { self.running.is_cancelled() }
    }

    pub(crate) fn renew(&mut self, waker: &Waker) {
        if self.last.as_ref().is_some_and(|last| last.will_wake(waker)) {
            return;
        }
        // SAFETY: the promise outlives us, so the task is running.
        unsafe { self.running.wake_when_cancelled(Some(waker)) };
        match &self.watch {
            Some(watch) => watch.renew(waker),
            // SAFETY: as above.
            None => self.watch = unsafe { self.running.family() }.watch(|| waker.clone()),
        }
        self.last = Some(waker.clone());
    }

    fn is_cancelled(&self) -> bool {
        // SAFETY: the promise outlives us, so the task is running.
        unsafe { self.running.look_whether_cancelled() }
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        if self.last.is_some() {
            // SAFETY: the promise outlives us, so the task is running.
            unsafe { self.running.wake_when_cancelled(None) };
        }
    }
}
