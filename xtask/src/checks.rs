//! All that must hold before a change lands, cheapest first.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use xshell::{Cmd, Shell, cmd};

use crate::python;
use crate::steps::Steps;
use crate::stress;
use crate::system;
use crate::tally::Tally;

/// Runs every check up to the first that fails, then tells how it went. The
/// last line counts the tests.
pub(crate) fn run(shell: &Shell) -> Result<()> {
    let mut steps = Steps::default();
    let mut tally = Tally::default();
    let result = run_all(shell, &mut steps, &mut tally);
    println!("\n{steps}\n{tally}");
    result
}

// Steps name packages only where they have to: for a package alone Cargo chooses other features of what that stands
// on than for the workspace, and builds all of it once more.
fn run_all(shell: &Shell, steps: &mut Steps, tally: &mut Tally) -> Result<()> {
    let mut has_openblas = false;
    steps.run("system libraries", || {
        has_openblas = system::provide_openblas(shell);
        Ok(())
    })?;
    let mut python = None;
    steps.run("Python for clusters", || {
        python = python::with_clusters(shell);
        Ok(())
    })?;
    steps.run("format", || {
        component(shell, "fmt", "rustfmt")?;
        Ok(cmd!(shell, "cargo fmt --all --check").run()?)
    })?;
    steps.run("lints", || {
        component(shell, "clippy", "clippy")?;
        let lints = cmd!(shell, "cargo clippy --workspace --all-targets");
        Ok(lints.args(["--", "-D", "warnings"]).run()?)
    })?;
    steps.run("tests", || tests(cmd!(shell, "cargo test --workspace --no-fail-fast"), tally))?;
    steps.run("rayon in tasks", || {
        let lints = cmd!(shell, "cargo clippy --package mobula --features rayon");
        lints.args(["--", "-D", "warnings"]).run()?;
        let rayon = cmd!(shell, "cargo test --package mobula-tests --features rayon");
        tests(rayon.args(["--test", "rayon", "--test", "options", "--test", "rng"]), tally)
    })?;
    if has_openblas {
        steps.run("linear algebra", || linear_algebra(shell, tally))?;
    }
    if let Some(python) = python {
        steps.run("clusters", || clusters(shell, &python, tally))?;
    }
    steps.run("stress", || tests(stress::command(shell, stress::OPERATIONS), tally))?;
    steps.run("models", || {
        // Another flag for all crates, so another folder: this must not rebuild what the others use.
        let models = cmd!(shell, "cargo test --package mobula --lib --release loom_");
        let models = models.env("RUSTFLAGS", "--cfg mobula_loom");
        // They run for half a minute, and are built for many times that where all is optimized.
        let models = models.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
        let models = models.env("CARGO_PROFILE_RELEASE_DEBUG", "none");
        tests(models.env("CARGO_TARGET_DIR", "target/models"), tally)
    })?;
    steps.run("documentation", || {
        let documentation = cmd!(shell, "cargo doc --workspace --no-deps");
        Ok(documentation.env("RUSTDOCFLAGS", "-D warnings").run()?)
    })?;
    steps.run("example", || Ok(cmd!(shell, "cargo run --release --example loo_forest").run()?))?;
    steps.run("benchmarks", || {
        // That each case runs is seen here, for which what the tests have built will do.
        let benchmarks = cmd!(shell, "cargo run --bin mobula-bench");
        Ok(benchmarks.args(["--", "--quick"]).run()?)
    })
}

/// The engines that run on clusters. The tests start those, on this machine, and end them.
fn clusters(shell: &Shell, python: &Path, tally: &mut Tally) -> Result<()> {
    let engines = cmd!(shell, "cargo test --workspace --test engines clusters");
    tests(engines.env("MOBULA_TEST_CLUSTERS", "1").env("MOBULA_PYTHON", python), tally)?;
    let nodes = cmd!(shell, "cargo test --workspace --test nodes");
    tests(nodes.env("MOBULA_TEST_CLUSTERS", "1").env("MOBULA_PYTHON", python), tally)?;
    let same = cmd!(shell, "cargo test --workspace --test programs every_engine");
    tests(same.env("MOBULA_TEST_CLUSTERS", "1").env("MOBULA_PYTHON", python), tally)?;
    // The Python of the bridge by itself, with a program that is Python, too.
    let bridge = cmd!(shell, "{python} -m unittest discover --pattern test_*.py");
    Ok(bridge.args(["--start-directory", "runtime/src/cluster/python/tests"]).run()?)
}

/// Lints and tests of what needs OpenBLAS, which no other step builds.
fn linear_algebra(shell: &Shell, tally: &mut Tally) -> Result<()> {
    let with_it = ["--features", "linalg"];
    let packages = ["mobula", "mobula-tests", "mobula-examples", "mobula-bench"];
    let packages = packages.into_iter().flat_map(|package| ["--package", package]);
    let lints = cmd!(shell, "cargo clippy --all-targets").args(packages).args(with_it);
    lints.args(["--", "-D", "warnings"]).run()?;
    // The tests of the examples run them, and a single test does not have them built.
    cmd!(shell, "cargo build --workspace --examples").args(with_it).run()?;
    for test in ["--test blas", "--test programs", "--doc"] {
        let test = cmd!(shell, "cargo test --workspace").args(test.split(' ')).args(with_it);
        tests(test, tally)?;
    }
    Ok(())
}

/// Fails with the cure where a part of the Rust toolchain is missing.
fn component(shell: &Shell, subcommand: &str, component: &str) -> Result<()> {
    let probe = cmd!(shell, "cargo {subcommand} --version").quiet();
    let found = probe.ignore_stdout().ignore_stderr().run().is_ok();
    ensure!(found, "{component} is not installed; `rustup component add {component}` installs it");
    Ok(())
}

/// Runs a test command, passes its output on and counts the tests in it.
fn tests(command: Cmd<'_>, tally: &mut Tally) -> Result<()> {
    let words = command.to_string();
    eprintln!("$ {words}");
    let mut child = Command::from(command).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("the output is piped")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        // A test may print anything.
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.read(&line);
    }
    ensure!(child.wait()?.success(), "`{words}` failed");
    ensure!(tally.passed > 0, "no test ran");
    Ok(())
}
