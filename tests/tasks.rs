//! Tasks: what may be passed, what comes back, and what happens when they fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mobula::prelude::*;

#[derive(Debug, PartialEq)]
struct Refused(u64);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused {}", self.0)
    }
}

impl std::error::Error for Refused {}

#[remote]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[remote]
fn shout(text: &str, times: usize) -> String {
    text.to_uppercase().repeat(times)
}

#[remote]
fn own(text: String) -> String {
    text
}

#[remote]
fn total(values: &[f64]) -> f64 {
    values.iter().sum()
}

#[remote]
fn total_owned(values: Vec<f64>) -> f64 {
    values.iter().sum()
}

#[remote(local)]
fn total_shared(values: Vec<Arc<f64>>) -> f64 {
    values.iter().map(|value| **value).sum()
}

#[remote(local)]
fn total_borrowed(values: &[Arc<f64>]) -> f64 {
    values.iter().map(|value| **value).sum()
}

#[remote]
fn count_refs(refs: Vec<ObjectRef<f64>>) -> usize {
    refs.len()
}

#[remote]
fn half(x: f64) -> f64 {
    x / 2.0
}

#[remote]
fn refuse(x: u64) -> Result<u64, Refused> {
    if x > 9 { Err(Refused(x)) } else { Ok(x) }
}

#[remote]
fn refuse_by_text(x: u64) -> Result<u64, String> {
    Err(format!("no {x}"))
}

#[remote]
fn refuse_by_box(x: u64) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    Err(Refused(x))?
}

#[remote]
fn explode(x: u64) -> u64 {
    panic!("boom {x}")
}

#[remote(num_returns = 2)]
fn divide(a: u64, b: u64) -> (u64, u64) {
    (a / b, a % b)
}

#[remote]
async fn later(x: u64) -> u64 {
    add::remote(x, 1).await.unwrap()
}

#[remote]
async fn refuse_later(x: u64) -> Result<u64, Refused> {
    Err(Refused(x))
}

#[remote]
async fn explode_later() {
    panic!("later boom")
}

fn runtimes() -> impl Iterator<Item = Runtime> {
    let config = |cpus, engine| Runtime::new(Config::new().num_cpus(cpus).engine(engine)).unwrap();
    [
        config(1, Engine::Threads),
        config(2, Engine::Threads),
        config(8, Engine::Threads),
        config(2, Engine::Inline),
    ]
    .into_iter()
}

#[test]
fn plain_functions_stay_plain() {
    assert_eq!(add(1, 2), 3);
    assert_eq!(refuse(10), Err(Refused(10)));
}

#[test]
fn arguments_are_values_or_refs() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let three = add::remote(1, 2);
        let six = add::remote(&three, &three);
        assert_eq!(get(add::remote(six, three)).unwrap(), 9);

        assert_eq!(get(shout::remote("ab", 2)).unwrap(), "ABAB");
        assert_eq!(get(shout::remote(String::from("ab"), 1)).unwrap(), "AB");
        assert_eq!(get(shout::remote(own::remote("ab"), 3)).unwrap(), "ABABAB");
        let text = put(String::from("x"));
        assert_eq!(get(shout::remote(&text, 1)).unwrap(), "X");

        assert_eq!(get(total::remote(vec![1.0, 2.0])).unwrap(), 3.0);
        assert_eq!(get(total::remote([1.0, 2.0])).unwrap(), 3.0);
        assert_eq!(get(total::remote(put(vec![1.0, 2.0]))).unwrap(), 3.0);
    }
}

#[test]
fn lists_of_refs_arrive_as_values_shared_values_or_refs() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let refs: Vec<ObjectRef<f64>> = (0..100).map(|x| half::remote(f64::from(x))).collect();
        assert_eq!(get(total_owned::remote(&refs)).unwrap(), 2475.0);
        assert_eq!(get(total_owned::remote(refs.as_slice())).unwrap(), 2475.0);
        assert_eq!(get(total_shared::remote(&refs)).unwrap(), 2475.0);
        assert_eq!(get(total_borrowed::remote(&refs)).unwrap(), 2475.0);
        assert_eq!(get(total::remote(&refs)).unwrap(), 2475.0);
        assert_eq!(get(count_refs::remote(refs.clone())).unwrap(), 100);
        assert_eq!(get(total_owned::remote(refs)).unwrap(), 2475.0);
    }
}

#[test]
fn several_returns_are_several_refs() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let (quotient, rest) = divide::remote(17, 5);
        assert_eq!(get((quotient, rest)).unwrap(), (3, 2));
        let (quotient, rest) = divide::remote(1, 0);
        assert_eq!(get(quotient).unwrap_err().kind(), ErrorKind::Panic);
        assert_eq!(get(rest).unwrap_err().kind(), ErrorKind::Panic);
    }
}

#[test]
fn errors_keep_their_type() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        assert_eq!(get(refuse::remote(9)).unwrap(), 9);
        let error = get(refuse::remote(10)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Task);
        assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused(10)));
        assert!(std::error::Error::source(&error).unwrap().is::<Refused>());

        let error = get(refuse_by_text::remote(1)).unwrap_err();
        assert_eq!(error.downcast_ref::<String>().unwrap(), "no 1");

        let error = get(refuse_by_box::remote(1)).unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().is::<Refused>());
    }
}

#[test]
fn a_panic_names_function_file_and_line() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let line = line!() + 1;
        let error = get(explode::remote(7)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panic);
        let text = error.to_string();
        assert!(text.contains("`explode`") && text.contains("boom 7"), "{text}");
        assert!(text.contains(&format!("tasks.rs:{line}")), "{text}");
        assert!(text.contains(", at "), "where it panicked: {text}");
    }
}

#[test]
fn dependents_fail_with_the_root_cause_and_the_way() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let first = refuse::remote(11);
        let second = add::remote(&first, 1);
        let third = add::remote(second, 1);
        let error = get(third).unwrap_err();
        assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused(11)));
        let text = error.to_string();
        assert!(text.contains("`refuse`") && text.contains("passed on through `add`"), "{text}");
        assert_eq!(text.matches("tasks.rs").count(), 3, "{text}");
    }
}

#[test]
fn async_functions_wait_without_a_cpu() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let refs: Vec<_> = (0..100).map(|x| later::remote(x)).collect();
        assert_eq!(get(refs).unwrap(), (1..=100).collect::<Vec<_>>());
        assert_eq!(get(later::remote(add::remote(1, 1))).unwrap(), 3);
        let error = get(refuse_later::remote(1)).unwrap_err();
        assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused(1)));
        assert_eq!(get(explode_later::remote()).unwrap_err().kind(), ErrorKind::Panic);
    }
}

#[test]
fn closures_run_too() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let captured = String::from("abc");
        assert_eq!(get(mobula::spawn(move || captured.len())).unwrap(), 3);
    }
}

#[remote]
fn tree(depth: u32) -> u64 {
    if depth == 0 {
        return 1;
    }
    let (left, right) = (tree::remote(depth - 1), tree::remote(depth - 1));
    get(left).unwrap() + get(right).unwrap() + 1
}

#[test]
fn a_million_nested_tasks_on_one_cpu() {
    let runtime = Runtime::new(Config::new().num_cpus(1)).unwrap();
    let _entered = runtime.enter();
    assert_eq!(get(tree::remote(19)).unwrap(), (1 << 20) - 1);
    assert!(runtime.num_threads() < 10, "{runtime:?}");
}

#[test]
fn a_hundred_thousand_tasks_in_a_chain() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let last = (0..100_000).fold(add::remote(0, 0), |last, _| add::remote(last, 1));
        assert_eq!(get(last).unwrap(), 100_000);
        let last = (0..100_000).fold(refuse::remote(10), |last, _| add::remote(last, 1));
        assert_eq!(get(last).unwrap_err().kind(), ErrorKind::Task);
    }
}

#[test]
fn ten_thousand_refs_as_arguments_of_one_task() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let refs: Vec<_> = (0..10_000).map(|x| half::remote(f64::from(x))).collect();
        assert_eq!(get(total_owned::remote(refs)).unwrap(), 24_997_500.0);
    }
}

static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Counts how many of it there are.
struct Counted(Vec<u8>);

impl Counted {
    fn new() -> Self {
        LIVE.fetch_add(1, Ordering::SeqCst);
        Self(vec![1; 100])
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        LIVE.fetch_add(1, Ordering::SeqCst);
        Self(self.0.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

#[remote(local)]
fn make(_: u32) -> Counted {
    Counted::new()
}

#[remote(local)]
fn pass_on(counted: Counted) -> Counted {
    counted
}

#[remote(local)]
fn lose(counted: Counted) -> u64 {
    panic!("lost {}", counted.0.len())
}

#[remote(local)]
fn look_at(counted: &Counted) -> usize {
    counted.0.len()
}

#[test]
fn nothing_leaks() {
    for runtime in runtimes() {
        let _entered = runtime.enter();
        let refs: Vec<_> = (0..1000).map(|x| pass_on::remote(make::remote(x))).collect();
        let looks: Vec<_> = refs.iter().map(|r| look_at::remote(r)).collect();
        let lost: Vec<_> = refs.iter().map(|r| lose::remote(r)).collect();
        let dropped: Vec<_> = (0..1000).map(|x| make::remote(x)).collect();
        drop(dropped);
        assert_eq!(get(looks).unwrap(), vec![100; 1000]);
        for lost in lost {
            assert_eq!(get(lost).unwrap_err().kind(), ErrorKind::Panic);
        }
        assert_eq!(get(refs).unwrap().len(), 1000);
        drop(_entered);
        runtime.shutdown();
        assert_eq!(LIVE.load(Ordering::SeqCst), 0);
    }
}
