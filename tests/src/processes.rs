//! Other processes.

use std::process::{Command, Stdio};

use mobula::remote;

/// Kills a process. False: there is none.
pub fn kill(pid: u32) -> bool {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
    status.expect("there is a `kill`").success()
}

/// A path at which tasks leave a file.
pub struct Sign(pub String);

impl Sign {
    /// Of a test; there is none yet.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mobula-{name}-{}", std::process::id()));
        Self(path.to_str().unwrap().to_owned())
    }

    /// Waits for it, and takes it away.
    pub fn wait(&self) {
        self.comes();
        self.remove();
    }

    /// Waits for it.
    pub fn comes(&self) {
        while !std::fs::exists(&self.0).unwrap() {
            std::thread::yield_now();
        }
    }

    /// Takes it away.
    pub fn remove(&self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

/// Leaves a file there, and goes on until somebody takes it away.
#[remote]
pub fn runs_while_there_is(path: String) -> u64 {
    std::fs::write(&path, "here").unwrap();
    while std::fs::exists(&path).unwrap() {
        std::thread::yield_now();
    }
    1
}
