//! Ten thousand objects: as arguments, as results, got at once, held by
//! another, waited for one by one.

use std::sync::Arc;

use anyhow::{Result, ensure};
use mobula::prelude::*;

use crate::case::{Case, Setting};
use crate::contender::Contender;
use crate::python::Work;
use crate::start;
use crate::unit::Unit;

pub(super) const MANY_ARGUMENTS: Case = Case {
    name: "many_arguments",
    about: "a task with 10,000 refs as arguments (here one list of refs), for each",
    unit: Unit::NanosPerOp,
    contenders: |setting| contenders(setting, "many_arguments", OBJECTS, sum_all, sum_arcs),
};

pub(super) const MANY_RETURNS: Case = Case {
    name: "many_returns",
    about: "a task that returns 3,000 objects (here one list of refs that it put), get all, for each",
    unit: Unit::NanosPerOp,
    contenders: |setting| contenders(setting, "many_returns", RETURNS, get_returns, read_returns),
};

pub(super) const MANY_GETS: Case = Case {
    name: "many_gets",
    about: "put 10,000 objects and get all at once, for each",
    unit: Unit::NanosPerOp,
    contenders: |setting| contenders(setting, "many_gets", OBJECTS, get_all, read_all),
};

pub(super) const REFS_IN_OBJECT: Case = Case {
    name: "refs_in_object",
    about: "an object that holds 10,000 refs goes to a task that gets all of them, for each",
    unit: Unit::NanosPerOp,
    contenders: |setting| contenders(setting, "refs_in_object", OBJECTS, open, open_arcs),
};

pub(super) const WAIT: Case = Case {
    name: "wait_one_by_one",
    about: "wait for 1 of 1,000 stored objects until none is left, for each",
    unit: Unit::NanosPerOp,
    contenders: |setting| contenders(setting, "wait_one_by_one", WAITED, wait, take_arcs),
};

const OBJECTS: usize = 10_000;
const RETURNS: usize = 3_000;
const WAITED: usize = 1_000;
const REPEATS: usize = 50;
const REPEATS_QUICK: usize = 3;
const REPEATS_PYTHON: usize = 1;

/// The sum of `count` objects that hold 0, 1, 2 and so on.
type Sum = fn(count: u64) -> Result<u64>;

/// Mobula and `Arc` on one thread, each of which makes `count` objects and sums
/// them up; and Ray.
fn contenders(
    setting: &Setting,
    name: &'static str,
    count: usize,
    on_mobula: Sum,
    on_arc: Sum,
) -> Result<Vec<Contender>> {
    let repeats = setting.size(REPEATS, REPEATS_QUICK);
    let repeat = move |sum: Sum| {
        let expected: u64 = (0..count as u64).sum();
        for _ in 0..repeats {
            let sum = sum(count as u64)?;
            ensure!(sum == expected, "the objects sum up to {sum}, not {expected}");
        }
        Ok(())
    };
    let ops = count * repeats;
    let mut all = vec![
        start::on_mobula(setting.cpus, ops, || Ok(move || repeat(on_mobula)))?,
        Contender::timed("arc", ops, move || repeat(on_arc)),
    ];
    let work = Work::new(name, REPEATS_PYTHON).argument("--calls", count.to_string());
    all.extend(setting.on_python(&["ray"], &work, count * REPEATS_PYTHON));
    Ok(all)
}

fn arcs(count: u64) -> Vec<Arc<u64>> {
    (0..count).map(Arc::new).collect()
}

fn refs(count: u64) -> Vec<ObjectRef<u64>> {
    (0..count).map(mobula::put).collect()
}

#[remote]
fn sum_shared(numbers: &[Arc<u64>]) -> u64 {
    numbers.iter().map(|number| **number).sum()
}

fn sum_all(count: u64) -> Result<u64> {
    Ok(mobula::get(sum_shared::remote(refs(count)))?)
}

fn sum_arcs(count: u64) -> Result<u64> {
    Ok(sum_shared(&arcs(count)))
}

#[remote]
fn put_many(count: u64) -> Vec<ObjectRef<u64>> {
    refs(count)
}

fn get_returns(count: u64) -> Result<u64> {
    let returned = mobula::get(put_many::remote(count))?;
    Ok(mobula::get(returned)?.into_iter().sum())
}

fn read_returns(count: u64) -> Result<u64> {
    let returned: Vec<Arc<u64>> = std::hint::black_box(arcs(count));
    let read: Vec<u64> = returned.into_iter().map(|number| *number).collect();
    Ok(read.into_iter().sum())
}

fn get_all(count: u64) -> Result<u64> {
    let refs = refs(count);
    Ok(mobula::get(&refs)?.into_iter().sum())
}

fn read_all(count: u64) -> Result<u64> {
    let arcs = std::hint::black_box(arcs(count));
    let read: Vec<u64> = arcs.iter().map(|number| **number).collect();
    Ok(read.into_iter().sum())
}

#[remote]
fn open_refs(refs: Vec<ObjectRef<u64>>) -> mobula::Result<u64> {
    Ok(mobula::get(refs)?.into_iter().sum())
}

fn open(count: u64) -> Result<u64> {
    let object = mobula::put(refs(count));
    Ok(mobula::get(open_refs::remote(&object))?)
}

/// The task's own list is a copy, since the caller still has the object.
fn open_arcs(count: u64) -> Result<u64> {
    let object = Arc::new(arcs(count));
    let opened = std::hint::black_box(Vec::clone(&object));
    Ok(opened.into_iter().map(|number| *number).sum())
}

fn wait(count: u64) -> Result<u64> {
    let mut pending = refs(count);
    let mut sum = 0;
    while !pending.is_empty() {
        let (ready, left) = mobula::wait(&pending, 1, None);
        ensure!(ready.len() == 1, "{} objects became ready at once", ready.len());
        sum += mobula::get(ready)?.into_iter().sum::<u64>();
        pending = left;
    }
    Ok(sum)
}

/// As `wait` does it: each time the list of those left is made anew.
fn take_arcs(count: u64) -> Result<u64> {
    let mut pending = arcs(count);
    let mut sum = 0;
    while let Some(ready) = pending.first() {
        sum += **ready;
        pending = std::hint::black_box(pending[1..].to_vec());
    }
    Ok(sum)
}
