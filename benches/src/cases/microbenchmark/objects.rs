//! What is put into the object store and taken out again.
//!
//! `arc` is the least that it can cost: the same with the standard library's
//! `Arc` and nothing else.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::Result;
use mobula::prelude::*;

use super::case;
use crate::case::{Case, Setting};
use crate::contender::Contender;
use crate::python::Work;
use crate::start;
use crate::unit::Unit;

pub(super) const GET_CALLS: Case =
    case("single_client_get_calls", "get one stored number again and again", get_calls);

pub(super) const PUT_CALLS: Case =
    case("single_client_put_calls", "put a number, and drop it", put_calls);

pub(super) const MULTI_PUT_CALLS: Case =
    case("multi_client_put_calls", "10 tasks put 100 numbers each", multi_put_calls);

pub(super) const PUT_GIGABYTES: Case = Case {
    unit: Unit::SecondsPerGigabyte,
    ..case(
        "single_client_put_gigabytes",
        "put a copy of an array of 800 MiB, and drop it",
        put_gigabytes,
    )
};

pub(super) const GET_CONTAINING_REFS: Case = case(
    "single_client_get_object_containing_10k_refs",
    "get a task's result that holds 10,000 refs",
    get_containing_refs,
);

const CALLS: usize = 1_000_000;
const CALLS_QUICK: usize = 20_000;
const CALLS_PYTHON: usize = 2_000;
const CALLS_PYTHON_QUICK: usize = 200;

fn get_calls(setting: &Setting) -> Result<Vec<Contender>> {
    let calls = setting.size(CALLS, CALLS_QUICK);
    let on_mobula = start::on_mobula(setting.cpus, calls, || {
        let value = mobula::put(0_u64);
        Ok(move || {
            for _ in 0..calls {
                black_box(mobula::get(&value)?);
            }
            Ok(())
        })
    })?;
    let value = Arc::new(0_u64);
    let on_arc = Contender::timed("arc", calls, move || {
        (0..calls).for_each(|_| drop(black_box(Arc::clone(&value))));
        Ok(())
    });
    Ok(with_ray(vec![on_mobula, on_arc], setting, "single_client_get_calls"))
}

fn put_calls(setting: &Setting) -> Result<Vec<Contender>> {
    let calls = setting.size(CALLS, CALLS_QUICK);
    let on_mobula = start::on_mobula(setting.cpus, calls, || {
        Ok(move || {
            (0..calls as u64).for_each(|i| drop(black_box(mobula::put(i))));
            Ok(())
        })
    })?;
    let on_arc = Contender::timed("arc", calls, move || {
        (0..calls as u64).for_each(|i| drop(black_box(Arc::new(i))));
        Ok(())
    });
    Ok(with_ray(vec![on_mobula, on_arc], setting, "single_client_put_calls"))
}

/// Adds Ray, for as many calls as it does in a second.
fn with_ray(mut all: Vec<Contender>, setting: &Setting, name: &'static str) -> Vec<Contender> {
    let calls = setting.size(CALLS_PYTHON, CALLS_PYTHON_QUICK);
    all.extend(setting.on_python(&["ray"], &Work::new(name, calls), calls));
    all
}

/// Tasks of one round of `multi_client_put_calls`, and what each puts.
const CLIENTS: usize = 10;
const PUTS: usize = 100;
const ROUNDS: usize = 200;
const ROUNDS_QUICK: usize = 5;
const ROUNDS_PYTHON: usize = 10;
const ROUNDS_PYTHON_QUICK: usize = 1;

#[remote]
fn put_small() {
    (0..PUTS as u64).for_each(|i| drop(black_box(mobula::put(i))));
}

fn make_small_arcs() {
    (0..PUTS as u64).for_each(|i| drop(black_box(Arc::new(i))));
}

fn multi_put_calls(setting: &Setting) -> Result<Vec<Contender>> {
    let rounds = setting.size(ROUNDS, ROUNDS_QUICK);
    let (cpus, puts) = (setting.cpus, rounds * CLIENTS * PUTS);
    let on_mobula = start::on_mobula(cpus, puts, || {
        Ok(move || {
            for _ in 0..rounds {
                mobula::get((0..CLIENTS).map(|_| put_small::remote()).collect::<Vec<_>>())?;
            }
            Ok(())
        })
    })?;
    let on_tokio = start::on_tokio(cpus, puts, move |runtime| {
        runtime.block_on(async {
            for _ in 0..rounds {
                let clients = (0..CLIENTS).map(|_| tokio::spawn(async { make_small_arcs() }));
                for client in clients.collect::<Vec<_>>() {
                    client.await?;
                }
            }
            Ok(())
        })
    })?;
    let on_rayon = start::on_rayon(cpus, puts, move |pool| {
        for _ in 0..rounds {
            pool.in_place_scope(|scope| {
                (0..CLIENTS).for_each(|_| scope.spawn(|_| make_small_arcs()));
            });
        }
        Ok(())
    })?;
    let rounds = setting.size(ROUNDS_PYTHON, ROUNDS_PYTHON_QUICK);
    let work = Work::new("multi_client_put_calls", rounds);
    let mut all = vec![on_mobula, on_tokio.prefixed("arc_"), on_rayon.prefixed("arc_")];
    all.extend(setting.on_python(&["ray"], &work, rounds * CLIENTS * PUTS));
    Ok(all)
}

const NUMBERS: usize = 100 << 20;
const NUMBERS_QUICK: usize = 1 << 20;
/// Fewer rounds than usual: each takes the better part of a second.
const PUT_GIGABYTES_ROUNDS: usize = 5;
const PUTS_PYTHON: usize = 3;
const PUTS_PYTHON_QUICK: usize = 1;

/// Ray copies what is put. Here a put takes the value as it is, so the copy is
/// made before, and counts.
fn put_gigabytes(setting: &Setting) -> Result<Vec<Contender>> {
    let numbers = setting.size(NUMBERS, NUMBERS_QUICK);
    let gigabytes = (numbers * size_of::<i64>()) as f64 / 1e9;
    let array: Arc<[i64]> = (0..numbers as i64).collect();
    let runtime = start::mobula(setting.cpus)?;
    let copied = Arc::clone(&array);
    let mut all = vec![
        timed_gigabytes(crate::contender::MOBULA, gigabytes, move || {
            let _alive = &runtime;
            drop(black_box(mobula::put(copied.to_vec())));
        }),
        timed_gigabytes("arc", gigabytes, move || {
            drop(black_box(Arc::new(array.to_vec())));
        }),
    ];
    let puts = setting.size(PUTS_PYTHON, PUTS_PYTHON_QUICK);
    let work = Work::new("single_client_put_gigabytes", puts);
    let work = work.argument("--numbers", numbers.to_string());
    let peers = setting.on_python(&["ray"], &work, 1);
    all.extend(peers.into_iter().map(|peer| peer.divided_by(puts as f64 * gigabytes)));
    Ok(all)
}

fn timed_gigabytes(name: &str, gigabytes: f64, mut put: impl FnMut() + 'static) -> Contender {
    let once = move || {
        put();
        Ok(())
    };
    Contender::timed(name, 1, once).divided_by(gigabytes).cold(PUT_GIGABYTES_ROUNDS)
}

const REFS: usize = 10_000;
const GETS: usize = 100;
const GETS_QUICK: usize = 5;
const GETS_PYTHON: usize = 10;
const GETS_PYTHON_QUICK: usize = 2;

#[remote]
fn create_object_containing_refs() -> Vec<ObjectRef<u64>> {
    (0..REFS as u64).map(mobula::put).collect()
}

fn get_containing_refs(setting: &Setting) -> Result<Vec<Contender>> {
    let gets = setting.size(GETS, GETS_QUICK);
    let on_mobula = start::on_mobula(setting.cpus, gets, || {
        let object = create_object_containing_refs::remote();
        Ok(move || {
            for _ in 0..gets {
                black_box(mobula::get(&object)?);
            }
            Ok(())
        })
    })?;
    let object: Vec<Arc<u64>> = (0..REFS as u64).map(Arc::new).collect();
    let on_arc = Contender::timed("arc", gets, move || {
        (0..gets).for_each(|_| drop(black_box(object.clone())));
        Ok(())
    });
    let mut all = vec![on_mobula, on_arc];
    let gets = setting.size(GETS_PYTHON, GETS_PYTHON_QUICK);
    let work = Work::new("single_client_get_object_containing_10k_refs", gets);
    all.extend(setting.on_python(&["ray"], &work, gets));
    Ok(all)
}
