//! Streams: refs as they are produced, with a bound, to the end or not.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use mobula::prelude::*;
use mobula::{ShutdownReport, check_cancelled};

/// Runs a test on each in-process engine, with few CPUs and with more.
fn everywhere(test: impl Fn(&Runtime)) {
    for (engine, cpus) in
        [(Engine::Threads, 1), (Engine::Threads, 2), (Engine::Threads, 4), (Engine::Inline, 1)]
    {
        let runtime = Runtime::new(Config::new().num_cpus(cpus).engine(engine)).unwrap();
        let _entered = runtime.enter();
        test(&runtime);
    }
}

#[remote(stream)]
fn squares(n: u64) -> impl Iterator<Item = u64> {
    (0..n).map(|x| x * x)
}

#[test]
fn refs_come_in_order_and_to_the_end() {
    everywhere(|_| {
        let all: Vec<u64> = squares::remote(1000).map(|item| get(item).unwrap()).collect();
        assert!(all.iter().copied().eq((0..1000).map(|x| x * x)));
        assert_eq!(squares::remote(0).count(), 0);
        let mut one = squares::options().max_unread(1).remote(2);
        assert_eq!(get(one.next().unwrap()).unwrap(), 0);
        assert_eq!(get(one.next().unwrap()).unwrap(), 1);
        assert!(one.next().is_none() && one.next().is_none());
    });
}

#[test]
fn items_are_refs_like_any_other() {
    everywhere(|_| {
        let refs: Vec<ObjectRef<u64>> = squares::remote(10).collect();
        assert!(refs.iter().all(ObjectRef::is_ready));
        assert_eq!(get(doubled::remote(&refs[3])).unwrap(), 18);
        assert_eq!(get(&refs).unwrap()[9], 81);
    });
}

#[remote]
fn doubled(x: u64) -> u64 {
    2 * x
}

#[remote(stream)]
fn windows(values: &[f64], size: usize) -> impl Iterator<Item = f64> {
    values.windows(size).map(|window| window.iter().sum())
}

#[remote(stream)]
fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(str::to_owned)
}

#[test]
fn arguments_are_refs_or_borrowed_and_are_awaited() {
    everywhere(|_| {
        let values = put(vec![1.0, 2.0, 3.0, 4.0]);
        let sums: Vec<_> = windows::remote(&values, 2).collect();
        assert_eq!(get(sums).unwrap(), [3.0, 5.0, 7.0]);
        let texts: Vec<_> = lines::remote("a\nb").collect();
        assert_eq!(get(texts).unwrap(), ["a", "b"]);
        let of_task: Vec<_> = squares::remote(doubled::remote(2)).collect();
        assert_eq!(of_task.len(), 4);
    });
}

#[remote(stream)]
fn parsed(texts: Vec<String>) -> impl Iterator<Item = Result<u32, std::num::ParseIntError>> {
    texts.into_iter().map(|text| text.parse())
}

#[remote(stream)]
fn breaks_at(n: u64) -> impl Iterator<Item = u64> {
    (0..).inspect(move |x| assert!(*x != n, "it broke at {x}"))
}

#[remote]
fn fails() -> Result<u64, String> {
    Err("no number".to_owned())
}

#[test]
fn an_error_comes_in_its_place() {
    everywhere(|_| {
        let texts = ["1", "two", "3"].map(str::to_owned).to_vec();
        let parsed: Vec<_> = parsed::remote(texts).map(get).collect();
        assert_eq!(parsed.len(), 3);
        assert_eq!((parsed[0].as_ref().unwrap(), parsed[2].as_ref().unwrap()), (&1, &3));
        let error = parsed[1].as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Task);
        assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
        assert!(error.to_string().contains("`parsed` (called at"), "{error}");

        let mut items: Vec<_> = breaks_at::remote(40).map(get).collect();
        let error = items.pop().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panic);
        assert!(error.to_string().contains("it broke at 40"), "{error}");
        assert_eq!(items.into_iter().map(Result::unwrap).sum::<u64>(), 39 * 40 / 2);

        let mut failed: Vec<_> = squares::remote(fails::remote()).map(get).collect();
        let error = failed.pop().unwrap().unwrap_err();
        assert!(failed.is_empty());
        assert_eq!((error.kind(), error.message()), (ErrorKind::Task, "no number"));
    });
}

/// Counts how many items were produced, and tells when it is dropped.
struct Counted(Arc<AtomicUsize>, Option<mpsc::Sender<()>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.take();
    }
}

impl Iterator for Counted {
    type Item = usize;
    fn next(&mut self) -> Option<usize> {
        Some(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

#[remote(stream, local)]
fn counted(items: Counted) -> impl Iterator<Item = usize> {
    items
}

fn counting() -> (Counted, Arc<AtomicUsize>, mpsc::Receiver<()>) {
    let (count, (dropped, told)) = (Arc::default(), mpsc::channel());
    (Counted(Arc::clone(&count), Some(dropped)), count, told)
}

#[test]
fn the_producer_is_never_further_ahead_than_it_may_be() {
    everywhere(|_| {
        for max_unread in [1, 2, 3, 16] {
            let (items, count, _told) = counting();
            let mut stream = counted::options().max_unread(max_unread).remote(items);
            for read in 1..200 {
                assert_eq!(get(stream.next().unwrap()).unwrap(), read - 1);
                assert!(count.load(Ordering::SeqCst) <= read + max_unread);
            }
        }
    });
}

#[test]
fn a_dropped_stream_stops_its_producer() {
    everywhere(|_| {
        for read in [0, 1, 20] {
            let (items, _count, told) = counting();
            let mut stream = counted::remote(items);
            assert_eq!(stream.by_ref().take(read).count(), read);
            drop(stream);
            // The producer is gone, and what it held.
            assert_eq!(told.recv(), Err(mpsc::RecvError));
        }
    });
}

#[test]
fn a_waiting_producer_holds_no_cpu_and_no_resource() {
    let config = Config::new().num_cpus(1).resource("disk", 1.0);
    let runtime = Runtime::new(config).unwrap();
    let _entered = runtime.enter();
    let streams: Vec<_> = (0..50)
        .map(|_| {
            let (items, count, _) = counting();
            let options = counted::options().resource("disk", 1.0).max_unread(4);
            (options.remote(items), count)
        })
        .collect();
    for (mut stream, count) in streams {
        // All of them come to their bound on one CPU, one disk and no thread of their own.
        assert_eq!(get(stream.next().unwrap()).unwrap(), 0);
        assert!(count.load(Ordering::SeqCst) <= 5);
        assert_eq!(get(doubled::options().resource("disk", 1.0).remote(1)).unwrap(), 2);
    }
}

#[test]
fn a_task_reads_a_stream_on_the_only_cpu() {
    everywhere(|_| {
        let sum = mobula::spawn(|| {
            let items = squares::options().max_unread(1).remote(100);
            items.map(|item| get(item).unwrap()).sum::<u64>()
        });
        assert_eq!(get(sum).unwrap(), 328_350);
        // A stream of streams' sums.
        let sums: Vec<_> = sums::remote(5).collect();
        assert_eq!(get(sums).unwrap(), [0, 0, 1, 5, 14]);
    });
}

#[remote(stream)]
fn sums(n: u64) -> impl Iterator<Item = u64> {
    (0..n).map(|n| squares::remote(n).map(|item| get(item).unwrap()).sum())
}

#[remote(stream)]
fn endless() -> impl Iterator<Item = mobula::Result<u64>> {
    let mut x = 0;
    std::iter::from_fn(move || {
        x += 1;
        Some(check_cancelled().map(|()| x))
    })
}

#[test]
fn a_cancelled_stream_ends_with_an_error_behind_what_was_yielded() {
    everywhere(|_| {
        let mut stream = endless::options().max_unread(4).remote();
        let first = get(stream.next().unwrap()).unwrap();
        assert_eq!(first, 1);
        stream.cancel();
        let mut rest: Vec<_> = stream.map(get).collect();
        assert_eq!(rest.pop().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(rest.len() <= 4, "{}", rest.len());
    });
}

#[test]
fn a_stream_goes_with_the_task_that_made_it() {
    let runtime = Runtime::new(Config::new().num_cpus(2)).unwrap();
    let _entered = runtime.enter();
    let (items, _count, told) = counting();
    let (tell, made) = mpsc::channel();
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    let maker = mobula::spawn(move || {
        let mut stream = counted::remote(items);
        let _first = stream.next();
        *keep.lock().unwrap() = Some(stream);
        tell.send(()).unwrap();
        while check_cancelled().is_ok() {
            std::thread::yield_now();
        }
        check_cancelled()
    });
    made.recv().unwrap();
    mobula::cancel(&maker);
    assert_eq!(get(maker).unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(told.recv(), Err(mpsc::RecvError));
    let stream = kept.lock().unwrap().take().unwrap();
    let last = stream.map(get).last().unwrap();
    assert_eq!(last.unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn a_shutdown_ends_the_streams_that_nobody_reads() {
    for engine in [Engine::Threads, Engine::Inline] {
        let runtime = Runtime::new(Config::new().num_cpus(2).engine(engine)).unwrap();
        let entered = runtime.enter();
        let (items, _count, told) = counting();
        let mut computed = counted::remote(items);
        let mut awaited = ticks::remote(u64::MAX);
        assert_eq!(get(computed.next().unwrap()).unwrap(), 0);
        assert_eq!(get(awaited.next().unwrap()).unwrap(), 0);
        drop(entered);
        let report: ShutdownReport = runtime.shutdown();
        assert_eq!(told.recv(), Err(mpsc::RecvError));
        let last = computed.map(get).last().unwrap();
        assert_eq!(last.unwrap_err().kind(), ErrorKind::ShutDown);
        let last = awaited.map(get).last().unwrap();
        assert_eq!(last.unwrap_err().kind(), ErrorKind::ShutDown);
        assert!(report.unheeded.is_empty());
    }
}

#[remote(stream)]
fn ticks(n: u64) -> impl futures::Stream<Item = u64> {
    let wait = move |x| async move {
        tokio::task::yield_now().await;
        (x < n).then_some((x, x + 1))
    };
    futures::stream::unfold(0, wait)
}

#[test]
fn what_waits_streams_too() {
    everywhere(|_| {
        let all: Vec<_> = ticks::options().max_unread(3).remote(100).collect();
        assert_eq!(get(all).unwrap().into_iter().sum::<u64>(), 4950);
        let refused = ticks::options().num_cpus(0.5).remote(1).map(get).next().unwrap();
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Engine);
    });
}

#[test]
fn a_stream_is_awaited_under_any_executor() {
    use futures::StreamExt;
    everywhere(|_| {
        let sum = futures::executor::block_on(async {
            let mut items = pin!(squares::options().max_unread(2).remote(50));
            let mut sum = 0;
            while let Some(item) = items.next().await {
                sum += item.await.unwrap();
            }
            sum
        });
        assert_eq!(sum, 40_425);
    });
}

#[test]
fn options_that_make_no_sense_are_errors_in_the_stream() {
    everywhere(|_| {
        let mut none = squares::options().max_unread(0).remote(3);
        let error = get(none.next().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("max_unread is 0; it takes a number from 1"));
        assert!(none.next().is_none());
        let mut wide = squares::options().num_cpus(64).remote(3);
        let error = get(wide.next().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Infeasible);
    });
}

#[test]
fn a_stream_has_the_name_that_it_is_given() {
    let mut named = breaks_at::options().name("breaker").remote(0);
    let error = get(named.next().unwrap()).unwrap_err();
    assert!(error.to_string().contains("task `breaker` (called at"), "{error}");
    assert!(format!("{named:?}").starts_with("ObjectStream(`breaker`"), "{named:?}");
}
