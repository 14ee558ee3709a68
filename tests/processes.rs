//! Worker processes: what a crash does and does not do, what comes through, and what is left behind.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mobula::prelude::*;
use mobula_tests::processes::{Sign, kill, runs_while_there_is};
use serde::{Deserialize, Serialize, Serializer};

fn runtime(cpus: usize) -> Runtime {
    Runtime::new(Config::new().num_cpus(cpus).engine(Engine::Processes)).unwrap()
}

#[remote]
fn square(x: u64) -> u64 {
    x * x
}

#[remote]
fn pid() -> u32 {
    std::process::id()
}

#[remote]
fn ends(how: &str) -> u64 {
    eprintln!("about to end by {how}");
    match how {
        "abort" => std::process::abort(),
        "exit" => std::process::exit(3),
        _ => unreachable!("it ends in one of these ways"),
    }
}

#[test]
fn tasks_run_in_other_processes_which_are_kept() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let pids: BTreeSet<u32> = mobula::get((0..50).map(|_| pid::remote()).collect::<Vec<_>>())
        .unwrap()
        .into_iter()
        .collect();
    assert!(!pids.contains(&std::process::id()));
    assert!((1..=2).contains(&pids.len()), "{pids:?}");
}

#[test]
fn a_crash_fails_its_own_task_and_tells_how_it_came() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let before: Vec<_> = (0..20).map(|x| square::remote(x)).collect();
    let crash = ends::remote("abort");
    let after: Vec<_> = (0..20).map(|x| square::remote(x)).collect();
    let error = mobula::get(crash).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerCrashed);
    let text = error.to_string();
    for part in ["`ends`", "signal 6", "SIGABRT", "about to end by abort"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    for refs in [before, after] {
        assert!(mobula::get(refs).unwrap().into_iter().eq((0..20).map(square)));
    }
    let error = mobula::get(ends::remote("exit")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerCrashed);
    assert!(error.to_string().contains("exit status 3"), "{error}");
}

#[remote]
fn crashes_at_first(left: u32) -> u32 {
    let attempt = mobula::context().attempt();
    if attempt <= left {
        std::process::abort();
    }
    attempt
}

#[test]
fn a_lost_worker_is_reason_enough_for_another_try() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let call = crashes_at_first::options().max_retries(2);
    assert_eq!(mobula::get(call.remote(2)).unwrap(), 3);
    let call = crashes_at_first::options().max_retries(1);
    let error = mobula::get(call.remote(5)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerCrashed);
    assert!(error.to_string().contains("tried 2 times"), "{error}");
}

static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// A long value that is not to be copied, and whose end is noted in its process.
#[derive(serde::Serialize, serde::Deserialize)]
struct Long(Vec<u64>);

impl Clone for Long {
    fn clone(&self) -> Self {
        panic!("it was copied")
    }
}

impl Drop for Long {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

#[remote]
fn dropped_before(long: &Long) -> (usize, u64) {
    (DROPPED.load(Ordering::Relaxed), long.0[long.0.len() - 1])
}

#[test]
fn a_long_object_that_is_gone_is_forgotten_before_the_next_comes() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    for round in 0..5 {
        let long = mobula::put(Long(vec![round; 100_000]));
        for _ in 0..2 {
            let told = mobula::get(dropped_before::remote(&long)).unwrap();
            assert_eq!(told, (round as usize, round));
        }
        // A worker has it, but no ref to it.
        assert_eq!(mobula::get(long).unwrap().0[0], round);
    }
}

#[remote]
fn calls_one_that_crashes() -> String {
    mobula::get(ends::remote("abort")).unwrap_err().kind_name()
}

/// The name of a kind, to be told by a task.
trait KindName {
    fn kind_name(&self) -> String;
}

impl KindName for mobula::Error {
    fn kind_name(&self) -> String {
        format!("{:?}", self.kind())
    }
}

#[test]
fn a_task_survives_the_crash_of_one_that_it_called() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    assert_eq!(mobula::get(calls_one_that_crashes::remote()).unwrap(), "WorkerCrashed");
}

/// Workers are killed at any time, again and again, and every result is right. `MOBULA_STRESS_OPS`: how many
/// tasks; for every hundredth a worker is killed.
#[test]
fn killed_at_any_time_no_task_is_lost_or_wrong() {
    // In a process of its own, for whoever kills cannot tell the workers of one runtime from another's.
    let output = driver("is killed").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

fn kills_its_workers() {
    let tasks: u64 =
        std::env::var("MOBULA_STRESS_OPS").ok().and_then(|ops| ops.parse().ok()).unwrap_or(3000);
    let kills = tasks / 100;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut killed = 0;
            let mut state = 88_172_645_463_325_252_u64;
            while killed < kills && !done.load(Ordering::Relaxed) {
                let children = children(std::process::id());
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let child = children.get((state >> 8) as usize % children.len().max(1));
                killed += u64::from(child.is_some_and(|child| kill(*child)));
                // A moment that is another one each time.
                (0..state % 100_000).for_each(|_| std::hint::spin_loop());
            }
            killed
        });
        let _done = Done(&done);
        let mut next = 0;
        while next < tasks || !killer.is_finished() {
            let round: Vec<u64> = (next..next + 500).collect();
            let call = |x: &u64| square::options().max_retries(1000).remote(*x);
            let refs: Vec<_> = round.iter().map(call).collect();
            let results = mobula::get(refs).unwrap();
            assert!(results.into_iter().eq(round.into_iter().map(square)));
            next += 500;
        }
        assert_eq!(killer.join().unwrap(), kills);
    });
}

/// Lets the killer end, also where an assertion has failed.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The processes that this one started and that live.
fn children(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some((of, state)) = parent_of(pid)
            && of == parent
            && state != 'Z'
        {
            found.push(pid);
        }
    }
    found
}

fn parent_of(pid: u32) -> Option<(u32, char)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(") ")?;
    let mut fields = after.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}

#[remote]
fn waits_for_itself(refs: Vec<ObjectRef<u64>>) -> mobula::Result<u64> {
    mobula::get(refs).map(|values| values.into_iter().sum())
}

#[test]
fn calls_within_calls_end_on_one_cpu() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let refs: Vec<_> = (0..10).map(|x| square::remote(x)).collect();
    let one = waits_for_itself::remote(refs.clone());
    let other = waits_for_itself::remote(vec![one.clone()]);
    assert_eq!(mobula::get((one, other)).unwrap(), (285, 285));
}

#[remote(stream)]
fn counts(up_to: u64) -> impl Iterator<Item = Result<u64, String>> {
    (0..up_to).map(|x| match x {
        3 => Err("three".to_owned()),
        7 => std::process::abort(),
        x => Ok(x),
    })
}

#[test]
fn a_stream_comes_item_by_item_and_its_crash_is_the_last() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let items: Vec<_> = counts::remote(20).map(mobula::get).collect();
    assert_eq!(items.len(), 8);
    for (x, item) in (0..).zip(&items) {
        match (x, item) {
            (3, Err(error)) => assert_eq!(error.downcast_ref::<String>().unwrap(), "three"),
            (7, Err(error)) => assert_eq!(error.kind(), ErrorKind::WorkerCrashed, "{error}"),
            (x, item) => assert_eq!(item.as_ref().unwrap(), &x),
        }
    }
    // Nobody reads on, and what is behind it has the CPU and the process.
    let mut some = counts::options().max_unread(1).remote(5);
    assert_eq!(mobula::get(some.next().unwrap()).unwrap(), 0);
    assert_eq!(mobula::get(square::remote(3)).unwrap(), 9);
    drop(some);
    let ended: Vec<_> = counts::remote(2).map(mobula::get).collect::<mobula::Result<_>>().unwrap();
    assert_eq!(ended, [0, 1]);
}

/// Reads a stream on the only CPU, and says how it came to its end.
#[remote]
fn reads_counts(up_to: u64) -> (usize, String) {
    let mut items: Vec<_> =
        counts::options().max_unread(1).remote(up_to).map(mobula::get).collect();
    let last = items.pop().expect("an end");
    (items.len(), last.map_or_else(|error| format!("{:?}", error.kind()), |last| last.to_string()))
}

/// Dies in the middle of a stream.
#[remote]
fn dies_reading() {
    let mut stream = counts::options().max_unread(1).remote(6);
    mobula::get(stream.next().expect("an item")).expect("an item");
    std::process::abort();
}

#[test]
fn a_task_reads_a_stream_that_the_driver_has_for_it() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    assert_eq!(mobula::get(reads_counts::remote(3)).unwrap(), (2, "2".to_owned()));
    let crashed = mobula::get(reads_counts::remote(20)).unwrap();
    assert_eq!(crashed, (7, "WorkerCrashed".to_owned()));
    // The stream goes with the process that has it.
    let died = mobula::get(dies_reading::remote()).unwrap_err();
    assert_eq!(died.kind(), ErrorKind::WorkerCrashed);
    assert_eq!(mobula::get(square::remote(3)).unwrap(), 9);
}

#[remote]
fn prints(line: &str) {
    println!("{line}");
}

/// Plays the driver for the tests below, in a process of its own.
#[test]
fn plays_the_driver() {
    let Ok(part) = std::env::var("MOBULA_TEST_PART") else { return };
    let runtime = runtime(2);
    let _entered = runtime.enter();
    if part == "is killed" {
        return kills_its_workers();
    }
    if part == "has short files" {
        return finds_no_room_for_long_values();
    }
    if part == "prints" {
        mobula::get(prints::options().name("teller").remote("a line of a task")).unwrap();
        for _ in 0..3 {
            mobula::get(prints::remote("the same line")).unwrap();
        }
        mobula::get(prints::remote("another line")).unwrap();
        return;
    }
    let tasks: Vec<_> = (0..2).map(|_| waits_for_ever::remote(part.clone())).collect();
    let _ = mobula::get(tasks);
}

#[remote]
fn waits_for_ever(path: String) {
    let name = format!("{path}/{}", std::process::id());
    std::fs::write(name, "here").unwrap();
    loop {
        std::thread::park();
    }
}

#[remote(num_returns = 2)]
fn two() -> (u64, u64) {
    (1, 2)
}

/// What comes of calls that are refused: of each the kind, and all that is said.
#[remote]
fn calls_what_is_refused() -> Vec<(String, String)> {
    let (first, second) = two::options().num_cpus(64).remote();
    let refused = [
        square::options().num_cpus(64).remote(1),
        square::options().num_cpus(f64::NAN).remote(1),
        square::options().resource("unicorn", 1).remote(1),
        square::options()
            .max_retries(1)
            .retry_delay(mobula::RetryDelay::new(Duration::ZERO).jitter(7.0))
            .remote(1),
        square::remote(square::options().num_cpus(64).remote(1)),
        never::options().resource("unicorn", 1).remote(),
        never::options().num_cpus(64).remote(),
        first,
        second,
    ];
    let told = |refused| {
        let error = mobula::get(refused).unwrap_err();
        (error.kind_name(), error.to_string())
    };
    refused.into_iter().map(told).collect()
}

#[test]
fn a_task_in_a_process_is_told_why_its_calls_are_refused() {
    let [here, there] = [Engine::Threads, Engine::Processes].map(|engine| {
        let runtime = Runtime::new(Config::new().num_cpus(1).engine(engine)).unwrap();
        let _entered = runtime.enter();
        mobula::get(calls_what_is_refused::remote()).unwrap()
    });
    assert_eq!(here, there);
    assert!(here.iter().all(|(kind, _)| kind == "Infeasible" || kind == "Config"));
}

#[remote]
fn waits_for_a_child(path: String, in_time: bool) -> mobula::Result<u64> {
    let child = runs_while_there_is::remote(path);
    if in_time {
        return mobula::get_timeout(child, Duration::from_secs(1_000_000));
    }
    mobula::get(child)
}

#[remote]
async fn never() -> u64 {
    std::future::pending().await
}

#[remote]
fn waits_for_all(refs: Vec<ObjectRef<u64>>, path: String) -> mobula::Result<u64> {
    std::fs::write(path, "here").unwrap();
    mobula::get(&refs).map(|values| values[0])
}

#[remote]
fn never_listens(path: String) -> u64 {
    std::fs::write(path, "here").unwrap();
    loop {
        std::thread::park();
    }
}

#[remote]
fn waits_below(depth: u32, path: String) -> mobula::Result<u64> {
    if depth == 0 {
        return mobula::get_timeout(never_listens::remote(path), Duration::from_secs(1_000_000));
    }
    mobula::get(waits_below::remote(depth - 1, path))
}

/// Gives how many processes its own and its child's are.
#[remote]
fn with_a_child() -> mobula::Result<[u32; 2]> {
    Ok([std::process::id(), mobula::get(pid::remote())?])
}

/// Waits for the first of its children, the second of which goes on until then.
#[remote]
fn waits_for_the_first(path: String) -> mobula::Result<u64> {
    let children = [square::remote(3), runs_while_there_is::remote(path.clone())];
    let first = mobula::get(&children[0])?;
    Sign(path).wait();
    Ok(first + mobula::get(&children[1])?)
}

#[test]
fn who_waits_runs_what_he_waits_for_and_no_more() {
    let sign = Sign::new("no-more");
    for cpus in [1, 2] {
        let runtime = runtime(cpus);
        let _entered = runtime.enter();
        let children = [square::remote(3), runs_while_there_is::remote(sign.0.clone())];
        assert_eq!(mobula::get(&children[0]).unwrap(), 9);
        sign.wait();
        assert_eq!(mobula::get(&children[1]).unwrap(), 1);
        if cpus > 1 {
            let waits = waits_for_the_first::remote(sign.0.clone());
            assert_eq!(mobula::get(waits).unwrap(), 10);
        }
        // So few wait at once, each in a process.
        let parents: Vec<_> = (0..40).map(|_| with_a_child::remote()).collect();
        let pids: BTreeSet<u32> = mobula::get(parents).unwrap().into_iter().flatten().collect();
        assert!(pids.len() <= 10, "{} processes for {cpus} CPUs", pids.len());
    }
}

#[test]
fn what_waits_for_a_child_is_killed() {
    // The child begins when its parent waits.
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let sign = Sign::new("child");
    for in_time in [false, true] {
        let parent = waits_for_a_child::remote(sign.0.clone(), in_time);
        sign.comes();
        let killed = mobula::cancel(&parent).force().unwrap();
        sign.remove();
        assert!(killed);
        assert_eq!(mobula::get(parent).unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(mobula::get(square::remote(3)).unwrap(), 9);
    }
}

#[test]
fn what_was_killed_takes_its_children_along() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let sign = Sign::new("below");
    for depth in 0..3 {
        let top = waits_below::remote(depth, sign.0.clone());
        sign.wait();
        assert!(mobula::cancel(&top).force().unwrap());
        assert_eq!(mobula::get(top).unwrap_err().kind(), ErrorKind::Cancelled);
        // None of them keeps the CPU.
        assert_eq!(mobula::get(square::remote(3)).unwrap(), 9);
    }
}

#[test]
fn what_waits_for_what_is_not_its_own_is_killed() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let sign = Sign::new("not-its-own");
    let refs = vec![never::remote(), never::remote()];
    let waits = waits_for_all::remote(refs.clone(), sign.0.clone());
    sign.wait();
    // There is no CPU for this before it waits.
    assert_eq!(mobula::get(square::remote(2)).unwrap(), 4);
    assert!(mobula::cancel(&waits).force().unwrap());
    assert_eq!(mobula::get(waits).unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(refs.iter().all(|pending| !pending.is_ready()));
    refs.iter().for_each(|pending| drop(mobula::cancel(pending)));
    assert_eq!(mobula::get(square::remote(3)).unwrap(), 9);
}

#[remote]
fn total(values: Vec<f64>) -> f64 {
    values.iter().sum()
}

#[remote]
fn ones(count: usize) -> Vec<f64> {
    vec![1.0; count]
}

fn finds_no_room_for_long_values() {
    const LONG: usize = 10_000_000;
    for failed in [
        mobula::get(total::remote(vec![1.0; LONG])).unwrap_err(),
        mobula::get(ones::remote(LONG)).unwrap_err(),
    ] {
        assert!(failed.to_string().contains("raise `ulimit -f`"), "{failed}");
    }
    assert_eq!(mobula::get(total::remote(ones::remote(100_000))).unwrap(), 100_000.0);
}

#[test]
fn long_values_for_which_there_is_no_room_say_so_and_end_nothing() {
    let limited = "ulimit -f 4096; exec \"$0\" \"$@\"";
    let driver = driver("has short files");
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(driver.get_program())
        .args(driver.get_args())
        .env("MOBULA_TEST_PART", "has short files")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// A long value that cannot be encoded to its end.
#[derive(Clone, Serialize, Deserialize)]
struct Half {
    values: Vec<f64>,
    #[serde(serialize_with = "fails_to_encode")]
    rest: u64,
}

fn fails_to_encode<S: Serializer>(_: &u64, _: S) -> Result<S::Ok, S::Error> {
    Err(serde::ser::Error::custom("no more of it"))
}

fn half() -> Half {
    Half { values: vec![1.0; 1_000_000], rest: 0 }
}

#[remote]
fn halves() -> Half {
    half()
}

#[remote]
fn length(half: Half) -> usize {
    half.values.len()
}

#[test]
fn a_long_value_whose_encoding_fails_halfway_fails_its_task_only() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    for _ in 0..3 {
        let returned = mobula::get(halves::remote()).map(|_| ());
        let passed = mobula::get(length::remote(half())).map(|_| ());
        for error in [returned.unwrap_err(), passed.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Serialization, "{error}");
            assert!(error.to_string().contains("no more of it"), "{error}");
        }
        assert_eq!(mobula::get(total::remote(ones::remote(100_000))).unwrap(), 100_000.0);
    }
}

fn driver(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "plays_the_driver", "--nocapture", "--test-threads", "1"]);
    command.env("MOBULA_TEST_PART", part);
    command
}

#[test]
fn lines_come_through_with_their_task_and_process_and_repeated_ones_once() {
    let output = driver("prints").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(" line")).collect();
    let is = |line: &str, name: &str, text: &str| {
        line.contains(&format!("[{name} pid=")) && line.ends_with(&format!("] {text}"))
    };
    assert!(lines.iter().any(|line| is(line, "teller", "a line of a task")), "{text}");
    let same = lines.iter().filter(|line| is(line, "prints", "the same line")).count();
    assert_eq!(same, 1, "{text}");
    assert!(text.contains("the line above came 2 more times"), "{text}");
    assert!(lines.iter().any(|line| is(line, "prints", "another line")), "{text}");
}

#[test]
fn no_worker_outlives_its_driver() {
    let folder = std::env::temp_dir().join(format!("mobula-processes-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut child = driver(folder.to_str().unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let workers = loop {
        let names: Vec<_> = std::fs::read_dir(&folder).unwrap().flatten().collect();
        if names.len() == 2 {
            break names;
        }
        assert!(child.try_wait().unwrap().is_none(), "the driver ended early");
        std::thread::yield_now();
    };
    let pids: Vec<u32> =
        workers.iter().map(|name| name.file_name().to_str().unwrap().parse().unwrap()).collect();
    assert!(pids.iter().all(|pid| parent_of(*pid).is_some_and(|(of, _)| of == child.id())));
    child.kill().unwrap();
    child.wait().unwrap();
    // They are somebody else's children now, who sees to them; that they live no more is what counts.
    let lives = |pid: &u32| parent_of(*pid).is_some_and(|(_, state)| !matches!(state, 'Z' | 'X'));
    while pids.iter().any(lives) {
        std::thread::yield_now();
    }
    // Its output has ended, too: nobody holds the other end any more.
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().count();
    assert!(lines < 100);
    std::fs::remove_dir_all(&folder).unwrap();
}
