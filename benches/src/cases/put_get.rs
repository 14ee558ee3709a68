//! One object put and got back, of any size: what it costs must not depend on that.
//!
//! The value moves in and out, so that there is one copy at any time; between, it is shared. `arc` is the least
//! that this can cost: the standard library's `Arc` and nothing else. Ray copies what is put.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use crate::case::{Case, Setting};
use crate::cases::Group;
use crate::contender::{Contender, MOBULA};
use crate::python::Work;
use crate::start;
use crate::unit::Unit;

/// A case: so many bytes, and the calls of a round here and in Python.
macro_rules! case {
    ($name:literal, $about:literal, $bytes:expr, $calls_python:expr) => {
        Case {
            name: $name,
            about: $about,
            unit: Unit::NanosPerOp,
            contenders: |setting| contenders(setting, $bytes, $calls_python),
        }
    };
}

pub(crate) const GROUP: Group = Group {
    name: "put_get",
    about: "put a value of 1 KiB to 1 GiB, share it, and get it back",
    cases: &[
        case!("put_get_1_kib", "put, share and get back 1 KiB", 1 << 10, 1000),
        case!("put_get_1_mib", "put, share and get back 1 MiB", 1 << 20, 100),
        case!("put_get_64_mib", "put, share and get back 64 MiB", 64 << 20, 10),
        case!("put_get_1_gib", "put, share and get back 1 GiB (64 MiB where it is quick)", 1 << 30, 1),
    ],
};

const CALLS: usize = 100_000;
const CALLS_QUICK: usize = 1000;
const BYTES_QUICK_MAX: usize = 64 << 20;
const ONE: u8 = 1;

/// The one value that all contenders take turns with. Empty while a round has it.
type Value = Rc<RefCell<Vec<u8>>>;

fn contenders(setting: &Setting, bytes: usize, calls_python: usize) -> Result<Vec<Contender>> {
    let bytes = setting.size(bytes, bytes.min(BYTES_QUICK_MAX));
    let calls = setting.size(CALLS, CALLS_QUICK);
    let value: Value = Rc::new(RefCell::new(vec![ONE; bytes]));
    let mut all =
        vec![on_mobula(setting.cpus, calls, Rc::clone(&value))?, on_arc(calls, value)];
    let work = Work::new("large_object", calls_python).argument("--numbers", bytes.to_string());
    all.extend(setting.on_python(&["ray"], &work, calls_python));
    Ok(all)
}

fn check(shared: &[u8]) -> Result<()> {
    ensure!(shared.first() == Some(&ONE) && shared.last() == Some(&ONE), "bytes are wrong");
    Ok(())
}

fn on_mobula(cpus: usize, calls: usize, value: Value) -> Result<Contender> {
    let runtime = start::mobula(cpus)?;
    let work = move || {
        let _alive = &runtime;
        let mut bytes = value.take();
        for _ in 0..calls {
            let object = mobula::put(bytes);
            check(&mobula::get_arc(&object)?)?;
            bytes = mobula::get(object)?;
        }
        value.replace(bytes);
        Ok(())
    };
    Ok(Contender::timed(MOBULA, calls, work))
}

fn on_arc(calls: usize, value: Value) -> Contender {
    let work = move || {
        let mut bytes = value.take();
        for _ in 0..calls {
            let object = Arc::new(bytes);
            check(&Arc::clone(&object))?;
            bytes = Arc::into_inner(object).context("somebody still has the object")?;
        }
        value.replace(bytes);
        Ok(())
    };
    Contender::timed("arc", calls, work)
}
