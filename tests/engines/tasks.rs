//! What is promised of tasks and objects.

use super::actors::Counter;
use super::queued::Door;
use super::*;

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
pub(crate) fn total(values: &[f64]) -> f64 {
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

pub(crate) fn tasks(_: Engine) -> mobula::Result<()> {
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
pub(crate) fn square(x: u64) -> u64 {
    x * x
}

#[remote]
pub(crate) fn sum(values: Vec<u64>) -> u64 {
    values.iter().sum()
}

pub(crate) fn refs_as_arguments(_: Engine) -> mobula::Result<()> {
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

pub(crate) fn refs_inside(_: Engine) -> mobula::Result<()> {
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

pub(crate) fn large_arrays(_: Engine) -> mobula::Result<()> {
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

pub(crate) fn several_results(_: Engine) -> mobula::Result<()> {
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

pub(crate) fn waiting_tasks(_: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(later::remote(5))?, 5);
    assert_eq!(mobula::get(later::remote(0)).unwrap_err().message(), "zero");
    Ok(())
}

#[remote]
pub(crate) fn fib(n: u64) -> mobula::Result<u64> {
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

pub(crate) fn nested(_: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(fib::remote(7))?, 13);
    assert_eq!(mobula::get(by_store::remote(100))?, 200.0);
    assert_eq!(mobula::get(parts_in_a_task::remote())?, 12);
    assert_eq!(mobula::get(awaits::remote(2))?, 13);
    assert_eq!(mobula::get(waits_in_a_task::remote())?, 31);
    let error = mobula::get(passes_on::remote()).unwrap_err();
    assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused { code: 9 }), "{error}");
    let text = error.to_string();
    for part in ["`refuses` (called at", file!(), "through `passes_on`"] {
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

pub(crate) fn waits(_: Engine) -> mobula::Result<()> {
    let refs: Vec<_> = (0..5).map(|x| square::remote(x)).collect();
    let (ready, rest) = mobula::wait(&refs, 3, None);
    assert_eq!((ready.len(), rest.len()), (3, 2));
    assert_eq!(mobula::as_completed(refs.clone()).count(), 5);
    assert_eq!(*mobula::get_arc(&refs[2])?, 4);
    assert_eq!(futures::executor::block_on(async { refs[3].clone().await })?, 9);
    Ok(())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) code: u32,
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

pub(crate) fn errors(_: Engine) -> mobula::Result<()> {
    let error = mobula::get(refuses::remote(3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Task);
    assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused { code: 3 }));
    assert!(std::error::Error::source(&error).is_some());
    let error = mobula::get(square::remote(panics::remote("way"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panic);
    let text = error.to_string();
    for part in ["`panics` (called at", "panicked: no way", file!(), "through `square`"] {
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

pub(crate) fn retries(_: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(third_time::remote(3))?, 3);
    let error = mobula::get(third_time::options().max_retries(1).remote(9)).unwrap_err();
    assert!(error.to_string().contains("tried 2 times"), "{error}");
    Ok(())
}

pub(crate) fn retry_delays(_: Engine) -> mobula::Result<()> {
    let delay = RetryDelay::new(Duration::from_nanos(1));
    assert_eq!(mobula::get(third_time::options().retry_delay(delay).remote(2))?, 2);
    assert_eq!(mobula::get(retries_in_a_task::remote())?, 2);
    Ok(())
}

#[remote]
pub(crate) fn until_stopped() -> mobula::Result<u64> {
    loop {
        mobula::check_cancelled()?;
        std::hint::spin_loop();
    }
}

pub(crate) fn time_limits(_: Engine) -> mobula::Result<()> {
    let call = until_stopped::options().timeout(Duration::from_millis(5));
    assert_eq!(mobula::get(call.remote()).unwrap_err().kind(), ErrorKind::TimeLimit);
    Ok(())
}

#[remote]
fn cpus() -> f64 {
    mobula::context().num_cpus()
}

pub(crate) fn names(_: Engine) -> mobula::Result<()> {
    let error = mobula::get(panics::options().name("named").remote("x")).unwrap_err();
    assert!(error.to_string().contains("`named`"), "{error}");
    Ok(())
}

pub(crate) fn numbers_of_cpus(_: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(cpus::options().num_cpus(2).remote())?, 2.0);
    assert_eq!(mobula::get(cpus::options().num_cpus(0.5).remote())?, 0.5);
    assert_eq!(mobula::get(cpus::options().num_cpus(0).remote())?, 0.0);
    Ok(())
}

pub(crate) fn resources(_: Engine) -> mobula::Result<()> {
    let held: Vec<_> = (0..6).map(|_| cpus::options().resource("gpu", 1.0).remote()).collect();
    assert_eq!(mobula::get(held)?, [1.0; 6]);
    let error = mobula::get(cpus::options().resource("gpu", 3.0).remote()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Infeasible);
    Ok(())
}

pub(crate) fn priorities(_: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(cpus::options().priority(3).remote())?, 1.0);
    Ok(())
}

/// What Ray tells of a node, among other things.
#[derive(Clone, Serialize, Deserialize)]
struct Node {
    #[serde(rename = "NodeID")]
    id: String,
}

pub(crate) fn placements(_: Engine) -> mobula::Result<()> {
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
    let never = [
        cpus::options().placement(group.bundle(1)).remote(),
        cpus::options().num_cpus(2).placement(&group).remote(),
    ];
    for never in never {
        assert_eq!(mobula::get(never).unwrap_err().kind(), ErrorKind::Infeasible);
    }
    let cpu = || Bundle::new().num_cpus(1);
    let never = [
        ("3 CPU", PlacementGroup::strict_pack([cpu(), cpu(), cpu()])),
        ("nodes for 1 of the group's 2 bundles", PlacementGroup::strict_spread([cpu(), cpu()])),
        ("3 CPU", PlacementGroup::pack([cpu(), cpu(), cpu()])),
        ("unicorn", PlacementGroup::spread([Bundle::new().resource("unicorn", 1)])),
    ];
    for (why, group) in never {
        let error = mobula::get(group.ready()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Infeasible, "{error}");
        assert!(error.to_string().contains(why), "{why} is not in {error}");
        for placed in [placed((&group).into()), placed(group.bundle(0))] {
            let error = mobula::get(placed).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Infeasible, "{error}");
            assert!(error.to_string().contains(why), "{why} is not in {error}");
        }
    }
    // What is placed there before anybody knows.
    let never = PlacementGroup::pack([cpu(), cpu(), cpu()]);
    let error = mobula::get(placed((&never).into())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Infeasible, "{error}");
    for amount in [-1.0, -0.5, f64::NAN, f64::INFINITY, 1e-9] {
        let group = PlacementGroup::pack([cpu().resource("gpu", amount)]);
        for refused in
            [mobula::get(group.ready()).err(), mobula::get(placed((&group).into())).err()]
        {
            assert_eq!(refused.map(|why| why.kind()), Some(ErrorKind::Config));
        }
    }
    let nothing = PlacementGroup::pack([Bundle::new().num_cpus(0)]);
    assert_eq!(mobula::get(nothing.ready()).unwrap_err().kind(), ErrorKind::Value);
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

pub(crate) fn contexts(engine: Engine) -> mobula::Result<()> {
    let task = who::remote();
    let (name, id, attempt, on_cpu) = mobula::get(&task)?;
    assert_eq!((name.as_deref(), attempt), (Some("who"), 1));
    assert_eq!(id, Some(task.id()));
    assert_eq!(on_cpu, engine != Engine::Inline);
    let (name, ..) = mobula::get(who::options().name("me").remote())?;
    assert_eq!(name.as_deref(), Some("me"));
    Ok(())
}

/// Makes a file of that name when it has begun.
#[remote]
fn begins(path: &str) -> mobula::Result<u64> {
    fs::write(path, []).expect("there is a folder");
    until_stopped()
}

#[remote]
fn starts_children(path: &str) -> mobula::Result<u64> {
    let children = vec![until_stopped::remote(), begins::remote(path.to_owned())];
    mobula::get(children).map(|values| values.into_iter().sum())
}

pub(crate) fn cancels(engine: Engine) -> mobula::Result<()> {
    if engine == Engine::Inline {
        // It is done before anybody could.
        assert!(!mobula::cancel(&square::remote(1)).now());
        return Ok(());
    }
    for begin in [begins::remote, starts_children::remote] {
        let door = Door::new("cancels", engine);
        let task = begin(door.path().to_owned());
        door.wait_until_open();
        mobula::cancel(&task);
        match mobula::get(task).unwrap_err() {
            error if error.kind() == ErrorKind::Engine => return Err(error),
            error => assert_eq!(error.kind(), ErrorKind::Cancelled),
        }
    }
    Ok(())
}

#[remote]
pub(crate) fn never_listens() -> u64 {
    loop {
        std::thread::park();
    }
}

pub(crate) fn kills(engine: Engine) -> mobula::Result<()> {
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
    children::killed(engine)
}

pub(crate) fn maps(_: Engine) -> mobula::Result<()> {
    let squares: Vec<u64> = square::map(0..500).collect::<mobula::Result<_>>()?;
    assert!(squares.into_iter().eq((0..500).map(square)));
    let values = mobula::put(vec![1.0, 2.0]);
    let totals = total::map((0..5).map(|_| values.clone())).unordered();
    assert_eq!(totals.collect::<mobula::Result<Vec<f64>>>()?, [3.0; 5]);
    Ok(())
}

#[remote]
pub(crate) fn draws(n: u64) -> mobula::Result<Vec<u64>> {
    let own: Vec<u64> = mobula::rng().integers(0..1_000_000_u64, 3)?;
    if n == 0 {
        return Ok(own);
    }
    let below = mobula::get((0..2).map(|_| draws::remote(n - 1)).collect::<Vec<_>>())?;
    Ok(own.into_iter().chain(below.into_iter().flatten()).collect())
}

/// How many calls `random_numbers` makes, each of which makes calls down to that depth.
pub(crate) const DRAWS: u64 = 3;

pub(crate) fn random_numbers(engine: Engine) -> mobula::Result<()> {
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

pub(crate) fn events(engine: Engine) -> mobula::Result<()> {
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

#[remote]
fn root_in_a_task(x: f64) -> mobula::Result<f64> {
    mobula::get(mobula::python("math:sqrt").remote((x,)))
}

pub(crate) fn python(engine: Engine) -> mobula::Result<()> {
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
    for part in ["`math:sqrt` (called at", "ValueError: ", file!(), "through `shifted`"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    // What Python has for a text may be none elsewhere, and not all it raises are what it calls exceptions.
    for (code, text) in [
        ("raise ValueError('no \\ud800')", "ValueError: no \\ud800"),
        ("raise SystemExit(7)", "SystemExit: 7"),
        (
            "class Odd(Exception):\n def __str__(self): 1 / 0\nraise Odd",
            "Odd: (its text cannot be had",
        ),
        ("raise ValueError('long' * 1_000_000)", "longlong"),
    ] {
        let error = mobula::get(python("builtins:exec").remote::<()>((code,))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Task, "{error}");
        let told = error.to_string();
        assert!(told.contains(text) && told.len() < 100_000, "{told:.500}");
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

pub(crate) fn closures(_: Engine) -> mobula::Result<()> {
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

pub(crate) fn local_functions(_: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(stays::remote(1))?, 2);
    Ok(())
}
