//! Other processes.

use std::process::{Command, Stdio};

/// Kills a process. False: there is none.
pub fn kill(pid: u32) -> bool {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
    status.expect("there is a `kill`").success()
}
