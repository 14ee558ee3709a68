//! A child process with a limit, which leaves nothing behind: no process (see
//! [`descendants`]) and no file, since its home and its temporary folder are
//! its own and are removed afterwards.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};

use crate::descendants;
use crate::polling::poll_until;

/// Time for a child to clean up by itself once asked to, and for its
/// descendants to end once it is gone.
const GRACE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// Lines of its error output that are told when a child fails.
const TOLD_LINES_MAX: usize = 15;

/// Held while a child runs: its descendants are told by being all there are.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs `command` to its end, for at most `limit`; gives its standard output.
pub(crate) fn run(mut command: Command, limit: Duration) -> Result<String> {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let home = tempfile::tempdir().context("failed to make a temporary folder")?;
    // Files, because a daemon that inherits a pipe would keep it open.
    let mut output = tempfile::tempfile()?;
    let mut errors = tempfile::tempfile()?;
    command
        .env("HOME", home.path())
        .env("TMPDIR", home.path())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(errors.try_clone()?);
    descendants::adopt()?;
    let ended = wait(&mut command, limit);
    descendants::end(GRACE)?;
    match ended {
        Ok(()) => read(&mut output),
        Err(error) => bail!("{error:#}; it last said\n{}", last_lines(&mut errors)),
    }
}

/// Waits for success; past the limit ends the child itself.
fn wait(command: &mut Command, limit: Duration) -> Result<()> {
    let mut child = command.spawn().context("failed to start")?;
    if let Some(status) = poll_until(limit, || child.try_wait().transpose()) {
        let status = status.context("failed to wait")?;
        ensure!(status.success(), "{status}");
        return Ok(());
    }
    // Asked first: an engine ended by its own script ends well.
    descendants::signal(Pid::from_child(&child), Signal::TERM);
    if poll_until(GRACE, || child.try_wait().transpose()).is_none() {
        child.kill()?;
        child.wait()?;
    }
    bail!("did not end within {limit:?}")
}

fn read(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_lines(file: &mut File) -> String {
    let text = read(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TOLD_LINES_MAX)..].join("\n")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_comes_back() {
        let output = run(shell("echo told; echo unheard >&2"), LONG).unwrap();
        assert_eq!(output, "told\n");
    }

    #[test]
    fn failure_tells_the_last_words() {
        let error = run(shell("echo the reason >&2; exit 3"), LONG).unwrap_err();
        let told = error.to_string();
        assert!(told.contains("exit status: 3") && told.contains("the reason"), "{told}");
    }

    #[test]
    fn a_child_past_its_limit_ends_and_says_so() {
        let error = run(shell("exec sleep 600"), Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().starts_with("did not end within 100ms"));
    }

    /// A session of its own, an empty environment, and a parent that is gone.
    #[test]
    fn a_daemon_is_waited_for() {
        let marker = tempfile::NamedTempFile::new().unwrap();
        let script = r#"env -i setsid sh -c "sleep 0.3; echo done > '$MARKER'" &"#;
        let mut command = shell(script);
        command.env("MARKER", marker.path());
        run(command, LONG).unwrap();
        assert_eq!(std::fs::read_to_string(marker.path()).unwrap(), "done\n");
    }

    #[test]
    fn a_daemon_that_stays_is_killed() {
        let output = run(shell("env -i setsid sleep 600 & echo $!"), LONG).unwrap();
        let daemon = Pid::from_raw(output.trim().parse().unwrap()).unwrap();
        assert!(rustix::process::test_kill_process(daemon).is_err());
    }
}
