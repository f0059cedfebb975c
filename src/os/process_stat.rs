//! What the system reports about processes: identity, memory, open files, CPU time, descendants, lock holders.
//!
//! On Linux the answers come from /proc. On other systems, a value without a cheap answer is `None`, never a guess.

use super::clock::boot_id;
use crate::model::{Millis, ProcessIdentity};
use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};
use std::path::Path;

#[cfg(target_os = "linux")]
pub use self::linux::{
    children, cpu_time, descendants, is_stopped, is_zombie, kin, lock_holders_are_known, open_fds, out_of_memory_kills,
    own_cpu_time, peak_rss_bytes, rss_bytes, runs_this_program_with, start_time, this_process_has_open, thread_names,
    who_holds_lock,
};
#[cfg(not(target_os = "linux"))]
pub use self::other::{
    children, cpu_time, descendants, is_stopped, is_zombie, kin, lock_holders_are_known, open_fds, out_of_memory_kills,
    own_cpu_time, peak_rss_bytes, rss_bytes, runs_this_program_with, start_time, this_process_has_open, thread_names,
    who_holds_lock,
};

/// A process with its parent and session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kin {
    pub pid: u32,
    pub parent: u32,
    /// 0 if the session began in another pid namespace.
    pub session: u32,
    /// Clock ticks since boot.
    pub start_time: u64,
    /// A zombie, or a process that is just being reaped.
    pub is_dead: bool,
}

/// The identity of this process.
pub fn own_identity() -> ProcessIdentity {
    let pid = std::process::id();
    ProcessIdentity {
        pid,
        start_time: start_time(pid),
        boot_id: boot_id(),
        pid_namespace: namespace(pid, "pid"),
        time_namespace: namespace(pid, "time"),
    }
}

/// The identity of a process of this machine; `None` if no process has this pid.
pub fn identity_of(pid: u32) -> Option<ProcessIdentity> {
    if !pid_exists(pid) {
        return None;
    }
    let own = own_identity();
    Some(ProcessIdentity {
        pid,
        start_time: start_time(pid),
        boot_id: own.boot_id,
        // The links of other users' processes can't be read, but a process that we see by its pid is in our namespace.
        pid_namespace: own.pid_namespace,
        time_namespace: namespace(pid, "time").or(own.time_namespace),
    })
}

/// Whether exactly this process is still alive. If in doubt, it counts as alive: a process in another namespace, one
/// with an unknown start time and a living pid, or one that we may not signal. Then only its lock can decide.
pub fn is_alive(identity: &ProcessIdentity) -> bool {
    let own = own_identity();
    if identity.boot_id != own.boot_id {
        return false;
    }
    if (identity.pid_namespace, identity.time_namespace) != (own.pid_namespace, own.time_namespace) {
        return true;
    }
    if !pid_exists(identity.pid) {
        return false;
    }
    match (identity.start_time, start_time(identity.pid)) {
        (Some(known), Some(seen)) => known == seen,
        _ => true,
    }
}

/// A process that we may not signal (EPERM) exists. A zombie does not count.
fn pid_exists(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    !matches!(test_kill_process(pid), Err(Errno::SRCH)) && !is_zombie(pid.as_raw_nonzero().get() as u32)
}

/// Describes a process to people: `process 4242 (rsync)`, without a name if the system does not report it.
pub fn in_words(pid: u32) -> String {
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        // The process's owner can choose the name, so it is escaped.
        Ok(name) => {
            let name = name.trim_end().replace(|it: char| !it.is_ascii_graphic(), "?");
            format!("process {pid} ({name})")
        }
        Err(_) => format!("process {pid}"),
    }
}

/// The process group of a process. `None` if there is no such process, or if the group began in another pid namespace.
/// For those the system returns 0, which can't be used as a target for signals.
pub fn group_of(pid: u32) -> Option<u32> {
    // SAFETY: reads a number.
    let group = unsafe { libc::getpgid(libc::pid_t::try_from(pid).ok()?) };
    u32::try_from(group).ok().filter(|it| *it > 0)
}

fn namespace(pid: u32, kind: &str) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    if !cfg!(target_os = "linux") {
        return None;
    }
    std::fs::metadata(format!("/proc/{pid}/ns/{kind}")).ok().map(|it| it.ino())
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use std::{collections::HashMap, fs, io, os::unix::fs::MetadataExt};

    /// Clock ticks since boot at which the process started.
    pub fn start_time(pid: u32) -> Option<u64> {
        Some(Stat::read(pid)?.start_time)
    }

    /// Whether it is dead and its parent has not waited for it yet.
    pub fn is_zombie(pid: u32) -> bool {
        Stat::read(pid).is_some_and(|it| matches!(it.state, b'Z' | b'X'))
    }

    /// Whether a signal or a debugger has stopped it.
    pub fn is_stopped(pid: u32) -> bool {
        Stat::read(pid).is_some_and(|it| matches!(it.state, b'T' | b't'))
    }

    /// Every visible process of this machine.
    pub fn kin() -> Vec<Kin> {
        let of = |pid: u32, it: Stat| Kin {
            pid,
            parent: it.parent,
            session: it.session,
            start_time: it.start_time,
            is_dead: matches!(it.state, b'Z' | b'X'),
        };
        pids().filter_map(|pid| Some(of(pid, Stat::read(pid)?))).collect()
    }

    fn pids() -> impl Iterator<Item = u32> {
        let entries = fs::read_dir("/proc").into_iter().flatten();
        entries.filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok())
    }

    /// Current resident memory in bytes. This never uses ru_maxrss, which is a peak and survives exec.
    pub fn rss_bytes(pid: u32) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
        Some(pages * system_constant(libc::_SC_PAGESIZE, 4096))
    }

    /// Peak resident memory of this process, in bytes. For display only; never use it to enforce a limit on a child.
    pub fn peak_rss_bytes() -> Option<u64> {
        let text = fs::read_to_string("/proc/self/status").ok()?;
        let line = text.lines().find_map(|it| it.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|it| it * 1024)
    }

    /// The number of open descriptors.
    pub fn open_fds(pid: u32) -> Option<u64> {
        let folder = format!("/proc/{pid}/fd");
        // Since Linux 6.2, the size of this directory is the number of descriptors; before, it was 0.
        match fs::metadata(&folder).ok()?.size() {
            0 => fs::read_dir(&folder).ok().map(|it| it.count() as u64),
            count => Some(count),
        }
    }

    /// User and system CPU time of the process and of the children that it has waited for.
    pub fn cpu_time(pid: u32) -> Option<Millis> {
        let stat = Stat::read(pid)?;
        Some(Millis(stat.cpu_ticks * 1000 / system_constant(libc::_SC_CLK_TCK, 100)))
    }

    /// User and system CPU time of all threads of a process, without its children. Much faster than `cpu_time`.
    pub fn own_cpu_time(pid: u32) -> Option<Millis> {
        let mut clock = 0;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: both calls write only to the given location, which outlives them.
        let read = unsafe {
            libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) == 0 && libc::clock_gettime(clock, &mut time) == 0
        };
        read.then(|| Millis(time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000))
    }

    /// The direct children, started by any thread.
    pub fn children(pid: u32) -> Vec<u32> {
        match children_by_file(pid) {
            Some(found) => found,
            None => parents().into_iter().filter(|it| it.1 == pid).map(|it| it.0).collect(),
        }
    }

    /// All processes below `pid`, parents before children. An orphan is a child of the subreaper that adopted it.
    pub fn descendants(pid: u32) -> Vec<u32> {
        let mut below: HashMap<u32, Vec<u32>> = HashMap::new();
        for (child, parent) in parents() {
            below.entry(parent).or_default().push(child);
        }
        let mut found = below.remove(&pid).unwrap_or_default();
        let mut next = 0;
        while next < found.len() {
            found.extend(below.remove(&found[next]).unwrap_or_default());
            next += 1;
        }
        found
    }

    /// The names of the threads of this process.
    pub fn thread_names() -> Vec<String> {
        let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let mut names: Vec<String> = tasks
            .filter_map(|it| fs::read_to_string(it.path().join("comm")).ok().map(|it| it.trim().to_string()))
            .collect();
        names.sort_unstable();
        names
    }

    /// How often the kernel has killed a process for lack of memory since boot, in any memory cgroup.
    pub fn out_of_memory_kills() -> Option<u64> {
        let text = fs::read_to_string("/proc/vmstat").ok()?;
        text.lines().find_map(|it| it.strip_prefix("oom_kill "))?.parse().ok()
    }

    /// The pid of the process that holds an exclusive flock on the file, from /proc/locks. `None` if no process holds
    /// it, if the holder is in another pid namespace, or if the holder is uncertain.
    pub fn who_holds_lock(path: &Path) -> Option<u32> {
        let file = fs::metadata(path).ok()?;
        let device = format!("{:02x}:{:02x}", rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
        let found = holders_in(&fs::read_to_string("/proc/locks").ok()?, &device, file.ino());
        // The process that took the lock may have passed it on and ended, and its pid may have been reused.
        let is_it = |it: &&Holder| has_open(it.pid, &file).unwrap_or(it.same_device);
        found.iter().find(is_it).map(|it| it.pid)
    }

    /// Whether the system reports lock holders at all.
    pub fn lock_holders_are_known() -> bool {
        fs::File::open("/proc/locks").is_ok()
    }

    /// A process that may hold the lock on a file.
    #[derive(Debug, PartialEq)]
    pub(super) struct Holder {
        pub pid: u32,
        /// False for another file with this inode number. On some file systems also false for the file itself.
        pub same_device: bool,
    }

    /// Lines look like `1: FLOCK  ADVISORY  WRITE 9983 fe:00:5357598 0 EOF`; waiters have `->` after the number. Shared
    /// locks are ignored: they are only probes for an exclusive lock.
    pub(super) fn holders_in(locks: &str, device: &str, inode: u64) -> Vec<Holder> {
        let held = locks.lines().filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, "FLOCK", _, "WRITE", pid, place, ..] = words[..] else { return None };
            let (its_device, its_inode) = place.rsplit_once(':')?;
            let pid: u32 = pid.parse().ok().filter(|it| *it > 0)?;
            (its_inode.parse() == Ok(inode)).then_some(Holder { pid, same_device: its_device == device })
        });
        held.collect()
    }

    /// Whether the process has exactly this file open, which is false if it has ended. `None` without permission.
    fn has_open(pid: u32, file: &fs::Metadata) -> Option<bool> {
        let open = match fs::read_dir(format!("/proc/{pid}/fd")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(false),
            open => open.ok()?,
        };
        let mut files = open.filter_map(|it| fs::metadata(it.ok()?.path()).ok());
        Some(files.any(|it| (it.dev(), it.ino()) == (file.dev(), file.ino())))
    }

    /// Whether this process has the file with this device and inode open; `None` if the system does not report it.
    pub fn this_process_has_open(id: (u64, u64)) -> Option<bool> {
        let open = fs::read_dir("/proc/self/fd").ok()?;
        let mut files = open.filter_map(|it| fs::metadata(it.ok()?.path()).ok());
        Some(files.any(|it| (it.dev(), it.ino()) == id))
    }

    /// Whether the process runs a program with the name of this one, with this argument.
    pub fn runs_this_program_with(pid: u32, argument: &str) -> bool {
        let name = |link: String| {
            // An upgrade may have replaced the file of a program that is still running.
            let path = fs::read_link(link).ok()?.to_string_lossy().trim_end_matches(" (deleted)").to_string();
            Some(Path::new(&path).file_name()?.to_owned())
        };
        let same = name(format!("/proc/{pid}/exe")).is_some_and(|it| Some(it) == name("/proc/self/exe".to_string()));
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        same && line.split(|it| *it == 0).any(|it| it == argument.as_bytes())
    }

    /// Needs CONFIG_PROC_CHILDREN. Far cheaper than looking at every process.
    fn children_by_file(pid: u32) -> Option<Vec<u32>> {
        let mut found = Vec::new();
        for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
            let text = fs::read_to_string(task.ok()?.path().join("children")).ok()?;
            found.extend(text.split_ascii_whitespace().filter_map(|it| it.parse::<u32>().ok()));
        }
        Some(found)
    }

    /// The pid and parent pid of every living process.
    fn parents() -> Vec<(u32, u32)> {
        kin().into_iter().filter(|it| !it.is_dead).map(|it| (it.pid, it.parent)).collect()
    }

    fn system_constant(name: libc::c_int, otherwise: u64) -> u64 {
        // SAFETY: reads a number.
        u64::try_from(unsafe { libc::sysconf(name) }).ok().filter(|it| *it > 0).unwrap_or(otherwise)
    }

    pub(super) struct Stat {
        pub state: u8,
        pub parent: u32,
        pub session: u32,
        /// utime + stime + cutime + cstime
        pub cpu_ticks: u64,
        pub start_time: u64,
    }

    impl Stat {
        fn read(pid: u32) -> Option<Stat> {
            // Bytes, because a command name can contain anything.
            Stat::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
        }

        /// Fields are numbered as in proc_pid_stat(5). The command name can contain spaces and parentheses, so parsing
        /// starts after the last parenthesis.
        pub fn parse(bytes: &[u8]) -> Option<Stat> {
            let close = bytes.iter().rposition(|it| *it == b')')?;
            let rest = std::str::from_utf8(&bytes[close + 1..]).ok()?;
            let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
            let field = |number: usize| fields.get(number - 3).copied();
            let ticks = |number: usize| field(number).and_then(|it| it.parse::<u64>().ok());
            Some(Stat {
                state: *field(3)?.as_bytes().first()?,
                parent: field(4)?.parse().ok()?,
                // 0 for a session that began in another namespace; some systems print -1.
                session: field(6)?.parse().unwrap_or(0),
                cpu_ticks: ticks(14)? + ticks(15)? + ticks(16)? + ticks(17)?,
                start_time: ticks(22)?,
            })
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use super::*;

    pub fn start_time(_pid: u32) -> Option<u64> {
        None
    }

    pub fn is_zombie(_pid: u32) -> bool {
        false
    }

    pub fn is_stopped(_pid: u32) -> bool {
        false
    }

    pub fn kin() -> Vec<Kin> {
        Vec::new()
    }

    pub fn rss_bytes(_pid: u32) -> Option<u64> {
        None
    }

    pub fn peak_rss_bytes() -> Option<u64> {
        None
    }

    pub fn open_fds(pid: u32) -> Option<u64> {
        (pid == std::process::id()).then(|| std::fs::read_dir("/dev/fd").ok().map(|it| it.count() as u64)).flatten()
    }

    pub fn cpu_time(_pid: u32) -> Option<Millis> {
        None
    }

    pub fn own_cpu_time(_pid: u32) -> Option<Millis> {
        None
    }

    pub fn children(_pid: u32) -> Vec<u32> {
        Vec::new()
    }

    pub fn descendants(_pid: u32) -> Vec<u32> {
        Vec::new()
    }

    pub fn thread_names() -> Vec<String> {
        Vec::new()
    }

    pub fn out_of_memory_kills() -> Option<u64> {
        None
    }

    pub fn who_holds_lock(_path: &Path) -> Option<u32> {
        None
    }

    pub fn lock_holders_are_known() -> bool {
        false
    }

    pub fn this_process_has_open(_id: (u64, u64)) -> Option<bool> {
        None
    }

    pub fn runs_this_program_with(_pid: u32, _argument: &str) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_its_reused_pid_is_not() {
        let own = own_identity();
        assert!(is_alive(&own));
        assert_eq!(identity_of(own.pid).as_ref(), Some(&own));
        assert_eq!(is_alive(&ProcessIdentity { start_time: Some(1), ..own.clone() }), own.start_time.is_none());
        assert!(!is_alive(&ProcessIdentity { boot_id: "before".to_string(), ..own.clone() }));
        assert!(!is_alive(&ProcessIdentity { pid: 0x3fff_ffff, ..own.clone() }));
        assert_eq!(identity_of(0x3fff_ffff), None);
    }

    #[test]
    fn in_doubt_a_process_counts_as_alive() {
        let own = own_identity();
        assert!(is_alive(&ProcessIdentity { start_time: None, ..own.clone() }));
        assert!(is_alive(&ProcessIdentity { pid_namespace: Some(1), pid: 0x3fff_ffff, ..own.clone() }));
        assert!(is_alive(&ProcessIdentity { time_namespace: Some(1), pid: 0x3fff_ffff, ..own.clone() }));
        assert!(is_alive(&identity_of(1).unwrap())); // not ours to signal, unless we are root
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn statistics_of_this_process_are_plausible() {
        let pid = std::process::id();
        let rss = rss_bytes(pid).unwrap();
        assert!((100 << 10..16 << 30).contains(&rss), "{rss}");
        let before = open_fds(pid).unwrap();
        assert!(before >= 3);
        assert!(cpu_time(pid).is_some());
        assert_eq!((rss_bytes(0x3fff_ffff), open_fds(0x3fff_ffff), cpu_time(0x3fff_ffff)), (None, None, None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_command_name_with_parentheses_is_read_past() {
        let line = b"42 (a) b (c) S 7 42 40 0 -1 4194560 1 0 0 0 11 22 3 4 20 0 1 0 987654 1 1 1";
        let stat = linux::Stat::parse(line).unwrap();
        assert_eq!((stat.state, stat.parent, stat.session), (b'S', 7, 40));
        assert_eq!((stat.cpu_ticks, stat.start_time), (40, 987_654));
        assert!(linux::Stat::parse(b"42 (cut").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_holder_of_a_lock_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = crate::os::FileLock::try_exclusive(&path).unwrap().unwrap();
        assert_eq!(who_holds_lock(&path), Some(std::process::id()));
        drop(held);
        assert_eq!(who_holds_lock(&path), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn waiters_other_files_and_other_kinds_of_locks_are_not_holders() {
        let locks = "1: FLOCK  ADVISORY  WRITE 9 fe:00:55 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 8 fe:00:66 0 EOF\n\
            2: POSIX  ADVISORY  READ 7 fe:00:66 128 128\n3: FLOCK  ADVISORY  WRITE 6 00:2b:77 0 EOF\n\
            4: FLOCK  ADVISORY  READ 5 fe:00:88 0 EOF\n";
        let found = |inode| linux::holders_in(locks, "fe:00", inode);
        assert_eq!(found(55), [linux::Holder { pid: 9, same_device: true }]);
        assert_eq!((found(66), found(88)), (vec![], vec![]));
        assert_eq!(found(77), [linux::Holder { pid: 6, same_device: false }]);
    }
}
