//! The sum of what the test runners of one run say.

use std::fmt::{self, Display, Formatter};

/// Tests by their verdict. Displays as those that failed, a line for each, and the plain line that CI services read.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    failed: u64,
    skipped: u64,
    /// The lines that name them.
    failures: Vec<String>,
}

impl Tally {
    /// Adds a runner's closing line, or one that names a test which failed; any other line adds nothing.
    pub(crate) fn read(&mut self, line: &str) {
        if line.ends_with(" ... FAILED") || line.contains(": hangs, ") {
            self.failures.push(line.to_owned());
        }
        let Some((_verdict, counts)) =
            line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in counts.split("; ") {
            let Some((number, word)) = part.split_once(' ') else {
                continue;
            };
            let number = number.parse().unwrap_or(0);
            match word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Tally { passed, failed, skipped, failures } = self;
        failures.iter().try_for_each(|failure| writeln!(f, "{failure}"))?;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_add_up_and_others_do_not_count() {
        let mut tally = Tally::default();
        for line in [
            "running 4 tests",
            "test a ... ok",
            "test b ... FAILED",
            "threads: tasks: hangs, for 600s",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 9 passed; 2 failed; 0 ignored; 0 measured; 5 filtered out; finished in 1.50s",
        ] {
            tally.read(line);
        }
        let told = tally.to_string();
        let told = told.lines().collect::<Vec<_>>();
        let failures = ["test b ... FAILED", "threads: tasks: hangs, for 600s"];
        assert_eq!(told, [&failures[..], &["12 passed, 2 failed, 1 skipped"]].concat());
    }
}
