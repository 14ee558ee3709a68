//! How much memory this process may use.

use std::fs;
use std::path::{Path, PathBuf};

/// What is assumed where the system does not say.
const ASSUMED: usize = 4 << 30;
/// Where control groups are found.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The machine's memory, the limits of the process's cgroup and of those above it, and that of its address
/// space: whichever is least. Linux says, elsewhere it is assumed.
pub(super) fn available() -> usize {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| of_machine(&text));
    let process = fs::read_to_string("/proc/self/limits").ok().and_then(|text| of_process(&text));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = files_of_groups(&groups, Path::new(CGROUPS));
    let groups =
        groups.iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    groups.chain(machine).chain(process).min().unwrap_or(ASSUMED)
}

/// What `/proc/meminfo` says.
fn of_machine(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What `/proc/self/limits` says. None: there is no limit.
fn of_process(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The files with the limits of the groups that `/proc/self/cgroup` names, and of those above them.
fn files_of_groups(text: &str, root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let (top, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let own = top.join(path.trim_start_matches('/'));
        let above = own.ancestors().take_while(|group| group.starts_with(&top));
        files.extend(above.map(|group| group.join(file)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_understood() {
        let text = "MemTotal:       24684092 kB\nMemFree:        17771284 kB\n";
        assert_eq!(of_machine(text), Some(24_684_092 * 1024));
        let line =
            |limit| format!("Max processes  1 1 processes\nMax address space  {limit}  9  bytes");
        assert_eq!(of_process(&line("4096")), Some(4096));
        assert_eq!(of_process(&line("unlimited")), None);
        assert!((1 << 20..ASSUMED * 4096).contains(&available()));
    }

    #[test]
    fn groups_are_looked_for_up_to_the_root() {
        let files = |text| files_of_groups(text, Path::new("/c"));
        let expected = ["/c/a/b/memory.max", "/c/a/memory.max", "/c/memory.max"];
        assert_eq!(files("0::/a/b\n"), expected.map(PathBuf::from));
        let old = "5:cpu,cpuacct:/x\n4:memory:/a\n";
        let expected = ["/c/memory/a/memory.limit_in_bytes", "/c/memory/memory.limit_in_bytes"];
        assert_eq!(files(old), expected.map(PathBuf::from));
    }
}
