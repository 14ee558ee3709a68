//! Streams: what a producer has yielded and its reader has not taken, and who waits for whom.
//!
//! A producer is a future that awaits room after each item. One that computes awaits nothing else, and is
//! polled on the pool, as a task ([`Produce`]). Where its reader is too far behind, the task is put back as if it
//! had not begun, and the reader queues it again: in between it has no thread, no CPU, and nothing that it asked
//! for. One that waits is on tokio, and is woken; with the inline engine it is polled like one that computes.
//!
//! A method of an actor may yield what it borrows from the state, so the actor is in the middle of that call until
//! the stream ends. Of an actor that waits it is a call like any other that does. Of one that computes it is polled
//! in the actor's turn ([`run_to_end`]), whose thread sleeps, without a CPU, while there is no room.
//!
//! | `room`   | the producer                                                        |
//! |----------|---------------------------------------------------------------------|
//! | None     | runs, is queued, or has ended                                       |
//! | `Parked` | was put back, and has its entry here                                |
//! | `Waker`  | is a future at its await                                            |
//! | `Thread` | is in the turn of an actor, on a thread that sleeps                 |
//!
//! The producer goes on when half of what may be unread was taken, so that it yields several at a time. All of
//! this changes under one lock, under which nothing of the program's runs.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use crate::error::{Error, ErrorKind, Result};
use crate::function::{Call, Function, Hop};
use crate::local::arguments::{Awaited, Refs, Then};
use crate::local::cell::{AnyRef, Job, Promise, Ref};
use crate::local::current::{self, Own, Task};
use crate::local::pool::Guest;
use crate::local::queue::Entry;
use crate::local::request::Claim;
use crate::local::waiting::{self, Ended};
use crate::local::{Local, cancelling, grant, note, panics, pool};
use crate::observe::EventKind;

/// What a producer waits for, as explanations name it.
static READER: Function =
    Function::new("the reader of its stream", module_path!(), file!(), line!());

/// The future that produces.
pub(crate) type Producer = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What the two ends of a stream share.
pub(crate) struct Shared<T: Send + Sync + 'static> {
    call: Call,
    hop: Hop,
    /// How many items may be there unread.
    unread_max: usize,
    /// The address of the actor whose method produces, if one does.
    actor: Option<usize>,
    state: Mutex<State<T>>,
}

struct State<T: Send + Sync + 'static> {
    unread: VecDeque<Ref<T>>,
    room: Option<Room>,
    /// Set when the producer finds no room.
    full: bool,
    /// The reader, if it waits.
    reader: Option<Promise<()>>,
    /// Why the producer is to stop.
    stop: Option<Error>,
    ended: bool,
}

/// How a producer that waits for room goes on.
enum Room {
    Parked(Parked),
    Waker(Waker),
    Thread(Promise<()>),
}

impl Room {
    fn open(self) {
        match self {
            Self::Parked(parked) => parked.queue(),
            Self::Waker(waker) => waker.wake(),
            Self::Thread(room) => room.complete(Ok(())),
        }
    }
}

/// What the reader finds.
pub(crate) enum Next<T> {
    Item(Ref<T>),
    /// Nothing yet: something, once this is complete.
    Later(AnyRef),
    /// There is nothing more.
    End,
}

impl<T: Send + Sync + 'static> Shared<T> {
    pub(crate) fn new(call: Call, hop: Hop, unread_max: usize) -> Arc<Self> {
        Self::of(None, call, hop, unread_max)
    }

    /// As `new`, of a method of the actor at that address.
    pub(crate) fn of_actor(actor: usize, call: Call, hop: Hop, unread_max: usize) -> Arc<Self> {
        Self::of(Some(actor), call, hop, unread_max)
    }

    fn of(actor: Option<usize>, call: Call, hop: Hop, unread_max: usize) -> Arc<Self> {
        let state = State {
            unread: VecDeque::new(),
            room: None,
            full: false,
            reader: None,
            stop: None,
            ended: false,
        };
        Arc::new(Self { call, hop, unread_max, actor, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is next, for the reader.
    fn next(&self) -> Next<T> {
        let mut state = self.lock();
        if let Some(item) = state.unread.pop_front() {
            let enough = state.unread.len() <= self.unread_max / 2;
            let room = if enough { state.room.take() } else { None };
            drop(state);
            if let Some(room) = room {
                room.open();
            }
            return Next::Item(item);
        }
        if state.ended {
            return Next::End;
        }
        let (later, reader) = Ref::<()>::promise(self.call, 0);
        let before = state.reader.replace(reader);
        drop(state);
        // A reader that gave up waiting.
        drop(before);
        Next::Later(later.into_any())
    }

    /// As `next`, of what `task` yields: whoever asks why something is pending finds that.
    pub(crate) fn next_of(&self, task: &AnyRef) -> Next<T> {
        let next = self.next();
        if let Next::Later(later) = &next {
            let _ = later.extra().producers.set(Box::new([task.clone()]));
        }
        next
    }

    /// An item has come from where they are produced. Nobody may want it any more.
    pub(crate) fn came(&self, item: Ref<T>) {
        let _ = self.add(item);
    }

    /// Lets the reader have an item, unless the producer is to stop.
    fn push(&self, item: Result<T>) -> Result<()> {
        if look_whether_cancelled() {
            return Err(cancelling::cancelled_while_running());
        }
        let (object, promise) = Ref::<T>::promise(self.call, 0);
        promise.complete(item.map_err(|error| error.through(self.hop.clone())));
        self.add(object)
    }

    fn add(&self, object: Ref<T>) -> Result<()> {
        let mut state = self.lock();
        if let Some(stop) = &state.stop {
            let stop = stop.clone();
            drop(state);
            return Err(stop);
        }
        state.unread.push_back(object);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.complete(Ok(()));
        }
        Ok(())
    }

    /// Whether the producer may go on; if not, it is told by `waker` when it may. One that is parked has a
    /// waker that does nothing.
    fn poll_room(&self, waker: &Waker) -> Poll<Result<()>> {
        let mut state = self.lock();
        if let Some(stop) = &state.stop {
            return Poll::Ready(Err(stop.clone()));
        }
        if state.unread.len() < self.unread_max {
            return Poll::Ready(Ok(()));
        }
        state.full = true;
        let before = state.room.replace(Room::Waker(waker.clone()));
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// Whether it was for room that the producer, polled just now, was pending. There may be room by now.
    fn was_full(&self) -> bool {
        std::mem::take(&mut self.lock().full)
    }

    /// The producer was put back, and waits until there is room.
    fn park(&self, parked: Parked) {
        let mut state = self.lock();
        let waits = state.stop.is_none() && state.unread.len() > self.unread_max / 2;
        let room = Room::Parked(parked);
        let (before, room) = match waits {
            true => (state.room.replace(room), None),
            false => (state.room.take(), Some(room)),
        };
        drop(state);
        drop(before);
        if let Some(room) = room {
            room.open();
        }
    }

    /// Sleeps until the producer, pending just now, may go on.
    fn wait_for_room(&self) -> Result<()> {
        let (later, room) = Ref::<()>::promise(Call { function: &READER, ..self.call }, 0);
        let mut state = self.lock();
        state.full = false;
        let waits = state.stop.is_none() && state.unread.len() > self.unread_max / 2;
        let room = Room::Thread(room);
        let (before, open) = match waits {
            true => (state.room.replace(room), None),
            false => (state.room.take(), Some(room)),
        };
        drop(state);
        drop(before);
        if let Some(room) = open {
            room.open();
        }
        if look_whether_cancelled() {
            return Err(cancelling::cancelled_while_running());
        }
        match waiting::wait(later.any(), None) {
            Ok(()) | Err(Ended::TimedOut) => Ok(()),
            Err(Ended::Never(why)) => Err(why),
        }
    }

    /// Wakes a producer that sleeps for room, so that it sees that it was cancelled. Others are woken by whoever
    /// cancels.
    pub(crate) fn wake(&self) {
        let mut state = self.lock();
        let room = state.room.take_if(|room| matches!(room, Room::Thread(_)));
        drop(state);
        if let Some(room) = room {
            room.open();
        }
    }

    /// Stops the producer when it wants to yield the next item, or where it waits for room.
    fn stop(&self, why: Error) {
        let mut state = self.lock();
        state.stop.get_or_insert(why);
        let room = state.room.take();
        drop(state);
        if let Some(room) = room {
            room.open();
        }
    }

    /// The producer has ended; an error comes in the place of what it would have yielded.
    fn finish(&self, failure: Option<Error>) {
        let last = failure.map(|error| Ref::complete(Err(error), self.call));
        let mut state = self.lock();
        state.unread.extend(last);
        state.ended = true;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.complete(Ok(()));
        }
    }
}

/// Whether the task that this thread runs was cancelled.
fn look_whether_cancelled() -> bool {
    // SAFETY: the thread is running the task at this very moment.
    current::task().is_some_and(|task| unsafe { task.running.look_whether_cancelled() })
}

/// A stream as its runtime knows it.
trait Stoppable: Send + Sync {
    fn stop(&self, why: Error);
    /// The actor whose method produces.
    fn actor(&self) -> Option<usize>;
}

impl<T: Send + Sync + 'static> Stoppable for Shared<T> {
    fn stop(&self, why: Error) {
        Self::stop(self, why);
    }

    fn actor(&self) -> Option<usize> {
        self.actor
    }
}

/// The streams of one runtime whose producers have not ended.
#[derive(Default)]
pub(crate) struct Streams(Mutex<HashMap<usize, Weak<dyn Stoppable>>>);

impl Streams {
    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Weak<dyn Stoppable>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add<T: Send + Sync + 'static>(&self, stream: &Arc<Shared<T>>) {
        let weak = Arc::downgrade(stream) as Weak<dyn Stoppable>;
        self.lock().insert(Arc::as_ptr(stream) as usize, weak);
    }

    fn remove<T: Send + Sync + 'static>(&self, stream: &Arc<Shared<T>>) {
        self.lock().remove(&(Arc::as_ptr(stream) as usize));
    }

    fn all(&self) -> Vec<Arc<dyn Stoppable>> {
        self.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// The runtime ends: no producer may wait for its reader any more.
    pub(super) fn stop_all(&self) {
        for stream in self.all() {
            stream.stop(pool::shut_down_before("its stream was read to the end"));
        }
    }

    /// The actor at that address ends after the call that runs now, which may not wait for its reader.
    pub(super) fn stop_those_of(&self, actor: usize, why: impl Fn() -> Error) {
        self.all()
            .iter()
            .filter(|stream| stream.actor() == Some(actor))
            .for_each(|stream| stream.stop(why()));
    }
}

/// The producer's end of a stream.
pub struct Outlet<T: Send + Sync + 'static>(To<T>);

/// Where items go.
enum To<T: Send + Sync + 'static> {
    Reader {
        shared: Arc<Shared<T>>,
        local: Arc<Local>,
    },
    /// To the process of the reader.
    Away(Box<dyn Fn(Result<T>) -> Sent + Send + Sync>),
}

/// That an item was sent to another process, until another is wanted there.
pub(crate) type Sent = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

impl<T: Send + Sync + 'static> Outlet<T> {
    /// The runtime stops the producer when it ends.
    pub(crate) fn new(shared: Arc<Shared<T>>, local: Arc<Local>) -> Self {
        local.streams().add(&shared);
        Self(To::Reader { shared, local })
    }

    /// Of a stream whose reader is in another process.
    pub(crate) fn away(send: impl Fn(Result<T>) -> Sent + Send + Sync + 'static) -> Self {
        Self(To::Away(Box::new(send)))
    }

    /// Yields an item, and waits until the reader has room for another.
    ///
    /// # Errors
    /// Nobody wants more.
    pub async fn send(&self, item: Result<T>) -> Result<()> {
        match &self.0 {
            To::Reader { shared, .. } => {
                shared.push(item)?;
                poll_fn(|context| shared.poll_room(context.waker())).await
            }
            To::Away(send) => send(item).await,
        }
    }
}

impl<T: Send + Sync + 'static> Drop for Outlet<T> {
    fn drop(&mut self) {
        if let To::Reader { shared, local } = &self.0 {
            local.streams().remove(shared);
        }
    }
}

/// The reader's end of a stream.
pub(crate) struct Inlet<T: Send + Sync + 'static> {
    pub(crate) shared: Arc<Shared<T>>,
    /// Complete when the producer has ended.
    pub(crate) task: AnyRef,
    /// None: the producer sees by itself how far the reader is.
    feed: Option<Feed>,
}

/// Asks for the items of a producer that is out of sight, and produces as many as are asked for.
pub(crate) struct Feed {
    /// How many are asked for before the reader wants them.
    ahead: usize,
    taken: usize,
    asked: usize,
    ask: Box<dyn Fn(usize) + Send + Sync>,
}

impl Feed {
    /// `ask` asks for so many more.
    pub(crate) fn new(ahead: usize, ask: impl Fn(usize) + Send + Sync + 'static) -> Self {
        let mut feed = Self { ahead, taken: 0, asked: 0, ask: Box::new(ask) };
        feed.ask_for(ahead);
        feed
    }

    /// The reader has taken one: asks for several at a time.
    fn took(&mut self) {
        self.taken += 1;
        if self.taken + self.ahead >= self.asked + self.ahead.div_ceil(2).max(1) {
            self.ask_for(self.taken + self.ahead);
        }
    }

    /// The reader waits for one.
    fn waits(&mut self) {
        self.ask_for(self.taken + self.ahead.max(1));
    }

    fn ask_for(&mut self, whole: usize) {
        if whole > self.asked {
            (self.ask)(whole - self.asked);
            self.asked = whole;
        }
    }
}

impl<T: Send + Sync + 'static> Inlet<T> {
    /// What `task` yields.
    pub(crate) fn new(shared: Arc<Shared<T>>, task: AnyRef) -> Self {
        let mut awaited = Refs::default();
        awaited.add(&task);
        let (producer, of_producer) = (task.clone(), Arc::clone(&shared));
        let finish = move || of_producer.finish(producer.failure());
        Awaited::when_ready(awaited, Then::Run(None, Box::new(finish)));
        Self { shared, task, feed: None }
    }

    /// The same, of a producer that is out of sight.
    pub(crate) fn fed(shared: Arc<Shared<T>>, task: AnyRef, feed: Feed) -> Self {
        let mut inlet = Self::new(shared, task);
        inlet.feed = Some(feed);
        inlet
    }

    pub(crate) fn next(&mut self) -> Next<T> {
        let next = self.shared.next_of(&self.task);
        match (&next, &mut self.feed) {
            (Next::Item(_), Some(feed)) => feed.took(),
            (Next::Later(_), Some(feed)) => feed.waits(),
            _ => {}
        }
        next
    }
}

impl<T: Send + Sync + 'static> Drop for Inlet<T> {
    fn drop(&mut self) {
        if !self.task.is_complete() {
            let why = Error::new(ErrorKind::Cancelled, "nobody reads its stream any more");
            self.shared.stop(why);
            let _ = cancelling::cancel(&self.task, true);
        }
        let unread = std::mem::take(&mut self.shared.lock().unread);
        drop(unread);
    }
}

/// Polls a producer that awaits nothing but room until it has ended.
pub(crate) fn run_to_end<T: Send + Sync + 'static>(
    shared: &Shared<T>,
    mut producer: Pin<Box<dyn Future<Output = Result<()>> + '_>>,
) -> Result<()> {
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(result) = producer.as_mut().poll(&mut context) {
            return result;
        }
        shared.wait_for_room()?;
    }
}

/// A task that computes a stream: `make` makes the producer, once the arguments are there.
pub(crate) struct Produce<M, T: Send + Sync + 'static> {
    make: Option<M>,
    producer: Option<Producer>,
    /// Whether the producer awaits other things than room.
    waits: bool,
    shared: Arc<Shared<T>>,
    claim: Arc<Claim>,
    own: Own,
}

impl<M, T: Send + Sync + 'static> Produce<M, T> {
    pub(crate) fn new(make: M, waits: bool, shared: Arc<Shared<T>>, claim: Arc<Claim>) -> Self {
        Self { make: Some(make), producer: None, waits, shared, claim, own: Own::default() }
    }
}

/// How far a producer came.
enum Progress {
    /// It waits for room.
    Full,
    Done,
}

impl<M, T> Produce<M, T>
where
    M: FnOnce() -> Result<Producer> + Send + 'static,
    T: Send + Sync + 'static,
{
    /// Produces until there is no room. What is the program's goes with its last step.
    fn produce(&mut self, task: &Task) -> Result<Progress> {
        let Self { make, producer, waits, shared, claim, own } = self;
        let mut produce = |context: &mut Context<'_>| {
            if let Some(make) = make.take() {
                *producer = Some(make()?);
            }
            let polled = producer.as_mut().expect("it is there until it is done");
            Ok(match polled.as_mut().poll(context) {
                Poll::Ready(result) => {
                    *producer = None;
                    Poll::Ready(result.map(|()| Progress::Done)?)
                }
                Poll::Pending if shared.was_full() => Poll::Ready(Progress::Full),
                Poll::Pending => Poll::Pending,
            })
        };
        let mut poll =
            |context: &mut Context<'_>| match current::in_task_with(task, own, || produce(context))
            {
                Ok(progress) => progress.map(Ok),
                Err(error) => Poll::Ready(Err(error)),
            };
        let progress = if *waits {
            claim.local().run_to_end(poll_fn(poll))
        } else {
            match poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(progress) => progress,
                Poll::Pending => unreachable!("what computes awaits nothing but room"),
            }
        };
        if progress.is_err() {
            let _ = current::in_task_with(task, own, || {
                *producer = None;
                Ok(())
            });
        }
        progress
    }

    /// Puts the task back until its reader has taken enough.
    fn park(mut self, promise: Promise<()>) {
        let (shared, claim) = (Arc::clone(&self.shared), self.claim.again());
        // What was taken goes back with the claim before.
        self.claim = Arc::clone(&claim);
        // SAFETY: the promise says that it runs.
        let task = unsafe { promise.task().to_ref() };
        // SAFETY: this is the cell's job, and a task with a claim is never begun but by its entry.
        match unsafe { promise.put_back(self) } {
            Ok(entry) => {
                claim.leave_line_if_cancelled(&task);
                drop(task);
                shared.park(Parked { claim, entry: Some(entry) });
            }
            Err((job, promise)) => {
                let hop = promise.hop();
                panics::drop_quietly(job);
                promise.complete(Err(cancelling::cancelled_while_running().through(hop)));
            }
        }
    }
}

impl<M, T> Job<()> for Produce<M, T>
where
    M: FnOnce() -> Result<Producer> + Send + 'static,
    T: Send + Sync + 'static,
{
    fn run(mut self, promise: Promise<()>) {
        let (claim, cpus) = (Arc::clone(&self.claim), self.claim.request().cpus);
        let fresh = self.make.is_some();
        let progress = grant::with_cpus(claim.local(), cpus, || {
            let step = if fresh { EventKind::Started } else { EventKind::Resumed };
            note::step(promise.number(), step);
            self.produce(&Task::new(promise.task(), promise.call(), cpus, 0))
        });
        drop(claim);
        let result = match progress {
            Ok(Progress::Full) => {
                note::step(promise.number(), EventKind::Blocked);
                return self.park(promise);
            }
            Ok(Progress::Done) => Ok(()),
            Err(error) => Err(error),
        };
        if self.shared.lock().stop.is_none() {
            cancelling::note_end(&promise, &result, Some(self.claim.local()));
        }
        let hop = promise.hop();
        panics::drop_quietly(self);
        promise.complete(result.map_err(|error| error.through(hop)));
    }
}

/// A producer that was put back, between two turns.
struct Parked {
    claim: Arc<Claim>,
    /// Gone once queued.
    entry: Option<Entry>,
}

impl Parked {
    fn queue(mut self) {
        // While a guest is there the runtime does not end, or it has closed before, which shows.
        let guest = Guest::of(self.claim.local());
        if !guest.local().pool().is_closed()
            && let Some(entry) = self.entry.take()
        {
            self.claim.queue(entry);
        }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            let _ = entry.abandon(pool::shut_down_before("its stream was read to the end"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn items_are_asked_for_as_far_as_the_reader_may_be_ahead() {
        for ahead in [0, 1, 2, 7, 8] {
            let asked = Arc::new(AtomicUsize::new(0));
            let here = Arc::clone(&asked);
            let mut feed = Feed::new(ahead, move |count| {
                here.fetch_add(count, Ordering::Relaxed);
            });
            let asked = || asked.load(Ordering::Relaxed);
            assert_eq!(asked(), ahead);
            for taken in 1..=50 {
                if asked() < taken {
                    feed.waits();
                }
                assert!((taken..taken + ahead.max(1)).contains(&asked()), "{ahead}: {}", asked());
                feed.took();
            }
            // Who waits twice asks once.
            feed.waits();
            let before = asked();
            feed.waits();
            assert_eq!((asked(), before), (50 + ahead.max(1), 50 + ahead.max(1)));
        }
    }
}
