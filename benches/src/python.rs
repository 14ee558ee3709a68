//! The peers in Python: who can be asked, and for what.
//!
//! Each round is a process of its own that starts an engine, warms it up, does
//! the work once and ends. Nothing of an engine then runs beside the other
//! contenders, and its start-up (seconds) is not counted.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempPath;

use crate::case::Setting;
use crate::contender::Contender;
use crate::guarded;

/// Longer than the slowest engine takes for the longest work by far.
const PROCESS_SECONDS_MAX: u64 = 300;

/// Start-up makes rounds in Python expensive.
const ROUNDS_MAX: usize = 3;
const ROUNDS_MAX_QUICK: usize = 1;

/// A Python interpreter that has the engines.
pub(crate) struct Python {
    interpreter: PathBuf,
    scripts: PathBuf,
}

impl Python {
    pub(crate) fn new(interpreter: &Path) -> Result<Self> {
        ensure!(
            interpreter.is_file(),
            "{} is no Python interpreter; `cargo xtask bench-python` makes one with all engines",
            interpreter.display()
        );
        Ok(Python {
            interpreter: interpreter.to_owned(),
            scripts: Path::new(env!("CARGO_MANIFEST_DIR")).join("python"),
        })
    }

    pub(crate) fn interpreter(&self) -> &Path {
        &self.interpreter
    }

    /// Runs `work` once on `engine`; seconds for all of it.
    fn run(&self, engine: &str, work: &Work, cpus: usize) -> Result<f64> {
        let mut command = Command::new(&self.interpreter);
        command
            .arg(self.scripts.join("run.py"))
            .args([engine, work.name])
            .args(["--num-cpus", &cpus.to_string()])
            .args(["--ops", &work.ops.to_string()])
            .args(&work.arguments)
            // Workers find the functions here, and leave no byte code behind.
            .env("PYTHONPATH", &self.scripts)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // One thread for each process: the engine alone makes it parallel.
            .env("OMP_NUM_THREADS", "1")
            .env("OPENBLAS_NUM_THREADS", "1");
        let output = guarded::run(command, Duration::from_secs(PROCESS_SECONDS_MAX))?;
        let line = output.lines().last().context("printed nothing")?;
        let answer: Answer = serde_json::from_str(line)
            .with_context(|| format!("failed to read the answer `{line}`"))?;
        Ok(answer.seconds)
    }
}

/// What `run.py` prints last.
#[derive(Deserialize)]
struct Answer {
    seconds: f64,
}

/// What to do, in the words of `benches/python/works.py`.
#[derive(Clone)]
pub(crate) struct Work {
    name: &'static str,
    ops: usize,
    arguments: Vec<OsString>,
    files: Vec<Rc<TempPath>>,
}

impl Work {
    /// `ops` calls of the work called `name`.
    pub(crate) fn new(name: &'static str, ops: usize) -> Self {
        Work { name, ops, arguments: Vec::new(), files: Vec::new() }
    }

    /// Adds an option that only this work has.
    pub(crate) fn argument(mut self, option: &str, value: impl Into<OsString>) -> Self {
        self.arguments.extend([option.into(), value.into()]);
        self
    }

    /// Adds an option that names a file, and keeps the file for as long.
    pub(crate) fn file(mut self, option: &str, path: TempPath) -> Self {
        self = self.argument(option, path.as_os_str());
        self.files.push(Rc::new(path));
        self
    }
}

impl Setting {
    /// A contender for each of `engines` that does `work` and counts its calls
    /// as `ops` operations; none where no Python was given.
    pub(crate) fn on_python(
        &self,
        engines: &[&'static str],
        work: &Work,
        ops: usize,
    ) -> Vec<Contender> {
        let Some(python) = &self.python else {
            return Vec::new();
        };
        let rounds_max = self.size(ROUNDS_MAX, ROUNDS_MAX_QUICK);
        let contender = |&engine: &&'static str| {
            let (python, work, cpus) = (Rc::clone(python), work.clone(), self.cpus);
            Contender::reported(engine, rounds_max, move || {
                Ok(python.run(engine, &work, cpus)? / ops as f64)
            })
        };
        engines.iter().map(contender).collect()
    }
}
