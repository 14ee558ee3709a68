//! What becomes of actors on a cluster, and of calls that are under way there, when the runtime of the program ends.

use std::path::Path;
use std::process::Command;
use std::thread;

use mobula::ActorName;
use mobula::prelude::*;

use super::queued::Door;

/// Tells the program that ends where the cluster is, and for which door the actor waits that it leaves.
const ADDRESS: &str = "MOBULA_TEST_LEFT_ADDRESS";
const DOOR: &str = "MOBULA_TEST_LEFT_DOOR";

const NAME: &str = "left in a call";

/// Lets it be seen that this has begun, and never ends.
fn stay(begun: String) -> u64 {
    Door::at(begun).open_for_good();
    loop {
        thread::park();
    }
}

/// Has calls that compute and never end.
struct Stays {
    calls: u64,
    /// Opened when the state drops.
    dropped: Option<String>,
}

#[remote]
impl Stays {
    pub fn new(dropped: Option<String>) -> Self {
        Self { calls: 0, dropped }
    }

    pub fn stays(&mut self, begun: String) -> u64 {
        stay(begun)
    }

    pub fn stays_beside(&self, begun: String) -> u64 {
        stay(begun)
    }

    pub fn stops_itself(
        &mut self,
        begun: String,
        itself: ActorHandle<Stays>,
    ) -> mobula::Result<u64> {
        let stopped = itself.stop();
        Door::at(begun).open_for_good();
        mobula::get(stopped)?;
        Ok(0)
    }

    #[remote(stream)]
    pub fn items(&mut self, begun: String) -> impl Iterator<Item = u64> {
        (0..2).map(move |item| if item == 0 { 0 } else { stay(begun.clone()) })
    }

    pub fn waits_for(&mut self, begun: String, path: &str) {
        Door::at(begun).open_for_good();
        while !Path::new(path).exists() {
            thread::yield_now();
        }
    }

    pub fn call(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    pub fn calls(&self) -> u64 {
        self.calls
    }
}

impl Drop for Stays {
    fn drop(&mut self) {
        if let Some(dropped) = self.dropped.take() {
            Door::at(dropped).open_for_good();
        }
    }
}

/// Is never made.
struct Unmade;

#[remote]
impl Unmade {
    pub fn new(begun: String) -> Self {
        stay(begun);
        Self
    }

    pub fn call(&mut self) -> u64 {
        0
    }
}

/// Is saved after each call, so these are not sent ahead.
struct Saved;

#[remote]
impl Saved {
    pub fn new() -> Self {
        Self
    }

    pub fn stays(&mut self, begun: String) -> u64 {
        stay(begun)
    }

    fn checkpoint(&self) {}

    fn restore(&mut self, (): ()) {}
}

/// Has calls that wait and never end.
struct Waits;

#[remote]
impl Waits {
    pub async fn new() -> Self {
        Self
    }

    pub async fn stays(&self, begun: String) -> u64 {
        Door::at(begun).open_for_good();
        std::future::pending().await
    }
}

/// For a program that may join the cluster at this address.
pub(crate) fn by_another_program(address: &str) -> mobula::Result<()> {
    let door = Door::new("left", Engine::Ray);
    let mut other = Command::new(std::env::current_exe().expect("this is a program"));
    other.args(["left::a_program_that_ends", "--exact", "--nocapture"]);
    other.env(ADDRESS, address).env(DOOR, door.path());
    assert!(other.status().expect("it starts").success());
    // The actor goes on with the call that had begun, and only with that.
    let left = mobula::get_actor::<Stays>(ActorName::new(NAME).namespace("lab"))?;
    let calls = left.calls();
    door.open();
    assert_eq!(mobula::get(calls)?, 0);
    mobula::get(left.stop())
}

/// Is started by `by_another_program`.
#[test]
fn a_program_that_ends() {
    let (Ok(address), Ok(door)) = (std::env::var(ADDRESS), std::env::var(DOOR)) else { return };
    let runtime = Runtime::new(Config::new().engine(Engine::Ray).address(address)).unwrap();
    let entered = runtime.enter();
    let shut = |what: &str| Door::new(what, Engine::Ray);
    let begun = ["1", "2", "3", "4", "5", "6", "7", "8", "9"].map(shut);
    let begins = |nth: usize| begun[nth].path().to_owned();
    let (dropped, stays) = (shut("dropped"), || Stays::remote(None));

    let idle = Stays::remote(Some(dropped.path().to_owned()));
    let (one, killed, stopped, streams) = (stays(), stays(), stays(), stays());
    let beside = Stays::options().max_concurrency(2).remote(None);
    let (unmade, saved, waits) = (Unmade::remote(begins(0)), Saved::remote(), Waits::remote());
    let left = Stays::options().name(NAME).namespace("lab").detached().remote(None);
    let mut calls = vec![one.stays(begins(1)), one.call(), killed.stays(begins(2)), unmade.call()];
    calls.extend([stopped.stops_itself(begins(3), stopped.clone()), saved.stays(begins(4))]);
    calls.extend([5, 6].map(|nth| beside.stays_beside(begins(nth))));
    calls.extend([beside.call(), waits.stays(begins(7))]);
    let waited = left.waits_for(begins(8), &*door);
    calls.extend((0..10).map(|_| left.call()));
    let items = shut("items");
    let mut stream = streams.items(items.path().to_owned());
    assert_eq!(mobula::get(stream.next().expect("an item")).unwrap(), 0);
    assert_eq!(mobula::get(idle.call()).unwrap(), 1);
    begun.iter().chain([&items]).for_each(Door::wait_until_open);
    mobula::kill(&killed);

    drop(entered);
    runtime.shutdown();
    for call in calls {
        let error = mobula::get(call).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ShutDown, "{error}");
    }
    assert_eq!(mobula::get(waited).unwrap_err().kind(), ErrorKind::ShutDown);
    let rest: Vec<_> = stream.map(mobula::get).collect();
    assert!(
        rest.iter().all(|item| item.as_ref().is_err_and(|why| why.kind() == ErrorKind::ShutDown))
    );
    // Where nothing was under way there was time for that.
    dropped.wait_until_open();
}
