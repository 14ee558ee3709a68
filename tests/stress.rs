//! Random programs against a sequential model.
//!
//! Each round starts a runtime with a random number of CPUs. A few threads drive it, each with a
//! program of its own: it makes tasks, objects and actors that depend on each other at random, waits
//! for some, cancels some, drops some, and in some rounds the runtime ends under way. A [`Model`] notes
//! what was done. At the end it works out, in the order of the program, what each object may be, and
//! compares. What a race decides is taken from what was seen; what follows from that is then checked.
//!
//! Nothing may leak: the values count themselves. Nothing may hang: a watchdog ends the process when
//! nothing has progressed for a minute. Neither the test nor its tasks ever sleep.
//!
//! A failure names the seed; `MOBULA_STRESS_SEED` runs it again, and `MOBULA_STRESS_OPS` sets how much
//! is done. The programs are then the same; what the threads make of them may differ.

#![expect(unreachable_pub, reason = "an actor's remote methods are its public ones")]

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use mobula::prelude::*;

/// How much is done unless the environment says otherwise: calls, and calls that these make.
const OPERATIONS: u64 = 100_000;
/// How many operations a driver does in a round.
const ROUND_OPERATIONS: u64 = 1_000;
const DRIVERS_MAX: u64 = 3;
const CPUS_MAX: u64 = 4;
/// How long nothing may progress.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// What the panics of this test's tasks begin with.
const PLANNED: &str = "planned: ";

static OPERATIONS_DONE: AtomicU64 = AtomicU64::new(0);
static LIVING: AtomicI64 = AtomicI64::new(0);

fn progress() {
    OPERATIONS_DONE.fetch_add(1, Ordering::Relaxed);
}

/// A value that is counted while it lives, and owns memory, so that a double free shows.
#[derive(Debug)]
struct Counted(Box<u64>);

impl Counted {
    fn new(value: u64) -> Self {
        progress();
        LIVING.fetch_add(1, Ordering::Relaxed);
        Self(Box::new(value))
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        LIVING.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LIVING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What all of this test computes.
fn combine<'a>(values: impl IntoIterator<Item = &'a u64>) -> u64 {
    values.into_iter().fold(17, |sum, value| sum.wrapping_mul(31).wrapping_add(*value))
}

/// Randomness from a seed: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

// The tasks.

#[remote(local)]
fn borrow_two(a: &Counted, b: &Counted) -> Counted {
    Counted::new(combine([&*a.0, &*b.0]))
}

#[remote(local)]
fn take_one(a: Counted) -> Counted {
    Counted::new(combine([&*a.0]))
}

#[remote(local)]
fn take_all(all: Vec<Counted>) -> Counted {
    Counted::new(combine(all.iter().map(|value| &*value.0)))
}

#[remote(local)]
async fn wait_for_two(a: Counted, b: &Counted) -> Counted {
    tokio::task::yield_now().await;
    Counted::new(combine([&*a.0, &*b.0]))
}

#[remote(local)]
fn get_two(a: ObjectRef<Counted>, b: ObjectRef<Counted>) -> mobula::Result<Counted> {
    let (a, b) = get((&a, b))?;
    Ok(Counted::new(combine([&*a.0, &*b.0])))
}

#[remote(local)]
async fn await_two(a: ObjectRef<Counted>, b: ObjectRef<Counted>) -> mobula::Result<Counted> {
    let (a, b) = (a.await?, (&b).await?);
    Ok(Counted::new(combine([&*a.0, &*b.0])))
}

#[remote(local)]
fn refuse(_a: &Counted) -> Result<Counted, String> {
    Err("no".to_owned())
}

#[remote(local)]
fn explode(_a: Counted) -> Counted {
    panic!("{PLANNED}a task")
}

#[remote(local)]
async fn explode_later(_a: Counted) -> Counted {
    tokio::task::yield_now().await;
    panic!("{PLANNED}an async task")
}

#[remote(local, num_returns = 2)]
fn split(a: Counted) -> (Counted, Counted) {
    (Counted::new(combine([&*a.0, &0])), Counted::new(combine([&*a.0, &1])))
}

/// A tree of tasks that wait for their children.
#[remote(local)]
fn tree(root: u64, depth: u64) -> mobula::Result<Counted> {
    if depth == 0 {
        return Ok(Counted::new(root));
    }
    let children: Vec<ObjectRef<Counted>> = (0..1 + root % 3)
        .map(|nth| match (root + nth) % 4 {
            0 => tree_later::remote(root + nth, depth - 1),
            1 => mobula::spawn(move || Counted::new(tree_value(root + nth, depth - 1))),
            _ => tree::remote(root + nth, depth - 1),
        })
        .collect();
    let values: Vec<Counted> = match root % 3 {
        0 => get(&children)?,
        1 => get(children)?,
        _ => children.into_iter().map(get).collect::<mobula::Result<_>>()?,
    };
    Ok(Counted::new(combine(values.iter().map(|value| &*value.0))))
}

#[remote(local)]
async fn tree_later(root: u64, depth: u64) -> mobula::Result<Counted> {
    tree::remote(root, depth).await
}

/// What `tree` gives, worked out on the spot.
fn tree_value(root: u64, depth: u64) -> u64 {
    if depth == 0 {
        return root;
    }
    let children: Vec<u64> = (0..1 + root % 3).map(|n| tree_value(root + n, depth - 1)).collect();
    combine(&children)
}

/// A task that calls an actor which other tasks call, too.
#[remote(local)]
fn report(tally: ActorHandle<Tally>, value: u64) -> mobula::Result<Counted> {
    get(tally.add(value))?;
    Ok(Counted::new(value))
}

// The actors.

/// Its calls commute, so that it can be called from anywhere.
struct Tally(u64);

#[remote(local)]
impl Tally {
    pub fn new() -> Self {
        Self(0)
    }

    pub fn add(&mut self, value: u64) {
        progress();
        self.0 = self.0.wrapping_add(value);
    }

    pub fn sum(&self) -> u64 {
        self.0
    }
}

/// An actor that computes: each call's result tells the order of all before.
struct Computing(Counted);

#[remote(local)]
impl Computing {
    pub fn new(start: Counted) -> Self {
        Self(start)
    }

    pub fn add(&mut self, value: Counted) -> Counted {
        self.0 = Counted::new(combine([&*self.0.0, &*value.0]));
        self.0.clone()
    }

    pub fn explode(&mut self) -> Counted {
        panic!("{PLANNED}an actor")
    }
}

/// The same, as an actor that waits.
struct Waiting(Counted);

#[remote(local)]
impl Waiting {
    pub async fn new(start: Counted) -> Self {
        tokio::task::yield_now().await;
        Self(start)
    }

    pub async fn add(&mut self, value: Counted) -> Counted {
        let before = *self.0.0;
        tokio::task::yield_now().await;
        self.0 = Counted::new(combine([&before, &*value.0]));
        self.0.clone()
    }

    pub async fn explode(&mut self) -> Counted {
        tokio::task::yield_now().await;
        panic!("{PLANNED}an async actor")
    }
}

#[derive(Clone)]
enum AnActor {
    Computing(ActorHandle<Computing>),
    Waiting(ActorHandle<Waiting>),
}

// The model.

/// A set of kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kinds(u8);

impl Kinds {
    const NONE: Self = Self(0);
    const TASK: Self = Self(1);
    const PANIC: Self = Self(1 << 1);
    const CANCELLED: Self = Self(1 << 2);
    const DIED: Self = Self(1 << 3);
    const SHUT_DOWN: Self = Self(1 << 4);
    /// What the end of a runtime may do to anything that was not ready.
    const ENDED: Self = Self(Self::CANCELLED.0 | Self::DIED.0 | Self::SHUT_DOWN.0);

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, other: Self) -> bool {
        self.meets(other) && self.0 & other.0 == other.0
    }

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Task => Self::TASK,
            ErrorKind::Panic => Self::PANIC,
            ErrorKind::Cancelled => Self::CANCELLED,
            ErrorKind::ActorDied => Self::DIED,
            ErrorKind::ShutDown => Self::SHUT_DOWN,
            _ => Self::NONE,
        }
    }
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// There is none: only a failure is possible.
    Never,
    Known(u64),
    Unknown,
}

/// What may become of an object.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    value: Value,
    kinds: Kinds,
}

/// What was seen of an object.
type Seen = Result<u64, Kinds>;

impl Outcome {
    fn value(value: u64) -> Self {
        Self { value: Value::Known(value), kinds: Kinds::NONE }
    }

    fn failure(kinds: Kinds) -> Self {
        Self { value: Value::Never, kinds }
    }

    /// What becomes of a task that needs all of these: `make` of the values, or one of the failures.
    fn of_all(needed: &[Self], make: impl FnOnce(&[u64]) -> u64) -> Self {
        let kinds = needed.iter().fold(Kinds::NONE, |kinds, one| kinds.and(one.kinds));
        let known = |one: &Self| match one.value {
            Value::Known(value) => Some(value),
            _ => None,
        };
        let value = if needed.iter().any(|one| one.value == Value::Never) {
            Value::Never
        } else {
            let values: Option<Vec<u64>> = needed.iter().map(known).collect();
            values.map_or(Value::Unknown, |values| Value::Known(make(&values)))
        };
        Self { value, kinds }
    }

    /// Whether it was certain to fail.
    fn is_failure(&self) -> bool {
        self.value == Value::Never
    }

    /// What is left when this was seen; None if that cannot be.
    fn narrow(self, seen: Seen) -> Option<Self> {
        match (seen, self.value) {
            (Ok(value), Value::Unknown) => Some(Self::value(value)),
            (Ok(value), Value::Known(expected)) if value == expected => Some(Self::value(value)),
            (Err(kind), _) if self.kinds.has(kind) => Some(Self::failure(kind)),
            _ => None,
        }
    }
}

/// How an object came to be; the numbers are those of the objects it needs, or of an actor.
#[derive(Clone, Debug)]
enum Origin {
    Value(u64),
    Combined(Vec<usize>),
    Fails(usize, Kinds),
    /// The tuple that the parts come from.
    Whole(usize),
    Part(usize, u64),
    Adds {
        actor: usize,
        needs: usize,
    },
    Explodes {
        actor: usize,
    },
}

struct Object {
    origin: Origin,
    /// While the program still has it.
    held: Option<ObjectRef<Counted>>,
    seen: Option<Seen>,
    /// `cancel` said that it had not begun.
    cancelled: bool,
}

struct ModelActor {
    handle: Option<AnActor>,
    start: u64,
    killed: bool,
}

/// An actor as the model follows it from call to call.
struct Followed {
    state: Value,
    /// It has ended for certain.
    ended: bool,
}

/// One driver's program and what it saw.
struct Model {
    random: Random,
    objects: Vec<Object>,
    actors: Vec<ModelActor>,
    tally: ActorHandle<Tally>,
    /// What was reported to the tally, and by which object.
    reported: Vec<(usize, u64)>,
    /// The runtime was ended while things were under way.
    ended_early: bool,
}

impl Model {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            objects: Vec::new(),
            actors: Vec::new(),
            tally: Tally::remote(),
            reported: Vec::new(),
            ended_early: false,
        }
    }

    fn add(&mut self, origin: Origin, held: Option<ObjectRef<Counted>>) -> usize {
        self.objects.push(Object { origin, held, seen: None, cancelled: false });
        self.objects.len() - 1
    }

    /// One of the newest objects that the program still has; made, if there is none.
    fn pick(&mut self) -> (usize, ObjectRef<Counted>) {
        let newest = self.objects.len().min(40) as u64;
        for _ in 0..8 {
            if newest == 0 {
                break;
            }
            let number = self.objects.len() - 1 - self.random.below(newest) as usize;
            if let Some(held) = &self.objects[number].held {
                return (number, held.clone());
            }
        }
        let value = self.random.next();
        let object = mobula::put(Counted::new(value));
        (self.add(Origin::Value(value), Some(object.clone())), object)
    }

    /// As `pick`; sometimes the program gives its own ref away, so that the value can be moved.
    fn pick_or_give(&mut self) -> (usize, ObjectRef<Counted>) {
        let (number, object) = self.pick();
        if self.random.one_in(4) {
            drop(object);
            let given = self.objects[number].held.take().expect("it was picked");
            return (number, given);
        }
        (number, object)
    }

    fn pick_some(&mut self) -> (Vec<usize>, Vec<ObjectRef<Counted>>) {
        (0..self.random.below(6)).map(|_| self.pick()).unzip()
    }

    /// Does one thing.
    fn step(&mut self) {
        progress();
        match self.random.below(100) {
            0..55 => self.call_task(),
            55..70 => self.call_actor(),
            70..85 => self.look(),
            85..90 => self.cancel(),
            90..93 => self.end_actor(),
            _ => {
                let (number, object) = self.pick();
                drop((object, self.objects[number].held.take()));
            }
        }
    }

    fn call_task(&mut self) {
        let kind = self.random.below(13);
        let (origin, object) = match kind {
            0 => {
                let value = self.random.next();
                (Origin::Value(value), mobula::put(Counted::new(value)))
            }
            1 => {
                let ((a, first), (b, second)) = (self.pick(), self.pick_or_give());
                (Origin::Combined(vec![a, b]), borrow_two::remote(first, &second))
            }
            2 => {
                let (a, object) = self.pick_or_give();
                (Origin::Combined(vec![a]), take_one::remote(object))
            }
            3 => {
                let (all, objects) = self.pick_some();
                (Origin::Combined(all), take_all::remote(objects))
            }
            4 => {
                let ((a, first), (b, second)) = (self.pick(), self.pick_or_give());
                (Origin::Combined(vec![a, b]), wait_for_two::remote(first, second))
            }
            5 => {
                let ((a, first), (b, second)) = (self.pick(), self.pick_or_give());
                (Origin::Combined(vec![a, b]), get_two::remote(&first, &second))
            }
            6 => {
                let ((a, first), (b, second)) = (self.pick(), self.pick_or_give());
                (Origin::Combined(vec![a, b]), await_two::remote(&first, &second))
            }
            7 => {
                let (a, object) = self.pick();
                (Origin::Fails(a, Kinds::TASK), refuse::remote(object))
            }
            8 => {
                let (a, object) = self.pick_or_give();
                (Origin::Fails(a, Kinds::PANIC), explode::remote(object))
            }
            9 => {
                let (a, object) = self.pick_or_give();
                (Origin::Fails(a, Kinds::PANIC), explode_later::remote(object))
            }
            10 => {
                let (a, object) = self.pick_or_give();
                let (first, second) = split::remote(object);
                let whole = self.add(Origin::Whole(a), None);
                self.add(Origin::Part(whole, 0), Some(first));
                (Origin::Part(whole, 1), second)
            }
            11 => {
                let value = self.random.below(1000);
                self.reported.push((self.objects.len(), value));
                (Origin::Value(value), report::remote(self.tally.clone(), value))
            }
            _ => {
                let (root, depth) = (self.random.below(50), self.random.below(4));
                (Origin::Value(tree_value(root, depth)), tree::remote(root, depth))
            }
        };
        // Now and then nobody ever has the ref, and now and then it went through a text.
        let held = match self.random.below(40) {
            0 => None,
            1 => serde_json::from_str(&serde_json::to_string(&object).unwrap()).ok(),
            _ => Some(object),
        };
        self.add(origin, held);
    }

    fn call_actor(&mut self) {
        let living: Vec<usize> =
            (0..self.actors.len()).filter(|&nth| self.actors[nth].handle.is_some()).collect();
        if living.is_empty() || self.random.one_in(20) {
            let start = self.random.next();
            let handle = if self.random.one_in(2) {
                AnActor::Computing(Computing::remote(Counted::new(start)))
            } else {
                AnActor::Waiting(Waiting::remote(Counted::new(start)))
            };
            self.actors.push(ModelActor { handle: Some(handle), start, killed: false });
            return;
        }
        let actor = living[self.random.below(living.len() as u64) as usize];
        let handle = self.actors[actor].handle.clone().expect("it lives");
        let (origin, object) = if self.random.one_in(40) {
            let object = match handle {
                AnActor::Computing(handle) => handle.explode(),
                AnActor::Waiting(handle) => handle.explode(),
            };
            (Origin::Explodes { actor }, object)
        } else {
            let (needs, value) = self.pick_or_give();
            let object = match handle {
                AnActor::Computing(handle) => handle.add(value),
                AnActor::Waiting(handle) => handle.add(value),
            };
            (Origin::Adds { actor, needs }, object)
        };
        self.add(origin, Some(object));
    }

    /// Waits for something, one way or another.
    fn look(&mut self) {
        let (number, object) = self.pick();
        match self.random.below(8) {
            0 => self.see(number, get(&object)),
            1 => {
                self.objects[number].held = None;
                self.see(number, get(object));
            }
            2 => self.see(number, mobula::get_arc(&object).map(|value| (*value).clone())),
            3 => self.see(number, get_timeout(object, STALLED_MAX * 2)),
            4 => self.see(number, futures::executor::block_on(object.into_future())),
            5 => {
                let (_, objects) = self.pick_some();
                let n = self.random.below(4) as usize;
                let (ready, pending) = wait(&objects, n, None);
                assert_eq!(ready.len(), n.min(objects.len()));
                assert_eq!(ready.len() + pending.len(), objects.len());
                assert!(ready.iter().all(ObjectRef::is_ready));
            }
            6 => {
                let (_, objects) = self.pick_some();
                let (ready, _) = wait(&objects, objects.len(), Some(Duration::ZERO));
                assert!(ready.iter().all(ObjectRef::is_ready));
            }
            _ => {
                let (_, objects) = self.pick_some();
                // Sometimes it is given up half-way.
                let limit = self.random.below(8) as usize;
                let expected = objects.len().min(limit);
                let came: Vec<_> = as_completed(objects).take(limit).collect();
                assert_eq!(came.len(), expected);
                assert!(came.iter().all(ObjectRef::is_ready));
            }
        }
    }

    fn see(&mut self, number: usize, result: mobula::Result<Counted>) {
        let seen = result.map(|value| *value.0).map_err(|error| {
            let kind = Kinds::of(error.kind());
            assert_ne!(kind, Kinds::NONE, "{error:?}");
            kind
        });
        let before = self.objects[number].seen.replace(seen);
        assert!(before.is_none_or(|before| before == seen), "{before:?}, then {seen:?}");
    }

    fn cancel(&mut self) {
        let (number, object) = self.pick();
        if cancel(&object) {
            let number = match self.objects[number].origin {
                Origin::Part(whole, _) => whole,
                _ => number,
            };
            self.objects[number].cancelled = true;
        }
    }

    /// Lets an actor's last handle go, or kills it.
    fn end_actor(&mut self) {
        if self.actors.is_empty() {
            return;
        }
        let nth = self.random.below(self.actors.len() as u64) as usize;
        let kill = self.random.one_in(3);
        let actor = &mut self.actors[nth];
        if let Some(handle) = actor.handle.take()
            && kill
        {
            actor.killed = true;
            match handle {
                AnActor::Computing(handle) => mobula::kill(&handle),
                AnActor::Waiting(handle) => mobula::kill(&handle),
            }
        }
    }

    /// Looks at all that the program still has, and compares it with what it should be.
    fn check(&mut self) {
        for number in 0..self.objects.len() {
            if let Some(object) = self.objects[number].held.take() {
                self.see(number, get(object));
            }
        }
        let mut actors: Vec<_> = self
            .actors
            .iter()
            .map(|actor| Followed { state: Value::Known(actor.start), ended: false })
            .collect();
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(self.objects.len());
        for (number, object) in self.objects.iter().enumerate() {
            let mut expected = self.expect(object, &outcomes, &actors);
            if let Some(seen) = object.seen {
                expected = expected.narrow(seen).unwrap_or_else(|| {
                    panic!("object {number}, {:?}: {seen:?}, not {expected:?}", object.origin)
                });
            }
            let may_end = |actor: usize| self.ended_early || self.actors[actor].killed;
            match object.origin {
                Origin::Adds { actor, needs } => {
                    let argument = outcomes[needs].kinds;
                    actors[actor].follow(object, expected, argument, may_end(actor));
                }
                Origin::Explodes { actor } => {
                    actors[actor].follow(object, expected, Kinds::NONE, may_end(actor));
                }
                _ => {}
            }
            outcomes.push(expected);
        }
        self.check_tally(&outcomes);
    }

    fn expect(&self, object: &Object, outcomes: &[Outcome], actors: &[Followed]) -> Outcome {
        if object.cancelled {
            return Outcome::failure(Kinds::CANCELLED);
        }
        let mut outcome = match &object.origin {
            Origin::Value(value) => Outcome::value(*value),
            Origin::Combined(needs) => {
                let needs: Vec<_> = needs.iter().map(|&nth| outcomes[nth]).collect();
                Outcome::of_all(&needs, |values| combine(values))
            }
            Origin::Fails(needs, kind) => {
                let needed = outcomes[*needs];
                let own = if needed.is_failure() { Kinds::NONE } else { *kind };
                Outcome::failure(needed.kinds.and(own))
            }
            Origin::Whole(needs) => outcomes[*needs],
            Origin::Part(whole, nth) => {
                Outcome::of_all(&[outcomes[*whole]], |values| combine([&values[0], nth]))
            }
            Origin::Adds { actor, .. } | Origin::Explodes { actor } if actors[*actor].ended => {
                Outcome::failure(Kinds::DIED)
            }
            Origin::Adds { actor, needs } => {
                let state = Outcome { value: actors[*actor].state, kinds: Kinds::NONE };
                Outcome::of_all(&[state, outcomes[*needs]], |values| combine(values))
            }
            Origin::Explodes { .. } => Outcome::failure(Kinds::PANIC),
        };
        if let Origin::Adds { actor, .. } | Origin::Explodes { actor } = object.origin
            && self.actors[actor].killed
        {
            outcome.kinds = outcome.kinds.and(Kinds::DIED);
        }
        if self.ended_early {
            outcome.kinds = outcome.kinds.and(Kinds::ENDED);
        }
        outcome
    }

    /// The tally has had every report that began, once.
    fn check_tally(&self, outcomes: &[Outcome]) {
        if self.ended_early {
            return;
        }
        let begun = self.reported.iter().filter(|(number, _)| !outcomes[*number].is_failure());
        let expected = begun.fold(0, |sum: u64, (_, value)| sum.wrapping_add(*value));
        // What nobody looked at may still be under way; it needs nothing, so it will come.
        while get(self.tally.sum()).unwrap() != expected {
            thread::yield_now();
        }
    }
}

impl Followed {
    /// After a call of which only this may have become, with an argument that may have failed so;
    /// `may_end`: somebody else may have ended the actor.
    fn follow(&mut self, call: &Object, outcome: Outcome, argument: Kinds, may_end: bool) {
        if call.cancelled {
            return;
        }
        self.state = match outcome {
            Outcome { value: Value::Known(value), kinds: Kinds::NONE } => Value::Known(value),
            // The argument failed, and the actor is as it was.
            Outcome { value: Value::Never, kinds } if !may_end || !kinds.meets(Kinds::ENDED) => {
                self.state
            }
            _ => Value::Unknown,
        };
        self.ended |= matches!(call.origin, Origin::Explodes { .. })
            || outcome.is_failure() && outcome.kinds == Kinds::DIED && !argument.has(Kinds::DIED);
    }
}

/// One round: a runtime, and drivers that each run a program on it.
fn round(seed: u64) {
    let mut random = Random(seed);
    let cpus = 1 + random.below(CPUS_MAX) as usize;
    let engine = if random.one_in(8) { Engine::Inline } else { Engine::Threads };
    let end_early = engine == Engine::Threads && random.one_in(4);
    let drivers = 1 + random.below(DRIVERS_MAX);
    let runtime = Runtime::new(Config::new().num_cpus(cpus).engine(engine)).unwrap();
    let seeds: Vec<u64> = (0..drivers).map(|_| random.next()).collect();
    let models: Vec<Model> = thread::scope(|scope| {
        let drive = |seed| {
            let runtime = &runtime;
            scope.spawn(move || {
                let _entered = runtime.enter();
                let mut model = Model::new(seed);
                (0..ROUND_OPERATIONS).for_each(|_| model.step());
                if !end_early {
                    model.check();
                }
                model
            })
        };
        let threads: Vec<_> = seeds.into_iter().map(drive).collect();
        threads
            .into_iter()
            .map(|driver| driver.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    runtime.shutdown();
    for mut model in models {
        if end_early {
            model.ended_early = true;
            assert!(
                model
                    .objects
                    .iter()
                    .all(|object| { object.held.as_ref().is_none_or(ObjectRef::is_ready) })
            );
            model.check();
        }
    }
}

/// Ends the process when nothing progresses; returns when `end` is dropped.
fn watch(end: mpsc::Receiver<()>, seed: u64) {
    let mut before = 0;
    while end.recv_timeout(STALLED_MAX) == Err(RecvTimeoutError::Timeout) {
        let now = OPERATIONS_DONE.load(Ordering::Relaxed);
        if now == before {
            eprintln!("nothing has progressed for {STALLED_MAX:?}; MOBULA_STRESS_SEED={seed}");
            std::process::abort();
        }
        before = now;
    }
}

/// Says which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("to run it again: MOBULA_STRESS_SEED={}", self.0);
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is no whole number")))
}

/// Leaves the panics that are part of the programs out of the output.
fn quiet_planned_panics() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let planned =
            info.payload().downcast_ref::<String>().is_some_and(|text| text.starts_with(PLANNED));
        if !planned {
            hook(info);
        }
    }));
}

#[test]
fn random_programs_do_what_the_model_says() {
    quiet_planned_panics();
    let seed = setting("MOBULA_STRESS_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let operations = setting("MOBULA_STRESS_OPS").unwrap_or(OPERATIONS);
    let _seed = Seed(seed);
    let (end, ended) = mpsc::channel();
    let watchdog = thread::spawn(move || watch(ended, seed));

    let mut random = Random(seed);
    while OPERATIONS_DONE.load(Ordering::Relaxed) < operations {
        round(random.next());
        assert_eq!(LIVING.load(Ordering::SeqCst), 0, "values live on after all refs are gone");
    }

    drop(end);
    watchdog.join().unwrap();
}
