//! One program, every engine: what `api.md` promises, piece by piece, on each. What an engine cannot do it
//! refuses by name, and the table in the README says so: it is what this suite finds.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use mobula::prelude::*;
use mobula::{ActorEnd, EventKind, RetryDelay};
use serde::{Deserialize, Serialize};

const ENGINES: [Engine; 6] = [
    Engine::Threads,
    Engine::Inline,
    Engine::Processes,
    Engine::Ray,
    Engine::Dask,
    Engine::Ipyparallel,
];

/// Set to 1 by `cargo xtask test`, which provides a Python with the clusters' packages: then these are started
/// and tested too; or to the names of some, with commas between. What is tested without it needs no Python.
const CLUSTERS: &str = "MOBULA_TEST_CLUSTERS";

fn is_cluster(engine: Engine) -> bool {
    matches!(engine, Engine::Ray | Engine::Dask | Engine::Ipyparallel)
}

/// What an engine does about a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Works,
    Refuses,
}

type Piece = (&'static str, fn(Engine) -> mobula::Result<()>);

const PIECES: &[Piece] = &[
    // First, since a runtime counts its calls, and a cluster's serves all pieces.
    ("`rng()`: the same numbers everywhere", random_numbers),
    ("`rng()` in actors: the same numbers everywhere", random_numbers_of_actors),
    ("tasks: values, `&` parameters, up to 12 arguments", tasks),
    ("refs and lists of refs as arguments", refs_as_arguments),
    ("refs inside of arguments and results", refs_inside),
    ("large arrays", large_arrays),
    ("`num_returns`", several_results),
    ("`async fn`", waiting_tasks),
    ("calls from tasks, `get` and `put` in tasks", nested),
    ("`wait`, `as_completed`, `get_timeout`, `get_arc`, `.await`", waits),
    ("errors: the function's own, a panic, the way", errors),
    ("`max_retries`, `retry_if`", retries),
    ("`retry_delay`", retry_delays),
    ("`timeout`", time_limits),
    ("`name`", names),
    ("`num_cpus`", numbers_of_cpus),
    ("`resource`", resources),
    ("`priority`", priorities),
    ("`placement`, `PlacementGroup`", placements),
    ("`context()`", contexts),
    ("`cancel` of what runs", cancels),
    ("`cancel(..).force()`", kills),
    ("`f::map`", maps),
    ("events", events),
    ("`#[remote(stream)]`", streams),
    ("actors: calls in order, `&self` and `&mut self`, errors", actors),
    ("actors: `stop`, `watch`, `kill`, `exit_actor`", actor_ends),
    ("actors: restarts, `checkpoint`, `max_task_retries`", actor_restarts),
    ("actors: names, `get_actor`, `get_or_create`", actor_names),
    ("actors: `max_concurrency`, `max_pending_calls`, `#[remote(every = ..)]`", actor_options),
    ("actors: handles in arguments, results and values, actors in tasks", actor_handles),
    ("actors: `async fn`", waiting_actors),
    ("actors: `#[remote(stream)]` on methods", actor_streams),
    ("`ActorPool`", actor_pools),
    ("`mobula::python`", python),
    ("closures: `spawn`, `mobula::map`", closures),
    ("`#[remote(local)]`", local_functions),
];

#[test]
fn threads() {
    does_what_the_readme_says(Engine::Threads);
}

#[test]
fn inline() {
    does_what_the_readme_says(Engine::Inline);
}

#[test]
fn processes() {
    does_what_the_readme_says(Engine::Processes);
}

/// One after the other: a process joins one cluster at a time.
#[test]
fn clusters() {
    let asked = std::env::var(CLUSTERS).unwrap_or_default();
    let is_asked =
        |engine: &Engine| asked == "1" || asked.split(',').any(|name| name == engine.name());
    let clusters = ENGINES.into_iter().filter(|engine| is_cluster(*engine));
    clusters.filter(is_asked).for_each(does_what_the_readme_says);
}

#[test]
fn the_readme_tells_each_piece() {
    let pieces = PIECES.iter().map(|(title, _)| title.to_string()).collect::<BTreeSet<_>>();
    let told = table().into_keys().map(|(title, _)| title).collect::<BTreeSet<_>>();
    assert_eq!(pieces, told);
}

fn does_what_the_readme_says(engine: Engine) {
    let table = table();
    // A cluster takes seconds to start, so all pieces share it.
    let shared = is_cluster(engine).then(|| start(engine));
    let mut wrong = Vec::new();
    let only = std::env::var("ONLY").unwrap_or_default();
    for (title, piece) in
        PIECES.iter().filter(|(t, _)| only.is_empty() || only.split(',').any(|o| t.contains(o)))
    {
        // What a cluster's workers print is not captured, so this tells where they are.
        println!("{}: {title}", engine.name());
        let runtime = match &shared {
            Some(runtime) => runtime,
            None => &start(engine),
        };
        let found = run(runtime, engine, *piece);
        let told = table.get(&(title.to_string(), engine.name().to_owned())).map(String::as_str);
        let expected = match told {
            Some("yes") => Ok(Does::Works),
            Some("refused") => Ok(Does::Refuses),
            other => Err(format!("the table says {other:?}")),
        };
        if found != expected {
            wrong.push(format!("{title}: found {found:?}, expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}\n", engine.name(), wrong.join("\n"));
}

fn start(engine: Engine) -> Runtime {
    let config = Config::new().num_cpus(2).engine(engine).resource("gpu", 2.0).seed(7);
    let config = if is_cluster(engine) { config.address("local") } else { config.events(true) };
    Runtime::new(config).unwrap()
}

/// Runs a piece.
fn run(
    runtime: &Runtime,
    engine: Engine,
    piece: fn(Engine) -> mobula::Result<()>,
) -> Result<Does, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _entered = runtime.enter();
        piece(engine)
    }));
    match outcome {
        Ok(Ok(())) => Ok(Does::Works),
        Ok(Err(error)) if error.kind() == ErrorKind::Engine => {
            let text = error.to_string();
            if text.contains("engine") { Ok(Does::Refuses) } else { Err(text) }
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it panicked; see above".to_owned()),
    }
}

/// The cells of the README's table, by row and engine.
fn table() -> HashMap<(String, String), String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let mut cells = HashMap::new();
    let lines = readme.lines().skip_while(|line| !line.starts_with("| what | `threads`"));
    for line in lines.skip(2).take_while(|line| line.starts_with('|')) {
        let mut row = line.trim_matches('|').split(" | ").map(str::trim);
        let title = row.next().unwrap_or_default().to_owned();
        for (engine, cell) in ENGINES.iter().zip(row) {
            cells.insert((title.clone(), engine.name().to_owned()), cell.to_owned());
        }
    }
    cells
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: f64,
    label: Option<String>,
}

#[remote]
fn shifted(point: Point, by: f64) -> Point {
    Point { x: point.x + by, ..point }
}

#[remote]
fn total(values: &[f64]) -> f64 {
    values.iter().sum()
}

#[remote]
fn shout(text: &str) -> String {
    text.to_uppercase()
}

#[remote]
#[expect(clippy::too_many_arguments, reason = "it is about many")]
fn twelve(
    a: u8,
    b: u16,
    c: u32,
    d: u64,
    e: i8,
    f: i16,
    g: i32,
    h: i64,
    i: f32,
    j: f64,
    k: bool,
    l: char,
) -> String {
    format!("{a}{b}{c}{d}{e}{f}{g}{h}{i}{j}{k}{l}")
}

#[remote]
fn nothing() {}

fn tasks(_: Engine) -> mobula::Result<()> {
    let point = Point { x: 1.0, label: Some("p".to_owned()) };
    assert_eq!(mobula::get(shifted::remote(point.clone(), 2.0))?, shifted(point, 2.0));
    assert_eq!(mobula::get(total::remote(vec![1.0, 2.5]))?, 3.5);
    assert_eq!(mobula::get(shout::remote("abc"))?, "ABC");
    mobula::get(nothing::remote())?;
    let all = twelve::remote(1, 2, 3, 4, 5, 6, 7, 8, 9.5, 10.5, true, 'x');
    assert_eq!(mobula::get(all)?, "123456789.510.5truex");
    let many: Vec<_> = (0..300).map(|i| square::remote(i)).collect();
    assert!(mobula::get(many)?.into_iter().eq((0..300).map(square)));
    Ok(())
}

#[remote]
fn square(x: u64) -> u64 {
    x * x
}

#[remote]
fn sum(values: Vec<u64>) -> u64 {
    values.iter().sum()
}

fn refs_as_arguments(_: Engine) -> mobula::Result<()> {
    let first = square::remote(3);
    assert_eq!(mobula::get(square::remote(&first))?, 81);
    let refs: Vec<_> = (1..=4).map(|x| square::remote(x)).collect();
    assert_eq!(mobula::get(sum::remote(&refs))?, 30);
    let values = mobula::put(vec![1.0; 1000]);
    let totals: Vec<_> = (0..20).map(|_| total::remote(&values)).collect();
    assert_eq!(mobula::get(totals)?, [1000.0; 20]);
    let owned = mobula::put(vec![1, 2, 3]);
    assert_eq!(mobula::get(sum::remote(&owned))?, 6);
    Ok(())
}

#[derive(Clone, Serialize, Deserialize)]
struct Basket {
    refs: Vec<ObjectRef<u64>>,
}

#[remote]
fn add_up(refs: Vec<ObjectRef<u64>>, basket: Basket) -> mobula::Result<u64> {
    let (refs, others) = (mobula::get(refs)?, mobula::get(basket.refs)?);
    Ok(refs.into_iter().chain(others).sum())
}

#[remote]
fn basket(n: u64) -> Basket {
    let stored = mobula::put(1000);
    let called = (0..n).map(|x| square::remote(x));
    Basket { refs: called.chain([stored]).collect() }
}

fn refs_inside(_: Engine) -> mobula::Result<()> {
    let refs: Vec<_> = (0..3).map(|x| square::remote(x)).collect();
    let stored = Basket { refs: vec![mobula::put(100), square::remote(10)] };
    assert_eq!(mobula::get(add_up::remote(refs, stored))?, 5 + 200);
    let made = mobula::get(basket::remote(3))?;
    assert_eq!(mobula::get(made.refs.clone())?, [0, 1, 4, 1000]);
    // And on to a task, without a look at the values.
    assert_eq!(mobula::get(add_up::remote(vec![made.refs[3].clone()], made))?, 2005);
    Ok(())
}

#[remote]
fn doubled(values: Vec<f64>) -> Vec<f64> {
    values.into_iter().map(|value| 2.0 * value).collect()
}

#[remote]
fn grid(rows: usize, columns: usize) -> ndarray::Array2<f64> {
    ndarray::Array2::from_shape_fn((rows, columns), |(row, column)| (row * 10 + column) as f64)
}

#[remote]
fn corner(grid: &ndarray::Array2<f64>) -> f64 {
    grid[[grid.nrows() - 1, grid.ncols() - 1]]
}

fn large_arrays(_: Engine) -> mobula::Result<()> {
    let values: Vec<f64> = (0..300_000).map(f64::from).collect();
    for _ in 0..3 {
        let result = mobula::get(doubled::remote(values.clone()))?;
        assert!(result.iter().zip(&values).all(|(two, one)| *two == 2.0 * one));
    }
    let grid = grid::remote(500, 400);
    let corners: Vec<_> = (0..4).map(|_| corner::remote(&grid)).collect();
    assert_eq!(mobula::get(corners)?, [499.0 * 10.0 + 399.0; 4]);
    Ok(())
}

#[remote(num_returns = 2)]
fn parted(text: String) -> (String, usize) {
    let length = text.len();
    (text, length)
}

#[remote]
fn parts_in_a_task() -> mobula::Result<usize> {
    let (text, length) = parted::remote("abcd".to_owned());
    Ok(mobula::get(&length)? + mobula::get(text)?.len() + mobula::get(square::remote(2))? as usize)
}

fn several_results(_: Engine) -> mobula::Result<()> {
    let (text, length) = parted::remote("abc".to_owned());
    assert_eq!(mobula::get((text, length))?, ("abc".to_owned(), 3));
    Ok(())
}

#[remote]
async fn later(x: u64) -> Result<u64, String> {
    tokio::task::yield_now().await;
    if x == 0 { Err("zero".to_owned()) } else { Ok(x) }
}

#[remote]
async fn awaits(x: u64) -> mobula::Result<u64> {
    let refs = [square::remote(x), square::remote(x + 1)];
    let [one, other] = refs;
    Ok(one.await? + other.await?)
}

fn waiting_tasks(_: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(later::remote(5))?, 5);
    assert_eq!(mobula::get(later::remote(0)).unwrap_err().message(), "zero");
    Ok(())
}

#[remote]
fn fib(n: u64) -> mobula::Result<u64> {
    if n < 2 {
        return Ok(n);
    }
    let (one, other) = (fib::remote(n - 1), fib::remote(n - 2));
    Ok(mobula::get(one)? + mobula::get(other)?)
}

#[remote]
fn by_store(n: usize) -> mobula::Result<f64> {
    let values = mobula::put(vec![0.5; n]);
    let totals: Vec<_> = (0..4).map(|_| total::remote(&values)).collect();
    Ok(mobula::get(totals)?.into_iter().sum())
}

fn nested(_: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(fib::remote(7))?, 13);
    assert_eq!(mobula::get(by_store::remote(100))?, 200.0);
    assert_eq!(mobula::get(parts_in_a_task::remote())?, 12);
    assert_eq!(mobula::get(awaits::remote(2))?, 13);
    assert_eq!(mobula::get(waits_in_a_task::remote())?, 31);
    let error = mobula::get(passes_on::remote()).unwrap_err();
    assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused { code: 9 }), "{error}");
    let text = error.to_string();
    for part in ["`refuses` (called at", "engines.rs", "through `passes_on`"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    Ok(())
}

#[remote]
fn waits_in_a_task() -> mobula::Result<u64> {
    let refs: Vec<_> = (0..5).map(|x| square::remote(x)).collect();
    let (ready, rest) = mobula::wait(&refs, 5, None);
    assert_eq!((ready.len(), rest.len()), (5, 0));
    let mut sum = 0;
    for ready in mobula::as_completed(refs) {
        sum += mobula::get(ready)?;
    }
    assert_eq!(*mobula::get_arc(&square::remote(3))?, 9);
    let far = Duration::from_secs(3600);
    Ok(sum + mobula::get_timeout(square::remote(1), far)?)
}

fn waits(_: Engine) -> mobula::Result<()> {
    let refs: Vec<_> = (0..5).map(|x| square::remote(x)).collect();
    let (ready, rest) = mobula::wait(&refs, 3, None);
    assert_eq!((ready.len(), rest.len()), (3, 2));
    assert_eq!(mobula::as_completed(refs.clone()).count(), 5);
    assert_eq!(*mobula::get_arc(&refs[2])?, 4);
    assert_eq!(futures::executor::block_on(async { refs[3].clone().await })?, 9);
    Ok(())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Refused {
    code: u32,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused with {}", self.code)
    }
}

impl std::error::Error for Refused {}

#[remote]
fn refuses(code: u32) -> Result<u64, Refused> {
    Err(Refused { code })
}

#[remote]
fn panics(what: &str) -> u64 {
    panic!("no {what}")
}

#[remote]
fn passes_on() -> mobula::Result<u64> {
    mobula::get(refuses::remote(9))
}

fn errors(_: Engine) -> mobula::Result<()> {
    let error = mobula::get(refuses::remote(3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Task);
    assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused { code: 3 }));
    assert!(std::error::Error::source(&error).is_some());
    let error = mobula::get(square::remote(panics::remote("way"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panic);
    let text = error.to_string();
    for part in ["`panics` (called at", "panicked: no way", "engines.rs", "through `square`"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    Ok(())
}

#[remote(max_retries = 5, retry_if = |error| error.kind() == ErrorKind::Task)]
fn third_time(at: u32) -> Result<u32, String> {
    let attempt = mobula::context().attempt();
    if attempt < at { Err(format!("try {attempt}")) } else { Ok(attempt) }
}

#[remote]
fn retries_in_a_task() -> mobula::Result<u32> {
    mobula::get(third_time::options().retry_delay(Duration::ZERO).remote(2))
}

fn retries(_: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(third_time::remote(3))?, 3);
    let error = mobula::get(third_time::options().max_retries(1).remote(9)).unwrap_err();
    assert!(error.to_string().contains("tried 2 times"), "{error}");
    Ok(())
}

fn retry_delays(_: Engine) -> mobula::Result<()> {
    let delay = RetryDelay::new(Duration::from_nanos(1));
    assert_eq!(mobula::get(third_time::options().retry_delay(delay).remote(2))?, 2);
    assert_eq!(mobula::get(retries_in_a_task::remote())?, 2);
    Ok(())
}

#[remote]
fn until_stopped() -> mobula::Result<u64> {
    loop {
        mobula::check_cancelled()?;
        std::hint::spin_loop();
    }
}

fn time_limits(_: Engine) -> mobula::Result<()> {
    let call = until_stopped::options().timeout(Duration::from_millis(5));
    assert_eq!(mobula::get(call.remote()).unwrap_err().kind(), ErrorKind::TimeLimit);
    Ok(())
}

#[remote]
fn cpus() -> f64 {
    mobula::context().num_cpus()
}

fn names(_: Engine) -> mobula::Result<()> {
    let error = mobula::get(panics::options().name("named").remote("x")).unwrap_err();
    assert!(error.to_string().contains("`named`"), "{error}");
    Ok(())
}

fn numbers_of_cpus(_: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(cpus::options().num_cpus(2).remote())?, 2.0);
    assert_eq!(mobula::get(cpus::options().num_cpus(0.5).remote())?, 0.5);
    assert_eq!(mobula::get(cpus::options().num_cpus(0).remote())?, 0.0);
    Ok(())
}

fn resources(_: Engine) -> mobula::Result<()> {
    let held: Vec<_> = (0..6).map(|_| cpus::options().resource("gpu", 1.0).remote()).collect();
    assert_eq!(mobula::get(held)?, [1.0; 6]);
    let error = mobula::get(cpus::options().resource("gpu", 3.0).remote()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Infeasible);
    Ok(())
}

fn priorities(_: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(cpus::options().priority(3).remote())?, 1.0);
    Ok(())
}

/// What Ray tells of a node, among other things.
#[derive(Clone, Serialize, Deserialize)]
struct Node {
    #[serde(rename = "NodeID")]
    id: String,
}

fn placements(_: Engine) -> mobula::Result<()> {
    use mobula::{Bundle, Placement, PlacementGroup};

    let placed = |placement: Placement| cpus::options().placement(placement).remote();
    assert_eq!(mobula::get(placed(Placement::spread()))?, 1.0);
    let nodes: Vec<Node> = mobula::get(mobula::python("ray:nodes").remote(()))?;
    assert_eq!(mobula::get(placed(Placement::node(&nodes[0].id)))?, 1.0);
    let nowhere = "0".repeat(56);
    assert_eq!(mobula::get(placed(Placement::prefer_node(&nowhere)))?, 1.0);
    for never in [Placement::node(nowhere), Placement::label("kind", "none")] {
        assert_eq!(mobula::get(placed(never)).unwrap_err().kind(), ErrorKind::Infeasible);
    }
    let group = PlacementGroup::pack([Bundle::new().num_cpus(1), Bundle::new().resource("gpu", 1)]);
    mobula::get(group.ready())?;
    let in_group = cpus::options().num_cpus(0).resource("gpu", 1).placement(group.bundle(1));
    assert_eq!(mobula::get((placed((&group).into()), in_group.remote()))?, (1.0, 0.0));
    let error = mobula::get(PlacementGroup::spread([]).ready()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    Ok(())
}

#[remote]
fn who() -> (Option<String>, Option<mobula::ObjectId>, u32, bool) {
    let context = mobula::context();
    (
        context.name().map(str::to_owned),
        context.task_id(),
        context.attempt(),
        context.worker().is_some(),
    )
}

fn contexts(engine: Engine) -> mobula::Result<()> {
    let task = who::remote();
    let (name, id, attempt, on_cpu) = mobula::get(&task)?;
    assert_eq!((name.as_deref(), attempt), (Some("who"), 1));
    assert_eq!(id, Some(task.id()));
    assert_eq!(on_cpu, engine != Engine::Inline);
    let (name, ..) = mobula::get(who::options().name("me").remote())?;
    assert_eq!(name.as_deref(), Some("me"));
    Ok(())
}

#[remote]
fn starts_children() -> mobula::Result<u64> {
    let children: Vec<_> = (0..2).map(|_| until_stopped::remote()).collect();
    mobula::get(children).map(|values| values.into_iter().sum())
}

fn cancels(engine: Engine) -> mobula::Result<()> {
    if engine == Engine::Inline {
        // It is done before anybody could.
        assert!(!mobula::cancel(&square::remote(1)).now());
        return Ok(());
    }
    for task in [until_stopped::remote(), starts_children::remote()] {
        mobula::cancel(&task);
        match mobula::get(task).unwrap_err() {
            error if error.kind() == ErrorKind::Engine => return Err(error),
            error => assert_eq!(error.kind(), ErrorKind::Cancelled),
        }
    }
    Ok(())
}

#[remote]
fn never_listens() -> u64 {
    loop {
        std::thread::park();
    }
}

fn kills(engine: Engine) -> mobula::Result<()> {
    if !matches!(engine, Engine::Processes | Engine::Ray) {
        return mobula::cancel(&square::remote(1)).force().map(drop);
    }
    let task = never_listens::remote();
    // Until then there is nothing to kill.
    while !mobula::cancel(&task).force()? && !task.is_ready() {
        std::thread::yield_now();
    }
    assert_eq!(mobula::get(task).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(mobula::get(square::remote(2))?, 4);
    if engine == Engine::Ray {
        let error = mobula::cancel(&Counter::remote(1).add(1)).force().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Engine);
    }
    Ok(())
}

fn maps(_: Engine) -> mobula::Result<()> {
    let squares: Vec<u64> = square::map(0..500).collect::<mobula::Result<_>>()?;
    assert!(squares.into_iter().eq((0..500).map(square)));
    let values = mobula::put(vec![1.0, 2.0]);
    let totals = total::map((0..5).map(|_| values.clone())).unordered();
    assert_eq!(totals.collect::<mobula::Result<Vec<f64>>>()?, [3.0; 5]);
    Ok(())
}

#[remote]
fn draws(n: u64) -> mobula::Result<Vec<u64>> {
    let own: Vec<u64> = mobula::rng().integers(0..1_000_000_u64, 3)?;
    if n == 0 {
        return Ok(own);
    }
    let below = mobula::get((0..2).map(|_| draws::remote(n - 1)).collect::<Vec<_>>())?;
    Ok(own.into_iter().chain(below.into_iter().flatten()).collect())
}

/// How many calls `random_numbers` makes, each of which makes calls down to that depth.
const DRAWS: u64 = 3;

fn random_numbers(engine: Engine) -> mobula::Result<()> {
    // Calls within calls have a piece of their own.
    let depth = if engine == Engine::Ipyparallel { 1 } else { DRAWS };
    let here = {
        let config = Config::new().num_cpus(1).engine(Engine::Inline).seed(7);
        let runtime = Runtime::new(config)?;
        let _entered = runtime.enter();
        mobula::get((0..depth).map(|n| draws::remote(n)).collect::<Vec<_>>())?
    };
    let there = mobula::get((0..depth).map(|n| draws::remote(n)).collect::<Vec<_>>())?;
    assert_eq!(here, there);
    Ok(())
}

fn events(engine: Engine) -> mobula::Result<()> {
    let config = Config::new().num_cpus(1).engine(engine).events(true);
    let runtime = Runtime::new(config)?;
    let entered = runtime.enter();
    mobula::get(fib::remote(2))?;
    drop(entered);
    let count = |wanted| move |event: &mobula::Event| event.kind() == wanted;
    let events: Vec<_> = runtime.events().collect();
    for kind in [EventKind::Submitted, EventKind::Started, EventKind::Finished] {
        assert_eq!(events.iter().filter(|event| count(kind)(event)).count(), 3, "{kind:?}");
    }
    Ok(())
}

#[remote(stream)]
fn squares(n: u64) -> impl Iterator<Item = u64> {
    (0..n).map(square)
}

fn streams(_: Engine) -> mobula::Result<()> {
    let items: Vec<u64> = squares::remote(5).map(mobula::get).collect::<mobula::Result<_>>()?;
    assert_eq!(items, [0, 1, 4, 9, 16]);
    Ok(())
}

struct Shelf {
    items: Vec<u64>,
}

#[remote]
impl Shelf {
    pub fn new(items: u64) -> Self {
        Self { items: (0..items).collect() }
    }

    #[remote(stream, max_unread = 2)]
    pub fn list(&self) -> impl Iterator<Item = u64> {
        self.items.iter().copied()
    }
}

fn actor_streams(_: Engine) -> mobula::Result<()> {
    let items = Shelf::remote(100).list().map(get).collect::<mobula::Result<Vec<_>>>()?;
    assert!(items.into_iter().eq(0..100));
    Ok(())
}

struct Counter(u64);

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

fn actors(_: Engine) -> mobula::Result<()> {
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

fn actor_ends(_: Engine) -> mobula::Result<()> {
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

struct Shaky(u64);

#[remote]
impl Shaky {
    pub fn new(start: u64) -> Self {
        Self(start)
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

fn actor_restarts(engine: Engine) -> mobula::Result<()> {
    let shaky = Shaky::options().max_restarts(1).remote(5);
    let (before, crash, after) = (shaky.add(1), shaky.add(13), shaky.add(2));
    assert_eq!(mobula::get(before)?, 6);
    assert_eq!(mobula::get(crash).unwrap_err().kind(), ErrorKind::Panic);
    assert_eq!(mobula::get(after)?, 7);
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
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    // The call may have been on its way to it.
    while mobula::get(shaky.pid()).is_ok_and(|now| now == pid) {}
    assert_eq!(mobula::get(shaky.add(1))?, 6);
    let end = shaky.watch();
    mobula::get(shaky.aborts()).unwrap_err();
    assert!(matches!(mobula::get(end)?, ActorEnd::Crashed { restarts: 2, .. }));
    assert_eq!(mobula::get(shaky.add(1)).unwrap_err().kind(), ErrorKind::ActorDied);
    Ok(())
}

#[remote]
fn by_name(name: &str) -> mobula::Result<u64> {
    mobula::get(mobula::get_actor::<Counter>(name)?.add(1))
}

#[remote]
fn shared(name: String) -> mobula::Result<u64> {
    mobula::get(Counter::options().name(name).get_or_create(100).add(1))
}

fn actor_names(_: Engine) -> mobula::Result<()> {
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

fn actor_options(_: Engine) -> mobula::Result<()> {
    let beats = Beats::options().max_concurrency(2).remote();
    while mobula::get(beats.count())? < 2 {}
    let values: Vec<_> = (0..20).map(|what| beats.waits_for(what)).collect();
    assert!(mobula::get(values)?.into_iter().eq(0..20));

    let counter = Counter::options().max_pending_calls(2).block_when_full().remote(0);
    let totals: Vec<_> = (0..10).map(|_| counter.add(1)).collect();
    assert!(mobula::get(totals)?.into_iter().eq(1..=10));
    Ok(())
}

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
fn stops(counter: ActorHandle<Counter>) -> mobula::Result<bool> {
    let end = counter.watch();
    mobula::get(counter.stop())?;
    Ok(matches!(mobula::get(end)?, ActorEnd::Stopped))
}

struct Keeper(ActorHandle<Counter>);

#[remote]
impl Keeper {
    pub fn new(counter: ActorHandle<Counter>) -> Self {
        Self(counter)
    }

    pub fn passes_on(&mut self, by: u64) -> mobula::Result<u64> {
        mobula::get(self.0.add(by))
    }

    pub fn counter(&self) -> ActorHandle<Counter> {
        self.0.clone()
    }
}

fn actor_handles(_: Engine) -> mobula::Result<()> {
    let counter = Counter::remote(0);
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

    let keeper = Keeper::remote(&counter);
    assert_eq!(mobula::get(keeper.passes_on(5))?, 105);
    assert_eq!(mobula::get(keeper.counter())?, counter);
    let end = counter.watch();
    drop(counter);
    assert_eq!(mobula::get(mobula::get(keeper.counter())?.value())?, 105);
    drop(keeper);
    assert!(matches!(mobula::get(end)?, ActorEnd::Unreachable));

    assert!(mobula::get(stops::remote(Counter::remote(1)))?);
    by_names_in_tasks()
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

fn waiting_actors(_: Engine) -> mobula::Result<()> {
    let gate = Gate::options().max_restarts(1).remote();
    let passing: Vec<_> = (0..3).map(|x| gate.pass(x)).collect();
    mobula::get(gate.open())?;
    assert_eq!(mobula::get(passing)?, [0, 1, 4]);
    assert_eq!(mobula::get(gate.passed())?, 3);
    let error = mobula::get(gate.refuses()).unwrap_err();
    assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused { code: 5 }));
    assert_eq!(mobula::get(gate.panics()).unwrap_err().kind(), ErrorKind::Panic);
    assert_eq!(mobula::get(gate.passed())?, 0);
    Ok(())
}

fn actor_pools(_: Engine) -> mobula::Result<()> {
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

fn random_numbers_of_actors(engine: Engine) -> mobula::Result<()> {
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

#[remote]
fn root_in_a_task(x: f64) -> mobula::Result<f64> {
    mobula::get(mobula::python("math:sqrt").remote((x,)))
}

fn python(engine: Engine) -> mobula::Result<()> {
    use mobula::python;
    use ndarray::{Array1, Array2, array};

    let sum: ObjectRef<u64> = python("operator:add").remote((2, square::remote(3)));
    assert_eq!(mobula::get(square::remote(&sum))?, 121);
    let point = Point { x: 1.5, label: None };
    assert_eq!(mobula::get(python("builtins:dict").remote::<Point>((&point,)))?, point);
    let upper = python("builtins:str.upper").name("upper");
    assert_eq!(mobula::get(upper.remote::<String>(("abc",)))?, "ABC");

    // Numbers of one type are arrays, with their shapes.
    let twice = python("numpy:multiply").remote::<Vec<f64>>((vec![1.0, 2.0], 2));
    assert_eq!(mobula::get(twice)?, [2.0, 4.0]);
    let turned: ObjectRef<Array2<f64>> = python("numpy:transpose").remote((grid::remote(2, 3),));
    assert_eq!(mobula::get(corner::remote(&turned))?, 12.0);
    assert_eq!(mobula::get(&turned)?, array![[0.0, 10.0], [1.0, 11.0], [2.0, 12.0]]);
    assert_eq!(mobula::get(python("numpy:arange").remote::<Array1<i64>>((3,)))?, array![0, 1, 2]);
    assert!(mobula::get(python("numpy:any").remote::<bool>(([false, true],)))?);
    let long = mobula::put(vec![1_u8; 300_000]);
    assert_eq!(mobula::get(python("builtins:len").remote::<usize>((&long,)))?, 300_000);

    let root = python("math:sqrt").remote::<f64>((-1.0,));
    let error = mobula::get(shifted::remote(point, &root)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Task);
    let text = error.to_string();
    for part in ["`math:sqrt` (called at", "ValueError: ", "engines.rs", "through `shifted`"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let error = mobula::get(python("math:nothing").remote::<f64>(())).unwrap_err();
    assert!(error.to_string().contains("AttributeError"), "{error}");
    let error = mobula::get(python("math").remote::<f64>(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    let inside = python("builtins:len").remote::<usize>((vec![root],));
    assert_eq!(mobula::get(inside).unwrap_err().kind(), ErrorKind::Serialization);
    if engine != Engine::Ipyparallel {
        assert_eq!(mobula::get(root_in_a_task::remote(9.0))?, 3.0);
    }
    Ok(())
}

fn closures(_: Engine) -> mobula::Result<()> {
    let three = mobula::get(mobula::spawn(|| 3));
    let squares: mobula::Result<Vec<i32>> = mobula::map(0..3, |x| x * x).collect();
    assert_eq!(three.is_err(), squares.is_err());
    assert_eq!((three?, squares?), (3, vec![0, 1, 4]));
    Ok(())
}

#[remote(local)]
fn stays(x: u64) -> u64 {
    x + 1
}

fn local_functions(_: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(stays::remote(1))?, 2);
    Ok(())
}
