//! Retries: what is tried again, how often, after how long, and what is there again for it.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use mobula::RetryDelay;
use mobula::prelude::*;

/// Longer than any test runs: a delay that only something else can end.
const FOR_EVER: Duration = Duration::from_secs(3600);

fn runtime(cpus: usize) -> Runtime {
    Runtime::new(Config::new().num_cpus(cpus).resource("gpu", 1.0)).unwrap()
}

fn inline() -> Runtime {
    Runtime::new(Config::new().num_cpus(1).engine(Engine::Inline)).unwrap()
}

/// Fails with an `Err` until it has been tried `enough` times.
#[remote(local)]
fn fail_until(enough: u32, tries: &AtomicU32) -> Result<u32, String> {
    let tried = tries.fetch_add(1, Ordering::SeqCst) + 1;
    assert_eq!(mobula::context().attempt(), tried);
    if tried < enough { Err(format!("try {tried} failed")) } else { Ok(tried) }
}

/// As `fail_until`, on tokio.
#[remote(local)]
async fn fail_waiting_until(enough: u32, tries: &AtomicU32) -> Result<u32, String> {
    tokio::task::yield_now().await;
    let tried = tries.fetch_add(1, Ordering::SeqCst) + 1;
    assert_eq!(mobula::context().attempt(), tried);
    if tried < enough { Err(format!("try {tried} failed")) } else { Ok(tried) }
}

fn always(_: &mobula::Error) -> bool {
    true
}

#[test]
fn a_task_is_tried_until_it_succeeds_or_no_tries_are_left() {
    for runtime in [runtime(1), runtime(3), inline()] {
        let _entered = runtime.enter();
        for enough in 1..8 {
            for delay in [Duration::ZERO, Duration::from_micros(10)] {
                let tries = Arc::new(AtomicU32::new(0));
                let options = fail_until::options().max_retries(4).retry_if(always);
                let computed = options.retry_delay(delay).remote(enough, Arc::clone(&tries));
                let waiting_tries = Arc::new(AtomicU32::new(0));
                let options = fail_waiting_until::options().max_retries(4).retry_if(always);
                let waited = options.retry_delay(delay).remote(enough, Arc::clone(&waiting_tries));
                for (result, tries) in [(computed, tries), (waited, waiting_tries)] {
                    let result = get(result);
                    assert_eq!(tries.load(Ordering::SeqCst), enough.min(5));
                    if enough <= 5 {
                        assert_eq!(result.unwrap(), enough);
                    } else {
                        let error = result.unwrap_err();
                        assert_eq!(error.downcast_ref::<String>().unwrap(), "try 5 failed");
                        assert!(error.to_string().contains("tried 5 times"), "{error}");
                    }
                }
            }
        }
    }
}

#[test]
fn nothing_is_tried_again_unless_asked_for() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let tries = Arc::new(AtomicU32::new(0));
    let no_condition = fail_until::options().max_retries(4).remote(2, Arc::clone(&tries));
    let error = get(no_condition).unwrap_err();
    assert!(!error.to_string().contains("tried"), "{error}");
    let options = fail_until::options().max_retries(4).retry_if(|_| true);
    let taken_back = options.max_retries(0).remote(9, Arc::clone(&tries));
    get(taken_back).unwrap_err();
    assert_eq!(tries.load(Ordering::SeqCst), 2);
}

#[remote(local, max_retries = 3, retry_if = is_panic, retry_delay = "10us")]
fn panic_or_err(failures: &Mutex<Vec<&'static str>>) -> Result<u32, String> {
    match failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop() {
        Some("panic") => panic!("a panic"),
        Some(error) => Err(error.to_owned()),
        None => Ok(mobula::context().attempt()),
    }
}

fn is_panic(error: &mobula::Error) -> bool {
    error.kind() == ErrorKind::Panic
}

#[test]
fn the_condition_sees_each_failure_and_decides() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let fails = |failures: &[&'static str]| {
        get(panic_or_err::remote(Mutex::new(failures.iter().rev().copied().collect())))
    };
    assert_eq!(fails(&[]).unwrap(), 1);
    assert_eq!(fails(&["panic", "panic"]).unwrap(), 3);
    let error = fails(&["panic", "bad luck"]).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Task, "bad luck"));
    assert!(error.to_string().contains("tried 2 times"), "{error}");
    assert_eq!(fails(&["panic"; 4]).unwrap_err().kind(), ErrorKind::Panic);

    // A condition that panics says no.
    let failures = Mutex::new(vec!["panic"]);
    let call = panic_or_err::options().retry_if(|_| panic!("no idea")).remote(failures);
    assert_eq!(get(call).unwrap_err().message(), "a panic");
}

#[test]
fn dependents_wait_for_the_last_try() {
    #[remote]
    fn add_one(value: u32) -> u32 {
        value + 1
    }
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let retried = |enough| {
        let options = fail_until::options().max_retries(3).retry_if(always);
        options.retry_delay(Duration::from_micros(10)).remote(enough, AtomicU32::new(0))
    };
    assert_eq!(get(add_one::remote(retried(4))).unwrap(), 5);
    let error = get(add_one::remote(retried(5))).unwrap_err();
    assert!(error.to_string().contains("tried 4 times"), "{error}");
    assert!(error.to_string().contains("`add_one`"), "{error}");
}

/// A value that counts its clones.
#[derive(Default)]
struct Counted(Arc<AtomicUsize>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&self.0))
    }
}

struct NoClone(u32);

#[remote(local)]
#[expect(clippy::too_many_arguments)]
fn all_kinds(
    tries: &AtomicU32,
    owned: String,
    counted: Counted,
    text: &str,
    numbers: &[u32],
    by_ref: Vec<u32>,
    list: Vec<u32>,
    shared: &[Arc<u32>],
    lent: &NoClone,
) -> Result<u32, String> {
    let sum = numbers.iter().chain(&by_ref).chain(&list).sum::<u32>();
    assert_eq!((owned.as_str(), text, sum), ("owned", "text", 3 + 30 + 300));
    assert_eq!((*shared[0], lent.0), (1000, 7));
    drop((owned, counted, by_ref));
    let tried = tries.fetch_add(1, Ordering::SeqCst);
    if tried < 2 { Err(format!("after {tried}")) } else { Ok(tried) }
}

#[test]
fn arguments_are_there_again_for_each_try() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let clones = Arc::new(AtomicUsize::new(0));
    let call = || all_kinds::options().max_retries(5).retry_if(always);
    let list = [put(100), put(200)];
    let result = call().remote(
        AtomicU32::new(0),
        "owned",
        Counted(Arc::clone(&clones)),
        "text",
        [1, 2],
        put(vec![10, 20]),
        &list,
        vec![put(1000)],
        NoClone(7),
    );
    assert_eq!(get(result).unwrap(), 2);
    // Each try but the last that there could be has a clone.
    assert_eq!(clones.load(Ordering::SeqCst), 3);
}

#[test]
fn an_argument_that_cannot_be_cloned_is_an_error_that_names_it() {
    #[remote(local)]
    fn consume(first: u32, ticket: NoClone) -> u32 {
        first + ticket.0
    }
    #[remote(local)]
    async fn consume_later(ticket: NoClone) -> u32 {
        ticket.0
    }
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let computed = consume::options().max_retries(1).remote(1, NoClone(2));
    let waited = consume_later::options().max_retries(1).remote(NoClone(2));
    for call in [computed, waited] {
        let error = get(call).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("`ticket`"), "{error}");
    }
    assert_eq!(get(consume::options().max_retries(0).remote(1, NoClone(2))).unwrap(), 3);
}

#[test]
fn options_that_make_no_sense_are_errors() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let mistakes = [
        fail_until::options().retry_if(always),
        fail_until::options().retry_delay(FOR_EVER),
        fail_until::options().max_retries(1).retry_delay(RetryDelay::new(FOR_EVER).factor(0.5)),
        fail_until::options().max_retries(1).retry_delay(RetryDelay::new(FOR_EVER).jitter(2.0)),
    ];
    for mistake in mistakes {
        let error = get(mistake.remote(1, AtomicU32::new(0))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("retr"), "{error}");
    }
}

#[remote(local)]
fn nothing() {}

/// A ref whose task has failed once and waits for another try, for ever.
fn waiting_for_a_try(
    options: impl FnOnce() -> mobula::TaskOptions<tell_and_fail>,
) -> ObjectRef<()> {
    let (told, hears) = mpsc::channel();
    let call = options().max_retries(1).retry_if(always);
    let call = call.retry_delay(RetryDelay::new(FOR_EVER).max(FOR_EVER).jitter(0.0)).remote(told);
    hears.recv().unwrap();
    call
}

#[remote(local)]
fn tell_and_fail(told: mpsc::Sender<()>) -> Result<(), String> {
    told.send(()).unwrap();
    Err("told".to_owned())
}

#[test]
fn between_tries_a_task_holds_nothing() {
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let waits = waiting_for_a_try(|| tell_and_fail::options().resource("gpu", 1.0));
    get(nothing::options().resource("gpu", 1.0).remote()).unwrap();
    assert!(wait(std::slice::from_ref(&waits), 1, Some(Duration::ZERO)).0.is_empty());
    cancel(&waits);
}

#[test]
fn a_task_between_tries_is_cancelled_at_once() {
    let runtime = runtime(2);
    let _entered = runtime.enter();
    for cpus in [0.0, 0.5, 1.0, 2.0] {
        let waits = waiting_for_a_try(|| tell_and_fail::options().num_cpus(cpus));
        cancel(&waits);
        assert_eq!(get(waits).unwrap_err().kind(), ErrorKind::Cancelled);
    }
}

#[test]
fn a_task_that_was_cancelled_while_it_ran_is_not_tried_again() {
    #[remote(local)]
    fn until_cancelled(tries: &AtomicU32, told: mpsc::Sender<()>) -> mobula::Result<()> {
        tries.fetch_add(1, Ordering::SeqCst);
        told.send(()).unwrap();
        loop {
            mobula::check_cancelled()?;
            std::thread::yield_now();
        }
    }
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let tries = Arc::new(AtomicU32::new(0));
    let (told, hears) = mpsc::channel();
    let options = until_cancelled::options().max_retries(1000).retry_if(always);
    let task = options.remote(Arc::clone(&tries), told);
    hears.recv().unwrap();
    cancel(&task);
    assert_eq!(get(task).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(tries.load(Ordering::SeqCst), 1);
}

#[test]
fn each_try_has_its_own_time_limit() {
    #[remote(local)]
    fn slow_twice(tries: &AtomicU32) -> mobula::Result<u32> {
        let tried = tries.fetch_add(1, Ordering::SeqCst);
        if tried == 2 {
            return Ok(tried);
        }
        loop {
            mobula::check_cancelled()?;
            std::thread::yield_now();
        }
    }
    #[remote(local)]
    async fn wait_twice(tries: &AtomicU32) -> u32 {
        let tried = tries.fetch_add(1, Ordering::SeqCst);
        if tried < 2 {
            std::future::pending::<()>().await;
        }
        tried
    }
    let runtime = runtime(1);
    let _entered = runtime.enter();
    let is_late = |error: &mobula::Error| error.kind() == ErrorKind::TimeLimit;
    // Long enough for the last try, which has next to nothing to do.
    let limit = Duration::from_millis(200);
    let computed = slow_twice::options().max_retries(2).retry_if(is_late).timeout(limit);
    let waited = wait_twice::options().max_retries(2).retry_if(is_late).timeout(limit);
    let both = (computed.remote(AtomicU32::new(0)), waited.remote(AtomicU32::new(0)));
    assert_eq!(get(both).unwrap(), (2, 2));
}

#[test]
fn a_runtime_that_ends_lets_waiting_tries_go() {
    for cpus in [0.0, 1.0] {
        let runtime = runtime(1);
        let entered = runtime.enter();
        let waits = waiting_for_a_try(|| tell_and_fail::options().num_cpus(cpus));
        let needs = {
            #[remote(local)]
            fn after(_done: ()) {}
            after::remote(&waits)
        };
        drop(entered);
        drop(runtime);
        for ended in [waits, needs] {
            assert_eq!(get(ended).unwrap_err().kind(), ErrorKind::ShutDown);
        }
    }
}

#[test]
fn many_retried_tasks_all_end() {
    let runtime = runtime(3);
    let _entered = runtime.enter();
    let calls: Vec<_> = (0..2000u32)
        .map(|n| {
            let options = fail_until::options().max_retries(n % 5).retry_if(always);
            let options = options.retry_delay(Duration::from_micros(u64::from(n % 3)));
            let options = match n % 4 {
                0 => options.num_cpus(0.5),
                1 => options.resource("gpu", 0.1),
                2 => options.num_cpus(2),
                _ => options,
            };
            (n, options.remote(n % 7, AtomicU32::new(0)))
        })
        .collect();
    for (n, call) in calls {
        let (tries_max, enough) = (n % 5 + 1, (n % 7).max(1));
        assert_eq!(get(call).ok(), (enough <= tries_max).then_some(enough), "task {n}");
    }
}

#[test]
fn map_tries_each_call_again() {
    #[remote(local, max_retries = 2, retry_if = always)]
    fn fail_at_first(n: u32) -> Result<u32, String> {
        if mobula::context().attempt() < 3 { Err("too early".to_owned()) } else { Ok(n) }
    }
    let runtime = runtime(2);
    let _entered = runtime.enter();
    let results: mobula::Result<Vec<_>> = fail_at_first::map(0..100).collect();
    assert_eq!(results.unwrap(), (0..100).collect::<Vec<_>>());
}
