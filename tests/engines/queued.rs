//! What becomes of an actor's calls that were made and have not begun, wherever they wait.

use std::path::PathBuf;

use mobula::prelude::*;
use mobula::{ActorEnd, ErrorKind};

/// Counts its calls, and saves nothing.
struct Line {
    calls: u64,
}

#[remote]
impl Line {
    pub fn new() -> Self {
        Self { calls: 0 }
    }

    pub fn call(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    pub fn calls(&self) -> u64 {
        self.calls
    }

    pub fn panics(&mut self) {
        panic!("out of line")
    }

    pub fn aborts(&mut self) {
        std::process::abort()
    }

    pub fn leaves(&mut self) -> mobula::Result<()> {
        mobula::exit_actor()
    }

    /// Until there is a file of that name.
    pub fn waits_for(&mut self, path: &str) {
        while !std::path::Path::new(path).exists() {
            std::thread::yield_now();
        }
    }

    pub fn until_cancelled(&mut self) -> mobula::Result<()> {
        loop {
            mobula::check_cancelled()?;
            std::thread::yield_now();
        }
    }
}

/// A file that whoever waits for it sees when it is `open`.
pub(crate) struct Door(PathBuf);

impl Door {
    pub(crate) fn new(name: &str, engine: Engine) -> Self {
        let name = format!("mobula-{name}-{}-{}", engine.name(), std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// That of this path.
    pub(crate) fn at(path: String) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("a folder for what is temporary has a plain name")
    }

    pub(crate) fn open(&self) {
        std::fs::write(&self.0, []).expect("a file can be made where temporary ones are");
    }

    /// Somebody else removes it.
    pub(crate) fn open_for_good(self) {
        self.open();
        std::mem::forget(self);
    }

    pub(crate) fn wait_until_open(&self) {
        while !self.0.exists() {
            std::thread::yield_now();
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn many(line: &ActorHandle<Line>) -> Vec<ObjectRef<u64>> {
    (0..100).map(|_| line.call()).collect()
}

fn all_died(calls: Vec<ObjectRef<u64>>) {
    assert_eq!(ran_before_its_end(calls), 0);
}

/// How many of these calls were done before the others failed.
fn ran_before_its_end(calls: Vec<ObjectRef<u64>>) -> u64 {
    let mut calls = calls.into_iter().map(mobula::get).peekable();
    let mut ran = 0;
    while let Some(Ok(count)) = calls.next_if(Result::is_ok) {
        ran += 1;
        assert_eq!(count, 1 + ran);
    }
    for call in calls {
        let error = call.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ActorDied, "{error}");
    }
    ran
}

pub(crate) fn crashes(engine: Engine) -> mobula::Result<()> {
    let line = Line::options().max_restarts(2).remote();
    let (before, crash, after) = (many(&line), line.panics(), many(&line));
    assert!(mobula::get(before)?.into_iter().eq(1..=100));
    assert_eq!(mobula::get(crash).unwrap_err().kind(), ErrorKind::Panic);
    assert!(mobula::get(after)?.into_iter().eq(1..=100));
    if matches!(engine, Engine::Processes | Engine::Ray) {
        let (before, crash, after) = (many(&line), line.aborts(), many(&line));
        assert!(mobula::get(before)?.into_iter().eq(101..=200));
        assert_eq!(mobula::get(crash).unwrap_err().kind(), ErrorKind::WorkerCrashed);
        assert!(mobula::get(after)?.into_iter().eq(1..=100));
    }
    let line = Line::remote();
    let (before, crash, after) = (many(&line), line.panics(), many(&line));
    assert!(mobula::get(before)?.into_iter().eq(1..=100));
    assert_eq!(mobula::get(crash).unwrap_err().kind(), ErrorKind::Panic);
    all_died(after);
    Ok(())
}

pub(crate) fn ends(engine: Engine) -> mobula::Result<()> {
    let line = Line::remote();
    let (before, exit, after) = (many(&line), line.leaves(), many(&line));
    assert!(mobula::get(before)?.into_iter().eq(1..=100));
    mobula::get(exit)?;
    all_died(after);
    if engine == Engine::Inline {
        // Calls are done before anybody could end or cancel them.
        return Ok(());
    }

    let (door, line) = (Door::new("killed", engine), Line::remote());
    let (end, first) = (line.watch(), line.call());
    let (begun, after) = (line.waits_for(door.path()), many(&line));
    assert_eq!(mobula::get(first)?, 1);
    mobula::kill(&line);
    door.open();
    // It had begun, or was about to; and where the way to the actor is long, others may have, in their order.
    let ran = mobula::get(begun).map_or(0, |()| ran_before_its_end(after));
    assert!(ran == 0 || engine == Engine::Ray, "{ran}");
    assert!(matches!(mobula::get(end)?, ActorEnd::Killed));

    let (door, line) = (Door::new("cancelled", engine), Line::remote());
    let (first, begun) = (line.call(), line.waits_for(door.path()));
    let (cancelled, after) = (many(&line), line.calls());
    assert_eq!(mobula::get(first)?, 1);
    cancelled.iter().for_each(|call| drop(mobula::cancel(call)));
    door.open();
    mobula::get(begun)?;
    let mut ran = 0;
    for call in cancelled {
        match mobula::get(call) {
            Ok(_) => ran += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}"),
        }
    }
    assert!(ran == 0 || engine == Engine::Ray, "{ran}");
    assert_eq!(mobula::get(after)?, 1 + ran);

    let stopped = line.until_cancelled();
    mobula::cancel(&stopped);
    assert_eq!(mobula::get(stopped).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(mobula::get(line.call())?, 2 + ran);
    Ok(())
}

/// What was called together need not end together: who waits for one call may be what another one waits for.
pub(crate) fn waits_for_what_comes_of_another(engine: Engine) -> mobula::Result<()> {
    let (open, shut) = (Door::new("open", engine), Door::new("shut", engine));
    open.open();
    let line = Line::remote();
    let quick: Vec<_> = (0..20).map(|_| line.waits_for(open.path())).collect();
    mobula::get(quick)?;
    if engine == Engine::Inline {
        return Ok(());
    }
    let quick: Vec<_> = (0..20).map(|_| line.waits_for(open.path())).collect();
    let (slow, last) = (line.waits_for(shut.path()), line.call());
    mobula::get(quick)?;
    shut.open();
    mobula::get(slow)?;
    assert_eq!(mobula::get(last)?, 1);
    Ok(())
}

/// Has a handle of itself, or of another that has one of it.
struct Link {
    next: Option<ActorHandle<Link>>,
}

#[remote]
impl Link {
    pub fn new() -> Self {
        Self { next: None }
    }

    pub fn join(&mut self, next: ActorHandle<Link>) {
        self.next = Some(next);
    }

    pub fn takes(&mut self, other: ObjectRef<u64>) -> mobula::Result<u64> {
        mobula::get(other)
    }

    pub fn asks(&mut self, door: String, hops: u64) -> mobula::Result<u64> {
        if hops == 0 {
            Door::at(door).open_for_good();
            return Ok(0);
        }
        let next = self.next.as_ref().expect("it was joined");
        let asked = next.asks(door.clone(), hops - 1);
        if hops == 1 {
            Door::at(door).open_for_good();
        }
        Ok(1 + mobula::get(asked)?)
    }
}

/// What waits in a circle ends at the latest when an actor in it does, whether the circle is found before or not.
pub(crate) fn circles(engine: Engine) -> mobula::Result<()> {
    for size in [1, 2] {
        let links: Vec<_> = (0..size).map(|_| Link::remote()).collect();
        let nexts = links.iter().cycle().skip(1);
        let joined: Vec<_> =
            links.iter().zip(nexts).map(|(link, next)| link.join(next.clone())).collect();
        mobula::get(joined)?;
        let door = Door::new(&format!("circle-{size}"), engine);
        let asked = links[0].asks(door.path(), size);
        door.wait_until_open();
        mobula::kill(&links[0]);
        let error = mobula::get(asked).unwrap_err();
        let kinds = [ErrorKind::Deadlock, ErrorKind::ActorDied, ErrorKind::Cancelled];
        assert!(kinds.contains(&error.kind()), "{error}");
    }
    // One that waits for what comes of another actor, which waits for a call behind it.
    let links = [Link::remote(), Link::remote()];
    mobula::get(links[1].join(links[0].clone()))?;
    let door = Door::new("circle", engine);
    let asked = links[1].asks(door.path(), 1);
    door.wait_until_open();
    let taken = links[0].takes(asked);
    mobula::kill(&links[0]);
    // The call behind it may have come before.
    let _ = mobula::get(taken);
    Ok(())
}
