//! The shortest tasks that are worth their while: METG(50 %), the minimum
//! effective task granularity.
//!
//! A graph of tasks is run with tasks of equal length, and the efficiency is
//! the time that it takes on engines without any cost, divided by the time that
//! it took. METG(50 %) is the length of a task at which the efficiency is 50 %:
//! an engine then spends as much on a task as the task on its work. Measure and
//! patterns are those of Task Bench (Slaughter and others, *Task Bench: A
//! Parameterized Benchmark for Evaluating Parallel Runtime Performance*, SC20).
//! Task Bench tells the time that passes for each task and CPU there, overhead
//! included, which is twice the length that is told here.
//!
//! [`graph`] is what depends on what, [`search`] finds the length, [`kernel`]
//! is what a task computes; those know of no engine. [`engines`] runs a graph.

mod engines;
mod graph;
mod kernel;
mod search;

use std::hint::black_box;
use std::io::Write;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::case::{Case, Setting};
use crate::cases::Group;
use crate::contender::{Contender, MOBULA};
use crate::python::Work;
use crate::start;
use crate::unit::Unit;
use graph::{Graph, Pattern, Tasks};
use search::Search;

/// A case for each pattern and width.
macro_rules! cases {
    ($($pattern:ident $name:literal: $($width:literal)*;)*) => {
        &[$($(Case {
            name: concat!("metg_", $name, "_", $width),
            about: concat!("METG(50 %) of the pattern ", $name, ", ", $width, " tasks wide"),
            unit: Unit::MicrosOfTask,
            contenders: |setting| contenders(setting, Pattern::$pattern, $width),
        },)*)*]
    };
}

pub(crate) const GROUP: Group = Group {
    name: "metg",
    about: "METG(50 %): the length of a task at which half of the time is lost, by graph",
    cases: cases! {
        Trivial "trivial": 2 8 64;
        Stencil "stencil_1d": 2 8 64;
        Fft "fft": 2 8 64;
        Tree "tree": 2 8 64;
        Sweep "sweep": 2 8 64;
        RandomNearest "random_nearest": 2 8 64;
    },
};

/// Tasks of a graph, about.
const TASKS: usize = 8_192;
const TASKS_QUICK: usize = 512;
const TASKS_PYTHON: usize = 256;
const TASKS_PYTHON_QUICK: usize = 64;

/// Steps of the widest graphs: so many that what is at the ends counts little.
const STEPS_MIN: usize = 128;
const STEPS_MIN_QUICK: usize = 16;
const STEPS_MIN_PYTHON: usize = 4;

/// Times that the same graph runs; the fastest counts, as noise only ever adds.
const REPEATS: usize = 5;
const REPEATS_QUICK: usize = 2;

/// Iterations by which the kernel is measured, each some nanoseconds: as many as
/// the graph has, but within these.
const MEASURED_MIN: u64 = 100_000;
const MEASURED_MAX: u64 = 10_000_000;

/// A search is many runs, so few rounds will do.
const ROUNDS: usize = 3;
const ROUNDS_QUICK: usize = 1;

/// What a run takes at most, in seconds: an engine that does not get there with
/// tasks as long as that will not with longer ones.
const RUN_MAX: f64 = 2.0;
const RUN_MAX_QUICK: f64 = 0.05;

const SEARCH: Search = Search { first: 1e-6, least: 5e-9, most: 0.01, tolerance: 1.05 };
const SEARCH_QUICK: Search = Search { tolerance: 1.5, ..SEARCH };

fn contenders(setting: &Setting, pattern: Pattern, width: usize) -> Result<Vec<Contender>> {
    let steps_min = setting.size(STEPS_MIN, STEPS_MIN_QUICK);
    let steps = (setting.size(TASKS, TASKS_QUICK) / width).max(steps_min);
    let tasks = Rc::new(Graph { pattern, width, steps }.tasks());
    let trial = Trial::new(setting, tasks.ideal(setting.cpus));
    let runtime = start::mobula(setting.cpus)?;
    let on_mobula = {
        let tasks = Rc::clone(&tasks);
        trial.contender(MOBULA, move |iterations| {
            let _alive = &runtime;
            engines::on_mobula(&tasks, iterations)
        })
    };
    let runtime = start::tokio(setting.cpus)?;
    let on_tokio = {
        let tasks = Rc::clone(&tasks);
        trial.contender("tokio", move |iterations| engines::on_tokio(&runtime, &tasks, iterations))
    };
    let pool = start::rayon(setting.cpus)?;
    let outputs = tasks.outputs();
    let on_rayon = trial.contender("rayon", move |iterations| {
        engines::on_rayon(&pool, &tasks, &outputs, iterations)
    });
    let mut all = vec![on_mobula, on_tokio, on_rayon];
    all.extend(on_python(setting, pattern, width)?);
    Ok(all)
}

/// How a graph is tried on an engine.
#[derive(Clone, Copy)]
struct Trial {
    /// What the graph takes on engines without cost, in lengths of a task.
    ideal: usize,
    cpus: usize,
    repeats: usize,
    rounds: usize,
    search: Search,
    quick: bool,
}

impl Trial {
    fn new(setting: &Setting, ideal: usize) -> Self {
        let (search, run_max) =
            if setting.quick { (SEARCH_QUICK, RUN_MAX_QUICK) } else { (SEARCH, RUN_MAX) };
        Trial {
            ideal,
            cpus: setting.cpus,
            repeats: setting.size(REPEATS, REPEATS_QUICK),
            rounds: setting.size(ROUNDS, ROUNDS_QUICK),
            search: Search { most: search.most.min(run_max / ideal as f64), ..search },
            quick: setting.quick,
        }
    }

    /// A contender on which `run` runs the graph once, with tasks of so many
    /// iterations of the kernel.
    fn contender(
        self,
        name: &'static str,
        mut run: impl FnMut(u64) -> Result<u64> + 'static,
    ) -> Contender {
        Contender::reported(name, self.rounds, move || {
            let iteration = kernel::seconds_of_iteration(self.cpus, MEASURED_MIN)?;
            let found = self.search.length_at_half(|length| {
                let iterations = (length / iteration).round().max(1.0) as u64;
                self.efficiency(iterations, || run(iterations))
            })?;
            match found {
                Some(length) => Ok(length),
                // That it runs is shown, and it may be the machine that is busy.
                None if self.quick => Ok(self.search.most),
                None => bail!(
                    "the efficiency is below 50 % even with tasks of {} s: is this machine busy \
                     with other work?",
                    self.search.most
                ),
            }
        })
    }

    /// Efficiency of `run`, whose tasks take so many `iterations`.
    ///
    /// What the kernel takes is measured in turn with it, and for about as long:
    /// a machine that is slower now, or has other work, then touches both.
    fn efficiency(self, iterations: u64, mut run: impl FnMut() -> Result<u64>) -> Result<f64> {
        let useful = self.ideal as u64 * iterations;
        let measured = useful.clamp(MEASURED_MIN, MEASURED_MAX);
        let (mut fastest, mut iterations_took) = (f64::INFINITY, 0.0);
        for _ in 0..self.repeats {
            let start = Instant::now();
            black_box(run()?);
            fastest = fastest.min(start.elapsed().as_secs_f64());
            iterations_took += kernel::seconds_of_iteration(self.cpus, measured)?;
        }
        let iteration = iterations_took / self.repeats as f64;
        Ok(useful as f64 * iteration / fastest)
    }
}

/// The search in Python, with a graph of fewer tasks.
fn on_python(setting: &Setting, pattern: Pattern, width: usize) -> Result<Vec<Contender>> {
    if setting.python.is_none() {
        return Ok(Vec::new());
    }
    let tasks = setting.size(TASKS_PYTHON, TASKS_PYTHON_QUICK);
    let steps = (tasks / width).max(STEPS_MIN_PYTHON);
    let tasks: Tasks = Graph { pattern, width, steps }.tasks();
    let mut file = tempfile::NamedTempFile::new().context("failed to make a file for the graph")?;
    serde_json::to_writer(&mut file, tasks.inputs()).context("failed to write the graph")?;
    file.flush()?;
    let work = Work::new("metg", 1)
        .argument("--ideal", tasks.ideal(setting.cpus).to_string())
        .file("--data", file.into_temp_path());
    Ok(setting.on_python(&["ray", "dask"], &work, 1))
}
