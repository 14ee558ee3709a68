//! The project's own chores: `cargo xtask --help` lists them.
//!
//! [`checks`] is what must hold before a change lands. It goes through
//! [`steps`] (one after the other, timed, with a summary), counts in [`tally`]
//! what the test runners say, and asks [`system`] for what Cargo cannot
//! install. [`stress`] runs the stress test at length, [`fuzz`] the fuzzer. [`python`] makes the
//! environment that benchmarks compare with.

mod checks;
mod fuzz;
mod python;
mod steps;
mod stress;
mod system;
mod tally;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xshell::Shell;

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Format, lints, tests, documentation, example and benchmarks: all that must hold
    Test,
    /// The stress test for long: several seeds, numbers of CPUs and engines
    Soak {
        /// How many calls are made in all
        #[arg(long, default_value_t = 10_000_000)]
        operations: u64,
        /// The seed of the first round; each further one has the next [default: at random]
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Throw bytes that nobody meant at the decoder and at connections, and keep what is worth it in fuzz/corpus
    Fuzz {
        /// For how long, each
        #[arg(long, default_value_t = 600)]
        seconds: u64,
    },
    /// Install the peers in Python under target/ and print the path of that Python
    BenchPython,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: &Chore) -> Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(root());
    match chore {
        Chore::Test => checks::run(&shell),
        Chore::Soak { operations, seed } => stress::soak(&shell, *operations, *seed),
        Chore::Fuzz { seconds } => fuzz::run(&shell, *seconds),
        Chore::BenchPython => {
            println!("{}", python::with_peers(&shell)?.display());
            Ok(())
        }
    }
}

/// The root of the workspace, one folder above this crate.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the crate lies in the workspace")
}
