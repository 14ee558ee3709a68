//! `&self` calls side by side, where an actor that computes has `max_concurrency`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use mobula::ActorEnd;
use mobula::prelude::*;

fn runtimes() -> impl Iterator<Item = Runtime> {
    [2, 4, 8].into_iter().map(|cpus| Runtime::new(Config::new().num_cpus(cpus)).unwrap())
}

/// How many calls are in it, and how many there were at most.
#[derive(Default)]
struct Seen {
    inside: AtomicUsize,
    most: AtomicUsize,
    dropped: AtomicUsize,
}

struct Table {
    rows: Vec<u64>,
    seen: Arc<Seen>,
}

impl Drop for Table {
    fn drop(&mut self) {
        assert_eq!(self.seen.inside.load(Ordering::SeqCst), 0, "nobody reads it any more");
        self.seen.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

#[remote(local, max_concurrency = 2)]
impl Table {
    pub fn new(seen: Arc<Seen>) -> Self {
        Self { rows: Vec::new(), seen }
    }

    pub fn push(&mut self, row: u64) -> usize {
        assert_eq!(self.seen.inside.load(Ordering::SeqCst), 0, "it runs alone");
        self.rows.push(row);
        self.rows.len()
    }

    pub fn len(&self) -> usize {
        let inside = self.seen.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.seen.most.fetch_max(inside, Ordering::SeqCst);
        let len = self.rows.len();
        self.seen.inside.fetch_sub(1, Ordering::SeqCst);
        len
    }

    pub fn meet(&self, others: Arc<Barrier>) {
        others.wait();
    }

    pub fn meet_twice(&self, first: Arc<Barrier>, then: Arc<Barrier>) {
        first.wait();
        self.seen.inside.fetch_add(1, Ordering::SeqCst);
        then.wait();
        self.seen.inside.fetch_sub(1, Ordering::SeqCst);
    }

    pub fn meet_and_explode(&self, others: Arc<Barrier>) {
        others.wait();
        panic!("boom")
    }

    pub fn explode_at_first(&self, tries: Arc<AtomicUsize>) -> usize {
        match tries.fetch_add(1, Ordering::SeqCst) {
            0 => panic!("boom"),
            tries => tries,
        }
    }

    pub fn len_of(&self, other: ActorHandle<Table>) -> mobula::Result<usize> {
        get(other.len())
    }

    pub fn push_to(&self, other: ActorHandle<Table>, row: u64) -> mobula::Result<usize> {
        get(other.push(row))
    }

    pub fn meet_and_len_of(
        &self,
        others: Arc<Barrier>,
        other: ActorHandle<Table>,
    ) -> mobula::Result<usize> {
        others.wait();
        get(other.len())
    }
}

#[test]
fn as_many_as_are_allowed_run_side_by_side() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let table = Table::remote(Arc::default());
        // They meet, or this never ends.
        let both = Arc::new(Barrier::new(2));
        for _ in 0..100 {
            get([table.meet(both.clone()), table.meet(both.clone())]).unwrap();
        }
        let four = Arc::new(Barrier::new(4));
        let wide = Table::options().max_concurrency(4).remote(Arc::default());
        if runtime.num_cpus() >= 4 {
            get((0..4).map(|_| wide.meet(four.clone())).collect::<Vec<_>>()).unwrap();
        }
    }
}

#[test]
fn no_more_than_allowed_and_none_beside_a_writer() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let table = Table::remote(seen.clone());
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let table = table.clone();
                mobula::spawn(move || {
                    // A reader sees all of its caller's calls before it.
                    let mut pushes = 0;
                    for round in 0..200 {
                        let (push, reads) = (table.push(round), [table.len(), table.len()]);
                        pushes += 1;
                        let pushed = get(push).unwrap();
                        assert!(pushed >= pushes);
                        assert!(get(reads).unwrap().into_iter().all(|len| len >= pushed));
                    }
                })
            })
            .collect();
        get(callers).unwrap();
        assert_eq!(get(table.len()).unwrap(), 800);
        assert!(seen.most.load(Ordering::SeqCst) <= 2);
    }
}

#[test]
fn calls_of_one_caller_are_ordered_around_writers() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let table = Table::options().max_concurrency(3).remote(Arc::default());
        let refs: Vec<_> =
            (0..2000).map(|n| if n % 4 == 0 { table.push(n) } else { table.len() }).collect();
        let expected: Vec<usize> = (0..2000).map(|n| n / 4 + 1).collect();
        assert_eq!(get(refs).unwrap(), expected);
    }
}

#[test]
fn a_reader_s_crash_waits_for_the_others() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Arc::new(Seen::default());
        let table = Table::options().max_restarts(1).remote(seen.clone());
        for rest in [1, 0] {
            get(table.push(1)).unwrap();
            let both = Arc::new(Barrier::new(2));
            let (crash, other) = (table.meet_and_explode(both.clone()), table.meet(both));
            assert_eq!(get(crash).unwrap_err().kind(), ErrorKind::Panic);
            // From here on nothing begins on the state that crashed.
            let queued = table.len();
            get(other).unwrap();
            if rest > 0 {
                assert_eq!(get(queued).unwrap(), 0, "it was made anew");
            } else {
                assert_eq!(get(queued).unwrap_err().kind(), ErrorKind::ActorDied);
                assert!(matches!(
                    get(table.watch()).unwrap(),
                    ActorEnd::Crashed { restarts: 1, .. }
                ));
            }
        }
        assert_eq!(seen.dropped.load(Ordering::SeqCst), 2);
    }
}

#[test]
fn a_reader_that_crashed_is_run_again() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let table = Table::options().max_restarts(2).max_task_retries(1).remote(Arc::default());
        assert_eq!(get(table.explode_at_first(Arc::default())).unwrap(), 1);
        assert_eq!(get(table.len()).unwrap(), 0);
    }
}

#[test]
fn an_end_waits_for_the_readers() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        for how in 0..3 {
            let seen = Arc::new(Seen::default());
            let table = Table::remote(seen.clone());
            let (begun, end) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
            let (reading, watch) = (table.meet_twice(begun.clone(), end.clone()), table.watch());
            begun.wait();
            match how {
                0 => mobula::kill(&table),
                1 => drop(table.stop()),
                _ => {}
            }
            drop(table);
            end.wait();
            get(reading).unwrap();
            get(watch).unwrap();
            assert_eq!(seen.dropped.load(Ordering::SeqCst), 1);
        }
    }
}

#[test]
fn a_reader_may_read_beside_itself_but_not_wait_for_a_writer() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let table = Table::remote(Arc::default());
        assert_eq!(get(table.len_of(table.clone())).unwrap(), 0);
        let error = get(table.push_to(table.clone(), 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadlock);
        let text = error.to_string();
        assert!(text.contains("`Table::push_to`") && text.contains("`Table::push`"), "{text}");
        // The call that it waited for was not lost.
        assert_eq!(get(table.len()).unwrap(), 1);
    }
}

#[test]
fn readers_that_take_all_places_and_wait_for_one_are_a_deadlock() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let table = Table::remote(Arc::default());
        let both = Arc::new(Barrier::new(2));
        let refs = [(); 2].map(|()| table.meet_and_len_of(both.clone(), table.clone()));
        let results = refs.map(get);
        // The youngest wait fails, and then there is a place for the others.
        let failed: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert_eq!(failed[0].kind(), ErrorKind::Deadlock);
    }
}

#[test]
fn the_inline_engine_runs_one_at_a_time() {
    let runtime = Runtime::new(Config::new().num_cpus(1).engine(Engine::Inline)).unwrap();
    let _entered = runtime.enter();
    let table = Table::remote(Arc::default());
    assert_eq!(get(table.push(1)).unwrap(), 1);
    assert_eq!(get(table.len()).unwrap(), 1);
}

struct Unshared(std::cell::Cell<u64>);

#[remote]
impl Unshared {
    pub fn new() -> Self {
        Self(std::cell::Cell::new(0))
    }

    pub fn next(&self) -> u64 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}

#[test]
fn a_type_that_threads_cannot_share_is_refused() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        assert_eq!(get(Unshared::options().max_concurrency(1).remote().next()).unwrap(), 1);
        let error = get(Unshared::options().max_concurrency(2).remote().next()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("`Unshared` is not `Sync`"), "{error}");
    }
}

/// A call that crashed as a reader, and those that its caller made after it.
#[test]
fn a_reader_that_is_run_again_keeps_its_caller_s_order() {
    struct Log(Mutex<Vec<u64>>);
    #[remote(local, max_concurrency = 4, max_restarts = 1000, max_task_retries = 1)]
    impl Log {
        pub fn new(log: Arc<Mutex<Vec<u64>>>) -> Self {
            Self(Mutex::new(std::mem::take(&mut *log.lock().unwrap())))
        }
        pub fn read(&self, n: u64, crashes: bool, begun: Arc<Barrier>) -> u64 {
            if crashes && mobula::context().attempt() == 1 {
                begun.wait();
                panic!("boom");
            }
            self.0.lock().unwrap().push(n);
            n
        }
        pub fn write(&mut self, n: u64) -> Vec<u64> {
            let log = self.0.get_mut().unwrap();
            log.push(n);
            log.clone()
        }
    }
    for runtime in runtimes() {
        let _entered = runtime.enter();
        for round in 0..20 {
            let log = Log::remote(Arc::default());
            let begun = Arc::new(Barrier::new(2));
            let first = log.read(0, true, begun.clone());
            let calls: Vec<_> = (1..4).map(|n| log.write(n)).collect();
            let last = log.read(4, false, begun.clone());
            let end = log.watch();
            // Also where nobody has a handle any more, or it takes no more calls.
            let stopped = match round % 3 {
                0 => Some(log.stop()),
                1 => None,
                _ => {
                    drop(log);
                    None
                }
            };
            begun.wait();
            assert_eq!(get(first).unwrap(), 0);
            let seen: Vec<u64> = (0..4).collect();
            for (n, call) in calls.into_iter().enumerate() {
                assert_eq!(get(call).unwrap(), seen[..n + 2]);
            }
            assert_eq!(get(last).unwrap(), 4);
            stopped.into_iter().for_each(|stopped| get(stopped).unwrap());
            if round % 3 != 1 {
                get(end).unwrap();
            }
        }
        // Without later calls, and without a handle while it runs.
        for _ in 0..20 {
            let log = Log::remote(Arc::default());
            let begun = Arc::new(Barrier::new(2));
            let call = log.read(7, true, begun.clone());
            drop(log);
            begun.wait();
            assert_eq!(get(call).unwrap(), 7);
        }
    }
}

/// Whoever waits for one reader does not run another, which may wait for what comes after.
#[test]
fn a_wait_for_one_reader_is_not_a_wait_for_another() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        for _ in 0..50 {
            let table = Table::remote(Arc::default());
            let gate = Arc::new(Barrier::new(2));
            let waits = table.meet(gate.clone());
            assert_eq!(get(table.len()).unwrap(), 0);
            gate.wait();
            get(waits).unwrap();
        }
    }
}
