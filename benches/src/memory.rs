//! Memory, as the operating system counts it.

use anyhow::{Context, Result};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, get_current_pid};

/// Bytes that this process has in memory now.
pub(crate) fn resident() -> Result<u64> {
    let pid = get_current_pid().map_err(anyhow::Error::msg)?;
    let mut system = System::new();
    let only_memory = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, only_memory);
    let process = system.process(pid).context("failed to find this process among all")?;
    Ok(process.memory())
}

/// The most bytes that this process had in memory at any time, as Linux tells.
pub(crate) fn resident_most() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(kib.context("failed to find the most memory of this process")? * 1024)
}

/// Bytes that this process could have more: what the machine has left, or this
/// process's cgroup, whichever is less.
pub(crate) fn available() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    let of_cgroup = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(of_cgroup)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_is_resident() {
        const BYTES: u64 = 64 << 20;
        let before = resident().unwrap();
        let written = std::hint::black_box(vec![1_u8; BYTES as usize]);
        // Other tests free memory meanwhile, so half of it will do.
        assert!(resident().unwrap() > before + BYTES / 2);
        drop(written);
    }

    #[test]
    fn some_memory_is_left() {
        assert!(available() > 0);
    }
}
