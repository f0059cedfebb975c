//! Resource limits of this process.

use crate::model::Bytes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// More than a busy engine can use. Children inherit the limit, and a very high one makes some programs slow.
const ENOUGH: u64 = 4_096;
/// macOS refuses a soft limit above OPEN_MAX.
const APPLE_OPEN_MAX: u64 = 10_240;

/// Raises the soft limit on open files toward the hard limit; never lowers it. Returns the resulting limit.
pub fn raise_open_files() -> io::Result<u64> {
    let now = getrlimit(Resource::Nofile);
    let ceiling = if cfg!(target_vendor = "apple") { APPLE_OPEN_MAX } else { ENOUGH };
    let wanted = now.maximum.unwrap_or(u64::MAX).min(ceiling);
    match now.current {
        Some(current) if current < wanted => {
            setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum })?;
            Ok(wanted)
        }
        current => Ok(current.unwrap_or(u64::MAX)),
    }
}

/// The maximum number of open files of this process.
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The maximum address space of this process; `None` if unlimited.
pub fn address_space() -> Option<Bytes> {
    getrlimit(Resource::As).current.map(Bytes)
}

/// Makes the allocator use a single arena, for processes with limited address space. Otherwise it reserves 64 MiB per
/// thread, and temporarily twice that while it aligns the arena.
pub fn spare_address_space() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets a parameter of the allocator, which does its own locking.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Sets how many connections may wait to be accepted; the system may allow fewer. A client that finds the queue full
/// retries after a second.
pub fn widen_backlog(listener: &std::net::TcpListener, connections: i32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: the descriptor is open and is already a listening socket, so this only changes its queue length.
    match unsafe { libc::listen(listener.as_raw_fd(), connections) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Returns unused memory of this process to the system, if its allocator can.
pub fn give_memory_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: a function of the allocator, which does its own locking.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_on_open_files_is_never_lowered() {
        let before = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let after = raise_open_files().unwrap();
        assert!(after >= before);
        assert_eq!(raise_open_files().unwrap(), after);
    }
}
