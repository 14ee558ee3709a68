//! A Ray-style runtime for Rust: remote functions, objects and actors.
//!
//! ```
//! use mobula::prelude::*;
//!
//! /// How many numbers below `n` are divisible by none of the primes.
//! #[remote]
//! fn sieve(n: u64, primes: &[u64]) -> usize {
//!     (1..n).filter(|x| primes.iter().all(|p| x % p != 0)).count()
//! }
//!
//! fn main() -> mobula::Result<()> {
//!     let _runtime = mobula::init(Config::new().num_cpus(4))?;
//!     let primes = mobula::put(vec![2, 3, 5]); // Stored once, borrowed by every task.
//!     let counts: Vec<ObjectRef<usize>> =
//!         (1..=10).map(|i| sieve::remote(30 * i, &primes)).collect(); // Returns at once.
//!     let counts = mobula::get(&counts)?; // Waits, and keeps the order.
//!     assert_eq!(counts[..3], [8, 16, 24]);
//!     Ok(())
//! }
//! ```
//!
//! [`remote`] makes a task of a call, and of a type's methods the calls of an actor. A call gives an
//! [`ObjectRef`] at once: a ref to a value that is still to come. It may be passed on in place of the
//! value, long before that is there, and so tasks form a graph without anybody drawing it. [`get`]
//! waits; [`wait`], [`as_completed`] and `.await` are other ways to. [`map()`] calls one function for
//! many items.
//!
//! What computes, a `fn`, runs on a pool of threads that holds exactly as many CPUs as were configured:
//! a task that waits for another runs that one itself, or leaves its CPU to others. What waits, an
//! `async fn`, runs on tokio and holds none. A failure reaches everyone who needed the result, as one
//! [`Error`] with its root cause and its way.
//!
//! # What is where
//!
//! [`random`] is NumPy's random numbers, and stands by itself. The other modules are private, and this is
//! the order to read them in. `ARCHITECTURE.md`, beside the workspace's manifest, follows a call through
//! them.
//!
//! - `function`, `error`, `millis`, `config`: what all others speak of.
//! - `wire`, `size`: values as bytes, and how many they take in memory.
//! - `blas`, with the feature `linalg`: threads of linear algebra that fit the grant.
//! - `observe`: the stream of events, of what became of each task.
//! - `local`: the engine. In it `state`, `cell` and `value` (what a task is), `queue`, `pool` and
//!   `current` (where it runs), `waiters`, `arguments` and `waiting` (how others wait for it), `job`,
//!   `request`, `grant` and `retries` (what it does, and what it asked for), `family` and `cancelling` (how
//!   it is stopped), `strand` and `arbiter` (actors).
//! - `runtime`: starting and ending it.
//! - `api`: what you call. `remote`, `parameter`, `object` and `get` first; then `actor` and `map`.

// The macro's expansions name this crate, also inside of it.
extern crate self as mobula;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

mod api;
#[cfg(feature = "linalg")]
pub mod blas;
mod cluster;
mod config;
mod error;
mod function;
mod local;
mod millis;
mod observe;
mod pages;
pub mod random;
mod runtime;
mod size;
mod store;
mod wire;

pub use api::actor::{
    ActorControl, ActorEnd, ActorHandle, ActorName, ActorOptions, deliver, exit_actor, get_actor,
    kill,
};
pub use api::actor_pool::{ActorPool, PoolMap};
pub use api::cancel::{Cancel, Cancellable, cancel, cancellable};
pub use api::context::{Context, check_cancelled, context};
pub use api::explain::{Causes, Explanation, Shortage, Standing};
pub use api::get::{Get, get, get_arc, get_timeout};
pub use api::map::{Map, map};
pub use api::object::{ObjectId, ObjectRef, objects, put, register};
pub use api::placement::{Bundle, Placement, PlacementGroup};
pub use api::python::{Python, PythonArgs, python};
pub use api::remote::{TaskOptions, spawn};
pub use api::rng::{TaskRng, rng};
pub use api::stream::{ObjectStream, StreamOptions};
pub use api::wait::{AsCompleted, ObjectFuture, as_completed, wait};
pub use config::{Config, Engine, WorkerOutput};
pub use error::{Error, ErrorKind, Result};
pub use local::arbiter::Blocking;
pub use local::retries::RetryDelay;
pub use mobula_macros::remote;
#[cfg(feature = "linalg")]
pub use ndarray_linalg as linalg;
pub use observe::{Event, EventKind, Events};
pub use runtime::{EnterGuard, Runtime, ShutdownReport, Unheeded, init};
pub use size::Size;
pub use store::{Memory, ObjectInfo, ObjectState};

/// What most programs use: `use mobula::prelude::*;`.
pub mod prelude {
    #[doc(no_inline)]
    pub use crate::{
        ActorHandle, ActorPool, Config, Engine, ErrorKind, ObjectRef, Runtime, as_completed,
        cancel, get, get_arc, get_timeout, put, remote, wait,
    };
}

/// What the macro's expansions name. Nobody else should.
#[doc(hidden)]
pub mod __private {
    pub use crate::api::actor::{
        Actor, ActorCell, ActorConfig, ActorControl, ActorCrossing, ActorHandle, ActorMethod,
        ActorOptions, ActorStream, ActorStreamCrossing, Construct, IsShareable, MethodBody,
        MethodCrossing, NotShareable, ProducerBody, Shareable, Sharing, Tick, start_actor,
    };
    pub use crate::api::copier::{Copier, CopyEach, CopyNone, Copying};
    pub use crate::api::crossing::Crossing;
    pub use crate::api::map::{RemoteMap as Map, map_remote as map};
    pub use crate::api::object::ObjectRef;
    pub use crate::api::options::Options;
    pub use crate::api::parameter::{Arg, Borrowed, IntoSlots, Owned, Param, Params, Slot};
    pub use crate::api::port::{
        Failing, Fails, FailureCrosses, FailureIsTold, FailureWay, NoWayBack, Port, PortEach,
        PortNone, Porting, Returning, Way, WayBack,
    };
    pub use crate::api::portable::{Fallible, Portable};
    pub use crate::api::remote::{Body, RemoteFn, TaskOptions, submit};
    pub use crate::api::split::Split;
    pub use crate::api::stream::{
        ObjectStream, StreamBody, StreamConfig, StreamCrossing, StreamFn, StreamOptions, next_of,
        submit_stream,
    };
    pub use crate::cluster::registry::{Known, Registered};
    pub use crate::error::{Error, Result, failure::*};
    pub use crate::function::Function;
    pub use crate::size::estimate as estimated_size;
    pub use crate::store::{KindOf, Noted, NotedIfPortable, NotedIfSized, NotedNot};
    pub use crate::{
        copier, failure, failure_way, note_type, port, register_actor, register_actor_stream,
        register_function, register_method, register_stream, shareable, way,
    };
    pub use inventory;

    /// The codec, for its benchmark and for what tests and fuzzes it.
    pub mod wire {
        pub use crate::wire::{Encoded, Held, decode, encode, encode_into, encode_to};
    }

    /// What arrives over a connection, for what throws bytes at it.
    pub mod frames {
        pub use crate::cluster::channel::look_at;
    }
}

/// How an argument is made once more: of a parameter's name and marker, a [`Copier`](__private::Copier).
#[doc(hidden)]
#[macro_export]
macro_rules! copier {
    ($parameter:expr, $marker:ty) => {{
        use $crate::__private::{CopyEach as _, CopyNone as _};
        (&&$crate::__private::Copying::<$marker>::new($parameter)).copier()
    }};
}

/// Whether several threads may use a type at once: an optional [`Shareable`](__private::Shareable).
#[doc(hidden)]
#[macro_export]
macro_rules! shareable {
    ($actor:ty) => {{
        use $crate::__private::{IsShareable as _, NotShareable as _};
        (&&$crate::__private::Sharing::<$actor>::new()).shareable()
    }};
}

/// Lets the object store know a type, if its values can be objects and become bytes.
#[doc(hidden)]
#[macro_export]
macro_rules! note_type {
    ($ty:ty) => {
        $crate::__private::inventory::submit! {
            $crate::__private::KindOf(|| {
                use $crate::__private::{NotedIfPortable as _, NotedIfSized as _, NotedNot as _};
                (&&&$crate::__private::Noted::<$ty>::new()).kind()
            })
        }
    };
}

/// How an argument crosses to another process: of a parameter's marker, a [`Port`](__private::Port).
#[doc(hidden)]
#[macro_export]
macro_rules! port {
    ($marker:ty) => {{
        use $crate::__private::{PortEach as _, PortNone as _};
        (&&$crate::__private::Porting::<$marker>::new()).port()
    }};
}

/// How a result crosses back: of its type, a [`Way`](__private::Way).
#[doc(hidden)]
#[macro_export]
macro_rules! way {
    ($type:ty) => {{
        use $crate::__private::{NoWayBack as _, WayBack as _};
        (&&$crate::__private::Returning::<$type>::new()).way()
    }};
}

/// How what a function fails with crosses back, if it does.
#[doc(hidden)]
#[macro_export]
macro_rules! failure_way {
    ($function:ty, $type:ty) => {{
        use $crate::__private::{FailureCrosses as _, FailureIsTold as _};
        (&&$crate::__private::Failing::<$function, $type>::new()).way()
    }};
}

/// Lets other processes ask for a function by its name.
#[doc(hidden)]
#[macro_export]
macro_rules! register_function {
    ($function:ty) => {
        static REGISTERED: $crate::__private::Registered =
            $crate::__private::Registered::of::<$function>();
        $crate::__private::inventory::submit! { $crate::__private::Known(&REGISTERED) }
    };
}

/// Lets other processes ask for a method by its name.
#[doc(hidden)]
#[macro_export]
macro_rules! register_method {
    ($method:ty) => {
        static REGISTERED: $crate::__private::Registered =
            $crate::__private::Registered::of_method::<$method>();
        $crate::__private::inventory::submit! { $crate::__private::Known(&REGISTERED) }
    };
}

/// Lets other processes ask for a stream by its name.
#[doc(hidden)]
#[macro_export]
macro_rules! register_stream {
    ($stream:ty) => {
        static REGISTERED: $crate::__private::Registered =
            $crate::__private::Registered::of_stream::<$stream>();
        $crate::__private::inventory::submit! { $crate::__private::Known(&REGISTERED) }
    };
}

/// Lets other processes ask for a method that streams by its name.
#[doc(hidden)]
#[macro_export]
macro_rules! register_actor_stream {
    ($method:ty) => {
        static REGISTERED: $crate::__private::Registered =
            $crate::__private::Registered::of_actor_stream::<$method>();
        $crate::__private::inventory::submit! { $crate::__private::Known(&REGISTERED) }
    };
}

/// Lets other processes ask for an actor's type by its name.
#[doc(hidden)]
#[macro_export]
macro_rules! register_actor {
    ($actor:ty) => {
        static REGISTERED: $crate::__private::Registered =
            $crate::__private::Registered::of_actor::<$actor>();
        $crate::__private::inventory::submit! { $crate::__private::Known(&REGISTERED) }
    };
}

/// Makes an [`Error`] of what a remote function returned as its `Err`.
#[doc(hidden)]
#[macro_export]
macro_rules! failure {
    ($error:expr) => {{
        use $crate::__private::{
            FromBoxedError as _, FromDebug as _, FromDisplay as _, FromStdError as _,
        };
        (&&&&$crate::__private::Failure::new($error)).to_error()
    }};
}
