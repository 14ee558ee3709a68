//! The Python environment that holds the peers of the benchmarks.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::root;

/// Chooses the interpreter that makes the environment.
const INTERPRETER: &str = "MOBULA_PYTHON";
const INTERPRETER_DEFAULT: &str = "python3";

/// Files with exact versions, together all that decides what is installed.
const PINS: [&str; 2] = ["benches/python/requirements.txt", "benches/python/constraints.txt"];

/// Path of a Python that has all of `benches/python/requirements.txt`. Makes
/// the environment where there is none, or where it was made for other pins.
pub(crate) fn environment(shell: &Shell) -> Result<PathBuf> {
    let folder = target().join("bench-python");
    let python = folder.join("bin/python");
    let stamp = folder.join("installed.txt");
    let wanted = wanted(shell)?;
    let installed = shell.read_file(&stamp).unwrap_or_default();
    if installed != wanted || !python.exists() {
        install(shell, &folder, &python)?;
        // Last, so that half an installation counts as none.
        shell.write_file(&stamp, wanted)?;
    }
    Ok(python)
}

/// What the stamp of an up-to-date environment says: interpreter and pins.
fn wanted(shell: &Shell) -> Result<String> {
    let interpreter = interpreter();
    let mut wanted = cmd!(shell, "{interpreter} --version")
        .quiet()
        .read()
        .with_context(|| format!("failed to run Python; {INTERPRETER} chooses another"))?;
    for pins in PINS {
        wanted.push('\n');
        wanted.push_str(&shell.read_file(pins)?);
    }
    Ok(wanted)
}

fn install(shell: &Shell, folder: &Path, python: &Path) -> Result<()> {
    let interpreter = interpreter();
    cmd!(shell, "{interpreter} -m venv --clear {folder}").run()?;
    let pip = cmd!(shell, "{python} -m pip --quiet --disable-pip-version-check");
    Ok(pip.args(["install", "--requirement", PINS[0]]).run()?)
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
