//! What becomes of what a task has submitted when the task is cancelled.

use std::fs::File;

use super::tasks::{never_listens, square, until_stopped};
use super::*;

/// Files by which those see each other that do not wait for each other: each is there or not, and none is for long.
struct Doors(String);

const NAMES: [&str; 6] = ["submitted", "begun", "open", "finished", "stopped", "held"];

fn path(base: &str, name: &str) -> String {
    format!("{base}-{name}")
}

fn opens(base: &str, name: &str) {
    fs::write(path(base, name), []).expect("there is a folder");
}

fn is_open(base: &str, name: &str) -> bool {
    Path::new(&path(base, name)).exists()
}

fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        std::thread::yield_now();
    }
}

fn wait_for(base: &str, name: &str) {
    wait_until(|| is_open(base, name));
}

fn has_ended(base: &str) -> bool {
    is_open(base, "finished") || is_open(base, "stopped")
}

impl Doors {
    fn new(name: &str, engine: Engine) -> Self {
        let name = format!("mobula-{name}-{}-{}", engine.name(), process::id());
        let folder = std::env::temp_dir();
        Self(folder.join(name).to_str().expect("it has a plain name").to_owned())
    }

    fn base(&self) -> &str {
        &self.0
    }

    /// Waits for the end of the child: if it is not to stop it may go on from now on.
    fn child_ends(&self, is_to_stop: bool) {
        if !is_to_stop {
            opens(&self.0, "open");
        }
        wait_until(|| has_ended(&self.0));
        assert_eq!(is_open(&self.0, "stopped"), is_to_stop);
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        NAMES.iter().for_each(|name| drop(fs::remove_file(path(&self.0, name))));
    }
}

/// A child, which tells how it ends.
#[remote]
fn goes_on(base: &str) -> mobula::Result<()> {
    opens(base, "begun");
    let goes_on = || {
        while !is_open(base, "open") {
            mobula::check_cancelled()?;
            std::thread::yield_now();
        }
        // What is to stop it has come by then, if it was sent.
        mobula::get(square::remote(2))?;
        mobula::check_cancelled()
    };
    let ended = goes_on();
    opens(base, if ended.is_ok() { "finished" } else { "stopped" });
    ended
}

#[remote]
fn submits(base: &str) -> mobula::Result<u64> {
    drop(goes_on::remote(base));
    opens(base, "submitted");
    until_stopped()
}

/// Stops after its child.
#[remote]
fn outlasts_its_child(base: &str) -> mobula::Result<u64> {
    drop(goes_on::remote(base));
    wait_until(|| has_ended(base));
    until_stopped()
}

#[remote]
fn calls_another() -> mobula::Result<u64> {
    mobula::get(square::remote(3))
}

/// Its child may begin only when the task has ended that this cancels: there are two CPUs.
#[remote]
fn spares_the_child_of_a_task(base: &str) -> mobula::Result<ErrorKind> {
    let parent = submits::remote(base);
    wait_for(base, "submitted");
    mobula::cancel(&parent).children(false);
    // On Dask this goes on only when the child does not compute where it was.
    opens(base, "open");
    mobula::get(parent).map_or_else(|error| Ok(error.kind()), |_| unreachable!("it never ends"))
}

pub(crate) fn spared(engine: Engine) -> mobula::Result<()> {
    assert_eq!(mobula::get(calls_another::remote())?, 9);
    if engine == Engine::Inline {
        // It is done before anybody could.
        assert!(!mobula::cancel(&square::remote(1)).children(false).now());
        return Ok(());
    }
    for children in [true, false] {
        let doors = Doors::new("children", engine);
        let parent = submits::remote(doors.base());
        wait_for(doors.base(), "begun");
        mobula::cancel(&parent).children(children);
        assert_eq!(mobula::get(parent).unwrap_err().kind(), ErrorKind::Cancelled);
        doors.child_ends(children);
    }
    if engine != Engine::Dask {
        // Who is spared may be cancelled later. Dask does not wait for a task that is to stop: by then it is done.
        let doors = Doors::new("children-later", engine);
        let parent = outlasts_its_child::remote(doors.base());
        wait_for(doors.base(), "begun");
        mobula::cancel(&parent).children(false);
        mobula::cancel(&parent);
        doors.child_ends(true);
        assert_eq!(mobula::get(parent).unwrap_err().kind(), ErrorKind::Cancelled);
    }
    let doors = Doors::new("children-of-children", engine);
    let kind = mobula::get(spares_the_child_of_a_task::remote(doors.base()))?;
    assert_eq!(kind, ErrorKind::Cancelled);
    doors.child_ends(false);
    Ok(())
}

/// Submits what a task would.
struct Caller;

#[remote]
impl Caller {
    pub fn new() -> Self {
        Self
    }

    pub fn submits(&mut self, base: &str) -> mobula::Result<u64> {
        submits(base)
    }

    pub fn is_there(&self) -> bool {
        true
    }
}

/// As for the child of a task.
#[remote]
fn spares_the_child_of_a_call(
    caller: ActorHandle<Caller>,
    base: &str,
) -> mobula::Result<ErrorKind> {
    let call = caller.submits(base);
    wait_for(base, "submitted");
    mobula::cancel(&call).children(false);
    mobula::get(call).map_or_else(|error| Ok(error.kind()), |_| unreachable!("it never ends"))
}

/// Nothing, where it is not refused.
#[remote]
fn kills_a_call(caller: ActorHandle<Caller>) -> Option<ErrorKind> {
    mobula::cancel(&caller.is_there()).force().err().map(|error| error.kind())
}

pub(crate) fn spared_by_actors(engine: Engine) -> mobula::Result<()> {
    let caller = Caller::remote();
    assert!(mobula::get(caller.is_there())?);
    if engine == Engine::Inline {
        return Ok(());
    }
    for children in [true, false] {
        let doors = Doors::new("calls", engine);
        let call = caller.submits(doors.base());
        wait_for(doors.base(), "begun");
        mobula::cancel(&call).children(children);
        assert_eq!(mobula::get(call).unwrap_err().kind(), ErrorKind::Cancelled);
        doors.child_ends(children);
    }
    let doors = Doors::new("calls-of-tasks", engine);
    let kind = mobula::get(spares_the_child_of_a_call::remote(caller.clone(), doors.base()))?;
    assert_eq!(kind, ErrorKind::Cancelled);
    doors.child_ends(false);
    if engine == Engine::Ray {
        assert_eq!(mobula::get(kills_a_call::remote(caller))?, Some(ErrorKind::Engine));
    }
    Ok(())
}

/// A child that is there for as long as its process is.
#[remote]
fn is_held(base: &str) -> mobula::Result<u64> {
    let held = File::create(path(base, "held")).expect("there is a folder");
    held.lock().expect("it is nobody else's");
    opens(base, "begun");
    Ok(never_listens())
}

#[remote]
fn submits_and_never_listens(base: &str) -> u64 {
    drop(is_held::remote(base));
    never_listens()
}

/// Of a task that is killed, where tasks can be.
pub(crate) fn killed(engine: Engine) -> mobula::Result<()> {
    let doors = Doors::new("killed", engine);
    let parent = submits_and_never_listens::remote(doors.base());
    wait_for(doors.base(), "begun");
    let held = File::open(path(doors.base(), "held")).expect("the child has made it");
    if engine == Engine::Ray {
        let error = mobula::cancel(&parent).children(false).force().unwrap_err();
        assert!(error.to_string().contains("`children(false)` is more than the engine `ray`"));
        assert!(held.try_lock().is_err());
    }
    assert!(mobula::cancel(&parent).force()?);
    assert_eq!(mobula::get(parent).unwrap_err().kind(), ErrorKind::Cancelled);
    held.lock().expect("its process is gone");
    if engine == Engine::Processes {
        let doors = Doors::new("killed-alone", engine);
        let parent = submits::remote(doors.base());
        wait_for(doors.base(), "begun");
        assert!(mobula::cancel(&parent).children(false).force()?);
        assert_eq!(mobula::get(parent).unwrap_err().kind(), ErrorKind::Cancelled);
        doors.child_ends(false);
    }
    Ok(())
}
