//! One object as large as it can be.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use crate::case::{Case, Setting};
use crate::contender::{Contender, MOBULA};
use crate::python::Work;
use crate::unit::Unit;
use crate::{memory, start};

pub(super) const CASE: Case = Case {
    name: "large_object",
    about: "put 8 GiB (at most half of the free memory) and get it shared, as Ray's own test does",
    unit: Unit::SecondsPerGigabyte,
    contenders,
};

const BYTES: usize = 8 << 30;
const BYTES_QUICK: usize = 64 << 20;
/// Ray's store is a third of the memory, and it copies what is put.
const BYTES_PYTHON: usize = 1 << 30;
const BYTES_PYTHON_QUICK: usize = 32 << 20;
/// Seconds a round.
const ROUNDS: usize = 3;
const ONE: u8 = 1;

/// The one value that all contenders take turns with, as there is no room for
/// one each. Empty while a round has it.
type Value = Rc<RefCell<Vec<u8>>>;

fn contenders(setting: &Setting) -> Result<Vec<Contender>> {
    let bytes = setting.size(BYTES, BYTES_QUICK).min(half_of_the_memory());
    let gigabytes = bytes as f64 / 1e9;
    let value: Value = Rc::new(RefCell::new(vec![ONE; bytes]));
    let mut all = vec![
        on_mobula(setting.cpus, Rc::clone(&value))?.divided_by(gigabytes),
        on_tokio(setting.cpus, value)?.divided_by(gigabytes),
    ];
    let bytes = setting.size(BYTES_PYTHON, BYTES_PYTHON_QUICK).min(half_of_the_memory());
    let work = Work::new("large_object", 1).argument("--numbers", bytes.to_string());
    let peers = setting.on_python(&["ray"], &work, 1);
    all.extend(peers.into_iter().map(|peer| peer.divided_by(bytes as f64 / 1e9)));
    Ok(all)
}

fn half_of_the_memory() -> usize {
    usize::try_from(memory::available() / 2).unwrap_or(usize::MAX)
}

/// The value moves into the store and out again: there is one copy at any time.
fn on_mobula(cpus: usize, value: Value) -> Result<Contender> {
    let runtime = start::mobula(cpus)?;
    let work = move || {
        let _alive = &runtime;
        let object = mobula::put(value.take());
        let shared = mobula::get_arc(&object)?;
        ensure!(shared.first() == Some(&ONE) && shared.last() == Some(&ONE), "bytes are wrong");
        drop(shared);
        value.replace(mobula::get(object)?);
        Ok(())
    };
    Ok(Contender::timed(MOBULA, 1, work).cold(ROUNDS))
}

fn on_tokio(cpus: usize, value: Value) -> Result<Contender> {
    let runtime = start::tokio(cpus)?;
    let work = move || {
        let object = Arc::new(value.take());
        let shared = Arc::clone(&object);
        let last = runtime.block_on(runtime.spawn(async move { shared.last().copied() }))?;
        ensure!(last == Some(ONE), "bytes are wrong");
        let bytes = Arc::into_inner(object).context("the task still has the object")?;
        value.replace(bytes);
        Ok(())
    };
    Ok(Contender::timed("tokio_arc", 1, work).cold(ROUNDS))
}
