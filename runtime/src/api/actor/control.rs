//! What can be done to any actor: stopped, watched, killed, or left by itself.

use std::panic::Location;

use crate::api::actor::far::{self, Control};
use crate::api::actor::{Actor, ActorCell, ActorEnd, ActorHandle, Kind};
use crate::api::object::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{Call, Function};
use crate::local::abroad::{self, Home};
use crate::local::cell::Ref;
use crate::local::current;
use crate::local::runtimes::{self, Owner};

/// What every [`ActorHandle`] can do, whatever its actor's methods are; as `&dyn ActorControl`, handles of any
/// actors are of one type. Where the actor has a method of the same
/// name, `handle.stop()` calls that one, and
/// `<dyn ActorControl>::stop(&handle)` this.
///
/// ```
/// use mobula::ActorEnd;
/// use mobula::prelude::*;
///
/// struct Log(Vec<String>);
///
/// #[remote]
/// impl Log {
///     pub fn new() -> Self {
///         Self(Vec::new())
///     }
///     pub fn add(&mut self, line: String) -> usize {
///         self.0.push(line);
///         self.0.len()
///     }
/// }
///
/// let log = Log::remote();
/// let end = log.watch();
/// let lines = log.add("one");
/// mobula::get(log.stop())?;
/// assert_eq!(mobula::get(lines)?, 1); // What was called before was done.
/// assert!(matches!(mobula::get(end)?, ActorEnd::Stopped));
/// assert_eq!(mobula::get(log.add("two")).unwrap_err().kind(), ErrorKind::ActorDied);
/// # Ok::<(), mobula::Error>(())
/// ```
pub trait ActorControl {
    #[doc(hidden)]
    fn stop_from(&self, called_at: &'static Location<'static>) -> ObjectRef<()>;
    #[doc(hidden)]
    fn watch_from(&self, called_at: &'static Location<'static>) -> ObjectRef<ActorEnd>;
}

impl dyn ActorControl {
    /// Ends the actor when the calls made so far are done. Later ones fail with
    /// [`ActorDied`](ErrorKind::ActorDied). The ref is ready when the actor has ended and its state was
    /// dropped, however that came about.
    #[track_caller]
    pub fn stop(&self) -> ObjectRef<()> {
        self.stop_from(Location::caller())
    }

    /// Is ready when the actor has ended, and tells how. It keeps no actor alive.
    #[track_caller]
    pub fn watch(&self) -> ObjectRef<ActorEnd> {
        self.watch_from(Location::caller())
    }
}

static STOP: Function = Function::new("stop", module_path!(), file!(), line!());
static WATCH: Function = Function::new("watch", module_path!(), file!(), line!());

impl<A: Actor> ActorControl for ActorCell<A> {
    fn stop_from(&self, called_at: &'static Location<'static>) -> ObjectRef<()> {
        let call = Call { function: &STOP, called_at };
        match &self.0 {
            Kind::Computes(handle) => handle.strand().stop(call),
            Kind::Waits(handle) => handle.strand().stop(call),
            Kind::Away(handle) => handle.strand().stop(call),
            Kind::AwayWaits(handle) => handle.strand().stop(call),
            Kind::Far(_) => far::control(&self.clone().into(), &Control::Stop, call),
            Kind::Refused(_) => Ref::complete(Ok(()), call),
        }
        .into()
    }

    fn watch_from(&self, called_at: &'static Location<'static>) -> ObjectRef<ActorEnd> {
        let call = Call { function: &WATCH, called_at };
        match &self.0 {
            Kind::Computes(handle) => handle.strand().watch(call),
            Kind::Waits(handle) => handle.strand().watch(call),
            Kind::Away(handle) => handle.strand().watch(call),
            Kind::AwayWaits(handle) => handle.strand().watch(call),
            Kind::Far(_) => far::watch::<A>(&self.clone().into(), call),
            Kind::Refused(error) => Ref::complete(Ok(ActorEnd::NotMade(error.clone())), call),
        }
        .into()
    }
}

impl<A: Actor> ActorControl for ActorHandle<A> {
    fn stop_from(&self, called_at: &'static Location<'static>) -> ObjectRef<()> {
        self.cell().stop_from(called_at)
    }

    fn watch_from(&self, called_at: &'static Location<'static>) -> ObjectRef<ActorEnd> {
        self.cell().watch_from(called_at)
    }
}

static KILL: Function = Function::new("kill", module_path!(), file!(), line!());

/// Ends an actor after the call that runs now, for good. Calls that have not begun, and later ones, fail with
/// [`ActorDied`](ErrorKind::ActorDied).
pub fn kill<A: Actor>(actor: &ActorHandle<A>) {
    match &actor.cell().0 {
        Kind::Computes(handle) => handle.strand().end(ActorEnd::Killed),
        Kind::Waits(handle) => handle.strand().end(ActorEnd::Killed),
        Kind::Away(handle) => handle.strand().end(ActorEnd::Killed),
        Kind::AwayWaits(handle) => handle.strand().end(ActorEnd::Killed),
        Kind::Far(_) => {
            let call = Call { function: &KILL, called_at: Location::caller() };
            drop(far::control(actor, &Control::Kill, call));
        }
        Kind::Refused(_) => {}
    }
}

/// Ends the actor of which this is called in a method, after that call, whose result is as ever. Calls that have
/// not begun, and later ones, fail with [`ActorDied`](ErrorKind::ActorDied). It is not made anew.
///
/// ```
/// use mobula::prelude::*;
///
/// struct Countdown(u32);
///
/// #[remote]
/// impl Countdown {
///     pub fn new(from: u32) -> Self {
///         Self(from)
///     }
///     pub fn tick(&mut self) -> mobula::Result<u32> {
///         self.0 -= 1;
///         if self.0 == 0 {
///             mobula::exit_actor()?;
///         }
///         Ok(self.0)
///     }
/// }
///
/// let countdown = Countdown::remote(2);
/// let ticks: Vec<_> = (0..3).map(|_| countdown.tick()).collect();
/// assert_eq!(mobula::get(&ticks[..2])?, [1, 0]);
/// assert_eq!(mobula::get(&ticks[2]).unwrap_err().kind(), ErrorKind::ActorDied);
/// # Ok::<(), mobula::Error>(())
/// ```
///
/// # Errors
/// `Value`: this is no call of an actor.
pub fn exit_actor() -> Result<()> {
    if abroad::home().is_some_and(Home::exit_actor) {
        return Ok(());
    }
    let mut kept = Vec::new();
    let actor = current::task().map_or(0, |task| task.actor);
    match runtimes::owner(actor, &mut kept) {
        Some(Owner::Actor(actor)) => {
            actor.end_at_once(ActorEnd::Exited);
            Ok(())
        }
        _ => Err(Error::new(ErrorKind::Value, "exit_actor is for the methods of actors")),
    }
}
