//! A working set of four times the limit of the object store, made once and read twice; and the most memory
//! that this takes.
//!
//! `files` is the least that it can cost: the same bytes, each object written to a file of its own and read back
//! from it, with no store, no checksum and nothing kept in memory.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use mobula::prelude::*;

use crate::case::{Case, Setting};
use crate::cases::Group;
use crate::contender::MOBULA;
use crate::memory;
use crate::unit::Unit;

const TIME: Case = Case {
    name: "spill_time",
    about: "put four times what the object store may take (256 MiB), read all of it twice",
    unit: Unit::SecondsPerGigabyte,
    contenders: |setting| {
        let isolated = |name, round: fn(Size) -> Result<Cost>| {
            let size = Size::of(setting);
            let round = move || Ok(round(size)?.seconds / (size.bytes() * PASSES) as f64 * 1e9);
            setting.isolated(TIME.name, name, ROUNDS, round)
        };
        Ok(vec![isolated(MOBULA, on_mobula), isolated("files", on_files)])
    },
};

const MEMORY: Case = Case {
    name: "spill_memory",
    about: "the most memory that the process takes meanwhile, for each byte of the limit",
    unit: Unit::BytesPerOp,
    contenders: |setting| {
        let size = Size::of(setting);
        let round = move || Ok(on_mobula(size)?.peak / size.limit as f64);
        Ok(vec![setting.isolated(MEMORY.name, MOBULA, ROUNDS, round)])
    },
};

pub(crate) const GROUP: Group = Group {
    name: "spill",
    about: "a working set of four times the limit of the object store",
    cases: &[TIME, MEMORY],
};

const ROUNDS: usize = 5;
/// Written once, read twice.
const PASSES: usize = 3;
const READS: usize = 2;

#[derive(Clone, Copy)]
struct Size {
    limit: usize,
    /// Of each object.
    numbers: usize,
    objects: usize,
    cpus: usize,
}

impl Size {
    fn of(setting: &Setting) -> Self {
        let limit = setting.size(256 << 20, 32 << 20);
        let numbers = setting.size(1 << 20, 1 << 17);
        Self { limit, numbers, objects: 4 * limit / (8 * numbers), cpus: setting.cpus }
    }

    fn bytes(self) -> usize {
        8 * self.numbers * self.objects
    }

    fn object(self, i: usize) -> Vec<f64> {
        vec![i as f64; self.numbers]
    }
}

struct Cost {
    seconds: f64,
    /// Bytes.
    peak: f64,
}

fn cost(work: impl FnOnce(&Path) -> Result<()>) -> Result<Cost> {
    let folder = tempfile::tempdir()?;
    let start = Instant::now();
    work(folder.path())?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Cost { seconds, peak: memory::resident_most()? as f64 })
}

fn on_mobula(size: Size) -> Result<Cost> {
    cost(|folder| {
        let config = Config::new().num_cpus(size.cpus);
        let config = config.object_store_memory(size.limit).spill_dir(folder);
        let _runtime = mobula::init(config)?;
        let objects: Vec<_> = (0..size.objects).map(|i| mobula::put(size.object(i))).collect();
        for _ in 0..READS {
            for (i, object) in objects.iter().enumerate() {
                let numbers = mobula::get_arc(object)?;
                check(i, numbers[0], numbers[size.numbers - 1])?;
            }
        }
        Ok(())
    })
}

fn on_files(size: Size) -> Result<Cost> {
    cost(|folder| {
        let path = |i: usize| folder.join(i.to_string());
        for i in 0..size.objects {
            let numbers = size.object(i);
            File::create(path(i))?.write_all(bytemuck::cast_slice(&numbers))?;
        }
        for _ in 0..READS {
            for i in 0..size.objects {
                let bytes = fs::read(path(i))?;
                let number = |bytes: &[u8]| bytemuck::pod_read_unaligned(bytes);
                check(i, number(&bytes[..8]), number(&bytes[bytes.len() - 8..]))?;
            }
        }
        Ok(())
    })
}

fn check(i: usize, first: f64, last: f64) -> Result<()> {
    ensure!(first == i as f64 && last == i as f64, "object {i} has wrong numbers");
    Ok(())
}
