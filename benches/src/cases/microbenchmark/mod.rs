//! The cases of Ray's own `ray microbenchmark`, under its names.
//!
//! They follow `python/ray/_private/ray_perf.py` of Ray: what is called, how
//! often and by whom. A name is Ray's in small letters, with `_` for all that a
//! case name cannot hold, and without what it says in brackets. Ray tells how
//! often an operation is done in a second, which is the rate in our table; what
//! Ray counts as one operation is one operation here.
//!
//! What is left out needs what one process does not have or mobula has not:
//! placement groups, channels, callbacks for objects out of scope, the client
//! server, and puts of gigabytes from several tasks, each of which would only
//! give a pointer away.

mod actix_server;
mod actors;
mod objects;
mod server;
mod tasks;
mod tokio_server;
mod traffic;

use crate::case::Case;
use crate::cases::Group;

pub(crate) const GROUP: Group = Group {
    name: "microbenchmark",
    about: "the cases of `ray microbenchmark`, under Ray's names",
    cases: &[
        objects::GET_CALLS,
        objects::PUT_CALLS,
        objects::MULTI_PUT_CALLS,
        objects::PUT_GIGABYTES,
        tasks::GET_BATCH,
        objects::GET_CONTAINING_REFS,
        tasks::WAIT,
        tasks::SYNC,
        tasks::ASYNC,
        tasks::MULTI_ASYNC,
        actors::CALLS_SYNC,
        actors::CALLS_ASYNC,
        actors::CALLS_CONCURRENT,
        actors::ONE_TO_MANY,
        actors::MANY_TO_MANY,
        actors::WITH_ARGUMENT,
        actors::ASYNC_CALLS_SYNC,
        actors::ASYNC_CALLS_ASYNC,
        actors::ASYNC_WITH_ARGUMENTS,
        actors::ASYNC_ONE_TO_MANY,
        actors::ASYNC_MANY_TO_MANY,
    ],
};

/// What Ray's functions and methods return.
const OK: [u8; 2] = *b"ok";

/// What is submitted together before anything of it is awaited.
const BATCH: usize = 1_000;

/// A case whose peers in Python are Ray alone.
const fn case(
    name: &'static str,
    about: &'static str,
    contenders: fn(&crate::case::Setting) -> anyhow::Result<Vec<crate::contender::Contender>>,
) -> Case {
    Case { name, about, unit: crate::unit::Unit::NanosPerOp, contenders }
}
