//! The decoder under the fuzzer, for some minutes.

use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

/// Fuzzes for so long. What it crashes on lies under `fuzz/artifacts` then.
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
    cmd!(shell, "cargo +nightly fuzz run --fuzz-dir fuzz decode -- {time} {dictionary} -max_len=4096 -timeout=10")
        .run()?;
    println!("\nno frame made the decoder panic, hang or allocate too much in {seconds} s");
    Ok(())
}
