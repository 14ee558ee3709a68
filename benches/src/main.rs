//! `mobula-bench`: mobula beside its peers, in one run on one machine.
//!
//! A speed on its own says more about the machine than about the program, so
//! nothing here is measured alone. Each case does one piece of work on mobula
//! and on every peer in turn, and the report gives medians and their ratios.
//!
//! Reading order: [`case`] (what a case is), [`contender`] (one way to do its
//! work), [`measure`] (rounds in alternation, medians), [`report`] (table and
//! JSON), [`mod@unit`] (what figures are of), [`start`] (every engine on the same
//! number of threads), [`cases`] (the work itself). Engines in Python, and work
//! that needs a process of its own, run as processes: [`python`] and
//! [`isolated`] ask for them, [`guarded`] and [`descendants`] see that they end.

mod away;
mod blocker;
mod case;
mod cases;
mod contender;
mod descendants;
mod guarded;
mod isolated;
mod measure;
mod memory;
mod polling;
mod python;
mod report;
mod start;
mod unit;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, Result};
use clap::Parser;

use crate::case::{Case, Setting};
use crate::python::Python;
use crate::report::Report;

/// Exit code of a command line that makes no sense; clap uses the same.
const USAGE: u8 = 2;

/// Measures mobula beside its peers, in one run on one machine.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Cases or groups of cases to run; all of them when none is named
    #[arg(value_name = "CASE")]
    cases: Vec<String>,

    /// Print one JSON object a line instead of a table
    #[arg(long)]
    json: bool,

    /// Small sizes and few rounds: shows that it runs, not how fast
    #[arg(long)]
    quick: bool,

    /// Print the cases and what they do
    #[arg(long)]
    list: bool,

    /// A Python that has Ray, Dask, ipyparallel and scikit-learn, to measure those too
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,

    /// CPUs for each engine; all that this process may use by default
    #[arg(long, value_name = "N")]
    num_cpus: Option<NonZeroUsize>,

    /// Run one round of this contender of the one case, and print its cost
    #[arg(long, value_name = "CONTENDER", hide = true)]
    alone: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        list();
        return ExitCode::SUCCESS;
    }
    let chosen = match cases::choose(&arguments.cases) {
        Ok(chosen) => chosen,
        Err(unknown) => {
            eprintln!("error: {unknown}");
            return ExitCode::from(USAGE);
        }
    };
    let done = match (&arguments.alone, &chosen[..]) {
        (Some(contender), [case]) => run_alone(&arguments, case, contender),
        _ => run(&arguments, &chosen),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the cases: the single ones, then each group with those in it.
fn list() {
    let line = |name: &str, about: &str| println!("{name:46} {about}");
    cases::SINGLE.iter().for_each(|case| line(case.name, case.about));
    for group in cases::GROUPS {
        println!();
        line(group.name, group.about);
        group.cases.iter().for_each(|case| line(&format!("  {}", case.name), case.about));
    }
}

fn run_alone(arguments: &Arguments, case: &Case, contender: &str) -> Result<()> {
    isolated::run_alone(case, contender, &setting(arguments)?)
}

/// Runs the chosen cases. One that fails does not keep the others from running.
fn run(arguments: &Arguments, chosen: &[&Case]) -> Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("warning: built without `--release`, so no figure here means anything");
    }
    let setting = setting(arguments)?;
    let mut report = Report::new(arguments.json);
    let mut failures = 0;
    for case in chosen {
        // With Python a case takes minutes.
        eprintln!("measuring {}", case.name);
        match case.run(&setting) {
            Ok(Some(outcome)) => {
                failures += outcome.failures.len();
                report.add(case, &outcome);
            }
            Ok(None) => eprintln!("{} is left out: it needs `--python`", case.name),
            Err(error) => {
                failures += 1;
                eprintln!("{}: {error:#}", case.name);
            }
        }
    }
    report.finish();
    anyhow::ensure!(failures == 0, "{failures} of the measurements failed");
    Ok(())
}

fn setting(arguments: &Arguments) -> Result<Setting> {
    let cpus = match arguments.num_cpus {
        Some(cpus) => cpus,
        None => std::thread::available_parallelism().context("failed to count the CPUs")?,
    };
    let python = arguments.python.as_deref().map(Python::new);
    let python = python.transpose()?.map(Rc::new);
    Ok(Setting {
        cpus: cpus.get(),
        quick: arguments.quick,
        python,
        alone: arguments.alone.is_some(),
    })
}
