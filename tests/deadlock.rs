//! Waits that could never end, by every kind of circle, and waits that only look like it.

use std::sync::{Arc, Barrier, Mutex, OnceLock, mpsc};
use std::time::Duration;

use mobula::prelude::*;

/// Longer than any test takes.
const FOR_EVER: Duration = Duration::from_secs(600);

fn runtimes() -> impl Iterator<Item = Runtime> {
    [1, 2, 4].into_iter().map(|cpus| {
        Runtime::new(Config::new().num_cpus(cpus).resource("gpu", 2.0).resource("disk", 1.0))
            .unwrap()
    })
}

fn inline() -> Runtime {
    Runtime::new(Config::new().num_cpus(1).resource("gpu", 2.0).engine(Engine::Inline)).unwrap()
}

/// A ref that is given to a task after the task was made.
#[derive(Clone)]
struct Later<T>(Arc<OnceLock<T>>, Arc<Barrier>);

impl<T: Clone> Later<T> {
    fn new() -> Self {
        Self(Arc::default(), Arc::new(Barrier::new(2)))
    }

    fn give(&self, value: T) {
        self.0.set(value).ok().unwrap();
        self.1.wait();
    }

    fn take(&self) -> T {
        self.1.wait();
        self.0.get().unwrap().clone()
    }
}

/// The error names all of these calls, with their places in this file.
#[track_caller]
fn assert_deadlock(error: &mobula::Error, names: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Deadlock, "{text}");
    for name in names {
        assert!(
            text.contains(&format!("`{name}` (called at tests/deadlock.rs:")),
            "{name}: {text}"
        );
    }
}

#[remote(local)]
fn ask(whom: &Later<ObjectRef<u64>>) -> mobula::Result<u64> {
    get(&whom.take())
}

#[remote]
fn pass_on(x: u64) -> u64 {
    x
}

#[test]
fn a_task_waits_for_itself() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let whom = Later::new();
        let task = ask::remote(whom.clone());
        whom.give(task.clone());
        assert_deadlock(&get(task).unwrap_err(), &["ask"]);
    }
}

#[test]
fn a_task_waits_for_what_needs_its_result() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let whom = Later::new();
        let task = ask::options().name("asker").remote(whom.clone());
        let needs_it = pass_on::remote(&task);
        let needs_that = pass_on::options().name("last").remote(&needs_it);
        whom.give(needs_that.clone());
        assert_deadlock(&get(task).unwrap_err(), &["asker", "pass_on", "last"]);
        assert_eq!(get(needs_that).unwrap_err().kind(), ErrorKind::Deadlock);
    }
}

#[test]
fn tasks_wait_for_each_other() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        for count in [2, 3, 5] {
            let whom: Vec<_> = (0..count).map(|_| Later::new()).collect();
            let tasks: Vec<_> = (0..count)
                .map(|n| ask::options().num_cpus(0).name(format!("t{n}")).remote(whom[n].clone()))
                .collect();
            for n in 0..count {
                whom[n].give(tasks[(n + 1) % count].clone());
            }
            // One wait fails, and the error reaches all.
            for task in &tasks {
                let names: Vec<_> = (0..count).map(|n| format!("t{n}")).collect();
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                assert_deadlock(&get(task).unwrap_err(), &names);
            }
        }
    }
}

#[test]
fn a_wait_that_was_caught_lets_the_others_go_on() {
    #[remote(local)]
    fn ask_and_manage(whom: &Later<ObjectRef<u64>>) -> u64 {
        get(&whom.take()).map_or_else(
            |error| {
                assert_deadlock(&error, &["ask", "ask_and_manage"]);
                7
            },
            |x| x + 1,
        )
    }
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (one, two) = (Later::new(), Later::new());
        let first = ask_and_manage::options().num_cpus(0).name("ask").remote(one.clone());
        let second = ask_and_manage::options().num_cpus(0).remote(two.clone());
        one.give(second.clone());
        two.give(first.clone());
        // Whichever slept last fails, and the other gets 7 from it.
        let (first, second) = get((first, second)).unwrap();
        assert!([(7, 8), (8, 7)].contains(&(first, second)), "{first} {second}");
    }
}

#[test]
fn one_of_many_parts_and_lists() {
    #[remote(local)]
    fn ask_all(whom: &Later<Vec<ObjectRef<u64>>>) -> mobula::Result<Vec<u64>> {
        get(whom.take())
    }
    #[remote(num_returns = 2)]
    fn halves(all: Vec<u64>) -> (u64, u64) {
        (all[0], all[1])
    }
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let whom = Later::new();
        let task = ask_all::remote(whom.clone());
        let (_, right) = halves::remote(&task);
        whom.give(vec![put(1), pass_on::remote(2), right]);
        assert_deadlock(&get(task).unwrap_err(), &["ask_all", "halves"]);
    }
}

#[test]
fn through_the_stack_of_a_thread_that_helps() {
    // The child runs on top of its parent, so it waits for what needs the parent.
    #[remote(local)]
    fn parent(
        child: &Later<ObjectRef<u64>>,
        whom: Arc<Mutex<Option<ObjectRef<u64>>>>,
    ) -> mobula::Result<u64> {
        let _ = child.take();
        let child = mobula::spawn(move || {
            let whom = whom.lock().unwrap().take().unwrap();
            get(whom)
        });
        get(child)?
    }
    for runtime in runtimes().chain([inline()]).take(3) {
        let _entered = runtime.enter();
        let start = Later::new();
        let whom = Arc::new(Mutex::new(None));
        let task = parent::remote(start.clone(), Arc::clone(&whom));
        *whom.lock().unwrap() = Some(pass_on::remote(&task));
        start.give(put(1));
        assert_deadlock(&get(task).unwrap_err(), &["parent", "closure", "pass_on"]);
    }
}

struct Node {
    next: Option<ActorHandle<Node>>,
    started: Option<Arc<Barrier>>,
}

#[remote(local)]
impl Node {
    pub fn new(started: Option<Arc<Barrier>>) -> Self {
        Self { next: None, started }
    }

    pub fn link(&mut self, next: ActorHandle<Node>) {
        self.next = Some(next);
    }

    /// Asks the next, once all have been asked to.
    pub fn ask(&mut self) -> mobula::Result<u64> {
        if let Some(started) = &self.started {
            started.wait();
        }
        get(self.next.as_ref().unwrap().answer())
    }

    pub fn ask_for_a_time(&mut self) -> mobula::Result<u64> {
        mobula::get_timeout(self.next.as_ref().unwrap().answer(), Duration::from_millis(20))
    }

    pub fn ask_through_tasks(&mut self) -> mobula::Result<u64> {
        let next = self.next.clone().unwrap();
        get(pass_on::remote(mobula::spawn(move || {
            get(next.answer()).unwrap_or_else(|e| panic!("{e}"))
        })))
    }

    pub fn wait_for(&mut self, whom: Later<ObjectRef<u64>>) -> mobula::Result<u64> {
        get(whom.take())
    }

    pub fn add(&mut self, x: u64) -> u64 {
        x + 1
    }

    pub fn answer(&mut self) -> u64 {
        5
    }
}

#[test]
fn an_actor_waits_for_itself() {
    for runtime in runtimes().chain([inline()]).take(4) {
        let _entered = runtime.enter();
        let node = Node::remote(None);
        node.link(node.clone());
        assert_deadlock(&get(node.ask()).unwrap_err(), &["Node::ask", "Node::answer"]);
        // It goes on.
        assert_eq!(get(node.answer()).unwrap(), 5);
        let error = get(node.ask_through_tasks()).unwrap_err();
        assert!(error.to_string().contains("this wait can never end"), "{error}");
        assert_eq!(get(node.answer()).unwrap(), 5);
    }
}

#[test]
fn actors_wait_for_each_other() {
    for cpus in [2, 4] {
        let runtime = Runtime::new(Config::new().num_cpus(cpus)).unwrap();
        let _entered = runtime.enter();
        for count in 2..=cpus {
            let started = Arc::new(Barrier::new(count));
            let nodes: Vec<_> =
                (0..count).map(|_| Node::remote(Some(Arc::clone(&started)))).collect();
            for n in 0..count {
                nodes[n].link(nodes[(n + 1) % count].clone());
            }
            let asked: Vec<_> = nodes.iter().map(|node| node.ask()).collect();
            let errors: Vec<_> = asked.iter().filter_map(|asked| get(asked).err()).collect();
            // One fails; then its actor answers, and so do the others.
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert_deadlock(&errors[0], &["Node::ask", "Node::answer"]);
            assert!(errors[0].to_string().matches("`Node::ask`").count() > count);
        }
    }
}

#[test]
fn a_call_behind_one_that_waits_for_the_asker() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let node = Node::remote(None);
        let (whom, other) = (Later::new(), Later::new());
        let task = ask::options().num_cpus(0).remote(whom.clone());
        let waits = node.wait_for(other.clone());
        let behind = node.answer();
        other.give(task.clone());
        whom.give(behind);
        let names = ["ask", "Node::wait_for", "Node::answer"];
        let errors: Vec<_> = [get(task).err(), get(waits).err()].into_iter().flatten().collect();
        assert!(!errors.is_empty());
        errors.iter().for_each(|error| assert_deadlock(error, &names));
    }
}

#[test]
fn a_call_that_is_held_back() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let node = Node::remote(None);
        let whom = Later::new();
        let task = ask::options().num_cpus(0).remote(whom.clone());
        // The first waits for its argument, and the second behind it.
        let held = node.add(&task);
        whom.give(node.answer());
        assert_deadlock(&get(task).unwrap_err(), &["ask", "Node::answer"]);
        assert_eq!(get(held).unwrap_err().kind(), ErrorKind::Deadlock);
        assert_eq!(get(node.answer()).unwrap(), 5);
    }
}

#[test]
fn an_actor_that_waits_to_begin() {
    struct Born(u64);
    #[remote]
    impl Born {
        pub fn new(x: u64) -> Self {
            Self(x)
        }
        pub fn value(&self) -> u64 {
            self.0
        }
    }
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let whom = Later::new();
        let task = ask::remote(whom.clone());
        let born = Born::remote(&task);
        whom.give(born.value());
        assert_deadlock(&get(task).unwrap_err(), &["ask", "Born::value", "Born"]);
    }
}

#[test]
fn holders_wait_for_those_in_line() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let whom = [Later::new(), Later::new()];
        let holders = [0, 1].map(|n| {
            let call = ask::options().num_cpus(0).resource("gpu", 1.0);
            call.name(format!("holder{n}")).remote(whom[n].clone())
        });
        // Both run, so both hold one, and these two are in the line.
        let waiters = [0, 1].map(|n| {
            let call = pass_on::options().resource("gpu", 1.0);
            call.name(format!("waiter{n}")).remote(3)
        });
        whom[0].give(waiters[0].clone());
        whom[1].give(waiters[1].clone());
        let results = holders.map(get);
        let errors: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        // The one that fails gives its part back, so the other gets its answer.
        assert_eq!(errors.len(), 1, "{results:?}");
        assert_deadlock(errors[0], &["holder0", "holder1", "waiter0", "waiter1"]);
        assert!(errors[0].to_string().contains("\"gpu\""));
        get(&waiters[0]).unwrap();
        get(&waiters[1]).unwrap();
    }
}

#[test]
fn a_line_that_is_entered_while_the_holder_sleeps() {
    #[remote(local)]
    fn hold(gate: &Mutex<mpsc::Receiver<u64>>) -> u64 {
        gate.lock().unwrap().recv().unwrap()
    }
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let whom = Later::new();
        let holder =
            ask::options().num_cpus(0).resource("disk", 1.0).name("holder").remote(whom.clone());
        let (open, gate) = mpsc::channel();
        let late = hold::options().num_cpus(0).remote(Arc::new(Mutex::new(gate)));
        let waiter = pass_on::options().resource("disk", 1.0).name("waiter").remote(&late);
        whom.give(waiter.clone());
        // By now the holder may sleep; the waiter enters the line afterwards.
        while !holder.explain().to_string().contains("waiter") {
            std::thread::yield_now();
        }
        open.send(3).unwrap();
        assert_deadlock(&get(holder).unwrap_err(), &["holder", "waiter"]);
        assert_eq!(get(waiter).unwrap(), 3);
    }
}

#[test]
fn two_resources_in_opposite_order() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let whom = [Later::new(), Later::new()];
        let amount = [("gpu", 2.0), ("disk", 1.0)];
        let hold = [0, 1].map(|n| {
            let (resource, amount) = amount[n];
            let call = ask::options().num_cpus(0).resource(resource, amount);
            call.name(format!("holds {resource}")).remote(whom[n].clone())
        });
        let want = [1, 0].map(|n| {
            let (resource, amount) = amount[n];
            let call = pass_on::options().resource(resource, amount);
            call.name(format!("wants {resource}")).remote(3)
        });
        whom[0].give(want[0].clone());
        whom[1].give(want[1].clone());
        let errors: Vec<_> = hold.into_iter().filter_map(|hold| get(hold).err()).collect();
        assert_eq!(errors.len(), 1);
        assert_deadlock(&errors[0], &["holds gpu", "holds disk", "wants gpu", "wants disk"]);
    }
}

#[test]
fn wait_and_as_completed_give_what_never_comes() {
    #[remote(local)]
    fn some(whom: &Later<Vec<ObjectRef<u64>>>, n: usize) -> mobula::Result<Vec<u64>> {
        let refs = whom.take();
        let (ready, pending) = wait(&refs, n, None);
        assert_eq!((ready.len(), pending.len()), (1, 2));
        assert_deadlock(&get(&pending[0]).unwrap_err(), &["some", "first"]);
        let came: Vec<_> = as_completed(refs).collect();
        assert_eq!(came.len(), 3);
        assert!(came[0] == ready[0] && came[1] == pending[0] && came[2] == pending[1]);
        get(came)
    }
    #[remote]
    fn first(all: Vec<u64>) -> u64 {
        all[0]
    }
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let whom = Later::new();
        let task = some::remote(whom.clone(), 2);
        let needs = first::remote(&task);
        whom.give(vec![needs.clone(), pass_on::remote(&needs), pass_on::remote(1)]);
        assert_deadlock(&get(task).unwrap_err(), &["some", "first"]);
    }
}

#[test]
fn map_gives_the_error_for_each_item() {
    #[remote(local)]
    fn map_over(whom: &Later<ObjectRef<u64>>, unordered: bool) -> u64 {
        let me = whom.take();
        let map = mobula::map(0..3u64, move |_| get(&me).map(|_| ())).chunk_size(1);
        let map = if unordered { map.unordered() } else { map };
        let mut count = 0;
        for item in map {
            let error = item.and_then(|item| item).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
            count += 1;
        }
        count
    }
    for runtime in runtimes() {
        let _entered = runtime.enter();
        for unordered in [false, true] {
            let whom = Later::new();
            let task = map_over::remote(whom.clone(), unordered);
            whom.give(task.clone());
            assert_eq!(get(task).unwrap(), 3);
        }
    }
}

#[test]
fn a_wait_with_a_deadline_breaks_the_circle() {
    for cpus in [2, 4] {
        let runtime = Runtime::new(Config::new().num_cpus(cpus)).unwrap();
        let _entered = runtime.enter();
        let (one, two) = (Node::remote(None), Node::remote(None));
        one.link(two.clone());
        two.link(one.clone());
        // The one that waits for a time gives up, or is answered; the other is answered in any case.
        let (asks, asks_for_a_time) = (one.ask(), two.ask_for_a_time());
        assert_eq!(get(asks).unwrap(), 5);
        let outcome = get(asks_for_a_time);
        assert!(outcome.map_or_else(|error| error.kind() == ErrorKind::Timeout, |five| five == 5));
        // A wait for oneself, too, just ends.
        one.link(one.clone());
        assert_eq!(get(one.ask_for_a_time()).unwrap_err().kind(), ErrorKind::Timeout);
    }
}

#[test]
fn what_will_be_answered_is_waited_for() {
    #[remote(local)]
    fn hold(gate: &Mutex<mpsc::Receiver<u64>>) -> u64 {
        gate.lock().unwrap().recv().unwrap()
    }
    #[remote(local)]
    fn ask_both(a: ObjectRef<u64>, b: ObjectRef<u64>) -> mobula::Result<(u64, u64)> {
        let (ready, pending) = wait(&[a, b], 1, None);
        Ok((get(ready)?[0], get(pending)?[0]))
    }
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (open, gate) = mpsc::channel();
        let late =
            hold::options().num_cpus(0).resource("gpu", 2.0).remote(Arc::new(Mutex::new(gate)));
        let whom = Later::new();
        let node = Node::remote(None);
        let waits = node.wait_for(whom.clone());
        let behind = node.answer();
        let in_line = pass_on::options().resource("gpu", 1.0).remote(&late);
        let also = pass_on::options().resource("gpu", 2.0).remote(4);
        let both = ask_both::options().num_cpus(0).remote(behind.clone(), also.clone());
        let both = [both, ask_both::options().num_cpus(0).remote(in_line.clone(), behind.clone())];
        whom.give(late.clone());
        // All of them sleep by now, or soon will, and nothing is wrong with that.
        while !waits.explain().to_string().contains("`hold`")
            || !both[1].explain().to_string().contains("`pass_on`")
        {
            std::thread::yield_now();
        }
        open.send(3).unwrap();
        assert_eq!(get((waits, behind, in_line, also)).unwrap(), (3, 5, 3, 4));
        for both in both {
            get(both).unwrap();
        }
    }
}

#[test]
fn thousands_that_sleep_on_top_of_each_other_are_no_circle() {
    #[remote(local)]
    fn nest(
        depth: u64,
        gate: Arc<Mutex<mpsc::Receiver<u64>>>,
        deep: mpsc::Sender<()>,
    ) -> mobula::Result<u64> {
        if depth == 0 {
            deep.send(()).unwrap();
            return Ok(gate.lock().unwrap().recv().unwrap());
        }
        let inner = nest::remote(depth - 1, gate, deep);
        Ok(get(inner)? + 1)
    }
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (open, gate) = mpsc::channel();
        let (deep, is_deep) = mpsc::channel();
        let task = nest::remote(2000, Arc::new(Mutex::new(gate)), deep);
        is_deep.recv_timeout(FOR_EVER).unwrap();
        open.send(1).unwrap();
        assert_eq!(get(task).unwrap(), 2001);
    }
}

struct Waits(Option<ActorHandle<Waits>>);

#[remote(local)]
impl Waits {
    pub fn new() -> Self {
        Self(None)
    }
    pub async fn link(&mut self, next: ActorHandle<Waits>) {
        self.0 = Some(next);
    }
    pub async fn blocks(&self) -> mobula::Result<u64> {
        get(self.0.as_ref().unwrap().answer())
    }
    pub async fn awaits(&self) -> mobula::Result<u64> {
        self.0.as_ref().unwrap().answer().await
    }
    pub async fn answer(&self) -> u64 {
        5
    }
}

#[test]
fn an_async_actor_that_blocks_its_own_thread() {
    let runtime = Runtime::new(Config::new().num_cpus(1)).unwrap();
    let _entered = runtime.enter();
    // Both live on the one arbiter that there is.
    let (one, two) = (Waits::remote(), Waits::remote());
    one.link(two.clone());
    two.link(one.clone());
    assert_eq!(get(one.awaits()).unwrap(), 5);
    assert_deadlock(&get(one.blocks()).unwrap_err(), &["Waits::blocks", "Waits::answer"]);
    one.link(one.clone());
    assert_deadlock(&get(one.blocks()).unwrap_err(), &["Waits::blocks", "Waits::answer"]);
    assert_eq!(get(one.answer()).unwrap(), 5);
}

#[test]
fn the_inline_engine_finds_what_lies_beneath() {
    let runtime = inline();
    let _entered = runtime.enter();
    let node = Node::remote(None);
    node.link(node.clone());
    assert_deadlock(&get(node.ask()).unwrap_err(), &["Node::ask", "Node::answer"]);
    let error = get(node.ask_through_tasks()).unwrap_err();
    assert!(error.to_string().contains("this wait can never end"), "{error}");
    let (one, two) = (Node::remote(None), Node::remote(None));
    one.link(two.clone());
    two.link(one.clone());
    // No circle: each call runs where it is made.
    assert_eq!(get((one.ask(), two.ask())).unwrap(), (5, 5));
}

#[test]
fn hundreds_that_sleep_on_threads_of_their_own_are_no_circle() {
    #[remote(local)]
    fn hold(gate: &Mutex<mpsc::Receiver<u64>>) -> u64 {
        gate.lock().unwrap().recv().unwrap()
    }
    let runtime = Runtime::new(Config::new().num_cpus(2)).unwrap();
    let _entered = runtime.enter();
    let (open, gate) = mpsc::channel();
    let first = hold::options().num_cpus(0).remote(Arc::new(Mutex::new(gate)));
    let asks = |before: ObjectRef<u64>| {
        let whom = Later::new();
        let task = ask::options().num_cpus(0).remote(whom.clone());
        whom.give(before);
        task
    };
    let last = (0..300).fold(first, |before, _| asks(before));
    // The last one sleeps, and what it sees from there is a long way that ends well.
    while !matches!(last.explain().state, mobula::Standing::Waiting { .. }) {
        std::thread::yield_now();
    }
    open.send(3).unwrap();
    assert_eq!(get(last).unwrap(), 3);
}
