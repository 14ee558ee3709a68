//! Actors beside those of other libraries: what a call costs, a hop, an actor.
//!
//! All do the same to the same actor: a counter that adds, or a link of a ring
//! that passes a token on. Peers on tokio get as many worker threads as mobula
//! has CPUs; actix runs its actors on one arbiter, or as many where many actors
//! compute at once, and its callers on the program's thread. Mailboxes have no bound
//! that a caller could meet. On Ray an actor is a process: there are 8 at most.

mod async_batch;
mod on_actix;
mod on_kameo;
mod on_mobula;
mod on_ractor;
mod on_tokio;
mod peer;
mod read_parallel;

use anyhow::Result;

use crate::case::{Case, Setting};
use crate::cases::Group;
use crate::contender::Contender;
use crate::python::Work;
use crate::unit::Unit;
use on_actix::Actix;
use on_kameo::Kameo;
use on_ractor::Ractor;
use on_tokio::Tokio;

pub(crate) const GROUP: Group = Group {
    name: "actors",
    about: "actors beside those of actix, kameo, ractor and bare tokio",
    cases: &[BATCH, TELL, ROUNDTRIP, CREATE, MEMORY, FANOUT, RING, async_batch::CASE, read_parallel::CASE],
};

const BATCH: Case =
    case("actor_batch", "call an actor many times, then read all replies", |setting| {
        let calls = setting.size(1_000_000, 20_000);
        let mut all = vec![on_mobula::batch(setting.cpus, calls)?];
        all.extend(peers!(setting, batch(calls)));
        all.push(on_actix::batch_on_one_thread(calls));
        let calls = setting.size(5_000, 500);
        all.extend(setting.on_python(&["ray", "dask"], &Work::new("actor_batch", calls), calls));
        Ok(all)
    });

const TELL: Case = case("actor_tell", "call an actor many times and read no reply", |setting| {
    let calls = setting.size(1_000_000, 20_000);
    let mut all = vec![on_mobula::tell(setting.cpus, calls)?];
    all.extend(peers!(setting, tell(calls)));
    all.extend(on_ray(setting, "actor_tell", setting.size(5_000, 500)));
    Ok(all)
});

const ROUNDTRIP: Case =
    case("actor_roundtrip", "call an actor, read the reply, one at a time", |setting| {
        let trips = setting.size(50_000, 500);
        let mut all = vec![on_mobula::roundtrip(setting.cpus, trips)?];
        all.extend(peers!(setting, roundtrip(trips)));
        all.extend(on_ray(setting, "actor_roundtrip", setting.size(500, 50)));
        Ok(all)
    });

/// Actors that are alive together. Peers get fewer, as theirs take more memory
/// than most machines have; the cost is of one.
const ACTORS: usize = 1_000_000;
const ACTORS_OF_PEERS: usize = 100_000;
const ACTORS_QUICK: usize = 2_000;

const CREATE: Case = case(
    "actor_create",
    "create 1,000,000 actors, call each once, drop all; peers 100,000",
    |setting| {
        let mut all = vec![on_mobula::create(setting.cpus, setting.size(ACTORS, ACTORS_QUICK))?];
        let actors = setting.size(ACTORS_OF_PEERS, ACTORS_QUICK);
        all.extend(peers!(setting, create(actors)));
        all.extend(on_ray(setting, "actor_create", setting.size(50, 4)));
        Ok(all)
    },
);

const MEMORY: Case = Case {
    name: "actor_memory",
    about: "resident memory of an actor with 16 bytes of state that was called once, and its handle",
    unit: Unit::BytesPerOp,
    contenders: |setting| {
        let rounds = setting.size(3, 1);
        let actors = setting.size(ACTORS_OF_PEERS, ACTORS_QUICK);
        let of_mobula = setting.size(ACTORS, ACTORS_QUICK);
        let alone = |name, round: fn(usize, usize) -> Result<f64>, actors| {
            let cpus = setting.cpus;
            setting.isolated(MEMORY.name, name, rounds, move || round(cpus, actors))
        };
        Ok(vec![
            alone("mobula", on_mobula::memory, of_mobula),
            alone("actix", peer::memory::<Actix>, actors),
            alone("kameo", peer::memory::<Kameo>, actors),
            alone("ractor", peer::memory::<Ractor>, actors),
            alone("tokio", peer::memory::<Tokio>, actors),
        ])
    },
};

/// Actors of a fan-out, and of a ring.
const MANY: usize = 1_000;

const FANOUT: Case =
    case("actor_fanout", "call each of 1,000 actors once, then read all replies", |setting| {
        let rounds = setting.size(500, 5);
        let mut all = vec![on_mobula::fanout(setting.cpus, MANY, rounds)?];
        all.extend(peers!(setting, fanout(MANY, rounds)));
        all.extend(on_ray(setting, "actor_fanout", setting.size(1_000, 100)));
        Ok(all)
    });

const RING: Case =
    case("actor_ring", "pass a token around a ring of 1,000 actors: a hop", |setting| {
        let hops = setting.size(1_000_000, 10_000);
        let mut all = vec![on_mobula::ring(setting.cpus, MANY, hops)?];
        all.extend(peers!(setting, ring(MANY, hops)));
        all.extend(on_ray(setting, "actor_ring", setting.size(500, 50)));
        Ok(all)
    });

/// The contenders that do this work on each of the peers.
macro_rules! peers {
    ($setting:expr, $work:ident($($argument:expr),*)) => {
        [
            peer::$work::<Actix>($setting.cpus, $($argument),*)?,
            peer::$work::<Kameo>($setting.cpus, $($argument),*)?,
            peer::$work::<Ractor>($setting.cpus, $($argument),*)?,
            peer::$work::<Tokio>($setting.cpus, $($argument),*)?,
        ]
    };
}
use peers;

const fn case(
    name: &'static str,
    about: &'static str,
    contenders: fn(&Setting) -> Result<Vec<Contender>>,
) -> Case {
    Case { name, about, unit: Unit::NanosPerOp, contenders }
}

fn on_ray(setting: &Setting, name: &'static str, ops: usize) -> Vec<Contender> {
    setting.on_python(&["ray"], &Work::new(name, ops), ops)
}
