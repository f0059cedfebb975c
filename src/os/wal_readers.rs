//! Finds the processes that prevent SQLite from resetting a database's write-ahead log, and the process that blocks
//! writers.
//!
//! A reader holds a shared POSIX lock on one of five bytes of the `-shm` file for as long as its transaction lasts
//! (<https://www.sqlite.org/walformat.html>, "WAL Locks": WAL_READ_LOCK(0) to (4) are bytes 123 to 127). The locks come
//! from the kernel's list. The file itself is never opened, since closing it would drop the locks of this process.

use std::{collections::BTreeSet, path::Path, time::Duration};

/// How long to look: a process that reads at the start and at the end of this time counts as a reader.
const LOOK: Duration = Duration::from_millis(200);

/// Other processes that keep reading the database at `path`. Empty if the kernel does not report them.
pub fn staying(path: &Path) -> Vec<u32> {
    let first = readers(path);
    if first.is_empty() {
        return Vec::new();
    }
    std::thread::sleep(LOOK);
    let second = readers(path);
    first.into_iter().filter(|it| second.contains(it)).collect()
}

/// Another process that is writing the database at `path` and so blocks all other writers: it holds WAL_WRITE_LOCK,
/// byte 120. `None` if the kernel does not report it.
pub fn writer(path: &Path) -> Option<u32> {
    // The kernel returns the list of locks page by page. If the list changes in between, an entry may be missing from
    // all pages.
    const PAGE: usize = 4_000;
    for _ in 0..3 {
        let (locks, inode) = locks_and_inode(path)?;
        let writers = holders_in(&locks, inode, "WRITE", |from, until| from <= 120 && 120 <= until);
        let other = writers.into_iter().find(|it| *it != std::process::id());
        if other.is_some() || locks.len() < PAGE {
            return other;
        }
    }
    None
}

fn readers(path: &Path) -> BTreeSet<u32> {
    let Some((locks, inode)) = locks_and_inode(path) else { return BTreeSet::new() };
    let mut found = readers_in(&locks, inode);
    found.remove(&std::process::id());
    found
}

/// The kernel's list of locks, and the inode of the file that they are on.
#[cfg(target_os = "linux")]
fn locks_and_inode(path: &Path) -> Option<(String, u64)> {
    use std::os::unix::fs::MetadataExt;
    let mut shm = path.as_os_str().to_owned();
    shm.push("-shm");
    let inode = std::fs::metadata(shm).ok()?.ino();
    Some((std::fs::read_to_string("/proc/locks").ok()?, inode))
}

#[cfg(not(target_os = "linux"))]
fn locks_and_inode(_path: &Path) -> Option<(String, u64)> {
    None
}

fn readers_in(locks: &str, inode: u64) -> BTreeSet<u32> {
    holders_in(locks, inode, "READ", |from, until| from == until && (123..=127).contains(&from))
}

/// Lines look like `1: POSIX  ADVISORY  READ 9983 fe:00:5357598 124 124`; waiters have `->` after the number.
fn holders_in(locks: &str, inode: u64, mode: &str, is_it: impl Fn(u64, u64) -> bool) -> BTreeSet<u32> {
    let holder = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "POSIX", _, its_mode, pid, place, from, until] = words[..] else { return None };
        let (_, its_inode) = place.rsplit_once(':')?;
        let here = its_mode == mode && its_inode.parse() == Ok(inode) && is_it(from.parse().ok()?, until.parse().ok()?);
        pid.parse::<u32>().ok().filter(|it| here && *it > 0)
    };
    locks.lines().filter_map(holder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readers_of_this_log_are_named() {
        let locks = "\
1: POSIX  ADVISORY  READ 100 fe:00:77 124 124
2: POSIX  ADVISORY  READ 101 fe:00:77 128 128
3: POSIX  ADVISORY  WRITE 102 fe:00:77 120 120
4: POSIX  ADVISORY  READ 103 fe:00:78 124 124
4: -> POSIX  ADVISORY  READ 104 fe:00:77 124 124
5: FLOCK  ADVISORY  WRITE 105 fe:00:77 0 EOF
6: POSIX  ADVISORY  READ 106 fe:00:77 123 123
";
        assert_eq!(readers_in(locks, 77), BTreeSet::from([100, 106]));
        let writers = |inode| holders_in(locks, inode, "WRITE", |from, until| from <= 120 && 120 <= until);
        assert_eq!((writers(77), writers(78)), (BTreeSet::from([102]), BTreeSet::new()));
    }
}
