//! A Ray-style runtime for Rust.

// The macro's expansions name this crate, also inside of it.
extern crate self as mobula;

mod api;
mod config;
mod error;
mod function;
mod local;
mod runtime;

pub use api::actor::{ActorHandle, ActorOptions, kill};
pub use api::context::{Context, check_cancelled, context};
pub use api::get::{Get, get, get_arc, get_timeout};
pub use api::object::{ObjectId, ObjectRef, cancel, put};
pub use api::remote::{TaskOptions, spawn};
pub use api::wait::{AsCompleted, ObjectFuture, as_completed, wait};
pub use config::{Config, Engine};
pub use error::{Error, ErrorKind, Result};
pub use runtime::{EnterGuard, Runtime, ShutdownReport, init};
