//! What is promised of handles of actors that are passed on: what is done by them, and how long the actor lives.

use tokio::sync::Semaphore;

use super::actors::Counter;
use super::*;

#[derive(Clone, Serialize, Deserialize)]
struct Team {
    counters: Vec<ActorHandle<Counter>>,
}

#[remote]
fn adds(counter: ActorHandle<Counter>, n: u64) -> mobula::Result<Vec<u64>> {
    mobula::get((0..n).map(|_| counter.add(1)).collect::<Vec<_>>())
}

#[remote]
fn team(start: u64) -> Team {
    Team { counters: (0..2).map(|i| Counter::remote(start + i)).collect() }
}

#[remote]
fn team_value(team: &Team) -> mobula::Result<Vec<u64>> {
    mobula::get(team.counters.iter().map(|counter| counter.value()).collect::<Vec<_>>())
}

#[remote]
fn value_of_both(one: &Team, other: &Team) -> mobula::Result<u64> {
    Ok([team_value(one)?, team_value(other)?].concat().into_iter().sum())
}

#[remote]
fn value_of_team(team: Team) -> mobula::Result<Vec<u64>> {
    team_value(&team)
}

#[remote]
fn stops(counter: ActorHandle<Counter>) -> mobula::Result<bool> {
    let end = counter.watch();
    mobula::get(counter.stop())?;
    Ok(matches!(mobula::get(end)?, ActorEnd::Stopped))
}

struct Keeper(Option<ActorHandle<Counter>>);

#[remote]
impl Keeper {
    pub fn new(counter: Option<ActorHandle<Counter>>) -> Self {
        Self(counter)
    }

    pub fn keeps(&mut self, counter: ActorHandle<Counter>) {
        self.0 = Some(counter);
    }

    pub fn passes_on(&mut self, by: u64) -> mobula::Result<u64> {
        mobula::get(self.0.as_ref().expect("it has one").add(by))
    }

    pub fn counter(&self) -> Option<ActorHandle<Counter>> {
        self.0.clone()
    }

    pub fn lets_go(&mut self) {
        self.0 = None;
    }

    pub fn gives_back(&self, counter: ActorHandle<Counter>) -> ActorHandle<Counter> {
        counter
    }
}

#[remote]
fn value_of(counter: ActorHandle<Counter>) -> mobula::Result<u64> {
    mobula::get(counter.value())
}

/// A call that waits for what comes of another task, or for what fails, and one after it.
#[remote]
fn adds_late(counter: ActorHandle<Counter>) -> mobula::Result<(u64, u64)> {
    let late = counter.add(value_of::remote(&counter));
    let fails = counter.add(value_of::remote(Counter::remote(13)));
    let next = counter.add(1);
    assert_eq!(mobula::get(fails).unwrap_err().kind(), ErrorKind::ActorDied);
    mobula::get((late, next))
}

/// What it starts is nobody else's, and ends with it.
#[remote]
fn watches_its_own() -> mobula::Result<ActorEnd> {
    let counter = Counter::remote(0);
    let end = counter.watch();
    drop(counter);
    mobula::get(end)
}

#[remote]
fn opens_or_passes(latch: ActorHandle<Latch>, passes: bool) -> mobula::Result<()> {
    mobula::get(if passes { latch.pass() } else { latch.open() })
}

/// Short calls that wait for some that are made later.
fn wait_for_later_ones() -> mobula::Result<()> {
    let latch = Latch::remote();
    for passes in [false, true].repeat(3) {
        mobula::get(opens_or_passes::remote(&latch, passes))?;
    }
    let all = [[true; 5], [false; 5]].concat();
    let all: Vec<_> = all.into_iter().map(|one| opens_or_passes::remote(&latch, one)).collect();
    mobula::get(all).map(drop)
}

pub(crate) fn calls(engine: Engine) -> mobula::Result<()> {
    let counter = Counter::remote(0);
    // A call may wait for a task that waits for another call.
    let late = counter.add(value_of::remote(&counter));
    assert_eq!(mobula::get(late)?, 0);
    assert_eq!(mobula::get(adds_late::remote(Counter::remote(3)))?, (6, 7));
    assert!(matches!(mobula::get(watches_its_own::remote())?, ActorEnd::Unreachable));
    // An engine without actors says so.
    assert_eq!(mobula::get(counter.value())?, 0);
    // One caller's calls keep their order, and no call is lost between two callers.
    let lists = mobula::get([adds::remote(&counter, 50), adds::remote(&counter, 50)])?;
    assert!(lists.iter().all(|list| list.is_sorted()));
    let mut all = lists.concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(1..=100));

    let made = mobula::get(team::remote(10))?;
    assert_eq!(mobula::get(team_value::remote(made.clone()))?, [10, 11]);
    assert_eq!(mobula::get(made.counters[1].add(5))?, 16);
    let stored = mobula::put(made);
    assert_eq!(mobula::get(team_value::remote(&stored))?, [10, 16]);

    let keeper = Keeper::remote(Some(counter.clone()));
    assert_eq!(mobula::get(keeper.passes_on(5))?, 105);
    assert_eq!(mobula::get(keeper.counter())?, Some(counter));
    assert!(mobula::get(stops::remote(Counter::remote(1)))?);
    // There each is done where it is made.
    if engine != Engine::Inline {
        wait_for_later_ones()?;
    }
    by_names_in_tasks()
}

#[remote]
fn by_name(name: &str) -> mobula::Result<u64> {
    mobula::get(mobula::get_actor::<Counter>(name)?.add(1))
}

#[remote]
fn shared(name: String) -> mobula::Result<u64> {
    mobula::get(Counter::options().name(name).get_or_create(100).add(1))
}

fn by_names_in_tasks() -> mobula::Result<()> {
    let counter = Counter::options().name("c").remote(1);
    assert_eq!(mobula::get(by_name::remote("c"))?, 2);
    assert_eq!(mobula::get(shared::remote("c".to_owned()))?, 3);
    assert_eq!(mobula::get(counter.value())?, 3);
    let error = mobula::get(by_name::remote("nobody")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ActorDied);
    Ok(())
}

/// Lets one pass for each time that it is opened.
pub(crate) struct Latch(Semaphore);

#[remote]
impl Latch {
    pub async fn new() -> Self {
        Self(Semaphore::new(0))
    }

    pub async fn open(&self) {
        self.0.add_permits(1);
    }

    pub async fn pass(&self) {
        self.0.acquire().await.expect("nobody closes it").forget();
    }
}

/// Says that it has the handle, and uses it when it may.
#[remote]
fn has_one(
    counter: ActorHandle<Counter>,
    has: ActorHandle<Latch>,
    may: ActorHandle<Latch>,
) -> mobula::Result<u64> {
    mobula::get(has.open())?;
    mobula::get(may.pass())?;
    mobula::get(value_of::remote(counter))
}

/// Does not wait for what it has called.
#[remote]
fn calls_and_leaves(keeper: ActorHandle<Keeper>, counter: ActorHandle<Counter>) {
    counter.add(1);
    keeper.keeps(counter);
}

#[remote(max_retries = 1)]
fn second_time(counter: ActorHandle<Counter>) -> mobula::Result<u64> {
    if mobula::context().attempt() == 1 {
        std::process::abort();
    }
    mobula::get(counter.add(1))
}

/// Always has calls on their way to another actor, with a handle inside.
#[remote]
fn floods(
    counter: ActorHandle<Counter>,
    keeper: ActorHandle<Keeper>,
    has: ActorHandle<Latch>,
) -> mobula::Result<()> {
    loop {
        (0..20).for_each(|_| drop(keeper.keeps(&counter)));
        mobula::get(has.open())?;
    }
}

#[remote]
fn aborts(_counter: &Team) {
    std::process::abort();
}

/// Each time it has the only handle for a while, which goes to another actor and comes back.
#[remote]
fn plays_catch(keeper: ActorHandle<Keeper>, times: u64) -> mobula::Result<u64> {
    for _ in 0..times {
        let mut counter = mobula::get(keeper.counter())?.expect("it has one");
        mobula::get(keeper.lets_go())?;
        for _ in 0..3 {
            counter = mobula::get(keeper.gives_back(counter))?;
        }
        mobula::get(counter.add(1))?;
        mobula::get(keeper.keeps(counter))?;
    }
    mobula::get(keeper.passes_on(0))
}

/// An actor, and how it ends.
fn watched(start: u64) -> (ActorHandle<Counter>, ObjectRef<ActorEnd>) {
    let counter = Counter::remote(start);
    let end = counter.watch();
    (counter, end)
}

/// It ends because nobody has a handle.
fn ends(end: ObjectRef<ActorEnd>) -> mobula::Result<()> {
    assert!(matches!(mobula::get(end)?, ActorEnd::Unreachable));
    Ok(())
}

pub(crate) fn lives(engine: Engine) -> mobula::Result<()> {
    // An engine without actors says so.
    assert_eq!(mobula::get(Counter::remote(0).value())?, 0);
    in_tasks(engine)?;
    in_values()?;
    in_actors()
}

fn in_tasks(engine: Engine) -> mobula::Result<()> {
    let (counter, end) = watched(1);
    let value = value_of::remote(counter);
    assert_eq!(mobula::get(value)?, 1);
    ends(end)?;

    // There one thread does all there is to do.
    if engine != Engine::Inline {
        let (counter, end) = watched(2);
        let (has, may) = (Latch::remote(), Latch::remote());
        let value = has_one::remote(counter, &has, &may);
        mobula::get(has.pass())?;
        assert!(!end.is_ready());
        mobula::get(may.open())?;
        assert_eq!(mobula::get(value)?, 2);
        ends(end)?;
    }

    if matches!(engine, Engine::Processes | Engine::Ray) {
        let (counter, end) = watched(3);
        assert_eq!(mobula::get(second_time::remote(counter))?, 4);
        ends(end)?;
        let (counter, end) = watched(4);
        let crash = aborts::remote(Team { counters: vec![counter] });
        assert_eq!(mobula::get(crash).unwrap_err().kind(), ErrorKind::WorkerCrashed);
        ends(end)?;
        let (counter, end) = watched(5);
        let (keeper, has) = (Keeper::remote(None), Latch::remote());
        let flood = floods::remote(counter, &keeper, &has);
        mobula::get(has.pass())?;
        mobula::cancel(&flood).force()?;
        assert_eq!(mobula::get(flood).unwrap_err().kind(), ErrorKind::Cancelled);
        // Those calls may come for a while.
        while !end.is_ready() {
            mobula::get(keeper.lets_go())?;
        }
        ends(end)?;
    }
    Ok(())
}

fn in_values() -> mobula::Result<()> {
    let (counter, end) = watched(1);
    let stored = mobula::put(Team { counters: vec![counter.clone(), counter] });
    assert_eq!(mobula::get(value_of_team::remote(&stored))?, [1, 1]);
    assert_eq!(mobula::get([(); 2].map(|()| team_value::remote(&stored)))?, [[1, 1]; 2]);
    assert_eq!(mobula::get(value_of_both::remote(&stored, &stored))?, 4);
    assert!(!end.is_ready());
    drop(stored);
    ends(end)?;

    // As a result, that is read and that is only passed on.
    let made = team::remote(10);
    assert_eq!(mobula::get(value_of_team::remote(&made))?, [10, 11]);
    let made = mobula::get(made)?;
    let watched: Vec<_> = made.counters.iter().map(|counter| counter.watch()).collect();
    assert_eq!(mobula::get(made.counters[1].value())?, 11);
    drop(made);
    watched.into_iter().try_for_each(ends)
}

fn in_actors() -> mobula::Result<()> {
    let (counter, end) = watched(1);
    let keeper = Keeper::remote(Some(counter));
    assert_eq!(mobula::get(keeper.passes_on(5))?, 6);
    assert!(!end.is_ready());
    drop(keeper);
    ends(end)?;

    let (counter, end) = watched(2);
    let keeper = Keeper::remote(None);
    mobula::get(keeper.keeps(&counter))?;
    drop(counter);
    assert_eq!(mobula::get(keeper.passes_on(1))?, 3);
    let again = mobula::get(keeper.counter())?.expect("it has one");
    mobula::get(keeper.lets_go())?;
    assert_eq!(mobula::get(again.value())?, 3);
    drop(again);
    ends(end)?;

    // From a task, which has ended by the time that the actor gets it, or not.
    let (counter, end) = watched(3);
    mobula::get(calls_and_leaves::remote(&keeper, counter))?;
    while mobula::get(keeper.counter())?.is_none() {}
    assert_eq!(mobula::get(keeper.passes_on(1))?, 5);
    assert!(!end.is_ready());
    mobula::get(keeper.lets_go())?;
    ends(end)?;

    let (counter, end) = watched(4);
    mobula::get(keeper.keeps(counter))?;
    assert_eq!(mobula::get(plays_catch::remote(&keeper, 5))?, 9);
    drop(keeper);
    ends(end)
}
