//! Values as bytes: 100 MB of numbers, written and read.
//!
//! This measures the codec that objects go through on their way to disk and
//! to other processes; programs do not call it. The peers are `memcpy`, which
//! is the least it can cost: a vector's own copy; `rmp_serde`, whose format
//! it is but for arrays of numbers; and `wincode`, which carries on the format
//! of `bincode` since that is no longer maintained, and knows arrays of
//! numbers too. All of them make a new vector each time, whose pages the
//! system has to find and clear, which costs more than the copy; but for the
//! cases `codec_encode_kept`, in which each has one that it fills again.

use std::cell::RefCell;
use std::hint::black_box;

use anyhow::{Context, Result};
use mobula::__private::wire;
use ndarray::Array2;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::case::{Case, Setting};
use crate::cases::Group;
use crate::contender::{Contender, MOBULA};
use crate::unit::Unit;

/// 100 MB, by the `f64`.
const LENGTH: usize = 12_500_000;
const LENGTH_QUICK: usize = LENGTH / 10;
/// Columns of a table.
const COLUMNS: usize = 100;

const BINCODE: &str = "wincode";

pub(crate) const GROUP: Group = Group {
    name: "codec",
    about: "100 MB of f64 as bytes, and back",
    cases: &[
        Case {
            name: "codec_encode",
            about: "a Vec<f64> of 100 MB becomes bytes",
            unit: Unit::SecondsPerGigabyte,
            contenders: encode_vec,
        },
        Case {
            name: "codec_decode",
            about: "bytes become a Vec<f64> of 100 MB",
            unit: Unit::SecondsPerGigabyte,
            contenders: decode_vec,
        },
        Case {
            name: "codec_encode_array",
            about: "an Array2<f64> of 100 MB becomes bytes",
            unit: Unit::SecondsPerGigabyte,
            contenders: encode_array,
        },
        Case {
            name: "codec_decode_array",
            about: "bytes become an Array2<f64> of 100 MB",
            unit: Unit::SecondsPerGigabyte,
            contenders: decode_array,
        },
        Case {
            name: "codec_encode_kept",
            about: "a Vec<f64> of 100 MB becomes bytes in memory that is kept",
            unit: Unit::SecondsPerGigabyte,
            contenders: |setting| Ok(encode_kept(setting, numbers(setting), numbers(setting))),
        },
        Case {
            name: "codec_encode_array_kept",
            about: "an Array2<f64> of 100 MB becomes bytes in memory that is kept",
            unit: Unit::SecondsPerGigabyte,
            contenders: |setting| Ok(encode_kept(setting, array(setting)?, numbers(setting))),
        },
    ],
};

fn numbers(setting: &Setting) -> Vec<f64> {
    (0..setting.size(LENGTH, LENGTH_QUICK)).map(|x| x as f64 * 0.5).collect()
}

fn array(setting: &Setting) -> Result<Array2<f64>> {
    let numbers = numbers(setting);
    Ok(Array2::from_shape_vec((numbers.len() / COLUMNS, COLUMNS), numbers)?)
}

/// A contender whose figures are for each gigabyte of the numbers.
fn contender<R>(
    setting: &Setting,
    name: &str,
    work: impl Fn() -> Result<R> + 'static,
) -> Contender {
    let gigabytes = (setting.size(LENGTH, LENGTH_QUICK) * size_of::<f64>()) as f64 / 1e9;
    let timed = Contender::timed(name, 1, move || {
        black_box(work()?);
        Ok(())
    });
    timed.divided_by(gigabytes)
}

fn encode_vec(setting: &Setting) -> Result<Vec<Contender>> {
    let numbers = numbers(setting);
    let mut all = encode(setting, numbers.clone(), numbers.clone());
    all.push(contender(setting, BINCODE, move || {
        Ok(wincode::config::serialize(&numbers, wincode_config())?)
    }));
    Ok(all)
}

fn encode_array(setting: &Setting) -> Result<Vec<Contender>> {
    Ok(encode(setting, array(setting)?, numbers(setting)))
}

fn encode<T: Serialize + Clone + 'static>(
    setting: &Setting,
    value: T,
    numbers: Vec<f64>,
) -> Vec<Contender> {
    let same = value.clone();
    vec![
        contender(setting, MOBULA, move || Ok(wire::encode(&value)?.bytes)),
        contender(setting, "memcpy", move || Ok(black_box(&numbers).to_vec())),
        contender(setting, "rmp_serde", move || Ok(rmp_serde::to_vec(&same)?)),
    ]
}

fn encode_kept<T: Serialize + Clone + 'static>(
    setting: &Setting,
    value: T,
    numbers: Vec<f64>,
) -> Vec<Contender> {
    let same = value.clone();
    vec![
        kept(setting, MOBULA, move |bytes| {
            wire::encode_into(&value, bytes)?;
            Ok(())
        }),
        kept(setting, "memcpy", move |bytes| {
            bytes.extend_from_slice(bytemuck::cast_slice(black_box(&numbers)));
            Ok(())
        }),
        kept(setting, "rmp_serde", move |bytes| Ok(rmp_serde::encode::write(bytes, &same)?)),
    ]
}

/// As `contender`, of work that fills a vector of bytes, which is the same each time.
fn kept(
    setting: &Setting,
    name: &str,
    work: impl Fn(&mut Vec<u8>) -> Result<()> + 'static,
) -> Contender {
    let bytes = RefCell::new(Vec::new());
    contender(setting, name, move || {
        let mut bytes = bytes.borrow_mut();
        bytes.clear();
        work(&mut bytes)?;
        black_box(&*bytes);
        Ok(())
    })
}

fn decode_vec(setting: &Setting) -> Result<Vec<Contender>> {
    let numbers = numbers(setting);
    let bytes = wincode::config::serialize(&numbers, wincode_config())?;
    let mut all = decode(setting, numbers.clone(), numbers)?;
    all.push(contender(setting, BINCODE, move || {
        Ok(wincode::config::deserialize::<Vec<f64>, _>(&bytes, wincode_config())?)
    }));
    Ok(all)
}

/// Allows vectors of this length.
fn wincode_config() -> impl wincode::config::Config + Copy {
    wincode::config::Configuration::default().with_preallocation_size_limit::<{ 8 * LENGTH }>()
}

fn decode_array(setting: &Setting) -> Result<Vec<Contender>> {
    decode(setting, array(setting)?, numbers(setting))
}

fn decode<T: Serialize + DeserializeOwned + PartialEq + 'static>(
    setting: &Setting,
    value: T,
    numbers: Vec<f64>,
) -> Result<Vec<Contender>> {
    let ours = wire::encode(&value)?.bytes;
    let theirs = rmp_serde::to_vec(&value).context("rmp_serde")?;
    anyhow::ensure!(wire::decode::<T>(&ours)? == value, "the value did not come back");
    Ok(vec![
        contender(setting, MOBULA, move || Ok(wire::decode::<T>(&ours)?)),
        contender(setting, "memcpy", move || Ok(black_box(&numbers).to_vec())),
        contender(setting, "rmp_serde", move || Ok(rmp_serde::from_slice::<T>(&theirs)?)),
    ])
}
