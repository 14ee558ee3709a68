//! The actors of one runtime that have names.
//!
//! A name is an actor's from its start to its end, or until its last handle goes: then it is free for
//! another, even while the calls made so far still run.

use std::any::Any;
use std::fmt;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::function::Call;
use crate::local::actors::Living;
use crate::local::counted::Weak;

/// The name by which an actor is found, and the namespace in which it is.
///
/// ```
/// use mobula::ActorName;
///
/// assert_eq!(ActorName::from("counter").to_string(), "\"counter\"");
/// let name = ActorName::new("counter").namespace("lab");
/// assert_eq!(name.to_string(), "\"counter\" in the namespace \"lab\"");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ActorName {
    name: Box<str>,
    namespace: Box<str>,
}

impl ActorName {
    /// A name in the namespace of those that name none.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into().into(), namespace: Box::default() }
    }

    /// Name and namespace; empty: none is named.
    pub(crate) fn parts(&self) -> (&str, &str) {
        (&self.name, &self.namespace)
    }

    /// The same name in this namespace.
    pub fn namespace(self, namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into().into(), ..self }
    }
}

impl From<&str> for ActorName {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for ActorName {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl From<&Self> for ActorName {
    fn from(name: &Self) -> Self {
        name.clone()
    }
}

impl fmt::Display for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, namespace } = self;
        match &**namespace {
            "" => write!(f, "{name:?}"),
            namespace => write!(f, "{name:?} in the namespace {namespace:?}"),
        }
    }
}

/// Who has which name.
#[derive(Default)]
pub(crate) struct Names(DashMap<ActorName, Named>);

/// An actor under its name.
struct Named {
    /// Its type and where it was started.
    call: Call,
    actor: Weak<dyn Living>,
    /// A weak ref of the actor's own type.
    typed: Box<dyn Any + Send + Sync>,
}

impl Named {
    fn is_at(&self, address: usize) -> bool {
        self.actor.address() == address
    }

    fn started(&self) -> String {
        let name = self.call.function.name();
        match self.call.place() {
            Some(place) => format!("`{name}` (started at {place})"),
            None => format!("`{name}`"),
        }
    }
}

/// A weak ref to an actor of a known type.
pub(crate) trait Findable: Any + Clone + Send + Sync {
    /// What keeps the actor callable.
    type Handle;
    /// None: it has ended, or its last handle is gone.
    fn find(&self) -> Option<Self::Handle>;
    /// The same, of any type.
    fn of_any_type(&self) -> Weak<dyn Living>;
}

/// What came of a claim.
pub(crate) enum Claimed<H> {
    /// The actor was started, and has the name.
    Started(H),
    /// Another of the same type has it.
    Taken(H, Error),
    /// One of another type has it.
    Foreign(Error),
}

impl Names {
    /// The actor of that name.
    ///
    /// # Errors
    /// `ActorDied`: none lives; `Value`: it is of another type.
    pub(crate) fn find<W: Findable>(&self, name: &ActorName) -> Result<W::Handle> {
        let nobody = || {
            let message = format!("no actor with the name {name} lives in this runtime");
            Error::new(ErrorKind::ActorDied, message)
        };
        let named = self.0.get(name).ok_or_else(nobody)?;
        // Dropped after the map's lock, because it may be the last hold on the actor by then.
        let kept = named.actor.upgrade();
        let found = match named.typed.downcast_ref::<W>() {
            Some(typed) => typed.find().ok_or_else(nobody),
            None if kept.as_ref().is_some_and(|actor| actor.is_callable()) => {
                let message = format!(
                    "the name {name} is that of an actor of another type, {}",
                    named.started()
                );
                Err(Error::new(ErrorKind::Value, message))
            }
            None => Err(nobody()),
        };
        drop(named);
        found
    }

    /// Gives the name to the actor that `start` makes, unless another has it. `start` runs none of the
    /// program's code.
    pub(crate) fn claim<W: Findable>(
        &self,
        name: &ActorName,
        call: Call,
        start: impl FnOnce() -> (W, W::Handle),
    ) -> Claimed<W::Handle> {
        let named = |weak: W| {
            let (actor, typed) = (weak.of_any_type(), Box::new(weak));
            Named { call, actor, typed }
        };
        let mut entry = match self.0.entry(name.clone()) {
            Entry::Vacant(vacant) => {
                let (weak, handle) = start();
                vacant.insert(named(weak));
                return Claimed::Started(handle);
            }
            Entry::Occupied(entry) => entry,
        };
        // As in `find`.
        let kept = entry.get().actor.upgrade();
        let taken = || {
            let message = format!("the name {name} is taken by {}", entry.get().started());
            Error::new(ErrorKind::Config, message)
        };
        let by_another = match entry.get().typed.downcast_ref::<W>() {
            // Asked once: its last handle may go at any time.
            Some(typed) => typed.find().map(|handle| Claimed::Taken(handle, taken())),
            None => {
                let lives = kept.as_ref().is_some_and(|actor| actor.is_callable());
                lives.then(|| Claimed::Foreign(taken()))
            }
        };
        let claimed = by_another.unwrap_or_else(|| {
            let (weak, handle) = start();
            entry.insert(named(weak));
            Claimed::Started(handle)
        });
        drop(entry);
        claimed
    }

    /// The actor at this address has ended, or can be called no more.
    pub(crate) fn forget(&self, name: &ActorName, address: usize) {
        drop(self.0.remove_if(name, |_, named| named.is_at(address)));
    }
}
