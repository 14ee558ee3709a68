//! One opaque error for everything that can go wrong, with its kind, its root cause and its way.
//!
//! A failure starts somewhere, the *root*, and travels: every task that needed the failed result
//! fails with the same root and adds itself to the *way*. Cloning an [`Error`] copies a pointer, so
//! a thousand dependents can share one failure. The way is cut after [`CALLS_MAX`] stops, so a failure
//! at the head of a chain of a million tasks stays small.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::function::Hop;

/// How many tasks an error names on its way; further ones are only counted.
const CALLS_MAX: usize = 16;

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as a class that a program can match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The remote function returned `Err`; see [`Error::downcast_ref`].
    Task,
    /// The remote function panicked.
    Panic,
    /// The task was cancelled.
    Cancelled,
    /// The wait ended before the work did; the work goes on.
    Timeout,
    /// The task passed its own time limit.
    TimeLimit,
    /// The actor is gone, so the call cannot run.
    ActorDied,
    /// The actor's mailbox is full.
    PendingCallsLimit,
    /// No node can ever satisfy the request.
    Infeasible,
    /// The wait could never end.
    Deadlock,
    /// The object's value no longer exists.
    ObjectLost,
    /// The object store is full and nothing can be freed.
    StoreFull,
    /// The process that ran the task died.
    WorkerCrashed,
    /// A value could not be turned into bytes, or bytes into a value.
    Serialization,
    /// The engine failed, or cannot do what was asked.
    Engine,
    /// A setting makes no sense.
    Config,
    /// The runtime has been shut down.
    ShutDown,
    /// A parameter makes no sense, such as a negative standard deviation.
    Value,
}

/// A failure: its kind, its root cause and the tasks it passed through. Cheap to clone.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    root: Arc<Root>,
    way: Vec<Stop>,
    calls_cut: usize,
}

/// A task on the way of a failure.
#[derive(Clone)]
enum Stop {
    Here(Hop),
    /// In another process, which has told it.
    There(Arc<str>),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(hop) => hop.fmt(f),
            Self::There(text) => f.write_str(text),
        }
    }
}

struct Root {
    kind: ErrorKind,
    /// A fragment that fits after "failed because of".
    message: String,
    /// Where the failure itself happened, such as the line of a panic.
    raised_at: Option<String>,
    payload: Option<Payload>,
    /// The error value as bytes, and the function that knows its type, where it came from another process.
    encoded: Option<(String, Vec<u8>)>,
}

impl Default for Root {
    fn default() -> Self {
        let (kind, message) = (ErrorKind::Engine, String::new());
        Self { kind, message, raised_at: None, payload: None, encoded: None }
    }
}

/// The user's own error value, kept as it was.
struct Payload {
    value: Box<dyn Any + Send + Sync>,
    as_error: fn(&(dyn Any + Send + Sync)) -> Option<&(dyn StdError + 'static)>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::from_root(Root { kind, message: message.into(), ..Root::default() })
    }

    fn from_root(root: Root) -> Self {
        Self(Arc::new(Inner { root: Arc::new(root), way: Vec::new(), calls_cut: 0 }))
    }

    /// An actor that is gone, and why; `after`: what came before that.
    pub(crate) fn actor_died(actor: &str, after: Option<&str>, why: Self) -> Self {
        let (space, after) = after.map_or(("", ""), |after| (" ", after));
        Self::from_root(Root {
            kind: ErrorKind::ActorDied,
            message: format!("actor `{actor}` died{space}{after}: {why}"),
            raised_at: None,
            payload: Some(Payload {
                value: Box::new(why),
                as_error: |why| Some(why.downcast_ref::<Self>()?),
            }),
            ..Root::default()
        })
    }

    pub(crate) fn from_panic(message: String, raised_at: Option<String>) -> Self {
        Self::from_root(Root { kind: ErrorKind::Panic, message, raised_at, ..Root::default() })
    }

    /// The same failure, seen by one more task that needed the result.
    pub(crate) fn through(self, task: impl Into<Hop>) -> Self {
        self.stopped(Stop::Here(task.into()))
    }

    /// As `through`, where another process has told the task.
    pub(crate) fn through_told(self, task: String) -> Self {
        self.stopped(Stop::There(task.into()))
    }

    fn stopped(mut self, at: Stop) -> Self {
        let Inner { way, calls_cut, .. } = Arc::make_mut(&mut self.0);
        lengthen(way, calls_cut, at);
        self
    }

    /// What class of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.root.kind
    }

    /// The error value that the remote function returned, if its type is `E`.
    ///
    /// A function that returns a boxed error (`Box<dyn Error + Send + Sync>`) is asked for that box;
    /// the error in the box is also the first [`source`](StdError::source) of this one.
    pub fn downcast_ref<E: 'static>(&self) -> Option<&E> {
        self.0.root.payload.as_ref()?.value.downcast_ref()
    }

    /// What happened, without the tasks it happened in: the panic's text, the error's `Display`.
    pub fn message(&self) -> &str {
        &self.0.root.message
    }

    /// Whether trying the same work again may succeed: true for lost workers and objects, for full
    /// stores and mailboxes and for a wait that ended early; false for whatever the program decided.
    pub fn retry_may_help(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::WorkerCrashed
                | ErrorKind::ObjectLost
                | ErrorKind::StoreFull
                | ErrorKind::PendingCallsLimit
                | ErrorKind::Timeout
        )
    }
}

/// Adds to the way, which does not grow for ever.
fn lengthen<S>(way: &mut Vec<S>, calls_cut: &mut usize, stop: S) {
    if way.len() < CALLS_MAX {
        way.push(stop);
    } else {
        *calls_cut += 1;
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { root, way, calls_cut } = &*self.0;
        let mut way = way.iter();
        match (root.kind, way.next()) {
            (ErrorKind::Task, Some(task)) => write!(f, "task {task} failed: {}", root.message)?,
            (ErrorKind::Panic, Some(task)) => write!(f, "task {task} panicked: {}", root.message)?,
            (_, Some(task)) => write!(f, "task {task}: {}", root.message)?,
            (_, None) => f.write_str(&root.message)?,
        }
        if let Some(place) = &root.raised_at {
            write!(f, ", at {place}")?;
        }
        for (nth, task) in way.enumerate() {
            f.write_str(if nth == 0 { "; passed on through " } else { ", then " })?;
            task.fmt(f)?;
        }
        if *calls_cut > 0 {
            write!(f, ", and {calls_cut} more")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let payload = self.0.root.payload.as_ref()?;
        (payload.as_error)(payload.value.as_ref())
    }
}

/// An error on its way between processes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failed {
    kind: ErrorKind,
    message: String,
    raised_at: Option<String>,
    way: Vec<String>,
    calls_cut: usize,
    /// The program's own error value, where its type could be encoded, and the name of the function that knows it.
    pub(crate) value: Option<(String, Vec<u8>)>,
    /// The call whose result it is, where that is told beside the way.
    #[serde(skip)]
    pub(crate) call: Option<String>,
}

impl Failed {
    /// As [`Error::through`].
    pub(crate) fn came_through(&mut self, task: String) {
        lengthen(&mut self.way, &mut self.calls_cut, task);
    }

    /// So many stops more are left out.
    pub(crate) fn cut(&mut self, calls: usize) {
        self.calls_cut = self.calls_cut.saturating_add(calls);
    }

    /// Forgets the last stop, if it is this one.
    pub(crate) fn forget_last(&mut self, task: &str) {
        self.way.pop_if(|last| last == task);
    }
}

impl From<&Error> for Failed {
    fn from(error: &Error) -> Self {
        let Inner { root, way, calls_cut } = &*error.0;
        Self {
            kind: root.kind,
            message: root.message.clone(),
            raised_at: root.raised_at.clone(),
            way: way.iter().map(ToString::to_string).collect(),
            calls_cut: *calls_cut,
            value: root.encoded.clone(),
            call: None,
        }
    }
}

impl Error {
    /// The error as it was on the other side; `decoded`: that value, made an error again.
    pub(crate) fn from_failed(failed: Failed, decoded: Option<Self>) -> Self {
        let payload = decoded.and_then(|decoded| Arc::into_inner(decoded.0));
        let payload = payload.and_then(|inner| Arc::into_inner(inner.root)?.payload);
        let Failed { kind, message, raised_at, way, calls_cut, value: encoded, call: _ } = failed;
        let root = Arc::new(Root { kind, message, raised_at, payload, encoded });
        let way = way.into_iter().map(|stop| Stop::There(stop.into())).collect();
        Self(Arc::new(Inner { root, way, calls_cut }))
    }
}

/// How serde takes an error: as what of it crosses to another process.
pub(crate) mod as_failed {
    use serde::{Deserializer, Serializer};

    use super::*;

    pub(crate) fn serialize<S: Serializer>(error: &Error, to: S) -> Result<S::Ok, S::Error> {
        Failed::from(error).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Error, D::Error> {
        let failed = Failed::deserialize(from)?;
        Ok(Error::from_failed(failed, None))
    }
}

/// Turns whatever a remote function returned as its `Err` into an [`Error`], keeping as much of it
/// as its type allows.
///
/// The macro knows the concrete type but cannot ask which traits it has, so method look-up asks: the
/// traits below are implemented for ever fewer references, and the call
/// `(&&&&Failure::new(error)).to_error()` takes the first that fits.
pub(crate) mod failure {
    use super::*;
    use std::cell::Cell;

    /// An error value on its way to becoming an [`Error`].
    pub struct Failure<E>(Cell<Option<E>>);

    impl<E: Any + Send + Sync> Failure<E> {
        /// Wraps the value.
        pub fn new(error: E) -> Self {
            Self(Cell::new(Some(error)))
        }

        fn keep(
            &self,
            describe: impl Fn(&E) -> String,
            as_error: fn(&(dyn Any + Send + Sync)) -> Option<&(dyn StdError + 'static)>,
        ) -> Error {
            let value = self.0.take().expect("a failure is converted once");
            Error::from_root(Root {
                kind: ErrorKind::Task,
                message: describe(&value),
                raised_at: None,
                payload: Some(Payload { value: Box::new(value), as_error }),
                encoded: None,
            })
        }
    }

    /// First choice: a standard error. One of ours passes through with its own root.
    pub trait FromStdError {
        /// Converts the value.
        fn to_error(&self) -> Error;
    }

    impl<E: StdError + Any + Send + Sync> FromStdError for &&&Failure<E> {
        fn to_error(&self) -> Error {
            let error = self.0.take().expect("a failure is converted once");
            if let Some(own) = (&error as &dyn Any).downcast_ref::<Error>() {
                return own.clone();
            }
            self.0.set(Some(error));
            self.keep(E::to_string, |value| Some(value.downcast_ref::<E>()?))
        }
    }

    /// Second choice: a box of a standard error, such as `Box<dyn Error + Send + Sync>`.
    pub trait FromBoxedError {
        /// Converts the value.
        fn to_error(&self) -> Error;
    }

    impl<E: AsRef<dyn StdError + Send + Sync> + Any + Send + Sync> FromBoxedError for &&Failure<E> {
        fn to_error(&self) -> Error {
            let error = self.0.take().expect("a failure is converted once");
            if let Some(own) = error.as_ref().downcast_ref::<Error>() {
                return own.clone();
            }
            self.0.set(Some(error));
            self.keep(
                |error| error.as_ref().to_string(),
                |value| Some(value.downcast_ref::<E>()?.as_ref()),
            )
        }
    }

    /// Third choice: anything that can be shown, such as a `String`.
    pub trait FromDisplay {
        /// Converts the value.
        fn to_error(&self) -> Error;
    }

    impl<E: fmt::Display + Any + Send + Sync> FromDisplay for &Failure<E> {
        fn to_error(&self) -> Error {
            self.keep(E::to_string, |_| None)
        }
    }

    /// Last choice: anything that can be shown to a programmer.
    pub trait FromDebug {
        /// Converts the value.
        fn to_error(&self) -> Error;
    }

    impl<E: fmt::Debug + Any + Send + Sync> FromDebug for Failure<E> {
        fn to_error(&self) -> Error {
            self.keep(|error| format!("{error:?}"), |_| None)
        }
    }
}
