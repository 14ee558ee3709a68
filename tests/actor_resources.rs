//! Actors that asked for resources, which they have for their life, and for CPUs, which their calls have.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use mobula::ActorEnd;
use mobula::prelude::*;

fn config(cpus: usize) -> Config {
    Config::new().num_cpus(cpus).resource("gpu", 2.0)
}

fn threads() -> impl Iterator<Item = Runtime> {
    [1, 2, 4].into_iter().map(|cpus| Runtime::new(config(cpus)).unwrap())
}

fn runtimes() -> impl Iterator<Item = Runtime> {
    threads().chain([Runtime::new(config(1).engine(Engine::Inline)).unwrap()])
}

/// How many actors live, and how many have.
#[derive(Default)]
struct Seen {
    live: AtomicUsize,
    made: AtomicUsize,
}

impl Seen {
    fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }
}

struct Solver {
    seen: Arc<Seen>,
    calls: u64,
}

impl Drop for Solver {
    fn drop(&mut self) {
        self.seen.live.fetch_sub(1, Ordering::SeqCst);
    }
}

#[remote(local, resource("gpu", 2))]
impl Solver {
    pub fn new(seen: Arc<Seen>) -> Self {
        seen.made.fetch_add(1, Ordering::SeqCst);
        assert_eq!(seen.live.fetch_add(1, Ordering::SeqCst), 0, "two have the same resource");
        Self { seen, calls: 0 }
    }

    pub fn solve(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    pub fn explode(&mut self) {
        panic!("boom")
    }

    pub fn meet(&self, others: Arc<Barrier>) {
        others.wait();
    }

    pub fn waits_for_another(&mut self) -> mobula::Result<u64> {
        get(Solver::remote(self.seen.clone()).solve())
    }

    pub fn reads_another(&self) -> mobula::Result<u64> {
        get(Solver::remote(self.seen.clone()).solve())
    }

    pub fn exit(&mut self) -> mobula::Result<()> {
        mobula::exit_actor()
    }
}

struct Waiter(Arc<Seen>);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

#[remote(local, resource("gpu", 2))]
impl Waiter {
    pub async fn new(seen: Arc<Seen>) -> Self {
        seen.made.fetch_add(1, Ordering::SeqCst);
        assert_eq!(seen.live.fetch_add(1, Ordering::SeqCst), 0, "two have the same resource");
        Self(seen)
    }

    pub async fn made(&self) -> usize {
        self.0.made()
    }
}

struct Failing;

#[remote(local, resource("gpu", 2))]
impl Failing {
    pub fn new(panics: bool) -> mobula::Result<Self, String> {
        assert!(!panics, "boom");
        Err("no".to_owned())
    }

    pub fn solve(&mut self) -> u64 {
        0
    }
}

#[remote(local, resource("gpu", 1))]
fn on_gpu(seen: Arc<Seen>) -> usize {
    seen.live()
}

#[remote]
fn three() -> u64 {
    3
}

#[test]
fn one_has_it_until_it_has_ended() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let first = Solver::remote(seen.clone());
        assert_eq!(get(first.solve()).unwrap(), 1);
        let second = Solver::remote(seen.clone());
        let (solved, again) = (second.solve(), second.solve());
        let told = solved.explain().to_string();
        assert!(told.contains("the actor waits for resources, with 0 before it"), "{told}");
        assert!(told.contains("it wants 2 of \"gpu\", 0 is free, the rest is held by"), "{told}");
        assert!(told.contains("`Solver` (called at"), "{told}");
        assert!(told.contains("lives, and has it until it ends"), "{told}");
        // A task waits behind it, in the same line.
        let task = on_gpu::remote(seen.clone());
        let told = task.explain().to_string();
        assert!(told.contains("waits for resources, with 1 before it"), "{told}");
        assert_eq!((seen.made(), get(three::remote()).unwrap()), (1, 3));

        let last = first.solve();
        drop(first);
        assert_eq!(get((last, solved, again)).unwrap(), (2, 1, 2));
        let end = second.watch();
        drop(second.explode());
        assert!(matches!(get(end).unwrap(), ActorEnd::Crashed { .. }));
        assert_eq!(get(task).unwrap(), 0);
    }
}

#[test]
fn it_is_given_back_by_every_end() {
    let ends: [fn(ActorHandle<Solver>); 5] = [
        drop,
        |solver| mobula::kill(&solver),
        |solver| get(solver.stop()).unwrap(),
        |solver| drop(get(solver.explode()).unwrap_err()),
        |solver| drop(get(solver.exit())),
    ];
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        for end in ends {
            let solver = Solver::remote(seen.clone());
            let watched = solver.watch();
            get(solver.solve()).unwrap();
            let next = Waiter::remote(seen.clone());
            end(solver);
            get(watched).unwrap();
            get(next.made()).unwrap();
            let watched = next.watch();
            drop(next);
            get(watched).unwrap();
        }
        for panics in [false, true] {
            let failing = Failing::remote(panics);
            let error = get(failing.solve()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ActorDied);
            get(failing.watch()).unwrap();
        }
        assert_eq!(get(on_gpu::options().resource("gpu", 2).remote(seen.clone())).unwrap(), 0);
    }
}

#[test]
fn a_restart_keeps_it() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let solver = Solver::options().max_restarts(2).remote(seen.clone());
        get(solver.solve()).unwrap();
        let task = on_gpu::remote(seen.clone());
        for _ in 0..2 {
            get(solver.explode()).unwrap_err();
            assert_eq!(get(solver.solve()).unwrap(), 1);
            assert!(task.explain().to_string().contains("waits for resources"));
        }
        assert_eq!(seen.made(), 3);
        get(solver.explode()).unwrap_err();
        assert_eq!(get(task).unwrap(), 0);
    }
}

#[test]
fn who_is_killed_in_the_line_leaves_it() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let half = Solver::options().resource("gpu", 1).remote(seen.clone());
        get(half.solve()).unwrap();
        let waits = Solver::remote(seen.clone());
        let waits_too = Waiter::remote(seen.clone());
        let (call, other) = (waits.solve(), waits_too.made());
        // It would fit, and waits for those before it.
        let behind = on_gpu::remote(seen.clone());
        assert!(behind.explain().to_string().contains("with 2 before it in the line"));
        for (end, call) in [
            (waits.watch(), Box::new(|| get(call).map(drop)) as Box<dyn FnOnce() -> _>),
            (waits_too.watch(), Box::new(|| get(other).map(drop))),
        ] {
            mobula::kill(&waits);
            mobula::kill(&waits_too);
            assert!(matches!(get(end).unwrap(), ActorEnd::Killed));
            assert_eq!(call().unwrap_err().kind(), ErrorKind::ActorDied);
        }
        assert_eq!(get(behind).unwrap(), 1);
        assert_eq!(seen.made(), 1);
        assert_eq!(get(half.solve()).unwrap(), 2);
    }
}

#[test]
fn without_handles_it_begins_and_ends_when_its_turn_comes() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let first = Solver::remote(seen.clone());
        get(first.solve()).unwrap();
        let second = Solver::remote(seen.clone());
        let (solved, end) = (second.solve(), second.watch());
        drop(second);
        let stopped = Solver::remote(seen.clone());
        let told = (stopped.solve(), stopped.stop());
        assert_eq!(get(stopped.solve()).unwrap_err().kind(), ErrorKind::ActorDied);
        mobula::kill(&first);
        assert_eq!(get(solved).unwrap(), 1);
        assert!(matches!(get(end).unwrap(), ActorEnd::Unreachable));
        assert_eq!(get(told).unwrap(), (1, ()));
        assert_eq!(seen.made(), 3);
    }
}

#[test]
fn arguments_come_first() {
    #[remote(local)]
    fn seen_after(seen: Arc<Seen>, gate: Arc<Barrier>) -> Arc<Seen> {
        gate.wait();
        seen
    }
    for runtime in threads() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let late = || {
            let gate = Arc::new(Barrier::new(2));
            let call = seen_after::options().num_cpus(0).remote(seen.clone(), gate.clone());
            (gate, call)
        };
        // While its arguments are missing it has nothing, and is in no line.
        let (gate, argument) = late();
        let waits = Solver::remote(argument);
        let solved = waits.solve();
        assert_eq!(get(on_gpu::remote(seen.clone())).unwrap(), 0);
        let told = solved.explain().to_string();
        assert!(told.contains("waits for its argument"), "{told}");
        gate.wait();
        assert_eq!(get(solved).unwrap(), 1);
        mobula::kill(&waits);
        get(waits.watch()).unwrap();
        // One that was killed before they came never has it.
        let (gate, argument) = late();
        let dead = Solver::remote(argument.clone());
        let call = dead.solve();
        mobula::kill(&dead);
        assert_eq!(get(call).unwrap_err().kind(), ErrorKind::ActorDied);
        gate.wait();
        get(argument).unwrap();
        let whole = on_gpu::options().resource("gpu", 2);
        assert_eq!(get(whole.remote(seen.clone())).unwrap(), 0);
        assert_eq!(seen.made(), 1);
    }
}

#[test]
fn the_runtimes_end_ends_those_in_the_line() {
    for runtime in runtimes() {
        let entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let first = Solver::remote(seen.clone());
        get(first.solve()).unwrap();
        let (second, third) = (Solver::remote(seen.clone()), Waiter::remote(seen.clone()));
        let (solved, made) = (second.solve(), third.made());
        let ends = [second.watch(), third.watch()];
        drop(entered);
        runtime.shutdown();
        assert_eq!(get(solved).unwrap_err().kind(), ErrorKind::ShutDown);
        assert_eq!(get(made).unwrap_err().kind(), ErrorKind::ShutDown);
        assert!(
            ends.map(|end| get(end).unwrap()).iter().all(|end| matches!(end, ActorEnd::ShutDown))
        );
        assert_eq!((seen.made(), seen.live()), (1, 0));
    }
}

#[test]
fn what_can_never_be_is_infeasible() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let all = format!("num_cpus = 64, and the runtime has {}", runtime.num_cpus());
        let never = [
            (
                Solver::options().resource("gpu", 2.5),
                "resource \"gpu\" = 2.5, and the runtime has 2",
            ),
            (Solver::options().resource("qpu", 1), "resource \"qpu\" = 1, and the runtime has 0"),
            (Solver::options().num_cpus(64), &all),
        ];
        for (options, why) in never {
            let solver = options.remote(seen.clone());
            for error in [get(solver.solve()), get(solver.solve())].map(Result::unwrap_err) {
                assert_eq!(error.kind(), ErrorKind::Infeasible);
                assert!(error.to_string().contains(why), "{error}");
            }
        }
        let free = Solver::options().resource("gpu", 0).resource("qpu", 0).remote(seen.clone());
        assert_eq!(get(free.solve()).unwrap(), 1, "nothing is asked for by a zero");
        let nonsense = Solver::options().resource("gpu", -1).remote(seen.clone());
        assert_eq!(get(nonsense.solve()).unwrap_err().kind(), ErrorKind::Config);
        assert_eq!(seen.made(), 1);
    }
}

#[test]
fn of_one_name_one_has_it() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let get_or_create = || Solver::options().name("one").get_or_create(seen.clone());
        let (first, second) = (get_or_create(), get_or_create());
        assert!(first == second);
        assert_eq!(get((first.solve(), second.solve())).unwrap(), (1, 2));
        drop((first, second));
        assert_eq!(get(on_gpu::options().resource("gpu", 2).remote(seen)).unwrap(), 0);
    }
}

#[test]
fn circles_end() {
    #[remote(local, num_cpus = 0, resource("gpu", 2))]
    fn asks_one(seen: Arc<Seen>) -> mobula::Result<u64> {
        get(Solver::remote(seen).solve())
    }
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        // A task that holds what the actor needs of which it waits for a call.
        let error = get(asks_one::remote(seen.clone())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
        let told = error.to_string();
        assert!(told.contains("which waits for the beginning of its actor `Solver`"), "{told}");
        assert!(told.contains("waits for the resource \"gpu\", held by `asks_one`"), "{told}");
        // An actor that does.
        let solver = Solver::remote(seen.clone());
        let error = get(solver.waits_for_another()).unwrap_err();
        let told = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Deadlock, "{told}");
        assert!(told.contains("lives on with `Solver::waits_for_another`"), "{told}");
        assert_eq!(get(solver.solve()).unwrap(), 1);
        mobula::kill(&solver);
        get(solver.watch()).unwrap();
        let readers = Solver::options().max_concurrency(4).remote(seen.clone());
        let told = get(readers.reads_another()).unwrap_err().to_string();
        assert!(told.contains("lives on with `Solver::reads_another`"), "{told}");
    }
}

/// The last link comes when all sleep: the one that is waited for enters the line.
#[test]
fn circles_that_close_late_end() {
    #[remote(local)]
    fn seen_after(seen: Arc<Seen>, gate: Arc<Barrier>) -> Arc<Seen> {
        gate.wait();
        seen
    }
    struct Holder;
    #[remote(local, num_cpus = 0, resource("gpu", 2))]
    impl Holder {
        pub fn new() -> Self {
            Self
        }
        pub fn waits_for(&mut self, late: &ObjectRef<Arc<Seen>>) -> mobula::Result<u64> {
            get(Solver::remote(late).solve())
        }
        pub fn reads_when(&self, late: &ObjectRef<Arc<Seen>>) -> mobula::Result<u64> {
            get(Solver::remote(late).solve())
        }
    }
    for runtime in threads() {
        let _entered = runtime.enter();
        for readers in [false, true] {
            let gate = Arc::new(Barrier::new(2));
            let call = seen_after::options().num_cpus(0);
            let late = call.remote(Arc::default(), gate.clone());
            let holder = match readers {
                false => Holder::remote(),
                true => Holder::options().max_concurrency(2).remote(),
            };
            let late = Arc::new(late);
            let call = match readers {
                false => holder.waits_for(mobula::put(ObjectRef::clone(&late))),
                true => holder.reads_when(mobula::put(ObjectRef::clone(&late))),
            };
            // Until it sleeps, and is known to.
            while !call.explain().to_string().contains("has begun, and has waited") {
                std::thread::yield_now();
            }
            gate.wait();
            let error = get(call).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
            mobula::kill(&holder);
            get(holder.watch()).unwrap();
        }
    }
}

struct Wide;

#[remote(local)]
impl Wide {
    pub fn new(cpus: f64) -> Self {
        assert_eq!(mobula::context().num_cpus(), cpus);
        Self
    }

    pub fn cpus(&mut self) -> f64 {
        mobula::context().num_cpus()
    }

    pub fn reads(&self) -> f64 {
        mobula::context().num_cpus()
    }

    pub fn meet(&self, others: Arc<Barrier>) {
        others.wait();
    }

    pub fn asks(&mut self) -> mobula::Result<u64> {
        get(three::remote())
    }
}

#[test]
fn calls_have_as_many_cpus() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        for cpus in [0.0, 0.25, 1.0, runtime.num_cpus() as f64] {
            let wide = Wide::options().num_cpus(cpus).max_concurrency(4).remote(cpus);
            let calls: Vec<_> =
                (0..100).map(|n| if n % 10 == 9 { wide.cpus() } else { wide.reads() }).collect();
            assert!(get(calls).unwrap().into_iter().all(|had| had == cpus));
            // While it is idle it has none, nor while it waits.
            assert_eq!(get(three::remote()).unwrap(), 3);
            assert_eq!(get(wide.asks()).unwrap(), 3);
        }
    }
}

#[test]
fn parts_of_a_cpu_are_shared() {
    let runtime = Runtime::new(config(1)).unwrap();
    let _entered = runtime.enter();
    let others = Arc::new(Barrier::new(4));
    let quarters: Vec<_> = (0..4).map(|_| Wide::options().num_cpus(0.25).remote(0.25)).collect();
    let met: Vec<_> = quarters.iter().map(|wide| wide.meet(others.clone())).collect();
    get(met).unwrap();
    // One that takes none goes on beside one that has all.
    let others = Arc::new(Barrier::new(2));
    let pair = [Wide::options().num_cpus(0).remote(0.0), Wide::options().num_cpus(1).remote(1.0)];
    get(pair.each_ref().map(|wide| wide.meet(others.clone()))).unwrap();
    // Readers of one actor have a part each.
    let others = Arc::new(Barrier::new(3));
    let shared = Wide::options().num_cpus(0.25).max_concurrency(3).remote(0.25);
    get([(); 3].map(|()| shared.meet(others.clone()))).unwrap();
}

#[test]
fn a_wide_call_is_alone() {
    #[remote(local)]
    fn inside(seen: Arc<Seen>) -> usize {
        seen.live.fetch_add(1, Ordering::SeqCst);
        let alone = seen.live();
        seen.live.fetch_sub(1, Ordering::SeqCst);
        alone
    }
    struct Alone(Arc<Seen>);
    #[remote(local, num_cpus = 4)]
    impl Alone {
        pub fn new(seen: Arc<Seen>) -> Self {
            Self(seen)
        }
        pub fn call(&mut self) -> usize {
            let most = (0..1000).map(|_| self.0.live());
            most.max().unwrap()
        }
    }
    let runtime = Runtime::new(config(4)).unwrap();
    let _entered = runtime.enter();
    let seen = Arc::new(Seen::default());
    let alone = Alone::remote(seen.clone());
    for _ in 0..50 {
        let tasks: Vec<_> = (0..20).map(|_| inside::remote(seen.clone())).collect();
        let call = alone.call();
        let more: Vec<_> = (0..20).map(|_| inside::remote(seen.clone())).collect();
        assert_eq!(get(call).unwrap(), 0);
        get((tasks, more)).unwrap();
    }
}

#[test]
fn async_actors_compute_on_no_cpu() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let refused = Waiter::options().num_cpus(1).remote(seen.clone());
        let error = get(refused.made()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Engine);
        assert!(error.to_string().contains("no async actors with `num_cpus`"), "{error}");
        let waiter = Waiter::options().num_cpus(0).remote(seen);
        assert_eq!(get(waiter.made()).unwrap(), 1);
    }
}

/// Many at once, ended in all ways, from several threads: each has an end, and all is given back.
#[test]
fn all_is_given_back() {
    struct Part;
    #[remote(local, resource("gpu", 1))]
    impl Part {
        pub fn new() -> Self {
            Self
        }
        pub fn get(&mut self, n: u64) -> u64 {
            assert!(!n.is_multiple_of(7), "boom");
            n
        }
    }
    for runtime in threads() {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let runtime = &runtime;
                scope.spawn(move || {
                    let _entered = runtime.enter();
                    for n in 0..200 {
                        let restarts = n % 3;
                        let part = Part::options()
                            .resource("gpu", 0.5 * f64::from(1 + n % 4))
                            .max_restarts(restarts)
                            .remote();
                        let call = part.get(u64::from(n + thread));
                        match n % 5 {
                            0 => mobula::kill(&part),
                            1 => drop(part.stop()),
                            2 => drop(get(part.get(1))),
                            _ => {}
                        }
                        let end = part.watch();
                        drop(part);
                        get(end).unwrap();
                        let _ = get(call);
                    }
                });
            }
        });
        let _entered = runtime.enter();
        let whole = on_gpu::options().resource("gpu", 2);
        assert_eq!(get(whole.remote(Arc::default())).unwrap(), 0);
    }
}
