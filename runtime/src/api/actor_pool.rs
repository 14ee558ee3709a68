//! Many equal actors as one: each call goes to the one that has the least to do.
//!
//! The pool learns of each call's end as it comes (a [`GroupWait`]), and so knows at any time how many calls
//! each actor has under way. What was submitted and what a map has called are two [`Lane`]s over the same
//! actors, each with its own results.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::iter::Fuse;
use std::panic::Location;

use crate::api::actor::{Actor, ActorHandle};
use crate::api::object::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{Call, Function};
use crate::local::cell::Ref;
use crate::local::group::GroupWait;
use crate::local::waiting::{self, Ended};

/// How many calls of a map an actor has at a time, unless [`ActorPool::calls_per_actor`] says otherwise: one
/// runs, and one is there when that ends.
const CALLS_PER_ACTOR: usize = 2;
/// How many results of a map wait to be taken, for each actor, before no more items are: so that the others
/// have work while the next result in order takes long.
const RESULTS_PER_ACTOR: usize = 32;

/// Equal actors that share work: each call goes to the one with the fewest calls under way. The pool owns
/// its handles, so its actors end with it, unless others hold some, too.
///
/// All calls of a pool have results of one type `T`. An actor that died is not called while others live.
///
/// ```
/// use mobula::prelude::*;
///
/// struct Model(u64);
///
/// #[remote]
/// impl Model {
///     pub fn new(factor: u64) -> Self {
///         Self(factor) // Something that takes long to load.
///     }
///     pub fn predict(&mut self, x: u64) -> u64 {
///         self.0 * x
///     }
/// }
///
/// let mut models = ActorPool::new((0..4).map(|_| Model::remote(2)));
/// let doubled: Vec<u64> =
///     models.map(0..100, |model, x| model.predict(x)).collect::<mobula::Result<_>>()?;
/// assert_eq!(doubled[99], 198);
///
/// // Or call by call.
/// models.submit(|model| model.predict(5));
/// models.submit(|model| model.predict(6));
/// while let Some(doubled) = models.next() {
///     println!("{}", doubled?); // 10, then 12
/// }
/// # Ok::<(), mobula::Error>(())
/// ```
pub struct ActorPool<A: Actor, T> {
    staff: Staff<A>,
    submitted: Lane<T>,
    calls_per_actor: usize,
}

impl<A: Actor, T: Clone + Send + Sync + 'static> ActorPool<A, T> {
    /// A pool of these actors. One without any gives an error for each call.
    pub fn new(actors: impl IntoIterator<Item = ActorHandle<A>>) -> Self {
        let staff = Staff::new(actors);
        Self { staff, submitted: Lane::default(), calls_per_actor: CALLS_PER_ACTOR }
    }

    /// Lets a map give each actor up to `calls` calls at a time, instead of 2; 0 is taken for 1. More are good
    /// where calls are very short, or where an actor runs several side by side; fewer keep the work
    /// balanced where calls are long.
    pub fn calls_per_actor(mut self, calls: usize) -> Self {
        self.calls_per_actor = calls.max(1);
        self
    }

    /// The pool's actors.
    pub fn actors(&self) -> impl ExactSizeIterator<Item = &ActorHandle<A>> {
        self.staff.members.iter().map(|member| &member.handle)
    }

    /// Takes one more actor into the pool.
    pub fn push(&mut self, actor: ActorHandle<A>) {
        self.staff.members.push(Member::new(actor));
    }

    /// Calls an actor for each item, and gives the results in the order of the items; a call that fails
    /// gives its error in its place.
    ///
    /// Items are taken as the results are: only so many at a time as keep all actors at work, so the
    /// items may be endless. Dropped early, it calls no more, and the calls made so far still run.
    #[track_caller]
    pub fn map<I, C>(&mut self, items: I, call: C) -> PoolMap<'_, A, T, I::IntoIter, C>
    where
        I: IntoIterator,
        C: FnMut(&ActorHandle<A>, I::Item) -> ObjectRef<T>,
    {
        PoolMap {
            pool: self,
            lane: Lane::default(),
            items: items.into_iter().fuse(),
            call,
            called_at: Location::caller(),
            unordered: false,
        }
    }

    /// As [`map`](Self::map), with the results as they come.
    #[track_caller]
    pub fn map_unordered<I, C>(&mut self, items: I, call: C) -> PoolMap<'_, A, T, I::IntoIter, C>
    where
        I: IntoIterator,
        C: FnMut(&ActorHandle<A>, I::Item) -> ObjectRef<T>,
    {
        PoolMap { unordered: true, ..self.map(items, call) }
    }

    /// Calls the actor that has the least to do, at once; [`next`](Self::next) gives the result.
    #[track_caller]
    pub fn submit(&mut self, call: impl FnOnce(&ActorHandle<A>) -> ObjectRef<T>) {
        self.staff.hear(&mut [&mut self.submitted]);
        self.staff.call(&mut self.submitted, Location::caller(), call);
    }

    /// Whether there are results that were not taken, now or later.
    pub fn has_next(&self) -> bool {
        !self.submitted.calls.is_empty()
    }

    /// The next result of what was submitted, in that order; waits until the call is done. None: all have
    /// been taken.
    #[expect(clippy::should_implement_trait, reason = "an iterator's own `map` would hide ours")]
    pub fn next(&mut self) -> Option<Result<T>> {
        self.take(false)
    }

    /// Of what was submitted, the result of a call that is done, whichever is first; waits until there is
    /// one. None: all have been taken.
    pub fn next_unordered(&mut self) -> Option<Result<T>> {
        self.take(true)
    }

    fn take(&mut self, unordered: bool) -> Option<Result<T>> {
        let Self { staff, submitted, .. } = self;
        staff.hear(&mut [submitted]);
        while submitted.has_to_wait(unordered) {
            if let Err(never) = staff.wait(&mut [submitted]) {
                return submitted.give_up(never);
            }
        }
        submitted.take(unordered)
    }
}

/// What [`ActorPool::map`] gives: an iterator of `Result`s.
#[must_use = "no actor is called until the results are taken"]
pub struct PoolMap<'a, A: Actor, T, I: Iterator, C> {
    pool: &'a mut ActorPool<A, T>,
    lane: Lane<T>,
    items: Fuse<I>,
    call: C,
    called_at: &'static Location<'static>,
    unordered: bool,
}

impl<A, T, I, C> PoolMap<'_, A, T, I, C>
where
    A: Actor,
    T: Clone + Send + Sync + 'static,
    I: Iterator,
    C: FnMut(&ActorHandle<A>, I::Item) -> ObjectRef<T>,
{
    /// Gives work to the actors that have too little.
    fn fill(&mut self) {
        let Self { pool, lane, items, call, called_at, .. } = self;
        let ActorPool { staff, submitted, calls_per_actor } = &mut **pool;
        staff.hear(&mut [lane, submitted]);
        let calls_max = RESULTS_PER_ACTOR.max(*calls_per_actor) * staff.members.len().max(1);
        let has_room = |staff: &Staff<A>, calls: usize| {
            calls < calls_max && staff.least_load() < *calls_per_actor
        };
        // One is made in any case: the actors may be busy with what others called.
        while lane.calls.is_empty() || has_room(staff, lane.calls.len()) {
            let Some(item) = items.next() else { return };
            staff.call(lane, called_at, |actor| call(actor, item));
            staff.hear(&mut [lane, submitted]);
        }
    }
}

impl<A, T, I, C> Iterator for PoolMap<'_, A, T, I, C>
where
    A: Actor,
    T: Clone + Send + Sync + 'static,
    I: Iterator,
    C: FnMut(&ActorHandle<A>, I::Item) -> ObjectRef<T>,
{
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        self.fill();
        while self.lane.has_to_wait(self.unordered) {
            let ActorPool { staff, submitted, .. } = &mut *self.pool;
            if let Err(never) = staff.wait(&mut [&mut self.lane, submitted]) {
                return self.lane.give_up(never);
            }
            self.fill();
        }
        self.lane.take(self.unordered)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let here = self.lane.calls.len();
        let (least, most) = self.items.size_hint();
        (least.saturating_add(here), most.and_then(|most| most.checked_add(here)))
    }
}

/// The actors, and what they have to do.
struct Staff<A: Actor> {
    members: Vec<Member<A>>,
    /// Who is asked first, where several have as little to do.
    turn: usize,
    arrivals: GroupWait,
    /// Which member has a call under way, by the call's number.
    under_way: HashMap<usize, usize>,
    /// How many calls there were: the number of the next.
    calls: usize,
}

struct Member<A: Actor> {
    handle: ActorHandle<A>,
    /// How many calls it has under way.
    load: usize,
    /// Whether the last call that ended failed because the actor had died.
    died: bool,
}

impl<A: Actor> Member<A> {
    fn new(handle: ActorHandle<A>) -> Self {
        Self { handle, load: 0, died: false }
    }
}

static EMPTY: Function = Function::new("ActorPool", module_path!(), file!(), line!());

impl<A: Actor> Staff<A> {
    fn new(actors: impl IntoIterator<Item = ActorHandle<A>>) -> Self {
        Self {
            members: actors.into_iter().map(Member::new).collect(),
            turn: 0,
            arrivals: GroupWait::default(),
            under_way: HashMap::new(),
            calls: 0,
        }
    }

    /// The member to call next. One that died fails its calls at once, and so always has the least to do.
    fn least_loaded(&self) -> Option<usize> {
        let count = self.members.len();
        let by_turn = (0..count).map(|nth| (self.turn + nth) % count);
        by_turn.min_by_key(|&member| (self.members[member].died, self.members[member].load))
    }

    fn least_load(&self) -> usize {
        self.least_loaded().map_or(0, |member| self.members[member].load)
    }

    /// Calls whoever has the least to do.
    fn call<T: Send + Sync + 'static>(
        &mut self,
        lane: &mut Lane<T>,
        called_at: &'static Location<'static>,
        call: impl FnOnce(&ActorHandle<A>) -> ObjectRef<T>,
    ) {
        let object = match self.least_loaded() {
            Some(member) => {
                let object = call(&self.members[member].handle);
                self.turn = member + 1;
                self.members[member].load += 1;
                self.under_way.insert(self.calls, member);
                object
            }
            None => {
                let why = Error::new(ErrorKind::Value, "the pool has no actors: give it some");
                let call = Call { function: &EMPTY, called_at };
                Ref::complete(Err(why.through(call)), call).into()
            }
        };
        self.arrivals.add(std::iter::once(object.any().clone()));
        lane.calls.insert(self.calls, object);
        self.calls += 1;
    }

    /// Takes note of the calls that have ended.
    fn hear<T: Send + Sync + 'static>(&mut self, lanes: &mut [&mut Lane<T>]) {
        while let Some(number) = self.arrivals.next() {
            self.ended(number, lanes);
        }
    }

    /// Waits until a call ends. Err: none that is under way can.
    fn wait<T: Send + Sync + 'static>(&mut self, lanes: &mut [&mut Lane<T>]) -> Result<()> {
        match waiting::next_of(&self.arrivals, None) {
            Ok(number) => self.ended(number, lanes),
            Err(Ended::Never(why)) => return Err(why),
            Err(Ended::TimedOut) => unreachable!("a wait without a deadline has none to miss"),
        }
        Ok(())
    }

    fn ended<T: Send + Sync + 'static>(&mut self, number: usize, lanes: &mut [&mut Lane<T>]) {
        self.arrivals.forget(number);
        let object = lanes.iter_mut().find_map(|lane| lane.hear(number));
        let Some(member) = self.under_way.remove(&number) else { return };
        self.members[member].load -= 1;
        // A map that was dropped has nobody who knows how its calls ended.
        if let Some(object) = object {
            let died = |error: Error| error.kind() == ErrorKind::ActorDied;
            self.members[member].died = object.any().failure().is_some_and(died);
        }
    }
}

/// Calls whose results are given together.
struct Lane<T> {
    /// Those whose results were not taken, by number.
    calls: BTreeMap<usize, ObjectRef<T>>,
    /// The numbers of those that have ended, in the order of their ends; some may have been taken.
    ended: VecDeque<usize>,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { calls: BTreeMap::new(), ended: VecDeque::new() }
    }
}

impl<T> Lane<T> {
    /// A call has ended, perhaps one of these.
    fn hear(&mut self, number: usize) -> Option<&ObjectRef<T>> {
        let object = self.calls.get(&number)?;
        self.ended.push_back(number);
        Some(object)
    }

    /// The number of the call whose result is next, if that is there.
    fn next(&mut self, unordered: bool) -> Option<usize> {
        // What was taken in the other way does not count, and is forgotten in both.
        while self.ended.front().is_some_and(|number| !self.calls.contains_key(number)) {
            self.ended.pop_front();
        }
        if unordered {
            return self.ended.front().copied();
        }
        self.calls
            .first_key_value()
            .filter(|(_, object)| object.any().is_complete())
            .map(|(&number, _)| number)
    }
}

impl<T: Clone + Send + Sync + 'static> Lane<T> {
    /// Whether there are results to come, and none of them is here.
    fn has_to_wait(&mut self, unordered: bool) -> bool {
        !self.calls.is_empty() && self.next(unordered).is_none()
    }

    fn take(&mut self, unordered: bool) -> Option<Result<T>> {
        let number = self.next(unordered)?;
        self.calls.remove(&number).map(ObjectRef::into_value)
    }

    /// Gives an error in the place of the first result, which will never come.
    fn give_up(&mut self, why: Error) -> Option<Result<T>> {
        self.calls.pop_first().map(|_| Err(why))
    }
}
