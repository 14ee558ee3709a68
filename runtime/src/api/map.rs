//! Calling one function for many items: chunks of them become tasks as the results are taken.
//!
//! A chunk holds so many items that it runs for about [`CHUNK_TIME`]: long enough that a task costs
//! nothing beside it, short enough that the work stays balanced. How long an item takes is learnt from
//! the chunks that are done.
//!
//! In the tree of calls the map is one call, and each item is a child of it, whatever its chunk. So what an
//! item draws and calls depends on its number alone.

use std::collections::VecDeque;
use std::iter::Fuse;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::api::cancel::cancel_any;
use crate::api::context::check_cancelled;
use crate::api::crossing;
use crate::api::parameter::{Awaiting, IntoSlots, Params};
use crate::api::remote::{Body, RemoteFn, Slots, refused, submit_call, submit_task};
use crate::cluster;
use crate::error::{Error, Result};
use crate::function::{Call, Function};
use crate::local::arguments::{Awaited, Refs, Then};
use crate::local::cell::Ref;
use crate::local::group::GroupWait;
use crate::local::job::Compute;
use crate::local::place::Place;
use crate::local::waiting::{self, Ended};
use crate::local::{Local, current, default};

/// How long a chunk should run.
const CHUNK_TIME: Duration = Duration::from_millis(1);
/// The most items that a chunk is given without being asked.
const CHUNK_ITEMS_MAX: usize = 4096;
/// A chunk asks before every so many items whether it was cancelled.
const LOOK_EVERY: u64 = 16;
/// How many chunks for each CPU are under way, unless `max_in_flight` says otherwise.
const CHUNKS_PER_CPU: usize = 32;

/// How the items of a [`Map`] become tasks.
pub trait Work<X> {
    /// What becomes of an item.
    type Output: Send + Sync + 'static;
    #[doc(hidden)]
    fn submit(&self, items: Vec<X>, call: Call, places: Places) -> Pending<Self::Output>;
}

/// Where the items of a chunk stand in the tree of calls.
#[derive(Clone)]
pub struct Places {
    map: Place,
    /// The number of the first.
    first: u64,
}

/// A chunk under way.
pub struct Pending<T>(Ref<Chunk<T>>);

/// A chunk that is done.
struct Chunk<T> {
    results: Vec<Result<T>>,
    took: Duration,
}

/// A remote function as [`Work`].
pub struct Remote<F>(PhantomData<fn() -> F>);

impl<F: RemoteFn, X: IntoSlots<F::Params>> Work<X> for Remote<F> {
    type Output = F::Output;

    fn submit(&self, items: Vec<X>, call: Call, places: Places) -> Pending<F::Output> {
        let slots: Vec<Slots<F>> = items.into_iter().map(IntoSlots::into_slots).collect();
        Pending(match F::body() {
            Body::Compute(body) if F::defaults().is_none() && !crossing::leaves() => {
                let mut awaiting = Awaiting::default();
                slots.iter().for_each(|slots| F::Params::awaited(slots, &mut awaiting));
                let run = move |slots: Slots<F>| body(F::Params::resolve(slots)?);
                let place = places.map.clone();
                let work = Compute(move || Ok(run_chunk(slots, run, call, &places)));
                submit_task(work, awaiting, call, None, |_| place)
            }
            // Each has its own wait, or its own options, or goes to another process, where many go at once.
            Body::Compute(_) | Body::Await(_) => each::<F>(slots, call, &places),
        })
    }
}

/// Makes each call a task of its own, and one chunk of their results.
fn each<F: RemoteFn>(slots: Vec<Slots<F>>, call: Call, places: &Places) -> Ref<Chunk<F::Output>> {
    let options = F::defaults();
    let submit = |(index, slots)| {
        let place = |local: &Arc<Local>| places.map.child(index, local.tree().root());
        submit_call::<F>(slots, options.cloned(), call, place)
    };
    let refs: Vec<_> = (places.first..).zip(slots).map(submit).collect();
    let (chunk, promise) = Ref::promise(call, 0);
    let all = || refs.iter().map(|object| object.any().clone());
    // So that cancelling the chunk cancels the calls.
    let _ = chunk.any().extra().producers.set(all().collect());
    let mut all = Refs::default();
    refs.iter().for_each(|object| all.add(object.any()));
    let cell = chunk.any().clone();
    let hand_over = move || {
        let take =
            |object: crate::ObjectRef<F::Output>| object.into_inner().take_value().into_unshared();
        let results = refs.into_iter().map(take).collect();
        promise.complete(Ok(Chunk { results, took: Duration::ZERO }));
    };
    Awaited::when_ready(all, Then::Run(Some(cell), Box::new(hand_over)));
    chunk
}

/// A closure as [`Work`].
pub struct Closure<C>(Arc<C>);

impl<X, T, C> Work<X> for Closure<C>
where
    X: Send + 'static,
    T: Send + Sync + 'static,
    C: Fn(X) -> T + Send + Sync + 'static,
{
    type Output = T;

    fn submit(&self, items: Vec<X>, call: Call, places: Places) -> Pending<T> {
        if crossing::leaves() {
            let what = "`mobula::map` takes a closure, which stays in its process";
            return Pending(refused(cluster::stays(what), call, |_| places.map));
        }
        let closure = Arc::clone(&self.0);
        let run = move |item| Ok(closure(item));
        let place = places.map.clone();
        let work = Compute(move || Ok(run_chunk(items, run, call, &places)));
        Pending(submit_task(work, Awaiting::default(), call, None, |_| place))
    }
}

/// Runs one item after the other; a failed one leaves the others alone. A cancelled chunk ends early.
fn run_chunk<X, T>(
    items: Vec<X>,
    run: impl Fn(X) -> Result<T>,
    call: Call,
    places: &Places,
) -> Chunk<T> {
    let start = Instant::now();
    let one = |index, item| {
        current::in_item(&places.map, index, || run(item)).map_err(|error| error.through(call))
    };
    let mut cancelled = None;
    let next = |(nth, item): (u64, X)| {
        if nth.is_multiple_of(LOOK_EVERY) && cancelled.is_none() {
            cancelled = check_cancelled().err();
        }
        match &cancelled {
            Some(cancelled) => Err(cancelled.clone().through(call)),
            None => one(places.first + nth, item),
        }
    };
    let results = (0..).zip(items).map(next).collect();
    Chunk { results, took: start.elapsed() }
}

/// The results of a function for many items: an iterator of `Result`s in the order of the items.
///
/// The items are taken, and the tasks made, as the results are taken: at most
/// [`max_in_flight`](Self::max_in_flight) items are under way at a time, so the items may be endless.
/// Dropped early, it cancels what is under way.
#[must_use = "nothing is called until the results are taken"]
pub struct Map<W: Work<I::Item>, I: Iterator> {
    work: W,
    items: Fuse<I>,
    call: Call,
    /// Of the next chunk's items.
    places: Places,
    num_cpus: usize,
    unordered: bool,
    chunk_size: Option<usize>,
    max_in_flight: Option<usize>,
    progress: Option<ProgressBar>,
    /// How long an item takes, as far as we know.
    item_time: Option<Duration>,
    under_way: UnderWay<W::Output>,
    done: VecDeque<Result<W::Output>>,
}

/// The chunks that were submitted and whose results were not taken.
struct UnderWay<T> {
    /// By number, which grows; a hole is a chunk that was taken out of turn.
    chunks: VecDeque<Option<Submitted<T>>>,
    first: usize,
    count: usize,
    items: usize,
    arrivals: GroupWait,
}

/// A chunk and how many items it holds.
type Submitted<T> = (Ref<Chunk<T>>, usize);

/// What waiting for a chunk gave.
enum Next<T> {
    /// Nothing is under way.
    None,
    Done(Submitted<T>),
    /// The chunk waits for us, and so would never be done.
    Never(Submitted<T>, Error),
}

static CLOSURE: Function = Function::new("map", module_path!(), file!(), line!());

/// Calls a closure for each item, on this machine, and gives the results in order.
///
/// ```
/// let squares: Vec<u64> =
///     mobula::map(0..1000, |x| x * x).collect::<mobula::Result<_>>()?;
/// assert_eq!(squares[999], 998_001);
/// # Ok::<(), mobula::Error>(())
/// ```
#[track_caller]
pub fn map<I, T, C>(items: I, closure: C) -> Map<Closure<C>, I::IntoIter>
where
    I: IntoIterator<Item: Send + 'static>,
    T: Send + Sync + 'static,
    C: Fn(I::Item) -> T + Send + Sync + 'static,
{
    let call = Call { function: &CLOSURE, called_at: Location::caller() };
    Map::new(Closure(Arc::new(closure)), items.into_iter(), call)
}

/// What `f::map(items)` gives.
pub type RemoteMap<F, I> = Map<Remote<F>, I>;

/// Calls a remote function for each item.
#[track_caller]
pub fn map_remote<F: RemoteFn, I: IntoIterator>(items: I) -> RemoteMap<F, I::IntoIter>
where
    I::Item: IntoSlots<F::Params>,
{
    let call = Call { function: F::function(), called_at: Location::caller() };
    Map::new(Remote(PhantomData), items.into_iter(), call)
}

impl<W: Work<I::Item>, I: Iterator> Map<W, I> {
    fn new(work: W, items: I, call: Call) -> Self {
        let (num_cpus, places) = default::with_current(|local| {
            let map = current::next_place(local);
            (local.settings().num_cpus, Places { map, first: 0 })
        });
        Self {
            work,
            items: items.fuse(),
            call,
            places,
            num_cpus,
            unordered: false,
            chunk_size: None,
            max_in_flight: None,
            progress: None,
            item_time: None,
            under_way: UnderWay {
                chunks: VecDeque::new(),
                first: 0,
                count: 0,
                items: 0,
                arrivals: GroupWait::default(),
            },
            done: VecDeque::new(),
        }
    }

    /// Gives the results as they come, not in the order of the items.
    pub fn unordered(mut self) -> Self {
        self.unordered = true;
        self
    }

    /// Makes a task of every `items` items, instead of as many as take about a millisecond. 0 is taken
    /// for 1.
    pub fn chunk_size(mut self, items: usize) -> Self {
        self.chunk_size = Some(items.max(1));
        self
    }

    /// Lets at most `items` items be under way: begun, or waiting, or done and not yet taken. 0 is taken
    /// for 1.
    pub fn max_in_flight(mut self, items: usize) -> Self {
        self.max_in_flight = Some(items.max(1));
        self
    }

    /// Shows a progress bar with this label on the standard error stream, if that is a terminal.
    pub fn progress(mut self, label: &str) -> Self {
        let (bar, template) = match self.items.size_hint() {
            (least, Some(most)) if least == most => (
                ProgressBar::new(most as u64),
                "{msg} {wide_bar} {pos}/{len} [{elapsed} elapsed, {eta} left]",
            ),
            _ => (ProgressBar::new_spinner(), "{msg} {spinner} {pos} [{elapsed} elapsed]"),
        };
        let style = ProgressStyle::with_template(template).expect("the template is well formed");
        self.progress = Some(bar.with_style(style).with_message(label.to_owned()));
        self
    }

    /// How many items the next chunk gets.
    fn next_chunk_size(&self) -> usize {
        let size = match (self.chunk_size, self.item_time) {
            (Some(size), _) => return self.room().map_or(size, |room| size.min(room)),
            (None, None) => 1,
            (None, Some(time)) if time.is_zero() => CHUNK_ITEMS_MAX,
            (None, Some(time)) => (CHUNK_TIME.as_nanos() / time.as_nanos().max(1))
                .clamp(1, CHUNK_ITEMS_MAX as u128) as usize,
        };
        // Towards the end the chunks grow small, so that all CPUs end at about the same time.
        let size = match self.items.size_hint() {
            (_, Some(left)) => size.min(left / (2 * self.num_cpus) + 1),
            _ => size,
        };
        self.room().map_or(size, |room| size.min(room))
    }

    /// How many more items may be under way, if there is a limit.
    fn room(&self) -> Option<usize> {
        let taken = self.under_way.items + self.done.len();
        self.max_in_flight.map(|most| most.saturating_sub(taken))
    }

    /// Submits as many chunks as may be under way.
    fn submit(&mut self) {
        let chunks_max = match self.max_in_flight {
            Some(_) => usize::MAX,
            None => CHUNKS_PER_CPU * self.num_cpus,
        };
        while self.under_way.count < chunks_max {
            let size = self.next_chunk_size();
            let items: Vec<I::Item> = self.items.by_ref().take(size).collect();
            if items.is_empty() {
                return;
            }
            let count = items.len();
            let Pending(chunk) = self.work.submit(items, self.call, self.places.clone());
            self.places.first += count as u64;
            self.under_way.add(chunk, count, self.unordered);
        }
    }

    /// Waits for the next chunk and takes its results. False: there is none.
    fn take_chunk(&mut self) -> bool {
        let (chunk, items, deadlock) = match self.under_way.next(self.unordered) {
            Next::None => return false,
            Next::Done((chunk, items)) => (chunk, items, None),
            Next::Never((chunk, items), why) => (chunk, items, Some(why)),
        };
        self.progress.iter().for_each(|bar| bar.inc(items as u64));
        if let Some(why) = deadlock {
            cancel_any(chunk.any(), true);
            self.done.extend((0..items).map(|_| Err(why.clone())));
            return true;
        }
        match chunk.take_value().into_unshared() {
            Ok(Chunk { results, took }) => {
                let time = took / u32::try_from(items).unwrap_or(u32::MAX);
                // The mean of what we knew and what we learn, so that one odd chunk changes little.
                self.item_time = Some(self.item_time.map_or(time, |known| (known + time) / 2));
                self.done.extend(results);
            }
            // The whole chunk failed: it was shut down, or an argument failed.
            Err(error) => self.done.extend((0..items).map(|_| Err(error.clone()))),
        }
        true
    }
}

impl<T: Send + Sync + 'static> UnderWay<T> {
    fn add(&mut self, chunk: Ref<Chunk<T>>, items: usize, unordered: bool) {
        if unordered {
            self.arrivals.add(std::iter::once(chunk.any().clone()));
        }
        self.chunks.push_back(Some((chunk, items)));
        self.count += 1;
        self.items += items;
    }

    /// The next chunk, complete: in order, or whichever comes first.
    fn next(&mut self, unordered: bool) -> Next<T> {
        // What has been taken leaves the front at once, so the first is always there.
        let Some(Some((first, _))) = self.chunks.front() else { return Next::None };
        let waited = if unordered {
            waiting::next_of(&self.arrivals, None)
        } else {
            waiting::wait(first.any(), None).map(|()| self.first)
        };
        match waited {
            Ok(number) => match self.take(number, unordered) {
                Some(done) => Next::Done(done),
                // It came after we had given it up.
                None => self.next(unordered),
            },
            // There was no deadline, so nothing else can have ended the wait. Then none of them will come,
            // and the first is as good as any.
            Err(Ended::TimedOut) => unreachable!("a wait without a deadline has none to miss"),
            Err(Ended::Never(why)) => {
                let first = self.take(self.first, unordered);
                first.map_or(Next::None, |first| Next::Never(first, why))
            }
        }
    }

    /// Takes the chunk of that number out.
    fn take(&mut self, number: usize, unordered: bool) -> Option<Submitted<T>> {
        if unordered {
            self.arrivals.forget(number);
        }
        let chunk = self.chunks.get_mut(number.checked_sub(self.first)?)?.take();
        while let Some(None) = self.chunks.front() {
            self.chunks.pop_front();
            self.first += 1;
        }
        let chunk = chunk?;
        self.count -= 1;
        self.items -= chunk.1;
        Some(chunk)
    }
}

impl<W: Work<I::Item>, I: Iterator> Iterator for Map<W, I> {
    type Item = Result<W::Output>;

    fn next(&mut self) -> Option<Self::Item> {
        self.submit();
        while self.done.is_empty() && self.take_chunk() {
            self.submit();
        }
        let next = self.done.pop_front();
        if next.is_none() {
            self.progress.take().iter().for_each(ProgressBar::finish);
        }
        next
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let here = self.under_way.items + self.done.len();
        let (least, most) = self.items.size_hint();
        (least.saturating_add(here), most.and_then(|most| most.checked_add(here)))
    }
}

impl<W: Work<I::Item>, I: Iterator> Drop for Map<W, I> {
    fn drop(&mut self) {
        for (chunk, _) in self.under_way.chunks.iter().flatten() {
            cancel_any(chunk.any(), true);
        }
    }
}
