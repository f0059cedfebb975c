//! What a shim needs from the system to keep a tree of processes together, and to end it.

use super::process_stat;
use crate::model::{Bytes, ExitStatus, Millis};
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions, setrlimit};
use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

/// Hard limits of one process, inherited by its children. `None` leaves a limit as it is.
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
    /// All children live.
    Nobody,
    /// There are no children. For a process that adopts orphans it has no descendants either.
    Childless,
}

/// Closes every descriptor from `first` on. Only for a program at its very start: it does not check who owns them.
pub fn close_from(first: i32) {
    #[cfg(target_os = "linux")]
    // SAFETY: closes descriptors; the caller guarantees that nothing uses them.
    if unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } == 0 {
        return;
    }
    for fd in open_descriptors(first) {
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    }
}

/// From now on programs that this process starts do not inherit the descriptor.
pub fn close_on_exec(number: i32) -> io::Result<()> {
    // SAFETY: sets a flag of a descriptor; one that is not open is an error, no more.
    match unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Collected first: the listing itself holds a descriptor, which is closed by then.
fn open_descriptors(first: i32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/dev/fd") else { return Vec::new() };
    let numbers = entries.filter_map(|it| it.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter(|it| *it >= first).collect()
}

/// Makes this process the parent of all orphans among its descendants, also of those that started a session of their
/// own. Only Linux can; elsewhere orphans that left their process group escape.
pub fn adopt_orphans() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Starts a session of its own: no terminal, no signals from a keyboard.
pub fn leave_session() {
    let _ = rustix::process::setsid(); // fails only for a process that leads a group already
}

/// Signals that ask a process to end; a shim ignores them, because its engine decides.
const STOPS: [libc::c_int; 5] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGTSTP];

/// Ignores every polite request to end or stop.
pub fn ignore_stops() {
    set_stops(libc::SIG_IGN);
}

/// Which requests to end or stop were ignored before, as `nohup` has it.
#[derive(Debug, Clone, Copy)]
pub struct Ignored([bool; STOPS.len()]);

/// The same, and which of them were ignored before.
pub fn ignore_more_stops() -> Ignored {
    // SAFETY: ignores a signal; no handler is involved.
    Ignored(STOPS.map(|signal| unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_IGN))
}

/// Gives a forked child the signals that its grandparent had, and has it die with its parent. Allocates nothing.
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

/// Prepares a forked child before its exec: dies with its parent, has default signals and its limits. Allocates nothing.
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

/// Never raises a limit: only root may.
fn lower(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let now = rustix::process::getrlimit(resource);
    let maximum = hard.min(now.maximum.unwrap_or(u64::MAX));
    let current = soft.min(now.current.unwrap_or(u64::MAX)).min(maximum);
    Ok(setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })?)
}

/// Asks for one dead child without waiting.
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

/// User and system CPU time of all children that were waited for, with what they had waited for.
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

/// Asks an own child that has not been waited for to end.
pub fn terminate(child: u32) {
    if let Some(pid) = to_pid(child) {
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
}

/// Asks the process group of `leader` and every other descendant of this process to end, and wakes those that were
/// stopped. `leader` must be an own child that has not been waited for, or `None`.
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

/// Kills the process group of `leader` and every descendant of this process. What is forked meanwhile needs another round.
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

/// Puts `file` in the place of descriptor 0, 1 or 2.
pub fn replace_standard(number: i32, file: BorrowedFd<'_>) -> io::Result<()> {
    match number {
        0 => rustix::stdio::dup2_stdin(file)?,
        1 => rustix::stdio::dup2_stdout(file)?,
        _ => rustix::stdio::dup2_stderr(file)?,
    }
    Ok(())
}

/// An anonymous file with this content, to be read from its start: as a standard input it never blocks its writer.
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

/// A descriptor that this process was started with, as a file of its own. To be asked for once.
pub fn inherited_file(number: i32) -> std::fs::File {
    // SAFETY: the caller knows that its parent gave it this descriptor, and nothing else uses it.
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
