//! The processes that a child of ours started, and theirs.
//!
//! Engines detach their daemons, rename them and overwrite their environment,
//! so neither a process group nor a mark finds them all. But Linux gives a
//! process that asks for it the orphans among its descendants as children.
//! Then "we have no child left" says that none of them lives.
//!
//! Elsewhere orphans escape, and only the child itself is seen to.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use crate::polling::poll_until;

/// From now on orphaned descendants become children of this process.
#[cfg(target_os = "linux")]
pub(crate) fn adopt() -> Result<()> {
    let ours = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(ours)).context("failed to adopt orphans")
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn adopt() -> Result<()> {
    Ok(())
}

/// Waits until none is left, and kills those that stay for longer than `grace`.
///
/// Takes in the end of any child, so nobody else may wait for one meanwhile.
pub(crate) fn end(grace: Duration) -> Result<()> {
    if poll_until(grace, || none_left().then_some(())).is_some() {
        return Ok(());
    }
    // The orphans of the killed are the children of the next look.
    let killed = poll_until(grace, || {
        children().into_iter().for_each(|pid| signal(pid, Signal::KILL));
        none_left().then_some(())
    });
    killed.context("failed to end all that a peer left behind")
}

/// A process that is gone needs no signal, so failure is no error.
pub(crate) fn signal(pid: Pid, signal: Signal) {
    let _ = kill_process(pid, signal);
}

/// Takes in those that ended; whether that were all.
fn none_left() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_ended)) => {}
            Ok(None) => return false,
            Err(_no_child) => return true,
        }
    }
}

fn children() -> Vec<Pid> {
    let ours = rustix::process::getpid();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| parent(&entry.path()) == Some(ours))
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// The parent of the process that this folder of `/proc` describes.
fn parent(process: &Path) -> Option<Pid> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // The name before it, in brackets, may hold anything.
    let (_name, rest) = stat.rsplit_once(')')?;
    let parent = rest.split_whitespace().nth(1)?;
    Pid::from_raw(parent.parse().ok()?)
}
