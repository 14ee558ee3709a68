//! Streams from methods of actors: of those that compute and of those that wait.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use mobula::prelude::*;
use mobula::{ActorEnd, ObjectStream};

/// Runs a test with few CPUs and with more.
fn everywhere(test: impl Fn(&Runtime)) {
    for cpus in [1, 2, 4] {
        let runtime = Runtime::new(Config::new().num_cpus(cpus)).unwrap();
        let _entered = runtime.enter();
        test(&runtime);
    }
}

/// Counts what was produced, and tells when it is dropped.
#[derive(Clone)]
struct Watch(Arc<AtomicUsize>, mpsc::Sender<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.1.send(());
    }
}

fn watch() -> (Watch, Arc<AtomicUsize>, mpsc::Receiver<()>) {
    let (count, (tell, told)) = (Arc::<AtomicUsize>::default(), mpsc::channel());
    (Watch(Arc::clone(&count), tell), count, told)
}

/// One that computes.
struct Shelf {
    items: VecDeque<String>,
}

#[remote(local)]
impl Shelf {
    pub fn new(items: usize) -> Self {
        Self { items: (0..items).map(|item| item.to_string()).collect() }
    }

    /// What is there, which stays.
    #[remote(stream)]
    pub fn list(&self) -> impl Iterator<Item = String> {
        self.items.iter().cloned()
    }

    /// What is there, which goes.
    #[remote(stream, max_unread = 2)]
    pub fn take(&mut self) -> impl Iterator<Item = String> + '_ {
        std::iter::from_fn(|| self.items.pop_front())
    }

    #[remote(stream)]
    pub fn parsed(&self, add: &str) -> impl Iterator<Item = Result<u32, std::num::ParseIntError>> {
        self.items.iter().map(move |item| format!("{item}{add}").parse())
    }

    #[remote(stream, max_unread = 3)]
    pub fn endless(&mut self, watch: Watch) -> impl Iterator<Item = usize> {
        std::iter::repeat_with(move || watch.0.fetch_add(1, Ordering::SeqCst))
    }

    #[remote(stream)]
    pub fn breaks_at(&mut self, place: usize) -> impl Iterator<Item = usize> {
        (0..).inspect(move |at| assert_ne!(*at, place, "it broke"))
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn push(&mut self, item: String) {
        self.items.push_back(item);
    }
}

/// One that waits.
struct Well {
    depth: u64,
}

#[remote(local)]
impl Well {
    pub fn new(depth: u64) -> Self {
        Self { depth }
    }

    #[remote(stream, max_unread = 2)]
    pub fn drops(&self) -> impl futures::Stream<Item = u64> {
        futures::stream::unfold(0, async |at| {
            tokio::task::yield_now().await;
            (at < self.depth).then_some((at, at + 1))
        })
    }

    #[remote(stream, max_unread = 2)]
    pub fn dig(&mut self) -> impl Iterator<Item = u64> {
        std::iter::repeat_with(|| {
            self.depth += 1;
            self.depth
        })
    }

    #[remote(stream, max_unread = 3)]
    pub fn endless(&mut self, watch: Watch) -> impl Iterator<Item = usize> {
        std::iter::repeat_with(move || watch.0.fetch_add(1, Ordering::SeqCst))
    }

    pub async fn depth(&self) -> u64 {
        self.depth
    }

    pub fn fill(&mut self) {
        self.depth = 0;
    }
}

fn all<T: Clone + Send + Sync + 'static>(stream: ObjectStream<T>) -> Vec<T> {
    stream.map(|item| get(item).unwrap()).collect()
}

#[test]
fn items_come_in_order_and_to_the_end() {
    everywhere(|_| {
        let shelf = Shelf::remote(100);
        let expected: Vec<_> = (0..100).map(|item| item.to_string()).collect();
        assert_eq!(all(shelf.list()), expected);
        assert_eq!(get(shelf.len()).unwrap(), 100);
        assert_eq!(all(shelf.take()), expected);
        assert_eq!(get(shelf.len()).unwrap(), 0);
        assert!(all(shelf.list()).is_empty());
        let well = Well::remote(50);
        assert!(all(well.drops()).into_iter().eq(0..50));
        assert_eq!(get(well.dig().nth(9).unwrap()).unwrap(), 60);
    });
}

#[test]
fn later_calls_wait_and_see_what_the_stream_did() {
    everywhere(|_| {
        let shelf = Shelf::remote(10);
        let mut taken = shelf.take();
        let (later, more) = (shelf.len(), shelf.push("more".to_owned()));
        assert_eq!(get(taken.next().unwrap()).unwrap(), "0");
        assert!(!later.is_ready(), "the actor is in the middle of a call");
        assert_eq!(taken.count(), 9);
        assert_eq!(get(later).unwrap(), 0);
        get(more).unwrap();
        assert_eq!(all(shelf.list()), ["more"]);
    });
}

#[test]
fn a_dropped_stream_stops_its_producer_and_frees_the_actor() {
    everywhere(|_| {
        for read in [0, 1, 20] {
            let (watch, count, told) = watch();
            let shelf = Shelf::remote(3);
            let mut stream = shelf.endless(watch);
            assert_eq!(stream.by_ref().take(read).count(), read);
            drop(stream);
            told.recv().unwrap();
            assert!(count.load(Ordering::SeqCst) <= read + 3);
            assert_eq!(get(shelf.len()).unwrap(), 3);
        }
        for read in [0, 1, 20] {
            let (watch, _, told) = watch();
            let well = Well::remote(3);
            let mut stream = well.endless(watch);
            assert_eq!(stream.by_ref().take(read).count(), read);
            drop(stream);
            told.recv().unwrap();
            assert_eq!(get(well.depth()).unwrap(), 3);
        }
    });
}

#[test]
fn the_producer_is_never_further_ahead_than_it_may_be() {
    everywhere(|_| {
        let check = |mut stream: ObjectStream<usize>, count: Arc<AtomicUsize>| {
            for read in 1..200 {
                assert_eq!(get(stream.next().unwrap()).unwrap(), read - 1);
                assert!(count.load(Ordering::SeqCst) <= read + 3);
            }
        };
        let (of_shelf, count, _told) = watch();
        check(Shelf::remote(0).endless(of_shelf), count);
        let (of_well, count, _told) = watch();
        check(Well::remote(0).endless(of_well), count);
    });
}

#[test]
fn an_error_comes_in_its_place() {
    everywhere(|_| {
        let shelf = Shelf::remote(1);
        get(shelf.push("x".to_owned())).unwrap();
        get(shelf.push("2".to_owned())).unwrap();
        let parsed: Vec<_> = shelf.parsed("7").map(get).collect();
        assert_eq!((parsed[0].as_ref().unwrap(), parsed[2].as_ref().unwrap()), (&7, &27));
        let error = parsed[1].as_ref().unwrap_err();
        assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
        assert!(error.to_string().contains("`Shelf::parsed` (called at"), "{error}");
    });
}

#[test]
fn a_panic_is_the_last_item_and_a_crash_of_the_actor() {
    everywhere(|_| {
        let shelf = Shelf::options().max_restarts(1).max_task_retries(3).remote(2);
        let mut items: Vec<_> = shelf.breaks_at(20).map(get).collect();
        assert_eq!(items.pop().unwrap().unwrap_err().kind(), ErrorKind::Panic);
        assert_eq!(items.len(), 20, "it is not run again");
        assert_eq!(get(shelf.len()).unwrap(), 2, "the actor was made anew");
        let last = shelf.breaks_at(0).map(get).last().unwrap();
        assert_eq!(last.unwrap_err().kind(), ErrorKind::Panic);
        let last = shelf.list().map(get).last().unwrap();
        assert_eq!(last.unwrap_err().kind(), ErrorKind::ActorDied);
    });
}

#[test]
fn shared_calls_run_beside_a_shared_stream_where_they_may() {
    everywhere(|_| {
        let well = Well::remote(50);
        let mut drops = well.drops();
        assert_eq!(get(drops.next().unwrap()).unwrap(), 0);
        assert_eq!(get(well.depth()).unwrap(), 50);
        // What needs the state alone waits.
        let filled = well.fill();
        assert_eq!(drops.count(), 49);
        get(filled).unwrap();
        assert_eq!(get(well.depth()).unwrap(), 0);
    });
    let runtime = Runtime::new(Config::new().num_cpus(2)).unwrap();
    let _entered = runtime.enter();
    let shelf = Shelf::options().max_concurrency(2).remote(50);
    let mut list = shelf.list();
    assert_eq!(get(list.next().unwrap()).unwrap(), "0");
    assert_eq!(get(shelf.len()).unwrap(), 50);
    assert_eq!(list.count(), 49);
}

#[test]
fn a_cancelled_stream_ends_with_an_error_behind_what_was_yielded() {
    everywhere(|_| {
        let (watch, _, told) = watch();
        let shelf = Shelf::remote(3);
        let mut stream = shelf.endless(watch);
        assert_eq!(get(stream.next().unwrap()).unwrap(), 0);
        stream.cancel();
        let mut rest: Vec<_> = stream.map(get).collect();
        assert_eq!(rest.pop().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(rest.len() <= 3, "{}", rest.len());
        told.recv().unwrap();
        assert_eq!(get(shelf.len()).unwrap(), 3, "the actor lives");
    });
}

#[test]
fn who_kills_the_actor_ends_its_streams() {
    everywhere(|_| {
        let (of_shelf, _, _told) = watch();
        let shelf = Shelf::remote(3);
        let mut stream = shelf.endless(of_shelf);
        assert_eq!(get(stream.next().unwrap()).unwrap(), 0);
        mobula::kill(&shelf);
        assert!(matches!(get(shelf.watch()).unwrap(), ActorEnd::Killed));
        let last = stream.map(get).last().unwrap();
        assert_eq!(last.unwrap_err().kind(), ErrorKind::ActorDied);
        let (of_well, _, _told) = watch();
        let well = Well::remote(3);
        let mut stream = well.endless(of_well);
        assert_eq!(get(stream.next().unwrap()).unwrap(), 0);
        mobula::kill(&well);
        assert!(matches!(get(well.watch()).unwrap(), ActorEnd::Killed));
        let last = stream.map(get).last().unwrap();
        assert_eq!(last.unwrap_err().kind(), ErrorKind::ActorDied);
    });
}

#[test]
fn an_actor_without_handles_ends_when_its_stream_does() {
    everywhere(|_| {
        let mut taken = Shelf::remote(30).take();
        assert_eq!(get(taken.next().unwrap()).unwrap(), "0");
        assert_eq!(taken.count(), 29);
    });
}

#[test]
fn a_shutdown_ends_the_streams_that_nobody_reads() {
    let runtime = Runtime::new(Config::new().num_cpus(2)).unwrap();
    let entered = runtime.enter();
    let (of_shelf, _, told) = watch();
    let mut stream = Shelf::remote(3).endless(of_shelf);
    assert_eq!(get(stream.next().unwrap()).unwrap(), 0);
    drop(entered);
    runtime.shutdown();
    told.recv().unwrap();
    let last = stream.map(get).last().unwrap();
    assert_eq!(last.unwrap_err().kind(), ErrorKind::ShutDown);
}

#[test]
fn what_cannot_be_is_an_error_in_the_stream() {
    struct Narrow;

    const NONE: usize = 0;

    #[remote(local)]
    impl Narrow {
        pub fn new() -> Self {
            Self
        }

        #[remote(stream, max_unread = NONE)]
        pub fn items(&self) -> impl Iterator<Item = u8> {
            0..3
        }
    }

    everywhere(|_| {
        let error = Narrow::remote().items().map(get).last().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    });
    let runtime = Runtime::new(Config::new().engine(Engine::Inline)).unwrap();
    let _entered = runtime.enter();
    let error = Shelf::remote(2).list().map(get).last().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Engine);
    assert!(error.message().contains("`Shelf::list`"), "{error}");
    // One that waits does so on its arbiter, with this engine as with others.
    assert_eq!(all(Well::remote(5).drops()), [0, 1, 2, 3, 4]);
}

#[test]
fn many_unread_streams_hold_no_cpu() {
    let runtime = Runtime::new(Config::new().num_cpus(1)).unwrap();
    let _entered = runtime.enter();
    let streams: Vec<_> = (0..20).map(|_| Shelf::remote(10).take()).collect();
    let sum = mobula::spawn(|| (1..=10).sum::<u64>());
    assert_eq!(get(sum).unwrap(), 55);
    for stream in streams {
        assert_eq!(stream.count(), 10);
    }
}
