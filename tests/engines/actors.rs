//! What is promised of actors.

use super::handles::Latch;
use super::tasks::{DRAWS, Refused, draws, fib, square};
use super::*;

pub(crate) struct Counter(u64);

#[remote]
impl Counter {
    pub fn new(start: u64) -> Result<Self, Refused> {
        if start == 13 { Err(Refused { code: 13 }) } else { Ok(Self(start)) }
    }

    pub fn add(&mut self, by: u64) -> u64 {
        self.0 += by;
        self.0
    }

    pub fn value(&self) -> u64 {
        self.0
    }

    pub fn refuses(&mut self, code: u32) -> Result<u64, Refused> {
        self.0 += 1;
        Err(Refused { code })
    }

    pub fn panics(&mut self, what: &str) -> u64 {
        panic!("no {what}")
    }

    pub fn leaves(&mut self) -> mobula::Result<u64> {
        mobula::exit_actor()?;
        Ok(self.0)
    }

    pub fn sums(&self, values: &[f64], others: Vec<u64>) -> f64 {
        values.iter().sum::<f64>() + others.iter().sum::<u64>() as f64
    }

    pub fn asks(&mut self, n: u64) -> mobula::Result<u64> {
        Ok(self.0 + mobula::get(fib::remote(n))?)
    }

    pub fn draws(&self) -> mobula::Result<Vec<u64>> {
        mobula::rng().integers(0..1_000_000_u64, 3)
    }

    pub fn restarts(&self) -> Option<u32> {
        let context = mobula::context();
        context.is_actor().then(|| context.restarts())
    }

    fn checkpoint(&self) -> u64 {
        self.0
    }

    fn restore(&mut self, saved: u64) {
        self.0 = saved;
    }
}

pub(crate) fn actors(_: Engine) -> mobula::Result<()> {
    let counter = Counter::remote(square::remote(1));
    let totals: Vec<_> = (0..4).map(|_| counter.add(2)).collect();
    let late = counter.add(square::remote(3));
    let value = counter.value();
    assert_eq!(mobula::get(totals)?, [3, 5, 7, 9]);
    assert_eq!(mobula::get((late, value))?, (18, 18));
    let values = mobula::put(vec![0.5; 10]);
    let sums = [counter.sums(&values, vec![1, 2]), counter.sums(&values, vec![square::remote(2)])];
    assert_eq!(mobula::get(sums)?, [8.0, 9.0]);
    assert_eq!(mobula::get(counter.asks(7))?, 18 + 13);
    let error = mobula::get(counter.refuses(4)).unwrap_err();
    assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused { code: 4 }));
    assert!(error.to_string().contains("`Counter::refuses` (called at"), "{error}");
    assert_eq!(mobula::get(counter.value())?, 19);
    assert_eq!(mobula::get(counter.restarts())?, Some(0));
    let error = mobula::get(counter.panics("way")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panic, "{error}");
    let error = mobula::get(counter.add(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ActorDied);
    assert!(error.to_string().contains("no way"), "{error}");
    let error = mobula::get(Counter::remote(13).add(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ActorDied);
    assert!(error.to_string().contains("refused with 13"), "{error}");
    Ok(())
}

pub(crate) fn actor_ends(_: Engine) -> mobula::Result<()> {
    let counter = Counter::remote(1);
    let (end, last) = (counter.watch(), counter.add(1));
    mobula::get(counter.stop())?;
    assert_eq!(mobula::get(last)?, 2);
    assert!(matches!(mobula::get(end)?, ActorEnd::Stopped));
    assert_eq!(mobula::get(counter.add(1)).unwrap_err().kind(), ErrorKind::ActorDied);

    let counter = Counter::remote(1);
    let end = counter.watch();
    assert_eq!(mobula::get(counter.leaves())?, 1);
    assert!(matches!(mobula::get(end)?, ActorEnd::Exited));

    let counter = Counter::remote(1);
    let end = counter.watch();
    mobula::kill(&counter);
    assert!(matches!(mobula::get(end)?, ActorEnd::Killed));
    assert_eq!(mobula::get(counter.add(1)).unwrap_err().kind(), ErrorKind::ActorDied);

    let end = Counter::remote(1).watch();
    assert!(matches!(mobula::get(end)?, ActorEnd::Unreachable));
    Ok(())
}

/// A sum, and how often it was made anew before.
struct Shaky(u64, u32);

#[remote]
impl Shaky {
    pub fn new(start: u64) -> Self {
        Self(start, mobula::context().restarts())
    }

    pub fn made(&self) -> u32 {
        self.1
    }

    pub fn add(&mut self, by: u64) -> u64 {
        assert_ne!(by, 13, "no luck");
        self.0 += by;
        self.0
    }

    pub fn third_time(&mut self) -> u32 {
        let attempt = mobula::context().attempt();
        assert_eq!(attempt, 3, "not yet");
        mobula::context().restarts()
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn aborts(&mut self) {
        std::process::abort()
    }
}

pub(crate) fn actor_restarts(engine: Engine) -> mobula::Result<()> {
    let shaky = Shaky::options().max_restarts(1).remote(5);
    let (before, crash, after) = (shaky.add(1), shaky.add(13), shaky.add(2));
    assert_eq!(mobula::get(before)?, 6);
    assert_eq!(mobula::get(crash).unwrap_err().kind(), ErrorKind::Panic);
    assert_eq!(mobula::get((after, shaky.made()))?, (7, 1));
    mobula::get(shaky.add(13)).unwrap_err();
    let error = mobula::get(shaky.add(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ActorDied);
    assert!(error.to_string().contains("after 1 restart"), "{error}");

    let counter = Counter::options().max_restarts(2).remote(5);
    assert_eq!(mobula::get(counter.add(3))?, 8);
    mobula::get(counter.panics("luck")).unwrap_err();
    assert_eq!(mobula::get(counter.value())?, 8);
    assert_eq!(mobula::get(counter.restarts())?, Some(1));

    let patient = Shaky::options().max_restarts(5).max_task_retries(2).remote(0);
    assert_eq!(mobula::get(patient.third_time())?, 2);
    if matches!(engine, Engine::Processes | Engine::Ray) { lost_processes() } else { Ok(()) }
}

/// An actor whose process dies, in a call or between two, has crashed.
fn lost_processes() -> mobula::Result<()> {
    let shaky = Shaky::options().max_restarts(2).remote(5);
    let error = mobula::get(shaky.aborts()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerCrashed, "{error}");
    assert!(error.to_string().contains("SIGABRT"), "{error}");
    assert_eq!(mobula::get(shaky.add(1))?, 6);
    let pid = mobula::get(shaky.pid())?;
    assert!(mobula_tests::processes::kill(pid));
    // The call may have been on its way to it.
    while mobula::get(shaky.pid()).is_ok_and(|now| now == pid) {}
    assert_eq!(mobula::get(shaky.add(1))?, 6);
    let end = shaky.watch();
    mobula::get(shaky.aborts()).unwrap_err();
    assert!(matches!(mobula::get(end)?, ActorEnd::Crashed { restarts: 2, .. }));
    assert_eq!(mobula::get(shaky.add(1)).unwrap_err().kind(), ErrorKind::ActorDied);
    Ok(())
}

pub(crate) fn actor_names(_: Engine) -> mobula::Result<()> {
    let counter = Counter::options().name("c").remote(1);
    assert_eq!(mobula::get(mobula::get_actor::<Counter>("c")?.add(1))?, 2);
    let name = mobula::ActorName::new("c").namespace("lab");
    assert_eq!(mobula::get_actor::<Counter>(name).unwrap_err().kind(), ErrorKind::ActorDied);
    let error = mobula::get(Counter::options().name("c").remote(1).value()).unwrap_err();
    assert!(error.to_string().contains("\"c\""), "{error}");
    let same = Counter::options().name("c").get_or_create(50);
    assert_eq!(mobula::get(same.value())?, 2);
    assert_eq!(same, counter);
    Ok(())
}

/// The address of the cluster that another program of this suite has started.
const ADDRESS: &str = "MOBULA_TEST_ADDRESS";

pub(crate) fn detached_actors(_: Engine) -> mobula::Result<()> {
    let name = || mobula::ActorName::new("kept").namespace("lab");
    let kept = || Counter::options().name("kept").namespace("lab").detached();
    let counter = kept().remote(1);
    assert_eq!(mobula::get(counter.add(1))?, 2);
    assert_eq!(mobula::get_actor::<Counter>(name())?, counter);
    let end = counter.watch();
    drop(counter);
    assert!(matches!(mobula::get(end)?, ActorEnd::Unreachable));

    // Nobody here has it, and it lives.
    let error = mobula::get(kept().remote(1).value()).unwrap_err();
    assert!(error.to_string().contains("kept"), "{error}");
    let same = mobula::get_actor::<Counter>(name())?;
    assert_eq!(mobula::get(same.add(1))?, 3);
    drop(same);
    assert_eq!(mobula::get_actor::<Beats>(name()).unwrap_err().kind(), ErrorKind::Value);
    assert_eq!(mobula::get_actor::<Counter>("kept").unwrap_err().kind(), ErrorKind::ActorDied);
    let waits = Gate::options().name("kept").namespace("lab").detached().get_or_create();
    let error = mobula::get(waits.passed()).unwrap_err();
    assert!(error.to_string().contains("of another type than `Gate`"), "{error}");
    assert_eq!(mobula::get(kept().get_or_create(50).value())?, 3);

    // So it is for another program, and for this one what that has left.
    let address = "__import__('ray').get_runtime_context().gcs_address";
    let address: String = mobula::get(mobula::python("builtins:eval").remote((address,)))?;
    let same = kept().get_or_create(50);
    let mut other = process::Command::new(std::env::current_exe().expect("this is a program"));
    other.args(["actors::another_program", "--exact", "--nocapture"]).env(ADDRESS, &address);
    assert!(other.status().expect("it starts").success());
    assert_eq!(mobula::get(same.value())?, 13);
    let left = mobula::get_actor::<Gate>(mobula::ActorName::new("left").namespace("lab"))?;
    assert_eq!(mobula::get(left.passed())?, 0);

    // It goes on where a program leaves it in the middle of a call, which waits for none.
    left::by_another_program(&address)?;

    // It ends where somebody ends it.
    mobula::get(same.stop())?;
    mobula::kill(&left);
    assert_eq!(mobula::get_actor::<Counter>(name()).unwrap_err().kind(), ErrorKind::ActorDied);
    let panics = kept().remote(0);
    assert_eq!(mobula::get(panics.panics("no more")).unwrap_err().kind(), ErrorKind::Panic);
    assert_eq!(mobula::get(panics.value()).unwrap_err().kind(), ErrorKind::ActorDied);
    drop(panics);
    assert_eq!(mobula::get(kept().get_or_create(7).value())?, 7);
    mobula::get(kept().get_or_create(7).stop())?;

    let beats = Beats::options().name("beats").detached().remote();
    assert_eq!(mobula::get(beats.count()).unwrap_err().kind(), ErrorKind::Config);
    let hall = side_by_side::Hall::options().name("hall").max_concurrency(2).detached().remote(1);
    let error = mobula::get(hall.leave()).unwrap_err();
    assert!(error.to_string().contains("max_concurrency"), "{error}");
    let nameless = Counter::options().detached().remote(1);
    assert!(mobula::get(nameless.value()).unwrap_err().to_string().contains("name"));
    Ok(())
}

/// Is started by `detached_actors`.
#[test]
fn another_program() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let config = Config::new().engine(Engine::Ray).address(address);
    let runtime = Runtime::new(config).unwrap();
    let _entered = runtime.enter();
    let counter =
        mobula::get_actor::<Counter>(mobula::ActorName::new("kept").namespace("lab")).unwrap();
    let totals: Vec<u64> =
        mobula::get((0..10).map(|_| counter.add(1)).collect::<Vec<_>>()).unwrap();
    assert!(totals.into_iter().eq(4..14));
    let gate = Gate::options().name("left").namespace("lab").detached().remote();
    assert_eq!(mobula::get(gate.passed()).unwrap(), 0);
}

struct Solver;

#[remote(num_cpus = 1, resource("gpu", 1))]
impl Solver {
    pub fn new() -> Self {
        Self
    }

    pub fn cpus(&self) -> f64 {
        mobula::context().num_cpus()
    }
}

#[remote]
fn asks_in_a_task() -> mobula::Result<u64> {
    mobula::get(Counter::options().num_cpus(1).remote(0).value())
}

/// How many GPUs of the cluster are nobody's.
fn free_gpus() -> mobula::Result<f64> {
    let free = mobula::python("ray:available_resources").remote::<HashMap<String, f64>>(());
    Ok(mobula::get(free)?.get("GPU").copied().unwrap_or(0.0))
}

/// Whether the engine refuses this by name.
fn is_refused(error: &mobula::Error, what: &str) -> bool {
    error.kind() == ErrorKind::Engine
        && error.to_string().contains(&format!("{what}: use the engine `ray`"))
}

pub(crate) fn amounts(engine: Engine) -> mobula::Result<()> {
    for (what, options) in [
        ("`num_cpus`", Counter::options().num_cpus(0.5)),
        ("`resource`", Counter::options().resource("gpu", 1.0)),
    ] {
        let value = mobula::get(options.remote(7).value());
        if let Err(error) = &value {
            assert!(is_refused(error, what), "{error}");
        }
        assert_eq!(value?, 7);
    }
    assert_eq!(mobula::get(asks_in_a_task::remote())?, 0);

    // Its calls have so many CPUs.
    let solver = Solver::remote();
    assert_eq!(mobula::get(solver.cpus())?, 1.0);
    let halves = Solver::options().num_cpus(0.5).resource("gpu", 0.5);
    assert_eq!(mobula::get(halves.remote().cpus())?, 0.5);
    mobula::kill(&solver);
    let wide = Solver::options().num_cpus(2).remote();
    assert_eq!(mobula::get(wide.cpus())?, 2.0);
    drop(wide);

    // It has its resource for as long as it lives, and others wait.
    let first = Counter::options().num_cpus(0).resource("gpu", 2).max_restarts(1).remote(1);
    assert_eq!(mobula::get(first.value())?, 1);
    let second = Counter::options().num_cpus(0).resource("gpu", 1).remote(2);
    let waits = second.value();
    // On Ray it is another one that is made anew, and asks again.
    if engine != Engine::Ray {
        mobula::get(first.panics("luck")).unwrap_err();
        assert_eq!(mobula::get(first.value())?, 1);
    }
    let (ready, pending) = mobula::wait(&[waits], 1, Some(Duration::ZERO));
    assert!(ready.is_empty());
    drop(first);
    assert_eq!(mobula::get(pending)?, [2]);
    // One that waits for it can be killed, however far it has come: in the program, or to the cluster and back so often.
    for trips in [0, 1, 20] {
        let third = Counter::options().num_cpus(0).resource("gpu", 2).remote(3);
        let without_checkpoint = Solver::options().resource("gpu", 2).remote();
        let (value, cpus) = (third.value(), without_checkpoint.cpus());
        let ends = [third.watch(), without_checkpoint.watch()];
        for _ in 0..trips {
            assert_eq!(mobula::get(second.value())?, 2);
        }
        mobula::kill(&third);
        mobula::kill(&without_checkpoint);
        assert_eq!(mobula::get(value).unwrap_err().kind(), ErrorKind::ActorDied);
        assert_eq!(mobula::get(cpus).unwrap_err().kind(), ErrorKind::ActorDied);
        assert!(mobula::get(ends)?.iter().all(|end| matches!(end, ActorEnd::Killed)));
    }
    assert_eq!(mobula::get(second.value())?, 2);

    if engine == Engine::Ray {
        drop(second);
        while free_gpus()? != 2.0 {}
    }

    // What can never be.
    let never = [
        ("64", Counter::options().num_cpus(64)),
        ("unicorn", Counter::options().resource("unicorn", 1)),
        ("3", Counter::options().resource("gpu", 3)),
    ];
    for (why, options) in never {
        let error = mobula::get(options.remote(0).value()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Infeasible, "{error}");
        assert!(error.to_string().contains(why), "{why} is not in {error}");
    }
    let nonsense = [
        Counter::options().num_cpus(-1),
        Counter::options().num_cpus(1.5),
        Counter::options().resource("gpu", f64::NAN),
    ];
    for options in nonsense {
        let error = mobula::get(options.remote(0).value()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
    Ok(())
}

pub(crate) fn amounts_of_waiting_actors(_: Engine) -> mobula::Result<()> {
    // It has a resource, and none of the pool's CPUs, where any actor has that.
    let gate = Gate::options().num_cpus(0).resource("gpu", 1).remote();
    assert_eq!(mobula::get(gate.passed())?, 0);
    drop(gate);
    let has_one = Gate::options().num_cpus(1).remote();
    let passed = mobula::get(has_one.passed());
    if let Err(error) = &passed {
        assert!(is_refused(error, "`num_cpus`"), "{error}");
    }
    assert_eq!(passed?, 0);
    Ok(())
}

pub(crate) fn places(_: Engine) -> mobula::Result<()> {
    use mobula::{Bundle, Placement, PlacementGroup};

    let spread = Counter::options().placement(Placement::spread()).remote(4);
    let value = mobula::get(spread.value());
    if let Err(error) = &value {
        assert!(is_refused(error, "`placement`"), "{error}");
    }
    assert_eq!(value?, 4);

    let group = PlacementGroup::pack([Bundle::new().num_cpus(1), Bundle::new().resource("gpu", 1)]);
    mobula::get(group.ready())?;
    let in_group = |options: mobula::ActorOptions<Counter>| {
        mobula::get(options.placement(group.bundle(1)).remote(3).value())
    };
    assert_eq!(in_group(Counter::options().num_cpus(0).resource("gpu", 1))?, 3);

    // What can never be.
    let nowhere = "0".repeat(56);
    let seated =
        |options: mobula::ActorOptions<Counter>| options.name("seated").namespace("lab").detached();
    let never = [
        ("kind=none", Counter::options().placement(Placement::label("kind", "none"))),
        (&*nowhere, Counter::options().placement(Placement::node(&nowhere))),
        ("no bundle 1 with 1 CPU", Counter::options().placement(group.bundle(1))),
        ("no bundle 7", Counter::options().placement(group.bundle(7))),
        ("3 GPU", seated(Counter::options().resource("gpu", 3))),
    ];
    for (why, options) in never {
        let counter = options.remote(0);
        let end = counter.watch();
        let error = mobula::get(counter.value()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Infeasible, "{error}");
        assert!(error.to_string().contains(why), "{why} is not in {error}");
        assert!(matches!(mobula::get(end)?, ActorEnd::NotMade(_)));
    }
    let nonsense = seated(Counter::options().placement(&group)).remote(0);
    let error = mobula::get(nonsense.value()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");

    let kept = seated(Counter::options().num_cpus(0.5).placement(Placement::spread())).remote(5);
    assert_eq!(mobula::get(kept.value())?, 5);
    mobula::get(kept.stop())
}

struct Beats(u64);

#[remote]
impl Beats {
    pub fn new() -> Self {
        Self(0)
    }

    #[remote(every = "1ms")]
    fn beat(&mut self) {
        self.0 += 1;
    }

    pub fn count(&self) -> u64 {
        self.0
    }

    pub fn waits_for(&self, what: u64) -> u64 {
        what
    }
}

pub(crate) fn actor_options(engine: Engine) -> mobula::Result<()> {
    // There one thread does all there is to do.
    if engine != Engine::Inline {
        side_by_side::calls()?;
    }
    let beats = Beats::options().max_concurrency(2).remote();
    while mobula::get(beats.count())? < 2 {}
    let values: Vec<_> = (0..20).map(|what| beats.waits_for(what)).collect();
    assert!(mobula::get(values)?.into_iter().eq(0..20));

    let counter = Counter::options().max_pending_calls(2).block_when_full().remote(0);
    let totals: Vec<_> = (0..10).map(|_| counter.add(1)).collect();
    assert!(mobula::get(totals)?.into_iter().eq(1..=10));
    Ok(())
}

struct Gate {
    opened: tokio::sync::Notify,
    passed: std::sync::atomic::AtomicU64,
}

#[remote]
impl Gate {
    pub async fn new() -> Self {
        tokio::task::yield_now().await;
        Self { opened: tokio::sync::Notify::new(), passed: 0.into() }
    }

    /// Waits until `open` is called.
    pub async fn pass(&self, x: u64) -> mobula::Result<u64> {
        self.opened.notified().await;
        let squared = square::remote(x).await?;
        self.passed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(squared)
    }

    pub async fn open(&self) {
        self.opened.notify_waiters();
    }

    pub fn passed(&mut self) -> u64 {
        *self.passed.get_mut()
    }

    pub async fn refuses(&self) -> Result<u64, Refused> {
        Err(Refused { code: 5 })
    }

    pub async fn panics(&mut self) -> u64 {
        tokio::task::yield_now().await;
        panic!("no gate")
    }
}

pub(crate) fn waiting_actors(_: Engine) -> mobula::Result<()> {
    let gate = Gate::options().max_restarts(1).remote();
    let passing: Vec<_> = (0..3).map(|x| gate.pass(x)).collect();
    mobula::get(gate.open())?;
    assert_eq!(mobula::get(passing)?, [0, 1, 4]);
    assert_eq!(mobula::get(gate.passed())?, 3);
    let error = mobula::get(gate.refuses()).unwrap_err();
    assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused { code: 5 }));
    assert_eq!(mobula::get(gate.panics()).unwrap_err().kind(), ErrorKind::Panic);
    assert_eq!(mobula::get(gate.passed())?, 0);

    // What was quick waits now, and for what is called after it.
    let latch = Latch::remote();
    for _ in 0..4 {
        mobula::get(latch.open())?;
        mobula::get(latch.pass())?;
    }
    let passing: Vec<_> = (0..4).map(|_| latch.pass()).collect();
    mobula::get((0..4).map(|_| latch.open()).collect::<Vec<_>>())?;
    mobula::get(passing)?;
    Ok(())
}

pub(crate) fn actor_pools(_: Engine) -> mobula::Result<()> {
    let mut pool = mobula::ActorPool::new((0..2).map(|_| Shaky::remote(0)));
    let sums = pool.map(0..20, |shaky, _| shaky.add(1)).collect::<mobula::Result<Vec<u64>>>()?;
    assert_eq!(sums.len(), 20);
    Ok(())
}

#[remote]
fn draws_by_actors(n: u64) -> mobula::Result<Vec<u64>> {
    let mut drawn = Vec::new();
    for _ in 0..n {
        let counter = Counter::remote(0);
        drawn.extend(mobula::get([counter.draws(), counter.draws()])?.concat());
    }
    drawn.extend(mobula::rng().integers(0..1_000_000_u64, 2)?);
    Ok(drawn)
}

pub(crate) fn random_numbers_of_actors(engine: Engine) -> mobula::Result<()> {
    // Numbers go by the calls made before, which on a cluster are those of the piece before.
    let before = if is_cluster(engine) { DRAWS } else { 0 };
    let draw = || {
        let counter = Counter::remote(0);
        let own = mobula::get([counter.draws(), counter.draws()])?.concat();
        // Actors in tasks have a piece of their own.
        let others = if is_cluster(engine) { 0 } else { 2 };
        Ok([own, mobula::get(draws_by_actors::remote(others))?].concat())
    };
    let here: mobula::Result<Vec<u64>> = {
        let runtime = Runtime::new(Config::new().num_cpus(1).engine(Engine::Inline).seed(7))?;
        let _entered = runtime.enter();
        mobula::get((0..before).map(|_| draws::remote(0)).collect::<Vec<_>>())?;
        draw()
    };
    assert_eq!(here?, draw()?);
    Ok(())
}
