//! One program, every engine: what `api.md` promises, piece by piece, on each. What an engine cannot do it
//! refuses by name, and the table in the README says so: it is what this suite finds.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{fs, process};

use mobula::prelude::*;
use mobula::{ActorEnd, EventKind, RetryDelay};
use serde::{Deserialize, Serialize};

mod actor_streams;
mod actors;
mod children;
mod handles;
mod left;
mod passed_on;
mod queued;
mod side_by_side;
mod streams;
mod streams_in_tasks;
mod tasks;

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
    ("`rng()`: the same numbers everywhere", tasks::random_numbers),
    ("`rng()` in actors: the same numbers everywhere", actors::random_numbers_of_actors),
    ("tasks: values, `&` parameters, up to 12 arguments", tasks::tasks),
    ("refs and lists of refs as arguments", tasks::refs_as_arguments),
    ("refs inside of arguments and results", tasks::refs_inside),
    ("refs that nobody has read, passed on to tasks", passed_on::to_tasks),
    ("`is_ready` of refs that nobody has read", passed_on::asked_for),
    ("errors: the way, of refs that nobody has read", passed_on::ways_of_tasks),
    ("refs of calls that were refused", passed_on::refusals),
    ("large arrays", tasks::large_arrays),
    ("`num_returns`", tasks::several_results),
    ("`async fn`", tasks::waiting_tasks),
    ("calls from tasks, `get` and `put` in tasks", tasks::nested),
    ("`wait`, `as_completed`, `get_timeout`, `get_arc`, `.await`", tasks::waits),
    ("errors: the function's own, a panic, the way", tasks::errors),
    ("`max_retries`, `retry_if`", tasks::retries),
    ("`retry_delay`", tasks::retry_delays),
    ("`timeout`", tasks::time_limits),
    ("`name`", tasks::names),
    ("`num_cpus`", tasks::numbers_of_cpus),
    ("`resource`", tasks::resources),
    ("`priority`", tasks::priorities),
    ("`placement`, `PlacementGroup`", tasks::placements),
    ("`context()`", tasks::contexts),
    ("`cancel` of what runs", tasks::cancels),
    ("`cancel(..).children(false)`", children::spared),
    ("`cancel(..).force()`", tasks::kills),
    ("`f::map`", tasks::maps),
    ("events", tasks::events),
    ("`#[remote(stream)]`", streams::streams),
    ("`#[remote(stream)]`: `max_unread`, `cancel`, not read to the end", streams::bounds),
    ("`#[remote(stream)]` in tasks", streams::nested),
    ("actors: calls in order, `&self` and `&mut self`, errors", actors::actors),
    ("actors: `stop`, `watch`, `kill`, `exit_actor`", actors::actor_ends),
    ("actors: restarts, `checkpoint`, `max_task_retries`", actors::actor_restarts),
    ("actors: calls that wait when one before them crashes", queued::crashes),
    ("actors: calls that wait when the actor ends, or are cancelled", queued::ends),
    ("actors: `cancel(..).children(false)`", children::spared_by_actors),
    (
        "actors: a call that waits for what comes of those before it",
        queued::waits_for_what_comes_of_another,
    ),
    ("actors: circles of waits end with their actors", queued::circles),
    ("actors: refs that nobody has read as arguments", passed_on::to_actors),
    ("actors: handles of those that were refused", passed_on::refused_handles),
    ("actors: errors: the way, of refs that nobody has read", passed_on::ways_of_actors),
    ("actors: names, `get_actor`, `get_or_create`", actors::actor_names),
    ("actors: `detached`", actors::detached_actors),
    ("actors: `num_cpus`, `resource`", actors::amounts),
    ("async actors: `num_cpus`", actors::amounts_of_waiting_actors),
    ("actors: `placement`", actors::places),
    (
        "actors: `max_concurrency`, `max_pending_calls`, `#[remote(every = ..)]`",
        actors::actor_options,
    ),
    ("actors: handles in arguments, results and values, actors in tasks", handles::calls),
    ("actors: live while a handle is anywhere, and no longer", handles::lives),
    ("actors: `async fn`", actors::waiting_actors),
    ("actors: `#[remote(stream)]` on methods", actor_streams::streams),
    (
        "actors: `#[remote(stream)]` on methods: `max_unread`, `cancel`, not read to the end",
        actor_streams::bounds,
    ),
    ("actors: `#[remote(stream)]` on methods, crashes and ends", actor_streams::ends),
    ("actors: `#[remote(stream)]` on methods, in tasks", streams_in_tasks::read),
    (
        "actors: `#[remote(stream)]` on methods, in tasks: not read to the end, crashes and ends",
        streams_in_tasks::end,
    ),
    ("`ActorPool`", actors::actor_pools),
    ("`mobula::python`", tasks::python),
    ("closures: `spawn`, `mobula::map`", tasks::closures),
    ("`#[remote(local)]`", tasks::local_functions),
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
    let watchdog = Watchdog::start();
    for (title, piece) in PIECES {
        // What a cluster's workers print is not captured, so this tells where they are.
        println!("{}: {title}", engine.name());
        watchdog.sees(format!("{}: {title}", engine.name()));
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

/// Ends the test where a piece hangs, and says which: a test that never ends tells nobody anything.
struct Watchdog(mpsc::Sender<String>);

/// How long a piece may take: on a busy machine, a hundred times what the longest does.
const PIECE_MAX: Duration = Duration::from_secs(600);

impl Watchdog {
    fn start() -> Self {
        let (sender, pieces) = mpsc::channel();
        std::thread::spawn(move || {
            let mut now = String::from("the start");
            loop {
                match pieces.recv_timeout(PIECE_MAX) {
                    Ok(next) => now = next,
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        // Past the capture of what tests print, and where who counts them reads.
                        let _ = writeln!(io::stdout(), "{now}: hangs, for {PIECE_MAX:?}");
                        process::abort();
                    }
                }
            }
        });
        Self(sender)
    }

    fn sees(&self, piece: String) {
        self.0.send(piece).expect("the watchdog waits for the next");
    }
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
