//! A Ray-style runtime for Rust.

// The macro's expansions name this crate, also inside of it.
extern crate self as mobula;

mod api;
mod config;
mod error;
mod function;
mod local;
mod millis;
mod runtime;

pub use api::actor::{ActorHandle, ActorOptions, kill};
pub use api::context::{Context, check_cancelled, context};
pub use api::get::{Get, get, get_arc, get_timeout};
pub use api::map::{Map, map};
pub use api::object::{ObjectId, ObjectRef, cancel, put};
pub use api::remote::{TaskOptions, spawn};
pub use api::wait::{AsCompleted, ObjectFuture, as_completed, wait};
pub use config::{Config, Engine};
pub use error::{Error, ErrorKind, Result};
pub use mobula_macros::remote;
pub use runtime::{EnterGuard, Runtime, ShutdownReport, init};

/// What most programs use: `use mobula::prelude::*;`.
pub mod prelude {
    #[doc(no_inline)]
    pub use crate::{
        ActorHandle, Config, Engine, ErrorKind, ObjectRef, Runtime, as_completed, cancel, get,
        get_arc, get_timeout, put, remote, wait,
    };
}

/// What the macro's expansions name. Nobody else should.
#[doc(hidden)]
pub mod __private {
    pub use crate::api::actor::{
        Actor, ActorCell, ActorConfig, ActorHandle, ActorOptions, Construct, start_actor,
    };
    pub use crate::api::map::{RemoteMap as Map, map_remote as map};
    pub use crate::api::object::ObjectRef;
    pub use crate::api::options::Options;
    pub use crate::api::parameter::{Arg, Borrowed, IntoSlots, Owned, Param, Params, Slot};
    pub use crate::api::portable::{Fallible, Portable};
    pub use crate::api::remote::{Body, RemoteFn, TaskOptions, submit};
    pub use crate::api::split::Split;
    pub use crate::error::{Error, Result, failure::*};
    pub use crate::failure;
    pub use crate::function::Function;
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
