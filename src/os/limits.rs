//! Limits of this process.

use crate::model::Bytes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// More than a busy engine can use. Children inherit it, and some programs are slow with a very high limit.
const ENOUGH: u64 = 4_096;
/// macOS refuses a soft limit above OPEN_MAX.
const APPLE_OPEN_MAX: u64 = 10_240;

/// Raises the soft limit on open files toward the hard one. Never lowers it. Returns the limit that now holds.
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

/// How many files this process may have open.
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How much address space this process may map; None: as much as it likes.
pub fn address_space() -> Option<Bytes> {
    getrlimit(Resource::As).current.map(Bytes)
}

/// Has the allocator of this process take address space from one place only, for where that is limited: otherwise it sets
/// 64 MiB aside for each thread, and so much again while it looks for their place.
pub fn spare_address_space() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets a number of the allocator; it takes its own locks.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Lets so many connections wait to be accepted (the system may allow fewer). One that finds no place is tried again by
/// its client's system, a second later.
pub fn widen_backlog(listener: &std::net::TcpListener, connections: i32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: the descriptor is open, and of a socket that listens already: that only changes its queue.
    match unsafe { libc::listen(listener.as_raw_fd(), connections) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives memory that is free inside this process back to the system, where its allocator can.
pub fn give_memory_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the allocator's own function; it takes its own locks.
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
