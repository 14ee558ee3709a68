//! Streams of actors in processes of their own: deaths in the middle, and what becomes of streams that nobody reads.

use mobula::prelude::*;
use mobula_tests::processes::kill;

fn runtime(cpus: usize) -> Runtime {
    Runtime::new(Config::new().num_cpus(cpus).engine(Engine::Processes)).unwrap()
}

#[remote]
fn pid() -> u32 {
    std::process::id()
}

/// A stream of a hundred numbers, in the middle of which the process may die.
fn hundred(dies_at: Option<u64>) -> impl Iterator<Item = u64> {
    (0..100).inspect(move |at| {
        if dies_at == Some(*at) {
            std::process::abort();
        }
    })
}

/// Streams; the one that computes, and the one that waits.
struct Source;

#[remote]
impl Source {
    pub fn new() -> Self {
        Self
    }

    #[remote(stream, max_unread = 2)]
    pub fn counts(&mut self, dies_at: Option<u64>) -> impl Iterator<Item = u64> {
        hundred(dies_at)
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }
}

struct Spring;

#[remote]
impl Spring {
    pub async fn new() -> Self {
        Self
    }

    #[remote(stream, max_unread = 2)]
    pub fn counts(&mut self, dies_at: Option<u64>) -> impl Iterator<Item = u64> {
        hundred(dies_at)
    }

    pub async fn pid(&self) -> u32 {
        std::process::id()
    }
}

/// Where a process dies in the middle of a stream, that ends with it, and is not run again.
macro_rules! dies_in_a_stream {
    ($options:expr) => {{
        let actor = $options.max_restarts(2).max_task_retries(5).remote();
        let mut items: Vec<_> = actor.counts(Some(7)).map(mobula::get).collect();
        let error = items.pop().unwrap().unwrap_err();
        assert_eq!((error.kind(), items.len()), (ErrorKind::WorkerCrashed, 7), "{error}");
        assert!(error.to_string().contains("SIGABRT"), "{error}");

        // Somebody else kills it while it waits for its reader.
        let pid = mobula::get(actor.pid()).unwrap();
        let mut stream = actor.counts(None);
        assert_eq!(mobula::get(stream.next().unwrap()).unwrap(), 0);
        assert!(kill(pid));
        let mut rest: Vec<_> = stream.map(mobula::get).collect();
        let error = rest.pop().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WorkerCrashed, "{error}");
        let rest: Vec<_> = rest.into_iter().map(Result::unwrap).collect();
        assert!(rest.iter().copied().eq((1..).take(rest.len())) && rest.len() <= 4, "{rest:?}");
        assert_ne!(mobula::get(actor.pid()).unwrap(), pid);
        assert_eq!(actor.counts(None).count(), 100);

        // What waits in line comes to the actor that has no more restarts, or not at all.
        let (dies, waits) = (actor.counts(Some(0)), actor.counts(None));
        let last = mobula::get(dies.last().unwrap()).unwrap_err();
        assert_eq!(last.kind(), ErrorKind::WorkerCrashed, "{last}");
        let last = mobula::get(waits.last().unwrap()).unwrap_err();
        assert_eq!(last.kind(), ErrorKind::ActorDied, "{last}");

        // It dies before the stream begins: that comes once more, whoever hears of the death first.
        for _ in 0..5 {
            let actor = $options.max_restarts(1).remote();
            assert!(kill(mobula::get(actor.pid()).unwrap()));
            let items: mobula::Result<Vec<_>> = actor.counts(None).map(mobula::get).collect();
            assert_eq!(items.unwrap().len(), 100);
        }
    }};
}

#[test]
fn a_process_that_dies_ends_the_stream_of_its_actor() {
    for cpus in [1, 2] {
        let runtime = runtime(cpus);
        let _entered = runtime.enter();
        dies_in_a_stream!(Source::options());
        dies_in_a_stream!(Source::options().max_concurrency(2));
        dies_in_a_stream!(Spring::options());
    }
}

#[remote]
fn doubled(x: u64) -> u64 {
    2 * x
}

/// An iterator that calls something when it is dropped.
struct Asks(ObjectRef<u64>);

impl Iterator for Asks {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        Some(1)
    }
}

impl Drop for Asks {
    fn drop(&mut self) {
        assert_eq!(get(&self.0).unwrap(), 4);
    }
}

/// One whose streams run beside other calls.
struct Fountain;

#[remote]
impl Fountain {
    pub fn new() -> Self {
        Self
    }

    #[remote(stream, max_unread = 2)]
    pub fn ones(&self) -> impl Iterator<Item = u64> {
        Asks(doubled::remote(2))
    }

    pub fn is_there(&self) -> bool {
        true
    }
}

#[test]
fn a_full_stream_beside_other_calls_comes_to_its_end_however_it_is_given_up() {
    for cpus in [1, 2] {
        let runtime = runtime(cpus);
        let _entered = runtime.enter();
        for round in 0..12 {
            let fountain = Fountain::options().max_concurrency(2).remote();
            let mut stream = fountain.ones();
            assert_eq!(get(stream.next().unwrap()).unwrap(), 1);
            let stays = (round % 2 == 0).then(|| fountain.clone());
            drop(fountain);
            if round % 3 == 0 {
                drop(stream);
            } else {
                stream.cancel();
                let last = get(stream.last().unwrap()).unwrap_err();
                assert_eq!(last.kind(), ErrorKind::Cancelled, "{last}");
            }
            // Neither the actor nor whoever has its process next is any the worse for it.
            if let Some(fountain) = stays {
                assert!(get(fountain.is_there()).unwrap());
            }
            let tasks: Vec<_> = (0..20).map(doubled::remote).collect();
            assert!(get(tasks).unwrap().into_iter().eq((0..20).map(|x| 2 * x)));
        }
    }
}

#[test]
fn unread_streams_of_actors_hold_no_cpu_and_a_shutdown_ends_them() {
    let runtime = runtime(1);
    let entered = runtime.enter();
    let streams: Vec<_> = (0..4).map(|_| Source::remote().counts(None)).collect();
    let others: Vec<_> = (0..4).map(|_| Spring::remote().counts(None)).collect();
    let mut all: Vec<_> = streams.into_iter().chain(others).collect();
    for stream in &mut all {
        assert_eq!(mobula::get(stream.next().unwrap()).unwrap(), 0);
    }
    assert_ne!(mobula::get(pid::remote()).unwrap(), std::process::id());
    drop(entered);
    runtime.shutdown();
    for stream in all {
        let last = mobula::get(stream.last().unwrap()).unwrap_err();
        assert_eq!(last.kind(), ErrorKind::ShutDown, "{last}");
    }
}
