//! Memory: how much this process may still take, and the refusal of what would take more.
//!
//! Limits of the process, of its control groups and of the machine are all looked at, since each of
//! them ends a program that goes beyond it, most without a word.

use std::path::Path;

/// Memory that a process takes apart from what is planned: the program, its heap, a thread's stack.
pub const FIXED_BYTES: u64 = 11 << 20;

/// Address space of a thread's stack.
const STACK_BYTES: u64 = 2 << 20;

/// A limit on memory, and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Available {
    /// Bytes that can still be taken.
    pub bytes: u64,
    /// What sets the limit.
    pub by: &'static str,
}

/// What was asked for needs more memory than there is.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "this needs {} of memory, and {} are available ({}){}",
    show(*.needed_bytes), show(.available.bytes), .available.by,
    if .would_fit.is_empty() { String::new() } else { format!("; {} would fit", .would_fit.join(" or ")) }
)]
pub struct MemoryError {
    /// Bytes needed.
    pub needed_bytes: u64,
    /// What is left, and why.
    pub available: Available,
    /// Settings with which it would fit.
    pub would_fit: Vec<String>,
}

impl MemoryError {
    /// Its stable code, of the list in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        "model-too-large"
    }
}

fn show(bytes: u64) -> String {
    match bytes >> 20 {
        mib @ 0..10_240 => format!("{mib} MiB"),
        mib => format!("{:.1} GiB", mib as f64 / 1024.0),
    }
}

/// Bytes of memory that this process holds now; at least [`FIXED_BYTES`].
pub fn held_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    kib_of(&status, "VmRSS:").unwrap_or(0).max(FIXED_BYTES)
}

/// Most threads that this process may start beside its own, by the address space of their stacks.
pub fn threads_max() -> usize {
    let left = process_limit().map_or(u64::MAX, |limit| limit.bytes.saturating_sub(FIXED_BYTES));
    // Beside a stack, a guard page, and a stack for signals.
    usize::try_from(left / (STACK_BYTES + (64 << 10))).unwrap_or(usize::MAX)
}

/// Refuses work that takes `bytes` on `threads` threads beyond what the process has by now.
///
/// # Errors
/// [`MemoryError`], without settings that would fit.
pub fn check(bytes: usize, threads: usize) -> Result<(), MemoryError> {
    let stacks = (threads as u64).saturating_mul(STACK_BYTES);
    let needed_bytes = (bytes as u64).saturating_add(stacks);
    match available() {
        Some(available) if needed_bytes > available.bytes => {
            Err(MemoryError { needed_bytes, available, would_fit: Vec::new() })
        }
        _ => Ok(()),
    }
}

/// The tightest limit on what this process may still take, if the system tells any.
pub fn available() -> Option<Available> {
    let limits = [process_limit(), group_limit(Path::new("/")), machine_limit()];
    limits.into_iter().flatten().min_by_key(|limit| limit.bytes)
}

/// Limits set with `ulimit -v` and `ulimit -d`.
#[cfg(unix)]
fn process_limit() -> Option<Available> {
    use rustix::process::{Resource, getrlimit};
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = [
        (Resource::As, "VmSize:", "the limit on address space, `ulimit -v`"),
        (Resource::Data, "VmData:", "the limit on data, `ulimit -d`"),
    ];
    let left = limits.into_iter().filter_map(|(resource, used, by)| {
        let limit = getrlimit(resource).current?;
        let used = kib_of(&status, used).unwrap_or(0);
        Some(Available { bytes: limit.saturating_sub(used), by })
    });
    left.min_by_key(|left| left.bytes)
}

#[cfg(not(unix))]
fn process_limit() -> Option<Available> {
    None
}

/// What the machine has free, or can make free by dropping caches.
fn machine_limit() -> Option<Available> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let free = kib_of(&info, "MemAvailable:")?;
    let swap = kib_of(&info, "SwapFree:").unwrap_or(0);
    Some(Available { bytes: free.saturating_add(swap), by: "the memory of this machine" })
}

/// A line of a file of /proc, in bytes.
fn kib_of(file: &str, name: &str) -> Option<u64> {
    let line = file.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

/// Limits of the process's control group and of those around it, of either version.
fn group_limit(root: &Path) -> Option<Available> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (kinds, path) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        let (folder, files) = match kinds {
            "" => ("sys/fs/cgroup", ["memory.max", "memory.current", "inactive_file"]),
            _ if kinds.split(',').any(|kind| kind == "memory") => (
                "sys/fs/cgroup/memory",
                ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"],
            ),
            _ => return Vec::new(),
        };
        let mount = root.join(folder);
        let group = mount.join(path.trim_start_matches('/'));
        let up_to_mount = group.ancestors().take_while(|dir| dir.starts_with(&mount));
        up_to_mount.filter_map(|dir| left_in_group(dir, files)).collect()
    });
    let bytes = limits.min()?;
    Some(Available { bytes, by: "the limit of its control group" })
}

/// Bytes left in one group, whose file cache can be dropped; `None` without a limit.
fn left_in_group(dir: &Path, [max, current, cache]: [&str; 3]) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).ok();
    let max: u64 = read(max)?.trim().parse().ok()?;
    let used: u64 = read(current)?.trim().parse().ok()?;
    let stat = read("memory.stat").unwrap_or_default();
    let cached = stat.lines().find_map(|line| line.strip_prefix(cache)?.trim().parse().ok());
    Some(max.saturating_sub(used.saturating_sub(cached.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_group_counts_in_both_versions() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let left = || group_limit(root.path()).map(|left| left.bytes);
        assert_eq!(left(), None);
        write("proc/self/cgroup", "3:cpu,memory:/a\n0::/user/job\n");
        write("sys/fs/cgroup/user/job/memory.max", "max\n");
        write("sys/fs/cgroup/user/job/memory.current", "5\n");
        assert_eq!(left(), None);
        write("sys/fs/cgroup/user/memory.max", "1000\n");
        write("sys/fs/cgroup/user/memory.current", "700\n");
        write("sys/fs/cgroup/user/memory.stat", "anon 1\ninactive_file 100\n");
        assert_eq!(left(), Some(400));
        write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "300\n");
        write("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "50\n");
        assert_eq!(left(), Some(250));
    }

    #[test]
    fn what_cannot_fit_is_refused_and_said() {
        check(1, 1).unwrap();
        let error = check(usize::MAX, 1).unwrap_err().to_string();
        assert!(error.contains("GiB of memory, and") && error.contains("available ("), "{error}");
    }
}
