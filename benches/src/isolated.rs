//! Rounds in processes of their own, for figures that only a whole process
//! shows: CPU time, resident memory. Nothing that another contender left
//! behind, such as memory that the allocator kept, then counts for this one.
//!
//! The process is this program again, told by `--alone NAME` to run one round
//! of that contender and print nothing but its cost.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::case::{Case, Setting};
use crate::contender::Contender;
use crate::guarded;

/// Longer than any such round takes by far, the start of a cluster included.
const LIMIT: Duration = Duration::from_secs(300);

impl Setting {
    /// A contender of the case called `case` whose `round` runs in a process of
    /// its own, and says itself what it cost.
    pub(crate) fn isolated(
        &self,
        case: &'static str,
        name: &'static str,
        rounds_max: usize,
        round: impl FnMut() -> Result<f64> + 'static,
    ) -> Contender {
        if self.alone {
            return Contender::reported(name, rounds_max, round);
        }
        let (cpus, quick, python) = (self.cpus, self.quick, self.python.clone());
        Contender::reported(name, rounds_max, move || {
            let mut command = Command::new(std::env::current_exe()?);
            command.args([case, "--alone", name, "--num-cpus", &cpus.to_string()]);
            command.args(quick.then_some("--quick"));
            if let Some(python) = &python {
                // A cluster's processes take it, too.
                command.arg("--python").arg(python.interpreter());
                command.env("MOBULA_PYTHON", python.interpreter());
            }
            let output = guarded::run(command, LIMIT)?;
            let cost = output.trim();
            cost.parse().with_context(|| format!("failed to read the cost `{cost}`"))
        })
    }
}

/// The other side: runs one round of the contender `name` and prints its cost.
pub(crate) fn run_alone(case: &Case, name: &str, setting: &Setting) -> Result<()> {
    let mut contenders = (case.contenders)(setting)?;
    let contender = contenders.iter_mut().find(|contender| contender.name == name);
    let contender = contender.with_context(|| format!("{} has no contender {name}", case.name))?;
    println!("{}", contender.round()?);
    Ok(())
}
