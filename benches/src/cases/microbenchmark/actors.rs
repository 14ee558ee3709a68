//! Actors that do nothing, called in all the ways in which Ray calls them.

use anyhow::Result;
use mobula::prelude::*;

use super::server::{self, Computing, Waiting};
use super::traffic::{Argument, Callers, Traffic, servers};
use super::{BATCH, actix_server, case, tokio_server};
use crate::case::{Case, Setting};
use crate::contender::Contender;
use crate::python::Work;

pub(super) const CALLS_SYNC: Case =
    case("1_1_actor_calls_sync", "call an actor, get each reply before the next call", |setting| {
        contenders(setting, "1_1_actor_calls_sync", false, one_by_one(setting))
    });

pub(super) const CALLS_ASYNC: Case =
    case("1_1_actor_calls_async", "call an actor 1,000 times, then get all", |setting| {
        contenders(setting, "1_1_actor_calls_async", false, outside(setting, Argument::None))
    });

pub(super) const CALLS_CONCURRENT: Case = case(
    "1_1_actor_calls_concurrent",
    "the same, where Ray runs 16 calls at once; here one after the other",
    |setting| {
        contenders(setting, "1_1_actor_calls_concurrent", false, outside(setting, Argument::None))
    },
);

pub(super) const ONE_TO_MANY: Case = case(
    "1_n_actor_calls_async",
    "one task calls an actor for each second CPU 5,000 times, then gets all",
    |setting| contenders(setting, "1_n_actor_calls_async", false, one_to_many(setting)),
);

pub(super) const MANY_TO_MANY: Case = case(
    "n_n_actor_calls_async",
    "4 tasks call an actor for each second CPU 5,000 times in turn, then get all",
    |setting| contenders(setting, "n_n_actor_calls_async", false, many_to_many(setting)),
);

pub(super) const WITH_ARGUMENT: Case = case(
    "n_n_actor_calls_with_arg_async",
    "a task for each actor calls it 1,000 times with a ref, then gets all",
    |setting| contenders(setting, "n_n_actor_calls_with_arg_async", false, pairs(setting)),
);

pub(super) const ASYNC_CALLS_SYNC: Case = case(
    "1_1_async_actor_calls_sync",
    "call an async actor, get each reply before the next call",
    |setting| contenders(setting, "1_1_async_actor_calls_sync", true, one_by_one(setting)),
);

pub(super) const ASYNC_CALLS_ASYNC: Case = case(
    "1_1_async_actor_calls_async",
    "call an async actor 1,000 times, then get all",
    |setting| {
        contenders(setting, "1_1_async_actor_calls_async", true, outside(setting, Argument::None))
    },
);

pub(super) const ASYNC_WITH_ARGUMENTS: Case = case(
    "1_1_async_actor_calls_with_args_async",
    "call an async actor 1,000 times with a number each, then get all",
    |setting| {
        let traffic = outside(setting, Argument::Number);
        contenders(setting, "1_1_async_actor_calls_with_args_async", true, traffic)
    },
);

pub(super) const ASYNC_ONE_TO_MANY: Case = case(
    "1_n_async_actor_calls_async",
    "one task calls an async actor for each second CPU 5,000 times, then gets all",
    |setting| contenders(setting, "1_n_async_actor_calls_async", true, one_to_many(setting)),
);

pub(super) const ASYNC_MANY_TO_MANY: Case = case(
    "n_n_async_actor_calls_async",
    "4 tasks call an async actor for each second CPU 5,000 times in turn, then get all",
    |setting| contenders(setting, "n_n_async_actor_calls_async", true, many_to_many(setting)),
);

/// Calls made one at a time.
const TRIPS: usize = 20_000;
const TRIPS_QUICK: usize = 500;
const TRIPS_PYTHON: usize = 500;
const TRIPS_PYTHON_QUICK: usize = 50;

/// Calls that a task makes before it gets all.
const CALLS: usize = 5_000;
const CALLS_QUICK: usize = 1_000;
const CALLS_PYTHON: usize = 1_000;
const CALLS_PYTHON_QUICK: usize = 100;

/// Rounds of all that is not one at a time, timed together.
const ROUNDS: usize = 50;
const ROUNDS_QUICK: usize = 3;

/// Tasks that call where several do.
const CALLERS: usize = 4;

fn one_by_one(setting: &Setting) -> Traffic {
    Traffic {
        callers: Callers::OneByOne,
        argument: Argument::None,
        servers: 1,
        calls: setting.size(TRIPS, TRIPS_QUICK),
        rounds: 1,
    }
}

fn outside(setting: &Setting, argument: Argument) -> Traffic {
    Traffic {
        callers: Callers::Outside,
        argument,
        servers: 1,
        calls: BATCH,
        rounds: setting.size(ROUNDS, ROUNDS_QUICK),
    }
}

fn one_to_many(setting: &Setting) -> Traffic {
    Traffic {
        callers: Callers::Tasks(1),
        argument: Argument::None,
        servers: servers(setting),
        calls: servers(setting) * setting.size(CALLS, CALLS_QUICK),
        rounds: setting.size(ROUNDS, ROUNDS_QUICK),
    }
}

fn many_to_many(setting: &Setting) -> Traffic {
    Traffic {
        callers: Callers::Tasks(CALLERS),
        calls: setting.size(CALLS, CALLS_QUICK),
        ..one_to_many(setting)
    }
}

fn pairs(setting: &Setting) -> Traffic {
    Traffic {
        callers: Callers::TaskForEach,
        argument: Argument::Ref,
        calls: BATCH,
        ..one_to_many(setting)
    }
}

/// `traffic` on all engines, with actors that wait or that compute.
fn contenders(
    setting: &Setting,
    name: &'static str,
    waits: bool,
    traffic: Traffic,
) -> Result<Vec<Contender>> {
    let on_mobula = if waits {
        server::contender::<ActorHandle<Waiting>>
    } else {
        server::contender::<ActorHandle<Computing>>
    };
    let mut all = vec![
        on_mobula(setting.cpus, traffic)?,
        tokio_server::contender(setting.cpus, traffic, waits)?,
    ];
    if matches!(traffic.callers, Callers::OneByOne | Callers::Outside) {
        all.push(actix_server::contender(traffic, waits));
    }
    all.extend(on_ray(setting, name, traffic));
    Ok(all)
}

/// One round of as many calls as Ray makes in about a second.
fn on_ray(setting: &Setting, name: &'static str, traffic: Traffic) -> Vec<Contender> {
    let calls = match traffic.callers {
        Callers::OneByOne => setting.size(TRIPS_PYTHON, TRIPS_PYTHON_QUICK),
        _ => setting.size(CALLS_PYTHON, CALLS_PYTHON_QUICK),
    };
    let traffic = match traffic.callers {
        Callers::Tasks(1) => Traffic { calls: calls * traffic.servers, rounds: 1, ..traffic },
        _ => Traffic { calls, rounds: 1, ..traffic },
    };
    let work = Work::new(name, 1)
        .argument("--calls", calls.to_string())
        .argument("--servers", traffic.servers.to_string());
    setting.on_python(&["ray"], &work, traffic.ops())
}
