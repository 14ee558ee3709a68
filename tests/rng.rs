//! `mobula::rng()`: each task's stream is that of its place in the tree of calls, and of nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mobula::prelude::*;
use mobula::random::{Generator, Pcg64, SeedSequence, default_rng};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

const SEED: u64 = 42;

fn config() -> Config {
    Config::new().seed(SEED).resource("gpu", 1.0)
}

fn runtime(cpus: usize) -> Runtime {
    Runtime::new(config().num_cpus(cpus)).unwrap()
}

fn inline() -> Runtime {
    Runtime::new(config().num_cpus(1).engine(Engine::Inline)).unwrap()
}

fn runtimes() -> [Runtime; 5] {
    [runtime(1), runtime(2), runtime(8), runtime(64), inline()]
}

/// The first draw of the stream with this spawn key.
fn first(way: &[u64]) -> u64 {
    nth(way, 0)
}

/// The draw after `n` others.
fn nth(way: &[u64], n: usize) -> u64 {
    let mut bits = Pcg64::new(SeedSequence::new(SEED).descendant(way));
    bits.advance(n as u128);
    bits.next_u64()
}

fn draw() -> u64 {
    mobula::rng().next_u64()
}

#[remote]
fn plain() -> u64 {
    draw()
}

#[remote]
async fn waiting() -> u64 {
    tokio::task::yield_now().await;
    draw()
}

#[remote(num_cpus = 1, resource("gpu", 1.0), name = "with options")]
fn asking() -> u64 {
    draw()
}

#[test]
fn a_driver_loop_has_the_streams_that_numpy_spawns() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let refs: Vec<_> = (0..200).map(|_| plain::remote()).collect();
        let children = SeedSequence::new(SEED).spawn(200);
        let expected: Vec<u64> = children.iter().map(|seed| Pcg64::new(seed).next_u64()).collect();
        assert_eq!(get(refs).unwrap(), expected);
        // As a further `spawn` goes on where the last ended.
        assert_eq!(get(plain::remote()).unwrap(), first(&[200]));
    }
}

#[test]
fn the_starting_threads_own_stream_is_that_of_the_seed() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let draws: Vec<f64> = mobula::rng().standard_normal(3);
        let more: Vec<f64> = mobula::rng().standard_normal(2);
        let expected: Vec<f64> = default_rng(SEED).standard_normal(5);
        assert_eq!([draws, more].concat(), expected);
        // Drawing is no call.
        assert_eq!(get(plain::remote()).unwrap(), first(&[0]));
    }
}

/// Children and their children, of every kind, by ways of calling.
#[remote]
fn family(depth: u64) -> Vec<u64> {
    let before = draw();
    let children: Vec<_> =
        (0..if depth == 0 { 0 } else { 3 }).map(|_| family::remote(depth - 1)).collect();
    let others = (plain::remote(), mobula::spawn(draw));
    let mut seen = vec![before, draw()];
    let (a, b) = get(others).unwrap();
    seen.extend([a, b]);
    seen.extend(get(children).unwrap().concat());
    seen
}

fn expected_family(way: &[u64], depth: u64) -> Vec<u64> {
    let child = |way: &[u64], index| [way, &[index]].concat();
    let children = if depth == 0 { 0 } else { 3 };
    let mut seen = vec![first(way), nth(way, 1)];
    seen.extend([first(&child(way, children)), first(&child(way, children + 1))]);
    for index in 0..children {
        seen.extend(expected_family(&child(way, index), depth - 1));
    }
    seen
}

#[test]
fn nested_calls_have_the_spawn_keys_of_their_way() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        for index in 0..3 {
            let seen = get(family::remote(4)).unwrap();
            assert_eq!(seen, expected_family(&[index], 4));
        }
    }
}

#[remote]
fn chain(depth: u64) -> u64 {
    if depth == 0 { draw() } else { get(chain::remote(depth - 1)).unwrap() }
}

#[test]
fn a_place_at_any_depth_has_its_spawn_key() {
    for runtime in [runtime(1), runtime(2), inline()] {
        let _entered = runtime.enter();
        for (index, depth) in (0..).zip([0, 1, 60, 61, 62, 63, 64, 65, 130, 300]) {
            let mut way = vec![index];
            way.resize(1 + depth as usize, 0);
            assert_eq!(get(chain::remote(depth)).unwrap(), first(&way), "{depth}");
        }
    }
}

/// Fails until the try of that number, after it has drawn.
#[remote(local, max_retries = 5, retry_if = |_| true)]
fn retried(fails: u32, tries: &AtomicU32) -> Result<[u64; 3], String> {
    let drawn = [draw(), get(plain::remote()).unwrap(), draw()];
    if tries.fetch_add(1, Ordering::SeqCst) < fails { Err("again".into()) } else { Ok(drawn) }
}

#[remote(local, max_retries = 5, retry_if = |_| true)]
async fn retried_waiting(fails: u32, tries: &AtomicU32) -> Result<[u64; 3], String> {
    let mut rng = mobula::rng();
    let one = rng.next_u64();
    let child = plain::remote().await.unwrap();
    let drawn = [one, child, rng.next_u64()];
    if tries.fetch_add(1, Ordering::SeqCst) < fails { Err("again".into()) } else { Ok(drawn) }
}

#[test]
fn a_further_try_begins_the_stream_again() {
    for runtime in [runtime(1), runtime(3), inline()] {
        let _entered = runtime.enter();
        for (index, fails) in (0..).zip([0, 1, 5]) {
            let computed = retried::remote(fails, Arc::new(AtomicU32::new(0)));
            let waited = retried_waiting::remote(fails, Arc::new(AtomicU32::new(0)));
            let (computed, waited) = get((computed, waited)).unwrap();
            for (index, seen) in [(2 * index, computed), (2 * index + 1, waited)] {
                assert_eq!(seen, [first(&[index]), first(&[index, 0]), nth(&[index], 1)]);
            }
        }
    }
}

#[test]
fn every_kind_of_call_counts_and_has_its_place() {
    for runtime in [runtime(2), inline()] {
        let _entered = runtime.enter();
        let refs = [plain::remote(), waiting::remote(), asking::remote(), mobula::spawn(draw)];
        let late = plain::options().num_cpus(0.5).remote();
        // What is refused counts, too: that depends on the number of CPUs.
        let refused = plain::options().num_cpus(1000).remote();
        assert_eq!(get(refused).unwrap_err().kind(), ErrorKind::Infeasible);
        let after = plain::options().priority(3).remote();
        let seen: Vec<u64> =
            get(refs).unwrap().into_iter().chain(get([late, after]).unwrap()).collect();
        assert_eq!(seen, [0, 1, 2, 3, 4, 6].map(|index| first(&[index])));
    }
}

#[remote]
fn of_item(item: u64) -> [u64; 3] {
    [item, draw(), get(plain::remote()).unwrap()]
}

#[remote]
async fn of_item_waiting(item: u64) -> [u64; 3] {
    [item, draw(), plain::remote().await.unwrap()]
}

#[remote(max_retries = 1)]
fn of_item_asking(item: u64) -> [u64; 3] {
    [item, draw(), get(plain::remote()).unwrap()]
}

#[test]
fn an_item_of_a_map_has_the_stream_of_its_number_whatever_its_chunk() {
    for runtime in [runtime(1), runtime(2), runtime(8), inline()] {
        let _entered = runtime.enter();
        let mut index = 0;
        let mut check = |items: &mut dyn Iterator<Item = mobula::Result<[u64; 3]>>| {
            let mut seen: Vec<_> = items.collect::<mobula::Result<_>>().unwrap();
            seen.sort_unstable();
            let expected: Vec<_> = (0..100)
                .map(|item| [item, first(&[index, item]), first(&[index, item, 0])])
                .collect();
            assert_eq!(seen, expected);
            index += 1;
        };
        for size in [1, 2, 7, 100] {
            check(&mut of_item::map(0..100_u64).chunk_size(size));
            check(&mut of_item::map(0..100_u64).chunk_size(size).unordered());
            check(&mut of_item_waiting::map(0..100_u64).chunk_size(size));
            check(&mut of_item_asking::map(0..100_u64).chunk_size(size));
            let closure = |item| [item, draw(), get(plain::remote()).unwrap()];
            check(&mut mobula::map(0..100_u64, closure).chunk_size(size));
            check(&mut mobula::map(0..100_u64, closure).max_in_flight(size));
        }
        check(&mut of_item::map(0..100_u64));
    }
}

/// A replicate of a bootstrap: a mean of as many values, drawn with replacement.
#[remote]
fn replicate(x: &[f64]) -> mobula::Result<f64> {
    let sample = mobula::rng().choice(x.len()).draw(x.len())?;
    Ok(sample.iter().map(|&at| x[at]).sum::<f64>() / x.len() as f64)
}

/// The same, where many first tries fail after they have drawn.
#[remote(max_retries = 3, retry_if = |_| true)]
fn unlucky_replicate(x: &[f64]) -> Result<f64, String> {
    let mean = replicate(x).map_err(|error| error.to_string())?;
    let lucky = mobula::context().attempt() > 1 || mean.to_bits() % 3 == 0;
    if lucky { Ok(mean) } else { Err("unlucky".into()) }
}

#[test]
fn a_bootstrap_gives_the_same_bits_anywhere() {
    const REPLICATES: usize = 400;
    let x: Vec<f64> = default_rng(7).standard_normal(50);
    let seeds = SeedSequence::new(SEED).child(0).spawn(REPLICATES);
    let one = |seed| {
        let sample = Generator::new(Pcg64::new(seed)).choice(x.len()).draw(x.len()).unwrap();
        sample.iter().map(|&at| x[at]).sum::<f64>() / x.len() as f64
    };
    let expected: Vec<u64> = seeds.iter().map(one).map(f64::to_bits).collect();
    let bits = |means: &mut dyn Iterator<Item = mobula::Result<f64>>| {
        means.map(|mean| mean.unwrap().to_bits()).collect::<Vec<_>>()
    };
    for runtime in [|| runtime(1), || runtime(2), || runtime(8), inline] {
        for size in [None, Some(1), Some(3), Some(64), Some(REPLICATES)] {
            for unlucky in [false, true] {
                let runtime = runtime();
                let _entered = runtime.enter();
                let x = put(x.clone());
                let items = std::iter::repeat_n(&x, REPLICATES);
                let seen = match (unlucky, size) {
                    (false, None) => bits(&mut replicate::map(items)),
                    (false, Some(size)) => bits(&mut replicate::map(items).chunk_size(size)),
                    (true, None) => bits(&mut unlucky_replicate::map(items)),
                    (true, Some(size)) => bits(&mut unlucky_replicate::map(items).chunk_size(size)),
                };
                assert_eq!(seen, expected, "{runtime:?}, chunks of {size:?}");
            }
        }
    }
}

#[remote]
fn maps() -> Vec<u64> {
    let lazy = mobula::map(0..50_u64, |_| draw()).chunk_size(8);
    let between = get(plain::remote()).unwrap();
    let mut seen: Vec<u64> = lazy.collect::<mobula::Result<_>>().unwrap();
    seen.extend([between, get(plain::remote()).unwrap()]);
    seen
}

#[test]
fn a_map_is_one_call_and_counts_where_it_is_made() {
    for runtime in [runtime(2), inline()] {
        let _entered = runtime.enter();
        let seen = get(maps::remote()).unwrap();
        let items = (0..50).map(|item| first(&[0, 0, item]));
        let expected: Vec<u64> = items.chain([first(&[0, 1]), first(&[0, 2])]).collect();
        assert_eq!(seen, expected);
    }
}

struct Dice(Vec<u64>);

#[remote]
impl Dice {
    pub fn new() -> Self {
        Self(vec![draw()])
    }

    pub fn roll(&mut self) -> [u64; 2] {
        self.0.push(draw());
        [draw(), get(plain::remote()).unwrap()]
    }

    pub fn seen(&self) -> Vec<u64> {
        self.0.clone()
    }
}

struct SlowDice(Vec<u64>);

#[remote]
impl SlowDice {
    pub async fn new() -> Self {
        tokio::task::yield_now().await;
        Self(vec![draw()])
    }

    pub async fn roll(&mut self) -> [u64; 2] {
        let mut rng = mobula::rng();
        self.0.push(rng.next_u64());
        tokio::task::yield_now().await;
        [rng.next_u64(), plain::remote().await.unwrap()]
    }

    pub fn seen(&self) -> Vec<u64> {
        self.0.clone()
    }
}

#[test]
fn constructors_and_methods_have_the_places_of_their_calls() {
    let expected = |first_call: u64| {
        let [new, a, b] = [first_call, first_call + 1, first_call + 2];
        let rolls = [[nth(&[a], 1), first(&[a, 0])], [nth(&[b], 1), first(&[b, 0])]];
        (rolls, vec![first(&[new]), first(&[a]), first(&[b])])
    };
    for runtime in [runtime(1), runtime(4), inline()] {
        let _entered = runtime.enter();
        let dice = Dice::remote();
        let rolls = [dice.roll(), dice.roll()];
        assert_eq!((get(rolls).unwrap(), get(dice.seen()).unwrap()), expected(0));
        let dice = SlowDice::remote();
        let rolls = [dice.roll(), dice.roll()];
        assert_eq!((get(rolls).unwrap(), get(dice.seen()).unwrap()), expected(4));
    }
}

#[remote]
fn borrows() -> Vec<u64> {
    let mut held = mobula::rng();
    let mut seen = vec![held.next_u64()];
    seen.push(draw()); // The task's own is held, so this is the stream of a call.
    seen.push(get(plain::remote()).unwrap());
    seen.push(held.next_u64());
    drop(held);
    seen.push(draw());
    seen
}

#[test]
fn a_stream_goes_on_where_it_was_left_and_is_never_drawn_twice() {
    for runtime in [runtime(2), inline()] {
        let _entered = runtime.enter();
        let expected = |way: &[u64]| {
            let child = |index| first(&[way, &[index]].concat());
            vec![first(way), child(0), child(1), nth(way, 1), nth(way, 2)]
        };
        assert_eq!(get(borrows::remote()).unwrap(), expected(&[0]));
        // As a closure on the driver's stack, where the waiting thread may run it.
        assert_eq!(get(mobula::spawn(borrows)).unwrap(), expected(&[1]));
    }
}

#[remote(local)]
fn lends_for_good() -> mobula::TaskRng {
    mobula::rng()
}

#[test]
fn a_generator_that_outlives_its_task_goes_on_alone() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let task = lends_for_good::remote();
    let rng = mobula::get_arc(&task).unwrap();
    assert_eq!(rng.clone_bits().next_u64(), first(&[0]));
}

trait CloneBits {
    fn clone_bits(&self) -> Pcg64;
}

impl CloneBits for mobula::TaskRng {
    fn clone_bits(&self) -> Pcg64 {
        self.bit_generator().clone()
    }
}

#[test]
fn other_threads_have_places_of_their_own() {
    let runtime = runtime(2);
    let draws = |runtime: &Runtime| {
        let _entered = runtime.enter();
        [get(plain::remote()).unwrap(), draw(), get(plain::remote()).unwrap()]
    };
    let expected = |way: &[u64]| {
        let child = |index| first(&[way, &[index]].concat());
        [child(0), first(way), child(1)]
    };
    for nth in 0..3 {
        let seen = std::thread::scope(|scope| scope.spawn(|| draws(&runtime)).join().unwrap());
        assert_eq!(seen, expected(&[u64::MAX - nth]));
    }
    assert_eq!(draws(&runtime), expected(&[]));
}

#[test]
fn a_thread_counts_in_each_runtime_by_itself() {
    let (a, b) = (runtime(1), runtime(2));
    for index in 0..3 {
        for runtime in [&a, &b] {
            let _entered = runtime.enter();
            assert_eq!(get(plain::remote()).unwrap(), first(&[index]));
        }
    }
    // A runtime that is gone is not mistaken for one that comes after it.
    for _ in 0..50 {
        let runtime = runtime(1);
        let _entered = runtime.enter();
        assert_eq!(get(plain::remote()).unwrap(), first(&[0]));
    }
}

#[test]
fn what_a_task_calls_on_another_runtime_is_still_its_child() {
    let home = runtime(2);
    let abroad = Arc::new(Runtime::new(Config::new().num_cpus(1).seed(SEED + 1)).unwrap());
    let _entered = home.enter();
    let task = {
        let abroad = Arc::clone(&abroad);
        mobula::spawn(move || {
            let before = get(plain::remote()).unwrap();
            let entered = abroad.enter();
            let own = draw();
            let there = get(mobula::spawn(|| [draw(), get(plain::remote()).unwrap()])).unwrap();
            drop(entered);
            [before, own, there[0], there[1], get(plain::remote()).unwrap()]
        })
    };
    let expected = [first(&[0, 0]), first(&[0]), first(&[0, 1]), first(&[0, 1, 0]), first(&[0, 2])];
    assert_eq!(get(task).unwrap(), expected);
}

#[test]
fn a_seed_that_was_not_given_can_be_read_and_used_again() {
    let draws = |runtime: &Runtime| {
        let _entered = runtime.enter();
        get((0..10).map(|_| plain::remote()).collect::<Vec<_>>()).unwrap()
    };
    let start = |config: Config| Runtime::new(config.num_cpus(2)).unwrap();
    let (a, b) = (start(Config::new()), start(Config::new()));
    assert_ne!(a.seed(), b.seed());
    let again = start(Config::new().seed(a.seed()));
    assert_eq!(again.seed(), a.seed());
    let (draws_a, draws_b) = (draws(&a), draws(&b));
    assert_ne!(draws_a, draws_b);
    assert_eq!(draws(&again), draws_a);
}

#[test]
fn it_is_a_generator_of_numpys_and_of_rands() {
    fn helper(rng: &mut Generator) -> f64 {
        rng.standard_normal(())
    }
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let seen = get(mobula::spawn(|| {
        let mut rng = mobula::rng();
        let one: f64 = rng.random(()); // NumPy's, though `RngExt` is in scope.
        let normal = helper(&mut rng);
        let die = rng.random_range(1..=6);
        let pair: Vec<f64> = StandardNormal.sample_iter(&mut rng).take(2).collect();
        (one, normal, die, pair)
    }));
    let mut rng = Generator::new(Pcg64::new(SeedSequence::new(SEED).child(0)));
    let one: f64 = rng.random(());
    let normal: f64 = rng.standard_normal(());
    let die = rng.random_range(1..=6);
    let pair: Vec<f64> = StandardNormal.sample_iter(&mut rng).take(2).collect();
    assert_eq!(seen.unwrap(), (one, normal, die, pair));
}
