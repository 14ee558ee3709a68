//! The object store: sizes, the limit, objects that go to disk and come back, and who holds what.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use mobula::ObjectState;
use mobula::prelude::*;

/// The size of most objects.
const UNIT: usize = 64 << 10;

/// A folder that is empty, and gone at the end; what is left in it fails the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mobula-test-{}-{count}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The files with objects in them.
    fn files(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
        let files = files.map(|entry| entry.unwrap().path());
        files.filter(|file| file.extension().is_some_and(|end| end == "objects")).collect()
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let removed = fs::remove_dir(&self.0);
        if !std::thread::panicking() {
            removed.expect("nothing is left");
        }
    }
}

fn config(limit: usize, folder: &Folder) -> Config {
    let config = Config::new().num_cpus(2).object_store_memory(limit).spill_dir(&folder.0);
    config.store_full_after(Duration::from_secs(60))
}

fn on_both_engines(limit: usize, test: impl Fn(&Runtime, &Folder)) {
    for engine in [Engine::Threads, Engine::Inline] {
        let folder = Folder::new();
        let runtime = Runtime::new(config(limit, &folder).engine(engine)).unwrap();
        let entered = runtime.enter();
        test(&runtime, &folder);
        drop(entered);
        // The folder is to be empty, too: files go with their objects.
        assert!(runtime.shutdown().leaked.is_empty());
    }
}

/// Numbers of which each is another; all in all they take so many bytes.
fn numbers(seed: usize, bytes: usize) -> Vec<u64> {
    (0..(bytes - size_of::<Vec<u64>>()) / 8).map(|i| (seed * 1_000_003 + i) as u64).collect()
}

#[remote]
fn make(seed: usize, bytes: usize) -> Vec<u64> {
    numbers(seed, bytes)
}

#[remote]
fn grow(mut values: Vec<u64>) -> Vec<u64> {
    values[0] += 1;
    values
}

#[remote]
fn sum(values: &[u64]) -> u64 {
    values.iter().copied().fold(0, u64::wrapping_add)
}

#[test]
fn what_does_not_fit_goes_to_disk_and_comes_back() {
    on_both_engines(4 * UNIT, |runtime, folder| {
        let refs: Vec<_> = (0..16).map(|i| put(numbers(i, UNIT))).collect();
        let memory = runtime.memory();
        assert!(memory.used <= memory.limit, "{memory:?}");
        assert_eq!((memory.limit, memory.objects), (4 * UNIT, 16));
        assert!(memory.spilled >= 12 * UNIT && memory.objects_spilled >= 12, "{memory:?}");
        assert!(!folder.files().is_empty());
        for _ in 0..2 {
            for (i, object) in refs.iter().enumerate() {
                assert!(*get_arc(object).unwrap() == numbers(i, UNIT));
            }
            let memory = runtime.memory();
            assert!(memory.used <= memory.limit, "{memory:?}");
        }
        for (i, object) in refs.into_iter().enumerate() {
            assert!(get(object).unwrap() == numbers(i, UNIT));
        }
    });
}

#[test]
fn results_and_arguments_spill_too() {
    on_both_engines(4 * UNIT, |runtime, _| {
        let made: Vec<_> = (0..16).map(|i| make::remote(i, UNIT)).collect();
        let sums: Vec<_> = made.iter().map(|made| sum::remote(made)).collect();
        for (i, sum) in get(sums).unwrap().into_iter().enumerate() {
            assert_eq!(sum, numbers(i, UNIT).into_iter().fold(0, u64::wrapping_add));
        }
        let memory = runtime.memory();
        assert!(memory.used <= memory.limit, "{memory:?}");
        assert_eq!(memory.objects, 16);
        let grown: Vec<_> = made.into_iter().map(|made| grow::remote(made)).collect();
        for (i, grown) in get(grown).unwrap().into_iter().enumerate() {
            assert_eq!((grown[0], grown[1]), (numbers(i, 40)[0] + 1, numbers(i, 40)[1]));
        }
    });
}

#[test]
fn the_least_recently_used_go_first_and_what_is_read_stays() {
    on_both_engines(4 * UNIT, |runtime, _| {
        let first: Vec<_> = (0..4).map(|i| put(numbers(i, UNIT))).collect();
        let read = get_arc(&first[0]).unwrap();
        get(&first[1]).unwrap();
        let more: Vec<_> = (4..6).map(|i| put(numbers(i, UNIT))).collect();
        // Nothing tells one object from the other but what it costs to get it.
        let spilled = || runtime.memory().objects_spilled;
        assert_eq!(spilled(), 2);
        assert!(*get_arc(&first[1]).unwrap() == numbers(1, UNIT));
        assert!(*read == numbers(0, UNIT));
        assert_eq!(spilled(), 2, "those were in memory");
        drop((read, more));
    });
}

#[test]
fn what_a_queued_task_will_need_is_brought_back_before_it_runs() {
    let folder = Folder::new();
    let runtime = Runtime::new(config(8 * UNIT, &folder).num_cpus(1)).unwrap();
    let entered = runtime.enter();
    let mut refs: Vec<_> = (0..20).map(|i| put(numbers(i, UNIT))).collect();
    // Those that were put last are in memory, and make room.
    refs.truncate(14);
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let blocker = mobula::spawn(move || gate.lock().unwrap().recv().is_ok());
    // The first were used least recently, so they are on disk. They come back while the CPU is busy.
    let spilled = runtime.memory().objects_spilled;
    let sums: Vec<_> = refs[..2].iter().map(|object| sum::remote(object)).collect();
    while runtime.memory().objects_spilled + 2 > spilled {
        std::thread::yield_now();
    }
    drop(open);
    get(blocker).unwrap();
    for (i, sum) in get(sums).unwrap().into_iter().enumerate() {
        assert_eq!(sum, numbers(i, UNIT).into_iter().fold(0, u64::wrapping_add));
    }
    drop((refs, entered));
    assert!(runtime.shutdown().leaked.is_empty());
}

#[test]
fn small_objects_share_files() {
    on_both_engines(256 << 10, |runtime, folder| {
        let texts: Vec<_> = (0..1000).map(|i| put(format!("{i:02000}"))).collect();
        assert!(runtime.memory().objects_spilled > 800, "{:?}", runtime.memory());
        let files = folder.files().len();
        assert!((1..100).contains(&files), "{files} files");
        for (i, text) in texts.iter().enumerate().rev() {
            assert_eq!(get_arc(text).unwrap().parse::<usize>().unwrap(), i);
        }
    });
}

#[test]
fn refs_inside_of_what_is_spilled_keep_their_objects() {
    on_both_engines(2 * UNIT, |runtime, _| {
        #[derive(Clone, serde::Serialize, serde::Deserialize)]
        struct Node {
            values: Vec<u64>,
            next: Option<ObjectRef<Node>>,
        }
        #[remote]
        fn length(node: &Node) -> usize {
            node.values.len()
        }
        let mut last: Option<ObjectRef<Node>> = None;
        for i in 0..8 {
            last = Some(put(Node { values: numbers(i, UNIT / 2), next: last }));
        }
        assert!(runtime.memory().objects_spilled >= 4, "{:?}", runtime.memory());
        let last = last.unwrap();
        assert_eq!(get(length::remote(&last)).unwrap(), numbers(7, UNIT / 2).len());
        let mut next = Some(last);
        for i in (0..8).rev() {
            let node = get_arc(&next.unwrap()).unwrap();
            assert!(node.values == numbers(i, UNIT / 2));
            next = node.next.clone();
        }
        assert!(next.is_none());
    });
}

#[test]
fn a_spilled_value_still_moves_and_is_removed() {
    on_both_engines(2 * UNIT, |runtime, folder| {
        let refs: Vec<_> = (0..6).map(|i| put(numbers(i, UNIT))).collect();
        let objects = runtime.memory().objects_spilled;
        assert!(objects >= 4);
        let mut refs = refs.into_iter();
        let value = get(refs.next().unwrap()).unwrap();
        assert!(value == numbers(0, UNIT));
        assert!(refs.len() == 5 && !folder.files().is_empty());
    });
}

#[test]
fn where_nothing_can_be_freed_the_error_says_what_holds_the_memory() {
    for engine in [Engine::Threads, Engine::Inline] {
        let folder = Folder::new();
        let config = config(4 * UNIT, &folder).store_full_after(Duration::ZERO).engine(engine);
        let runtime = Runtime::new(config).unwrap();
        let _entered = runtime.enter();
        let held: Vec<_> = (0..3).map(|i| put(numbers(i, UNIT))).collect();
        let read: Vec<_> = held.iter().map(|object| get_arc(object).unwrap()).collect();
        let error = get(put(numbers(3, 2 * UNIT))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StoreFull);
        let text = error.to_string();
        assert!(text.contains("tests/store.rs") && text.contains("being read"), "{text}");
        let error = get(make::remote(3, 2 * UNIT)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StoreFull);
        assert!(error.to_string().contains("`make`"), "{error}");
        drop(read);
        assert!(get(put(numbers(3, 2 * UNIT))).is_ok());
        drop(held);
    }
}

/// Fails to become bytes.
#[derive(serde::Deserialize)]
struct Broken;

impl serde::Serialize for Broken {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("broken on purpose"))
    }
}

#[test]
fn what_cannot_become_bytes_stays_in_memory() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Table {
        values: Vec<u64>,
        broken: Broken,
    }
    let folder = Folder::new();
    let config = config(4 * UNIT, &folder).store_full_after(Duration::ZERO);
    let runtime = Runtime::new(config).unwrap();
    let entered = runtime.enter();
    // Of a type that nobody has told of, only the value itself is known.
    let array = put([7u8; 2000]);
    assert_eq!(runtime.memory().used, 2000);

    mobula::register::<Table>();
    let put_table = |i| put(Table { values: numbers(i, UNIT), broken: Broken });
    let tables: Vec<_> = (0..8).map(put_table).collect();
    let kept: Vec<_> = tables.iter().map_while(|table| get_arc(table).ok()).collect();
    assert!((2..4).contains(&kept.len()), "{} fit", kept.len());
    assert!((0..).zip(&kept).all(|(i, table)| table.values == numbers(i, UNIT)));
    let error = get_arc(&tables[7]).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::StoreFull);
    assert!(error.to_string().contains("broken on purpose"), "{error}");
    assert_eq!(get(array).unwrap(), [7; 2000]);
    drop((tables, entered));
    assert!(runtime.shutdown().leaked.is_empty());
}

#[test]
fn corrupt_short_and_missing_files_are_objects_lost() {
    on_both_engines(2 * UNIT, |_, folder| {
        for damage in [Damage::Change, Damage::Shorten, Damage::Remove] {
            let refs: Vec<_> = (0..8).map(|i| put(numbers(i, UNIT))).collect();
            folder.files().iter().for_each(|file| damage.to(file));
            let (mut lost, mut whole) = (0, 0);
            for (i, object) in refs.iter().enumerate() {
                match get(object) {
                    Ok(value) => {
                        assert!(value == numbers(i, UNIT), "never a wrong value");
                        whole += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::ObjectLost);
                        // Which of them it is depends on whether the file was still being written.
                        let why = ["checksum is wrong", "cut short", "No such file"];
                        let text = error.to_string();
                        assert!(why.iter().any(|why| text.contains(why)), "{text}");
                        lost += 1;
                        let again = get(sum::remote(object)).unwrap_err();
                        assert_eq!(again.kind(), ErrorKind::ObjectLost);
                    }
                }
            }
            assert!(lost >= 1 && whole >= 1, "{lost} lost, {whole} whole");
        }
    });
}

#[remote(max_retries = 1)]
fn draw(bytes: usize) -> Vec<u64> {
    mobula::rng().integers(0..u64::MAX, bytes / 8).unwrap()
}

#[remote(max_retries = 1)]
fn negated(values: &[u64]) -> Vec<u64> {
    values.iter().map(|value| !value).collect()
}

#[remote(max_retries = 1)]
async fn fetched(bytes: usize) -> Vec<u64> {
    tokio::task::yield_now().await;
    mobula::rng().integers(0..u64::MAX, bytes / 8).unwrap()
}

#[test]
fn a_lost_result_is_made_again_from_its_function_and_arguments() {
    on_both_engines(4 * UNIT, |_, folder| {
        let drawn: Vec<_> = (0..8)
            .map(|i| if i % 2 == 0 { draw::remote(UNIT) } else { fetched::remote(UNIT) })
            .collect();
        let negated: Vec<_> = drawn.iter().map(|drawn| negated::remote(drawn)).collect();
        let before: Vec<Vec<u64>> = drawn.iter().map(|drawn| get(drawn).unwrap()).collect();
        get(&negated).unwrap();
        let put: Vec<_> = (0..8).map(|i| put(numbers(i, UNIT))).collect();
        folder.files().iter().for_each(|file| Damage::Remove.to(file));
        // Its arguments are lost, too, so they are made again first.
        for (before, negated) in before.iter().zip(negated) {
            let negated = get(negated).unwrap();
            assert!(before.iter().zip(&negated).all(|(before, after)| *before == !after));
        }
        for (before, drawn) in before.iter().zip(drawn) {
            assert!(*get_arc(&drawn).unwrap() == *before, "the same random numbers");
        }
        // What was put was not made by any function.
        let lost = put.into_iter().filter_map(|object| get(object).err());
        let kinds: Vec<_> = lost.map(|error| error.kind()).collect();
        assert!(!kinds.is_empty() && kinds.iter().all(|&kind| kind == ErrorKind::ObjectLost));
    });
}

enum Damage {
    Change,
    Shorten,
    Remove,
}

impl Damage {
    fn to(&self, file: &Path) {
        match self {
            Self::Change => {
                let mut bytes = fs::read(file).unwrap();
                let middle = bytes.len() / 2;
                bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 1);
                fs::write(file, bytes).unwrap();
            }
            Self::Shorten => {
                fs::OpenOptions::new().write(true).open(file).unwrap().set_len(9).unwrap()
            }
            Self::Remove => fs::remove_file(file).unwrap(),
        }
    }
}

#[test]
fn objects_are_listed_with_their_place_and_leaks_are_named() {
    let folder = Folder::new();
    let runtime = Runtime::new(config(100 * UNIT, &folder)).unwrap();
    let entered = runtime.enter();
    let object = put(numbers(0, 3000));
    let line = line!() - 1;
    let other = object.clone();
    let made = make::remote(1, 4000);
    mobula::wait(std::slice::from_ref(&made), 1, None);
    let here = |object: &&mobula::ObjectInfo| {
        object.created_at().file().ends_with("store.rs")
            && (line..line + 5).contains(&object.created_at().line())
    };
    let objects = mobula::objects();
    let objects: Vec<_> = objects.iter().filter(here).collect();
    assert_eq!(objects.len(), 2);
    assert_eq!((objects[0].size(), objects[0].name(), objects[0].refs()), (4000, "make", 1));
    assert_eq!((objects[1].size(), objects[1].name(), objects[1].refs()), (3000, "put", 2));
    assert_eq!((objects[1].created_at().line(), objects[1].state()), (line, ObjectState::Memory));
    let shown = objects[1].to_string();
    assert!(
        shown.contains("2.9 KiB") && shown.contains("2 refs") && shown.contains("in memory"),
        "{shown}"
    );
    drop((entered, made, other));
    let report = runtime.shutdown();
    assert_eq!(report.leaked.len(), 1);
    assert_eq!((report.leaked[0].size(), report.leaked[0].created_at().line()), (3000, line));
    assert!(get(object).unwrap() == numbers(0, 3000), "it lives on");
}

#[test]
fn objects_outlive_their_runtime_on_disk_too() {
    let folder = Folder::new();
    let runtime = Runtime::new(config(2 * UNIT, &folder)).unwrap();
    let entered = runtime.enter();
    let refs: Vec<_> = (0..6).map(|i| put(numbers(i, UNIT))).collect();
    assert!(!folder.files().is_empty());
    drop(entered);
    assert_eq!(runtime.shutdown().leaked.len(), 6);
    for (i, object) in refs.into_iter().enumerate() {
        assert!(get(object).unwrap() == numbers(i, UNIT));
    }
}

/// Spills until it is killed.
fn spill_for_ever(folder: PathBuf) -> ! {
    let config = Config::new().num_cpus(2).object_store_memory(4 * UNIT).spill_dir(folder);
    let runtime = Runtime::new(config).unwrap();
    let _entered = runtime.enter();
    let mut live = std::collections::VecDeque::new();
    for seed in 0.. {
        live.push_back(put(numbers(seed, UNIT)));
        if live.len() > 40 {
            live.pop_front();
            println!("spilling");
        }
    }
    unreachable!("it is killed")
}

#[test]
fn what_a_killed_process_left_goes_at_the_next_start() {
    const FOLDER: &str = "MOBULA_TEST_FOLDER";
    if let Some(folder) = std::env::var_os(FOLDER) {
        spill_for_ever(folder.into());
    }
    let folder = Folder::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_a_killed_process_left_goes_at_the_next_start", "--nocapture"])
        .env(FOLDER, &folder.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Read from as long as it lives, or printing would end it.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let seen = lines.by_ref().filter(|line| line.contains("spilling")).take(20).count();

    // Who lives keeps its files, whoever starts beside it.
    drop(Runtime::new(config(4 * UNIT, &folder)).unwrap());
    let files = folder.files();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(seen, 20);
    assert!(!files.is_empty() && !folder.files().is_empty(), "it was killed in the middle");
    drop(Runtime::new(config(4 * UNIT, &folder)).unwrap());
    assert!(folder.files().is_empty());
}

/// Puts more than fits, with files that can be no longer than a part of an object.
fn on_a_full_disk(folder: &Path) {
    let config = Config::new().num_cpus(2).object_store_memory(8 * UNIT).spill_dir(folder);
    let runtime = Runtime::new(config.store_full_after(Duration::ZERO)).unwrap();
    let entered = runtime.enter();
    let mut held: Vec<_> = (0..20).map(|i| make::remote(i, UNIT)).collect();
    let (mut whole, mut refused) = (0, 0);
    for (i, object) in held.iter().enumerate() {
        match get(object) {
            Ok(value) => {
                assert!(value == numbers(i, UNIT), "never a wrong value");
                whole += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::StoreFull);
                let text = error.to_string();
                assert!(text.contains("cannot be written to") && text.contains("`make`"), "{text}");
                refused += 1;
            }
        }
    }
    assert!(whole >= 4 && refused >= 4, "{whole} whole, {refused} refused");
    assert!(runtime.memory().used <= 8 * UNIT);
    // With less to hold all goes on.
    held.clear();
    assert!(get(put(numbers(7, UNIT))).unwrap() == numbers(7, UNIT));
    drop(entered);
    assert!(runtime.shutdown().leaked.is_empty());
}

#[cfg(unix)]
#[test]
fn a_full_disk_costs_no_value_and_leaves_no_file() {
    const FOLDER: &str = "MOBULA_TEST_FOLDER_FULL";
    if let Some(folder) = std::env::var_os(FOLDER) {
        return on_a_full_disk(folder.as_ref());
    }
    // To the writer it is the same whether the disk ends or the file may not grow: a write that fails.
    let folder = Folder::new();
    let limited = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_full_disk_costs_no_value_and_leaves_no_file", "--nocapture"])
        .env(FOLDER, &folder.0)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_million_small_objects_cost_the_store_nothing() {
    let folder = Folder::new();
    let runtime = Runtime::new(config(4 * UNIT, &folder)).unwrap();
    let entered = runtime.enter();
    let objects: Vec<_> = (0..1_000_000u64).map(|i| put((i, [i; 3]))).collect();
    let texts: Vec<_> = (0..10_000).map(|i| put(i.to_string())).collect();
    assert_eq!((runtime.memory().objects, runtime.memory().used), (0, 0));
    assert!((0..).zip(&objects).step_by(1000).all(|(i, object)| get(object).unwrap().0 == i));
    assert_eq!(get(&texts[77]).unwrap(), "77");
    drop((objects, texts, entered));
    assert!(runtime.shutdown().leaked.is_empty());
}

#[test]
fn many_threads_put_read_move_and_drop_at_random() {
    let folder = Folder::new();
    let runtime = Runtime::new(config(4 * UNIT, &folder)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let runtime = &runtime;
            scope.spawn(move || {
                let _entered = runtime.enter();
                let mut random = mobula::random::default_rng(thread);
                let mut pick = |n: usize| random.integers(0..n as u64, ()).unwrap() as usize;
                let mut live: Vec<(usize, ObjectRef<Vec<u64>>)> = Vec::new();
                for seed in 0..400 {
                    let (seed, bytes) = (seed * 10 + pick(10), 8 * (4 + pick(UNIT / 16)));
                    let expected =
                        |seed, value: &Vec<u64>| *value == numbers(seed, value.len() * 8 + 24);
                    match pick(6) {
                        0 => live.push((seed, put(numbers(seed, bytes)))),
                        1 | 2 => live.push((seed, make::remote(seed, bytes))),
                        _ if live.is_empty() => {}
                        3 => drop(live.swap_remove(pick(live.len()))),
                        4 => {
                            let (seed, object) = &live[pick(live.len())];
                            assert!(expected(*seed, &get_arc(object).unwrap()));
                        }
                        _ => {
                            let (seed, object) = live.swap_remove(pick(live.len()));
                            assert!(expected(seed, &get(object).unwrap()));
                        }
                    }
                }
            });
        }
    });
    assert!(runtime.shutdown().leaked.is_empty());
}
