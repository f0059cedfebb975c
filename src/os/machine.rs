//! What the machine has: memory, and processors.

use crate::model::Bytes;
use std::path::{Path, PathBuf};

/// The memory that processes here may use: that of the machine, or what a control group above this process leaves of it.
pub fn memory() -> Option<Bytes> {
    // SAFETY: the call takes a number and gives one.
    let of = |name| u64::try_from(unsafe { libc::sysconf(name) }).ok().filter(|it| *it > 0);
    let physical = of(libc::_SC_PHYS_PAGES)?.saturating_mul(of(libc::_SC_PAGESIZE)?);
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = least_limit(Path::new("/sys/fs/cgroup"), &groups);
    Some(Bytes(limit.map_or(physical, |it| it.min(physical))))
}

/// The processors that this process may use.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, |it| it.get())
}

/// The lowest `memory.max` of a control group (version 2) and those above it. `groups`: the content of `/proc/self/cgroup`.
fn least_limit(root: &Path, groups: &str) -> Option<u64> {
    let own = groups.lines().find_map(|it| it.strip_prefix("0::/"))?;
    let own: PathBuf = root.join(own);
    let limits = own.ancestors().take_while(|it| it.starts_with(root)).filter_map(|it| {
        let text = std::fs::read_to_string(it.join("memory.max")).ok()?;
        text.trim().parse::<u64>().ok()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory_and_processors() {
        assert!(memory().unwrap() > Bytes::mib(16));
        assert!(processors() >= 1);
    }

    #[test]
    fn the_lowest_limit_above_a_process_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("user/app");
        std::fs::create_dir_all(&group).unwrap();
        std::fs::write(root.path().join("user/memory.max"), "1048576\n").unwrap();
        std::fs::write(group.join("memory.max"), "max\n").unwrap();
        assert_eq!(least_limit(root.path(), "1:cpu:/x\n0::/user/app\n"), Some(1_048_576));
        std::fs::write(group.join("memory.max"), "4096\n").unwrap();
        assert_eq!(least_limit(root.path(), "0::/user/app\n"), Some(4_096));
        assert_eq!(least_limit(root.path(), "1:cpu:/x\n"), None);
    }
}
