//! Cancelling: what has not begun, what waits, what computes, and what all these have submitted.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use mobula::prelude::*;
use mobula::{ShutdownReport, cancellable, check_cancelled};

fn runtime(cpus: usize) -> Runtime {
    Runtime::new(Config::new().num_cpus(cpus).resource("gpu", 1.0)).unwrap()
}

fn assert_cancelled<T: Clone + Send + Sync + std::fmt::Debug + 'static>(object: ObjectRef<T>) {
    let error = get(object).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
}

/// A gate that tasks tell that they came, and wait at until it opens.
#[derive(Default)]
struct Gate {
    came: AtomicUsize,
    open: AtomicBool,
}

impl Gate {
    fn closed() -> Arc<Self> {
        Arc::default()
    }

    /// Without asking whether to stop.
    fn pass(&self) {
        self.came.fetch_add(1, Ordering::SeqCst);
        while !self.open.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    }

    fn pass_or_stop(&self) -> mobula::Result<()> {
        self.came.fetch_add(1, Ordering::SeqCst);
        while !self.open.load(Ordering::SeqCst) {
            check_cancelled()?;
            std::thread::yield_now();
        }
        Ok(())
    }

    fn wait_for(&self, count: usize) {
        while self.came.load(Ordering::SeqCst) < count {
            std::thread::yield_now();
        }
    }

    fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

#[remote(local)]
fn pass(gate: &Gate) {
    gate.pass();
}

#[remote(local)]
fn pass_or_stop(gate: &Gate) -> mobula::Result<()> {
    gate.pass_or_stop()
}

#[remote(local)]
fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::SeqCst);
}

/// Where a parent leaves its children's refs.
type Children<T> = Mutex<Vec<ObjectRef<T>>>;

fn take<T>(children: &Children<T>) -> Vec<ObjectRef<T>> {
    std::mem::take(&mut *children.lock().unwrap())
}

/// Submits children, then waits at the gate.
#[remote(local)]
fn parent(gate: &Gate, width: usize, counter: Arc<AtomicUsize>, children: &Children<()>) {
    let mine = (0..width).map(|_| count::remote(Arc::clone(&counter)));
    children.lock().unwrap().extend(mine);
    gate.pass();
}

#[test]
fn a_cancelled_task_takes_what_it_has_submitted_along() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    for with_children in [true, false] {
        let (gate, counter) = (Gate::closed(), Arc::<AtomicUsize>::default());
        let children = Arc::<Children<()>>::default();
        let arguments = (Arc::clone(&gate), Arc::clone(&counter), Arc::clone(&children));
        let task = parent::remote(arguments.0, 50, arguments.1, arguments.2);
        gate.wait_for(1);
        assert!(!cancel(&task).children(with_children).now(), "it has begun");
        gate.open();
        // It computed on, as nothing in it asks.
        get(task).unwrap();
        let children = take(&children);
        assert_eq!(children.len(), 50);
        if with_children {
            children.into_iter().for_each(assert_cancelled);
            assert_eq!(counter.load(Ordering::SeqCst), 0);
        } else {
            get(children).unwrap();
            assert_eq!(counter.load(Ordering::SeqCst), 50);
        }
    }
}

/// A chain of tasks, each of which has submitted the next, and all of which wait at the gate.
#[remote(local)]
fn chain(gate: Arc<Gate>, length: usize, all: Arc<Children<()>>) -> mobula::Result<()> {
    if length > 0 {
        let next = chain::remote(Arc::clone(&gate), length - 1, Arc::clone(&all));
        all.lock().unwrap().push(next);
    }
    gate.pass_or_stop()
}

#[test]
fn the_whole_line_of_descendants_is_told() {
    let runtime = runtime(4);
    let _entered = runtime.enter();
    let (gate, other) = (Gate::closed(), Gate::closed());
    let all = Arc::<Children<()>>::default();
    let top = chain::remote(Arc::clone(&gate), 2, Arc::clone(&all));
    let stranger = pass_or_stop::remote(Arc::clone(&other));
    gate.wait_for(3);
    other.wait_for(1);
    cancel(&top);
    assert_cancelled(top);
    take(&all).into_iter().for_each(assert_cancelled);
    other.open();
    get(stranger).unwrap();
    assert_eq!(runtime.shutdown().unheeded_count, 0);
}

#[test]
fn what_a_cancelled_task_submits_later_is_cancelled_too() {
    #[remote(local)]
    fn submit_late(gate: &Gate, counter: Arc<AtomicUsize>) -> mobula::Result<()> {
        gate.pass();
        get(count::remote(counter))
    }
    let runtime = runtime(2);
    let _entered = runtime.enter();
    for with_children in [true, false] {
        let (gate, counter) = (Gate::closed(), Arc::<AtomicUsize>::default());
        let task = submit_late::remote(Arc::clone(&gate), Arc::clone(&counter));
        gate.wait_for(1);
        cancel(&task).children(with_children);
        gate.open();
        if with_children {
            assert_cancelled(task);
        } else {
            get(task).unwrap();
        }
        assert_eq!(counter.load(Ordering::SeqCst), usize::from(!with_children));
    }
}

#[test]
fn what_is_done_stays_done_and_so_do_its_children() {
    #[remote(local)]
    fn submit(gate: Arc<Gate>) -> ObjectRef<()> {
        pass::remote(gate)
    }
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let gate = Gate::closed();
    let task = submit::remote(Arc::clone(&gate));
    let child = get(&task).unwrap();
    gate.wait_for(1);
    assert!(!cancel(&task).now());
    gate.open();
    get(child).unwrap();
    get(task).unwrap();
}

/// Submits one child and waits until the gate opens or it is cancelled.
fn submit_and_wait<T: Send + Sync + 'static>(
    gate: Arc<Gate>,
    child: impl FnOnce() -> ObjectRef<T> + Send + 'static,
) -> (ObjectRef<()>, ObjectRef<T>) {
    let (hand_over, handed) = mpsc::channel();
    let at_gate = Arc::clone(&gate);
    let task = mobula::spawn(move || {
        hand_over.send(child()).unwrap();
        let _ = at_gate.pass_or_stop();
    });
    let child = handed.recv().unwrap();
    gate.wait_for(1);
    (task, child)
}

#[test]
fn a_child_that_waits_fails_at_once() {
    #[remote(local)]
    async fn wait_for_ever(gate: &Gate) {
        gate.came.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
    #[remote(local)]
    fn fail(gate: &Gate) -> Result<(), String> {
        gate.came.fetch_add(1, Ordering::SeqCst);
        Err("once".to_owned())
    }
    let runtime = runtime(2);
    let _entered = runtime.enter();

    // At an await.
    let (gate, child_gate) = (Gate::closed(), Gate::closed());
    let theirs = Arc::clone(&child_gate);
    let (task, child) = submit_and_wait(gate, move || wait_for_ever::remote(theirs));
    child_gate.wait_for(1);
    cancel(&task);
    assert_cancelled(child);

    // In the line for a resource, which somebody else keeps.
    let (gate, keeper_gate) = (Gate::closed(), Gate::closed());
    let keeper = pass::options().resource("gpu", 1.0).remote(Arc::clone(&keeper_gate));
    keeper_gate.wait_for(1);
    let counter = Arc::<AtomicUsize>::default();
    let wants = Arc::clone(&counter);
    let (task, child) =
        submit_and_wait(gate, move || count::options().resource("gpu", 1.0).remote(wants));
    cancel(&task);
    assert_cancelled(child);
    keeper_gate.open();
    get(keeper).unwrap();
    get(pass::options().resource("gpu", 1.0).remote(keeper_gate)).unwrap();
    assert_eq!(counter.load(Ordering::SeqCst), 0);

    // Before another try.
    let (gate, child_gate) = (Gate::closed(), Gate::closed());
    let theirs = Arc::clone(&child_gate);
    let (task, child) = submit_and_wait(gate, move || {
        let hour = Duration::from_secs(3600);
        let delay = mobula::RetryDelay::new(hour).max(hour).jitter(0.0);
        fail::options().max_retries(1).retry_if(|_| true).retry_delay(delay).remote(theirs)
    });
    child_gate.wait_for(1);
    cancel(&task);
    assert_cancelled(child);
}

/// Tells, by its end, that a future was dropped.
struct Tells(Arc<AtomicBool>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[remote(local)]
async fn hold(gate: &Gate, held: Arc<AtomicBool>) {
    let _held = Tells(held);
    gate.came.fetch_add(1, Ordering::SeqCst);
    std::future::pending().await
}

#[test]
fn async_work_is_dropped_at_its_await_and_its_ref_fails_after_that() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    for number in 0..100 {
        let (gate, dropped) = (Gate::closed(), Arc::<AtomicBool>::default());
        let task = hold::remote(Arc::clone(&gate), Arc::clone(&dropped));
        // Every other time it may not have begun.
        if number % 2 == 0 {
            gate.wait_for(1);
        }
        cancel(&task);
        assert_cancelled(task);
        let began = gate.came.load(Ordering::SeqCst) > 0;
        assert_eq!(dropped.load(Ordering::SeqCst), began);
    }
    assert_eq!(runtime.shutdown().unheeded_count, 0);
}

#[test]
fn an_async_parent_takes_its_children_along() {
    #[remote(local)]
    async fn await_child(gate: Arc<Gate>, held: Arc<AtomicBool>) -> mobula::Result<()> {
        hold::remote(gate, held).await
    }
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let (gate, dropped) = (Gate::closed(), Arc::<AtomicBool>::default());
    let task = await_child::remote(Arc::clone(&gate), Arc::clone(&dropped));
    gate.wait_for(1);
    cancel(&task);
    assert_cancelled(task);
    // The child has nobody left who would wait for it, and ends all the same.
    while !dropped.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
}

struct Log(Vec<u32>);

#[remote(local)]
impl Log {
    pub fn new() -> Self {
        Self(Vec::new())
    }
    pub fn pass(&mut self, gate: Arc<Gate>) {
        gate.pass();
    }
    pub fn note(&mut self, number: u32) {
        self.0.push(number);
    }
    pub fn submit(
        &mut self,
        gate: Arc<Gate>,
        counter: Arc<AtomicUsize>,
        children: Arc<Children<()>>,
    ) -> mobula::Result<()> {
        children.lock().unwrap().push(count::remote(counter));
        gate.pass_or_stop()
    }
    pub fn notes(&self) -> Vec<u32> {
        self.0.clone()
    }
}

#[test]
fn queued_calls_of_an_actor_fail_at_once_and_the_others_keep_their_order() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let log = Log::remote();
    let gate = Gate::closed();
    let first = log.pass(Arc::clone(&gate));
    gate.wait_for(1);
    let calls: Vec<_> = (0..10).map(|number| log.note(number)).collect();
    for odd in calls.iter().skip(1).step_by(2) {
        assert!(cancel(odd).now());
        assert_cancelled(odd.clone());
    }
    gate.open();
    get(first).unwrap();
    assert_eq!(get(log.notes()).unwrap(), [0, 2, 4, 6, 8]);
}

#[test]
fn children_of_an_actors_call_are_cancelled_with_it() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let log = Log::remote();
    let (gate, counter) = (Gate::closed(), Arc::<AtomicUsize>::default());
    let children = Arc::<Children<()>>::default();
    let call = log.submit(Arc::clone(&gate), Arc::clone(&counter), Arc::clone(&children));
    gate.wait_for(1);
    cancel(&call);
    assert_cancelled(call);
    take(&children).into_iter().for_each(assert_cancelled);
    assert_eq!(counter.load(Ordering::SeqCst), 0);
    // The actor lives on.
    assert_eq!(get(log.notes()).unwrap(), [0; 0]);
}

struct AsyncLog(Vec<u32>);

#[remote(local)]
impl AsyncLog {
    pub fn new() -> Self {
        Self(Vec::new())
    }
    pub async fn hold(&mut self, gate: Arc<Gate>, held: Arc<AtomicBool>) {
        let _held = Tells(held);
        gate.came.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
    pub async fn note(&mut self, number: u32) {
        self.0.push(number);
    }
    pub async fn note_later(&mut self, number: u32, _after: ()) {
        self.0.push(number);
    }
    pub fn notes(&self) -> Vec<u32> {
        self.0.clone()
    }
}

#[test]
fn calls_of_an_async_actor_are_dropped_at_their_await_or_in_the_line() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let log = AsyncLog::remote();
    let (gate, dropped) = (Gate::closed(), Arc::<AtomicBool>::default());
    let first = log.hold(Arc::clone(&gate), Arc::clone(&dropped));
    gate.wait_for(1);
    let calls: Vec<_> = (0..10).map(|number| log.note(number)).collect();
    for odd in calls.iter().skip(1).step_by(2) {
        assert!(cancel(odd).now(), "it waits in the line");
        assert_cancelled(odd.clone());
    }
    // One whose argument is missing, and which those behind it wait for.
    let argument_gate = Gate::closed();
    let argument = pass::remote(Arc::clone(&argument_gate));
    let held_back = log.note_later(99, &argument);
    let behind = log.note(10);
    assert!(cancel(&held_back).now(), "it waits for its argument");
    assert_cancelled(held_back);
    argument_gate.open();
    assert!(!cancel(&first).now(), "it has begun");
    assert_cancelled(first);
    assert!(dropped.load(Ordering::SeqCst));
    get(behind).unwrap();
    assert_eq!(get(log.notes()).unwrap(), [0, 2, 4, 6, 8, 10]);
}

#[test]
fn a_ref_stays_pending_until_the_work_has_ended() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let gate = Gate::closed();
    let task = pass::remote(Arc::clone(&gate));
    gate.wait_for(1);
    cancel(&task);
    assert!(wait(std::slice::from_ref(&task), 1, Some(Duration::ZERO)).0.is_empty());
    gate.open();
    get(task).unwrap();
}

fn names(report: &ShutdownReport) -> Vec<&str> {
    let mut names: Vec<_> = report.unheeded.iter().map(mobula::Unheeded::name).collect();
    names.sort_unstable();
    names
}

#[test]
fn who_does_not_stop_is_named_at_the_end() {
    #[remote(local)]
    fn look_once(gate: &Gate) {
        let _ = check_cancelled();
        gate.pass();
    }
    #[remote(local)]
    fn look_elsewhere(gate: &Gate) {
        let context = mobula::context();
        std::thread::scope(|scope| scope.spawn(move || context.is_cancelled()).join().unwrap());
        gate.pass();
    }
    let runtime = runtime(8);
    let entered = runtime.enter();
    let gate = Gate::closed();
    let log = Log::remote();
    let deaf = [
        pass::remote(Arc::clone(&gate)),
        pass::options().name("mine").remote(Arc::clone(&gate)),
        pass::options().num_cpus(0.5).name("shares").remote(Arc::clone(&gate)),
        log.pass(Arc::clone(&gate)),
    ];
    let line = line!() - 5;
    let hearing = [look_once::remote(Arc::clone(&gate)), look_elsewhere::remote(Arc::clone(&gate))];
    let not_asked = pass::remote(Arc::clone(&gate));
    let stops = pass_or_stop::remote(Arc::clone(&gate));
    gate.wait_for(8);
    deaf.iter().chain(&hearing).chain([&stops]).for_each(|task| drop(cancel(task)));
    assert_cancelled(stops);
    gate.open();
    get((deaf, hearing, not_asked)).unwrap();
    drop(entered);
    let report = runtime.shutdown();
    assert_eq!(names(&report), ["Log::pass", "mine", "pass", "shares"]);
    assert_eq!(report.unheeded_count, 4);
    let plain = report.unheeded.iter().find(|task| task.called_at().line() == line);
    let shown = plain.unwrap().to_string();
    assert!(shown.contains("`pass`") && shown.contains(&format!("cancel.rs:{line}")), "{shown}");
}

#[test]
fn who_still_runs_when_the_runtime_ends_is_named() {
    #[remote(local)]
    fn stop_late(gate: &Gate) -> mobula::Result<()> {
        gate.pass();
        check_cancelled()
    }
    let runtime = runtime(1);
    let gate = Gate::closed();
    let entered = runtime.enter();
    let task = stop_late::remote(Arc::clone(&gate));
    gate.wait_for(1);
    let never = pass::remote(Arc::clone(&gate));
    cancel(&task);
    drop(entered);
    let report = std::thread::scope(|scope| {
        let ends = scope.spawn(move || runtime.shutdown());
        // What has not begun fails when the shutdown has begun; then only does the gate open.
        assert_eq!(get(never).unwrap_err().kind(), ErrorKind::ShutDown);
        gate.open();
        ends.join().unwrap()
    });
    assert_eq!((names(&report), report.unheeded_count), (vec!["stop_late"], 1));
    assert_cancelled(task);
}

#[test]
fn an_iterator_can_end_when_its_task_is_cancelled() {
    assert_eq!(cancellable(0..3).collect::<mobula::Result<Vec<_>>>().unwrap(), [0, 1, 2]);

    #[remote(local)]
    fn iterate(gate: &Gate) -> mobula::Result<u64> {
        let mut items = cancellable(0..);
        assert_eq!(items.next().unwrap()?, 0);
        gate.came.fetch_add(1, Ordering::SeqCst);
        let cancelled = items.find_map(Result::err);
        assert!(items.next().is_none());
        Err(cancelled.unwrap())
    }
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let gate = Gate::closed();
    let task = iterate::remote(Arc::clone(&gate));
    gate.wait_for(1);
    cancel(&task);
    assert_cancelled(task);
}

/// A tree of tasks, some of which wait.
#[remote(local)]
fn tree(depth: u32, counter: Arc<AtomicUsize>) -> mobula::Result<usize> {
    counter.fetch_add(1, Ordering::SeqCst);
    if depth == 0 {
        return Ok(1);
    }
    let children: Vec<_> = (0..3)
        .map(|n| match n {
            0 => tree::remote(depth - 1, Arc::clone(&counter)),
            1 => tree_waiting::remote(depth - 1, Arc::clone(&counter)),
            _ => tree::options().num_cpus(0.5).remote(depth - 1, Arc::clone(&counter)),
        })
        .collect();
    Ok(get(children)?.into_iter().sum::<usize>() + 1)
}

#[remote(local)]
async fn tree_waiting(depth: u32, counter: Arc<AtomicUsize>) -> mobula::Result<usize> {
    tree::remote(depth, counter).await
}

#[test]
fn trees_that_are_cancelled_at_any_time_end() {
    let runtime = runtime(3);
    let _entered = runtime.enter();
    let whole = (1..=5).fold(1, |sum, _| 3 * sum + 1);
    for round in 0..60 {
        let counter = Arc::<AtomicUsize>::default();
        let trees: Vec<_> = (0..4).map(|_| tree::remote(5, Arc::clone(&counter))).collect();
        while counter.load(Ordering::SeqCst) < round * 20 % whole {
            std::thread::yield_now();
        }
        std::thread::scope(|scope| {
            for tree in &trees[..3] {
                scope.spawn(move || cancel(tree).now());
            }
        });
        for (number, tree) in trees.into_iter().enumerate() {
            match get(tree) {
                Ok(size) => assert_eq!(size, whole),
                Err(error) if number < 3 => assert_eq!(error.kind(), ErrorKind::Cancelled),
                Err(error) => panic!("a tree that nobody cancelled failed: {error}"),
            }
        }
    }
}

#[test]
fn a_map_that_is_dropped_cancels_what_is_under_way() {
    /// The first item comes through, the others wait until they are cancelled.
    fn wait_unless_first((gate, number): (Arc<Gate>, usize)) -> mobula::Result<()> {
        if number == 0 { Ok(()) } else { gate.pass_or_stop() }
    }
    #[remote(local)]
    fn as_chunks(item: (Arc<Gate>, usize)) -> mobula::Result<()> {
        wait_unless_first(item)
    }
    // With options of its own, each call is a task.
    #[remote(local, name = "own")]
    fn as_tasks(item: (Arc<Gate>, usize)) -> mobula::Result<()> {
        wait_unless_first(item)
    }
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let gate = Gate::closed();
    let items = || (0..40).map(|number| (Arc::clone(&gate), number)).collect::<Vec<_>>();
    as_chunks::map(items()).next().unwrap().unwrap();
    as_tasks::map(items()).next().unwrap().unwrap();
    // The CPUs are free again, or this would wait for ever.
    get(count::options().num_cpus(2).remote(Arc::<AtomicUsize>::default())).unwrap();
    assert_eq!(runtime.shutdown().unheeded_count, 0);
}

#[test]
fn what_is_cancelled_in_the_line_keeps_nobody_waiting() {
    let runtime = Runtime::new(Config::new().num_cpus(2).resource("licence", 2.0)).unwrap();
    let _entered = runtime.enter();
    let on = |amount: f64, gate: &Arc<Gate>| {
        pass::options().resource("licence", amount).remote(Arc::clone(gate))
    };
    let (kept, open) = (Gate::closed(), Gate::closed());
    open.open.store(true, Ordering::SeqCst);
    let keeper = on(1.0, &kept);
    // What the keeper leaves is for whoever has not been cancelled.
    let soon = Duration::from_secs(60);
    let (first, second) = (on(2.0, &open), on(2.0, &open));
    let behind = on(1.0, &open);
    cancel(&first);
    cancel(&second);
    get_timeout(behind, soon).unwrap();
    assert_cancelled(first);
    assert_cancelled(second);

    // One whose argument comes later.
    #[remote(local)]
    fn pass_when(gate: Arc<Gate>, (): ()) {
        gate.pass();
    }
    let argument_gate = Gate::closed();
    let argument = pass::remote(Arc::clone(&argument_gate));
    let waits = pass_when::options().resource("licence", 2.0).remote(Arc::clone(&open), &argument);
    cancel(&waits);
    argument_gate.open.store(true, Ordering::SeqCst);
    get(&argument).unwrap();
    get_timeout(on(1.0, &open), soon).unwrap();
    assert_cancelled(waits);

    kept.open.store(true, Ordering::SeqCst);
    get(keeper).unwrap();
    get_timeout(on(2.0, &open), soon).unwrap();
}
