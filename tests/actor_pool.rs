//! Pools of equal actors: order, balance, errors, bounds and ends, over both kinds of actor.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use mobula::prelude::*;

/// Opened by its sender's drop.
type Gate = Arc<Mutex<mpsc::Receiver<()>>>;

fn gate() -> (mpsc::Sender<()>, Gate) {
    let (open, gate) = mpsc::channel();
    (open, Arc::new(Mutex::new(gate)))
}

struct Worker {
    number: usize,
    calls: Arc<AtomicUsize>,
    drops: Arc<AtomicUsize>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::SeqCst);
    }
}

#[remote(local)]
impl Worker {
    pub fn new(number: usize, calls: Arc<AtomicUsize>, drops: Arc<AtomicUsize>) -> Self {
        Self { number, calls, drops }
    }

    pub fn double(&mut self, x: u64) -> Result<u64, String> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match x {
            13 => Err("unlucky".to_owned()),
            _ => Ok(2 * x),
        }
    }

    pub fn explode_at(&mut self, x: u64, fatal: u64) -> u64 {
        assert!(x != fatal, "boom");
        x
    }

    /// Who did it.
    pub fn number_behind(&mut self, gate: Option<Gate>) -> usize {
        let wait = |gate: Gate| gate.lock().unwrap().recv();
        gate.map(wait);
        self.number
    }

    pub fn ask_myself(&mut self, me: ActorHandle<Worker>) -> Option<mobula::Result<u64>> {
        ActorPool::new([me]).map([1], |me, x| me.double(x)).next()
    }
}

#[derive(Default)]
struct Seen {
    calls: Arc<AtomicUsize>,
    drops: Arc<AtomicUsize>,
}

impl Seen {
    fn pool<T: Clone + Send + Sync + 'static>(&self, actors: usize) -> ActorPool<Worker, T> {
        let worker =
            |number| Worker::remote(number, Arc::clone(&self.calls), Arc::clone(&self.drops));
        ActorPool::new((0..actors).map(worker))
    }
}

fn pool<T: Clone + Send + Sync + 'static>(actors: usize) -> ActorPool<Worker, T> {
    Seen::default().pool(actors)
}

fn runtimes() -> impl Iterator<Item = Runtime> {
    [(1, Engine::Threads), (2, Engine::Threads), (8, Engine::Threads), (1, Engine::Inline)]
        .into_iter()
        .map(|(cpus, engine)| Runtime::new(Config::new().num_cpus(cpus).engine(engine)).unwrap())
}

#[test]
fn a_map_keeps_the_order_of_the_items() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let mut pool = pool(3);
        for items in [0, 1, 2, 12] {
            let doubled: Vec<_> = pool.map(0..items, |worker, x| worker.double(x)).collect();
            let doubled: Vec<u64> = doubled.into_iter().collect::<mobula::Result<_>>().unwrap();
            assert_eq!(doubled, (0..items).map(|x| 2 * x).collect::<Vec<_>>());
        }
        let sum: u64 = pool.map(100..2000, |worker, x| worker.double(x)).map(Result::unwrap).sum();
        assert_eq!(sum, (100..2000).map(|x| 2 * x).sum());
    }
}

#[test]
fn an_unordered_map_gives_each_result_once() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let mut pool = pool(3).calls_per_actor(8);
        let doubled = pool.map_unordered(100..2000, |worker, x| worker.double(x));
        let doubled: HashSet<u64> = doubled.map(Result::unwrap).collect();
        assert_eq!(doubled, (100..2000).map(|x| 2 * x).collect());
    }
}

#[test]
fn an_error_comes_in_its_place() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let mut pool = pool(2);
        let results: Vec<_> = pool.map(10..16, |worker, x| worker.double(x)).collect();
        let values: Vec<_> = results.iter().map(|result| result.as_ref().ok().copied()).collect();
        assert_eq!(values, [Some(20), Some(22), Some(24), None, Some(28), Some(30)]);
        assert_eq!(results[3].as_ref().unwrap_err().kind(), ErrorKind::Task);
    }
}

#[test]
fn who_died_is_called_no_more_while_others_live() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let mut pool = pool(3);
        let results: Vec<_> = pool.map(0..1000, |worker, x| worker.explode_at(x, 7)).collect();
        let kinds = |kind| {
            let of_kind = |(_, result): &(usize, &mobula::Result<u64>)| {
                result.as_ref().is_err_and(|error| error.kind() == kind)
            };
            results.iter().enumerate().filter(of_kind).map(|(x, _)| x).collect::<Vec<_>>()
        };
        assert_eq!(kinds(ErrorKind::Panic), [7]);
        // What had been given to it already, and nothing after that was seen.
        let lost = kinds(ErrorKind::ActorDied).len();
        assert!(lost <= 2, "{lost} calls went to the dead one");
        let right = |(x, result): (usize, &mobula::Result<u64>)| match result {
            Ok(value) => *value == x as u64,
            Err(_) => true,
        };
        assert!(results.iter().enumerate().all(right));
    }
}

#[test]
fn where_all_died_every_call_says_so() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let mut pool = pool(2);
        pool.actors().for_each(mobula::kill);
        let results: Vec<_> = pool.map(0..100, |worker, x| worker.double(x)).collect();
        assert_eq!(results.len(), 100);
        for result in results {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::ActorDied);
        }
    }
}

#[test]
fn items_are_taken_as_the_results_are() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let seen = Seen::default();
        let mut pool = seen.pool(2);
        let mut taken = 0;
        let endless = std::iter::repeat_n(1, usize::MAX).inspect(|_| taken += 1);
        let some: Vec<u64> =
            pool.map(endless, |worker, x| worker.double(x)).take(5).map(Result::unwrap).collect();
        assert_eq!(some, [2; 5]);
        assert!((5..100).contains(&taken), "{taken} were taken");
        // What was called still runs, and the pool goes on.
        let rest = pool.map([1], |worker, x| worker.double(x)).map(Result::unwrap);
        assert_eq!(rest.collect::<Vec<_>>(), [2]);
        drop(pool);
        drop(_entered);
        drop(runtime);
        assert_eq!(seen.drops.load(Ordering::SeqCst), 2);
        let calls = seen.calls.load(Ordering::SeqCst);
        assert!(calls <= taken + 1, "{calls} calls for {taken} items");
    }
}

#[test]
fn the_actor_with_the_least_to_do_is_called() {
    let runtime = Runtime::new(Config::new().num_cpus(4)).unwrap();
    let _entered = runtime.enter();
    let mut pool = pool(2);
    let (open, shut) = gate();
    pool.submit(|worker| worker.number_behind(Some(shut)));
    let busy = 0;
    // Each is submitted when the one before is done, so the other always has less to do.
    for _ in 0..20 {
        pool.submit(|worker| worker.number_behind(None));
        assert_ne!(pool.next_unordered().unwrap().unwrap(), busy);
    }
    drop(open);
    assert_eq!(pool.next().unwrap().unwrap(), busy);
    assert!(pool.next().is_none());
}

#[test]
fn others_go_on_while_the_next_in_order_takes_long() {
    let runtime = Runtime::new(Config::new().num_cpus(4)).unwrap();
    let _entered = runtime.enter();
    let mut pool = pool(2);
    let (open, shut) = gate();
    let (mut shut, mut open) = (Some(shut), Some(open));
    // The tenth item opens what the first waits for: it is only called if others go past it.
    let items = (0..20).inspect(|&item| drop((item == 10).then(|| open.take())));
    let who: Vec<usize> = pool
        .map(items, |worker, _| worker.number_behind(shut.take()))
        .map(Result::unwrap)
        .collect();
    assert_eq!((who.len(), who[0]), (20, 0));
}

#[test]
fn what_was_submitted_comes_in_order_or_as_it_is_done() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let mut pool = pool(3);
        assert!(!pool.has_next() && pool.next().is_none() && pool.next_unordered().is_none());
        (20..40).for_each(|x| pool.submit(|worker| worker.double(x)));
        assert!(pool.has_next());
        // A map in between takes nothing away.
        assert_eq!(pool.map([5], |worker, x| worker.double(x)).next().unwrap().unwrap(), 10);
        assert_eq!(pool.next().unwrap().unwrap(), 40);
        let some = pool.next_unordered().unwrap().unwrap();
        let mut rest: Vec<u64> = std::iter::from_fn(|| pool.next()).map(Result::unwrap).collect();
        assert!(rest.is_sorted() && !pool.has_next());
        rest.push(some);
        rest.sort_unstable();
        assert_eq!(rest, (21..40).map(|x| 2 * x).collect::<Vec<_>>());
    }
}

#[test]
fn a_pool_without_actors_is_an_error_for_each_call() {
    let runtime = Runtime::new(Config::new().num_cpus(1)).unwrap();
    let _entered = runtime.enter();
    let mut pool = pool(0);
    pool.submit(|worker| worker.double(1));
    let results: Vec<_> = pool.map(0..100, |worker, x| worker.double(x)).collect();
    assert_eq!(results.len(), 100);
    for result in results.into_iter().chain(pool.next()) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.to_string().contains("no actors"), "{error}");
    }
    pool.push(Worker::remote(0, Arc::default(), Arc::default()));
    assert_eq!(pool.actors().len(), 1);
    assert_eq!(pool.map([4], |worker, x| worker.double(x)).next().unwrap().unwrap(), 8);
}

#[test]
fn a_pool_of_the_actor_that_asks_is_a_deadlock() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let me = Worker::remote(0, Arc::default(), Arc::default());
        let answer = get(me.ask_myself(me.clone())).unwrap().unwrap();
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Deadlock);
    }
}

struct Page;

#[remote]
impl Page {
    pub fn new() -> Self {
        Self
    }

    pub async fn fetch(&self, number: u64) -> u64 {
        tokio::task::yield_now().await;
        number
    }
}

#[test]
fn async_actors_make_a_pool_too() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let mut pool = ActorPool::new((0..3).map(|_| Page::remote())).calls_per_actor(100);
        let pages = pool.map(0..1000, |page, number| page.fetch(number)).map(Result::unwrap);
        assert!(pages.eq(0..1000));
        let pages = pool.map_unordered(0..1000, |page, number| page.fetch(number));
        assert_eq!(pages.map(Result::unwrap).collect::<HashSet<_>>().len(), 1000);
    }
}

#[test]
fn a_task_may_use_a_pool() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let mut pool = pool(2);
        let sum = mobula::spawn(move || {
            pool.map(20..100, |worker, x| worker.double(x)).map(Result::unwrap).sum::<u64>()
        });
        assert_eq!(get(sum).unwrap(), (20..100).map(|x| 2 * x).sum());
    }
}
