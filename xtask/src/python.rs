//! Python environments: one with the peers of the benchmarks, one with the clusters that tests start.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::root;

/// Chooses the interpreter that makes the environment.
const INTERPRETER: &str = "MOBULA_PYTHON";
const INTERPRETER_DEFAULT: &str = "python3";

/// What is installed for the benchmarks.
const PEERS: &str = "benches/python/requirements.txt";
/// What is installed for tests on clusters.
const CLUSTERS: &str = "runtime/src/cluster/python/tests/requirements.txt";
/// Exact versions for both, with the first of the above.
const CONSTRAINTS: &str = "benches/python/constraints.txt";

/// Path of a Python that has the peers of the benchmarks.
pub(crate) fn with_peers(shell: &Shell) -> Result<PathBuf> {
    environment(shell, "bench-python", PEERS)
}

/// Path of a Python that has Ray, Dask and ipyparallel. Where there is none and it cannot be made, says what to
/// do; only tests on clusters need it.
pub(crate) fn with_clusters(shell: &Shell) -> Option<PathBuf> {
    let made = environment(shell, "cluster-python", CLUSTERS);
    if let Err(error) = &made {
        eprintln!("warning: there is no Python with clusters, so they are not tested: {error:#}");
        eprintln!(
            "warning: Python 3.11 or later, named by {INTERPRETER}, makes it once, from the network or with \
             PIP_FIND_LINKS from a folder with what {CLUSTERS} lists"
        );
    }
    made.ok()
}

/// Path of a Python that has all of `requirements`. Makes the environment where there is none, or where it was
/// made for other pins.
fn environment(shell: &Shell, name: &str, requirements: &str) -> Result<PathBuf> {
    let folder = target().join(name);
    let python = folder.join("bin/python");
    let stamp = folder.join("installed.txt");
    let wanted = wanted(shell, requirements)?;
    let installed = shell.read_file(&stamp).unwrap_or_default();
    if installed != wanted || !python.exists() {
        install(shell, &folder, &python, requirements)?;
        // Last, so that half an installation counts as none.
        shell.write_file(&stamp, wanted)?;
    }
    Ok(python)
}

/// What the stamp of an up-to-date environment says: interpreter and pins.
fn wanted(shell: &Shell, requirements: &str) -> Result<String> {
    let interpreter = interpreter();
    let mut wanted = cmd!(shell, "{interpreter} --version")
        .quiet()
        .read()
        .with_context(|| format!("failed to run Python; {INTERPRETER} chooses another"))?;
    for pins in [requirements, PEERS, CONSTRAINTS] {
        wanted.push('\n');
        wanted.push_str(&shell.read_file(pins)?);
    }
    Ok(wanted)
}

fn install(shell: &Shell, folder: &Path, python: &Path, requirements: &str) -> Result<()> {
    let interpreter = interpreter();
    cmd!(shell, "{interpreter} -m venv --clear {folder}").run()?;
    let pip = cmd!(shell, "{python} -m pip --quiet --disable-pip-version-check");
    Ok(pip.args(["install", "--requirement", requirements]).run()?)
}

fn interpreter() -> String {
    env::var(INTERPRETER).unwrap_or_else(|_| INTERPRETER_DEFAULT.to_owned())
}

/// Where Cargo builds, as far as the environment tells.
fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}
