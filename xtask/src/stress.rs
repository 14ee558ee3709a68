//! The stress test, and the chaos test of actors, at length: in rounds, each of which can be repeated by the
//! line that it prints.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use anyhow::{Context, Result};
use xshell::{Cmd, Shell, cmd};

/// How many calls a run makes that must be done in a minute or two.
pub(crate) const OPERATIONS: u64 = 1_000_000;
/// What a soak goes through, again and again: CPUs and engine.
const SETTINGS: [(u32, &str); 5] =
    [(1, "threads"), (2, "threads"), (8, "threads"), (2, "threads"), (2, "inline")];

/// One run of both tests, optimized.
pub(crate) fn command(shell: &Shell, operations: u64) -> Cmd<'_> {
    let command = cmd!(shell, "cargo test --release --workspace --test stress --test chaos");
    command.args(["--", "--nocapture"]).env("MOBULA_STRESS_OPS", operations.to_string())
}

/// Makes that many calls, in rounds of other seeds and settings. Stops at the first that fails.
pub(crate) fn soak(shell: &Shell, operations: u64, seed: Option<u64>) -> Result<()> {
    let first = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    let rounds = operations.div_ceil(OPERATIONS);
    for (round, (cpus, engine)) in (0..rounds).zip(SETTINGS.into_iter().cycle()) {
        let operations = OPERATIONS.min(operations - round * OPERATIONS);
        let settings = [
            ("MOBULA_STRESS_SEED", first.wrapping_add(round).to_string()),
            ("MOBULA_STRESS_OPS", operations.to_string()),
            ("MOBULA_NUM_CPUS", cpus.to_string()),
            ("MOBULA_ENGINE", engine.to_owned()),
        ];
        let command = command(shell, operations).quiet();
        let words: Vec<String> = settings.iter().map(|(name, to)| format!("{name}={to}")).collect();
        let again = format!("{} {command}", words.join(" "));
        println!("\n== round {} of {rounds}\n{again}", round + 1);
        command.envs(settings).run().with_context(|| format!("to run it again: {again}"))?;
    }
    println!("\n{operations} calls, beginning with seed {first}");
    Ok(())
}
