//! Steps that run one after the other, and how long each took.

use std::fmt::{self, Display, Formatter};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The steps so far. Displays as a table, a line for each.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

struct Step {
    name: &'static str,
    passed: bool,
    took: Duration,
}

impl Steps {
    /// Announces a step and runs it. Its failure is told with its name.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let result = step();
        self.done.push(Step { name, passed: result.is_ok(), took: start.elapsed() });
        result.with_context(|| format!("failed at the step `{name}`"))
    }
}

impl Display for Steps {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for step in &self.done {
            let verdict = if step.passed { "ok" } else { "FAILED" };
            let seconds = step.took.as_secs_f64();
            writeln!(f, "{:20} {seconds:7.1} s  {verdict}", step.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn every_step_that_ran_is_told_with_its_verdict() {
        let mut steps = Steps::default();
        steps.run("first", || Ok(())).unwrap();
        let error = steps.run("second", || bail!("the reason")).unwrap_err();
        assert_eq!(format!("{error:#}"), "failed at the step `second`: the reason");
        let told = steps.to_string();
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[0].starts_with("first") && lines[0].ends_with("ok"));
        assert!(lines[1].starts_with("second") && lines[1].ends_with("FAILED"));
    }
}
