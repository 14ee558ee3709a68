//! Which functions another process can be asked to run, by name.
//!
//! Each `#[remote]` function leaves a [`Registered`], which is put into a list before `main` begins; a call on
//! this side never looks here. A worker is the same binary, so it has the same functions. The name is the
//! module's path and the function's own.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use crate::cluster::argument::{Argument, Forwarded};
use crate::cluster::frame::Body;
use crate::cluster::worker::task::{Ended, Replier, Start};
use crate::error::{Error, ErrorKind, Result};
use crate::function::Function;
use crate::local::cell::AnyRef;

/// A function with `#[remote]` in this binary. Those that stay in process are none.
pub struct Known(pub &'static Registered);

inventory::collect!(Known);

/// Takes a call's arguments, and gives what begins it on a thread of the actor.
pub(crate) type Later = fn(Start<'_>, Vec<Argument>) -> Box<dyn FnOnce(Replier) + Send>;

/// What a cluster goes by before it calls a function.
#[derive(Default)]
pub(crate) struct Nature {
    /// Which arguments it borrows.
    pub(crate) shares: Vec<bool>,
    /// Whether it is an `async fn`, which computes on no CPU.
    pub(crate) waits: bool,
}

/// A function as other processes know it: by name, its types only behind these pointers.
pub struct Registered {
    function: fn() -> &'static Function,
    /// `crate::module::function`, made when first asked for.
    name: OnceLock<String>,
    /// Runs it here, in a worker.
    pub(crate) run: fn(Start<'_>, Vec<Argument>, &mut Body) -> Ended,
    /// Begins it here, where it is what an actor does whose calls wait.
    pub(crate) later: Option<Later>,
    /// The same, on a thread of its own, where it is what an actor does whose calls compute side by side.
    pub(crate) beside: Option<Later>,
    /// Submits it here, in the driver, for a worker.
    pub(crate) submit: fn(Forwarded) -> AnyRef,
    /// Makes an error of what it failed with, where its type could be encoded.
    pub(crate) failure: fn(&[u8]) -> Option<Error>,
    pub(crate) nature: fn() -> Nature,
    /// Whether it is done by an actor, or with one: then it is for whoever has the actor, the driver.
    pub(crate) of_actors: bool,
}

impl Registered {
    pub(crate) const fn new(
        function: fn() -> &'static Function,
        run: fn(Start<'_>, Vec<Argument>, &mut Body) -> Ended,
        submit: fn(Forwarded) -> AnyRef,
        failure: fn(&[u8]) -> Option<Error>,
    ) -> Self {
        Self {
            function,
            name: OnceLock::new(),
            run,
            later: None,
            beside: None,
            submit,
            failure,
            nature: Nature::default,
            of_actors: false,
        }
    }

    pub(crate) const fn of_actors(mut self) -> Self {
        self.of_actors = true;
        self
    }

    pub(crate) const fn run_later(mut self, later: Option<Later>) -> Self {
        self.later = later;
        self
    }

    pub(crate) const fn run_beside(mut self, beside: Option<Later>) -> Self {
        self.beside = beside;
        self
    }

    pub(crate) const fn of_nature(mut self, nature: fn() -> Nature) -> Self {
        self.nature = nature;
        self
    }

    pub(crate) fn function(&self) -> &'static Function {
        (self.function)()
    }

    /// The name by which other processes ask for it.
    pub(crate) fn name(&self) -> &str {
        self.name.get_or_init(|| {
            let function = self.function();
            format!("{}::{}", function.module(), function.name())
        })
    }
}

/// By name; None: there are several of that name.
static BY_NAME: LazyLock<HashMap<&str, Option<&'static Registered>>> = LazyLock::new(|| {
    let mut by_name = HashMap::new();
    for &Known(registered) in inventory::iter::<Known> {
        let once = by_name.entry(registered.name()).or_insert(Some(registered));
        if !once.is_some_and(|first| std::ptr::eq(first, registered)) {
            *once = None;
        }
    }
    by_name
});

/// Whether this program has actors that can leave it.
pub(crate) fn has_actors() -> bool {
    inventory::iter::<Known>.into_iter().any(|Known(registered)| registered.of_actors)
}

/// The function of that name.
///
/// # Errors
/// `Engine`, if there is none, or if there are several.
pub(crate) fn find(name: &str) -> Result<&'static Registered> {
    let why = match BY_NAME.get(name) {
        Some(Some(registered)) => return Ok(registered),
        Some(None) => {
            "is the name of several functions in this program, so another process cannot tell which is \
             meant: give one of them another name, or a module of its own"
        }
        None => "is no remote function of this program",
    };
    Err(Error::new(ErrorKind::Engine, format!("`{name}` {why}")))
}
