//! Notices the deaths of children.

use std::{io, os::unix::net::UnixStream};

/// A socket that becomes readable when a child dies.
pub(super) fn listen_for_deaths() -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    write.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(libc::SIGCHLD, write)?;
    Ok(read)
}
