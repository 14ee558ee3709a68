//! What is read from outside under the fuzzer, for some minutes.

use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

/// Values in the codec, and frames that arrive over a connection.
const TARGETS: [&str; 2] = ["decode", "frames"];

/// Fuzzes each target for so long. What it crashes on lies under `fuzz/artifacts` then.
pub(crate) fn run(shell: &Shell, seconds: u64) -> Result<()> {
    let there =
        |command: xshell::Cmd<'_>| command.quiet().ignore_stderr().ignore_stdout().run().is_ok();
    ensure!(
        there(cmd!(shell, "cargo +nightly --version")),
        "the fuzzer needs a nightly toolchain: rustup toolchain install nightly"
    );
    ensure!(
        there(cmd!(shell, "cargo +nightly fuzz --version")),
        "cargo-fuzz is not installed: cargo install cargo-fuzz"
    );
    let time = format!("-max_total_time={seconds}");
    let dictionary = "-dict=fuzz/messagepack.dict";
    for target in TARGETS {
        let fuzz = cmd!(shell, "cargo +nightly fuzz run --fuzz-dir fuzz {target} --");
        fuzz.args([&time, dictionary, "-max_len=4096", "-timeout=10"]).run()?;
        println!("\n{target}: nothing panicked, hung or allocated too much in {seconds} s");
    }
    Ok(())
}
