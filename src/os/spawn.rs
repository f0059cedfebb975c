//! The system calls with which a shim keeps a process tree together and ends it.

use super::process_stat;
use crate::model::{Bytes, ExitStatus, Millis};
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions, setrlimit};
use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

/// Hard limits of one process, inherited by its children. `None` leaves a limit unchanged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessLimits {
    pub open_files: Option<u64>,
    /// Rounded up to seconds. The process gets SIGXCPU at the limit and SIGKILL two seconds later.
    pub cpu: Option<Millis>,
    pub address_space: Option<Bytes>,
}

/// What `reap` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaped {
    Child {
        pid: u32,
        exit: ExitStatus,
    },
    /// All children are alive.
    Nobody,
    /// There are no children. If this process adopts orphans, there are no descendants either.
    Childless,
}

/// Closes every descriptor from `first` on. Only for the very start of a program: it does not check who owns the
/// descriptors.
pub fn close_from(first: i32) {
    #[cfg(target_os = "linux")]
    // SAFETY: closes descriptors that nothing uses, as the caller guarantees.
    if unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } == 0 {
        return;
    }
    for fd in open_descriptors(first) {
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    }
}

/// Marks the descriptor close-on-exec, so that programs started from now on do not inherit it.
pub fn close_on_exec(number: i32) -> io::Result<()> {
    // SAFETY: sets a flag of a descriptor; a closed descriptor only causes an error.
    match unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Collects the list first: listing opens a descriptor of its own, which is closed again before the caller closes any.
fn open_descriptors(first: i32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/dev/fd") else { return Vec::new() };
    let numbers = entries.filter_map(|it| it.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter(|it| *it >= first).collect()
}

/// Makes this process the parent of all orphans among its descendants, even those in a new session. Only Linux can do
/// this; elsewhere, orphans that left their process group escape.
pub fn adopt_orphans() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Starts a new session: no terminal, no signals from a keyboard.
pub fn leave_session() {
    let _ = rustix::process::setsid(); // fails only for a process that already leads a group
}

/// Signals that ask a process to end. A shim ignores them, because its engine decides.
const STOPS: [libc::c_int; 5] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGTSTP];

/// Ignores all requests to end or stop that can be ignored.
pub fn ignore_stops() {
    set_stops(libc::SIG_IGN);
}

/// Which of these signals were already ignored, as under `nohup`.
#[derive(Debug, Clone, Copy)]
pub struct Ignored([bool; STOPS.len()]);

/// Like `ignore_stops`, for a foreground child's parent. Returns which signals were already ignored.
pub fn ignore_more_stops() -> Ignored {
    // SAFETY: ignores a signal; no handler is involved.
    Ignored(STOPS.map(|signal| unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_IGN))
}

/// Restores the signals of the grandparent in a forked child, and makes it die with its parent. Allocates nothing.
pub fn prepare_foreground_child(before: Ignored) -> io::Result<()> {
    for (signal, ignored) in STOPS.into_iter().zip(before.0) {
        if !ignored {
            // SAFETY: resets a signal; no handler is involved.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

fn set_stops(disposition: libc::sighandler_t) {
    for signal in STOPS {
        // SAFETY: ignores or resets a signal; no handler is involved.
        unsafe { libc::signal(signal, disposition) };
    }
}

/// Prepares a forked child before its exec: it dies with its parent, and gets default signals and its limits. Allocates
/// nothing.
pub fn prepare_child(limits: &ProcessLimits) -> io::Result<()> {
    set_stops(libc::SIG_DFL);
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if let Some(count) = limits.open_files {
        lower(Resource::Nofile, count, count)?;
    }
    if let Some(Bytes(count)) = limits.address_space {
        lower(Resource::As, count, count)?;
    }
    if let Some(Millis(time)) = limits.cpu {
        let seconds = time.div_ceil(1000).max(1);
        lower(Resource::Cpu, seconds, seconds + 2)?;
    }
    Ok(())
}

/// Lowers a limit. It never raises one, since only root can.
fn lower(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let now = rustix::process::getrlimit(resource);
    let maximum = hard.min(now.maximum.unwrap_or(u64::MAX));
    let current = soft.min(now.current.unwrap_or(u64::MAX)).min(maximum);
    Ok(setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })?)
}

/// Reaps one dead child without waiting.
pub fn reap() -> io::Result<Reaped> {
    loop {
        let found = match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(found) => found,
            Err(rustix::io::Errno::CHILD) => return Ok(Reaped::Childless),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let Some((pid, status)) = found else { return Ok(Reaped::Nobody) };
        let code = status.exit_status().map(ExitStatus::Code);
        let Some(exit) = code.or(status.terminating_signal().map(ExitStatus::Signal)) else { continue };
        return Ok(Reaped::Child { pid: pid.as_raw_nonzero().get() as u32, exit });
    }
}

/// User and system CPU time of all reaped children, including the children that those had reaped.
pub fn reaped_cpu_time() -> Millis {
    // SAFETY: fills a plain structure.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage);
        usage
    };
    let millis = |time: libc::timeval| time.tv_sec as u64 * 1000 + time.tv_usec as u64 / 1000;
    Millis(millis(usage.ru_utime) + millis(usage.ru_stime))
}

/// Asks a child to end. The child must not have been waited for.
pub fn terminate(child: u32) {
    if let Some(pid) = to_pid(child) {
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
}

/// Asks the process group of `leader` and every other descendant of this process to end, and continues those that are
/// stopped. `leader` must be a child that has not been waited for, or `None`.
pub fn terminate_descendants(leader: Option<u32>) {
    let group = leader.and_then(to_pid);
    let others = process_stat::descendants(std::process::id());
    for signal in [Signal::TERM, Signal::CONT] {
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, signal);
        }
        let elsewhere = |it: &&u32| leader.is_none() || process_stat::group_of(**it) != leader;
        for pid in others.iter().filter(elsewhere).filter_map(|it| to_pid(*it)) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

/// Kills the process group of `leader` and every descendant of this process. Processes forked in the meantime need
/// another round.
pub fn kill_descendants(leader: Option<u32>) {
    if let Some(group) = leader.and_then(to_pid) {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    for pid in process_stat::descendants(std::process::id()).into_iter().filter_map(to_pid) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Makes descriptor 0, 1 or 2 refer to `file`.
pub fn replace_standard(number: i32, file: BorrowedFd<'_>) -> io::Result<()> {
    match number {
        0 => rustix::stdio::dup2_stdin(file)?,
        1 => rustix::stdio::dup2_stdout(file)?,
        _ => rustix::stdio::dup2_stderr(file)?,
    }
    Ok(())
}

/// An anonymous file with this content, positioned at its start. As standard input it never blocks its writer.
pub fn file_of(content: &[u8]) -> io::Result<OwnedFd> {
    use std::io::{Seek, Write};
    #[cfg(target_os = "linux")]
    let mut file = std::fs::File::from(rustix::fs::memfd_create("stdin", rustix::fs::MemfdFlags::CLOEXEC)?);
    #[cfg(not(target_os = "linux"))]
    let mut file = tempfile::tempfile()?;
    file.write_all(content)?;
    file.rewind()?;
    Ok(file.into())
}

/// Wraps a descriptor that this process inherited. Call it once per descriptor.
pub fn inherited_file(number: i32) -> std::fs::File {
    // SAFETY: the caller knows that the parent passed this descriptor, and that nothing else uses it.
    unsafe { std::os::fd::FromRawFd::from_raw_fd(number) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn an_anonymous_file_reads_from_its_start() {
        let mut text = String::new();
        std::fs::File::from(file_of(b"hello").unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }
}
