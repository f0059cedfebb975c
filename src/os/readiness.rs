//! Waits for descriptors.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    time::Duration,
};

/// Waits until one of the descriptors is readable or has hung up, or until the timeout. The result has one entry per
/// descriptor, in order; a `None` is skipped. A signal ends the wait early with nothing ready.
pub fn wait_readable(fds: &[Option<BorrowedFd<'_>>], timeout: Duration) -> io::Result<Vec<bool>> {
    Ok(wait_ready(fds, None, timeout)?.0)
}

/// Like `wait_readable`, and also waits until `writer` is writable or has hung up. The second part of the result says
/// whether it is.
pub fn wait_ready(
    readers: &[Option<BorrowedFd<'_>>],
    writer: Option<BorrowedFd<'_>>,
    timeout: Duration,
) -> io::Result<(Vec<bool>, bool)> {
    let entry = |fd: Option<BorrowedFd<'_>>, events| libc::pollfd {
        fd: fd.map_or(-1, |it| it.as_raw_fd()),
        events,
        revents: 0,
    };
    let mut polled: Vec<libc::pollfd> = readers.iter().map(|it| entry(*it, libc::POLLIN)).collect();
    polled.push(entry(writer, libc::POLLOUT));
    // Rounded up, so that a loop with a deadline does not spin during its last millisecond.
    let millis = timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i32;
    // SAFETY: the array outlives the call, and its length is passed.
    let count = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, millis) };
    if count < 0 {
        let error = io::Error::last_os_error();
        return match error.kind() {
            io::ErrorKind::Interrupted => Ok((vec![false; readers.len()], false)),
            _ => Err(error),
        };
    }
    let writable = polled.pop().is_some_and(|it| it.revents != 0);
    Ok((polled.iter().map(|it| it.revents != 0).collect(), writable))
}

/// Makes reads without data and writes without space fail with `WouldBlock`, for every holder of this open file.
pub fn never_block(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, os::fd::AsFd};

    #[test]
    fn only_what_can_be_read_or_has_hung_up_is_ready() {
        let (quiet, _open) = io::pipe().unwrap();
        let (full, mut writer) = io::pipe().unwrap();
        let (closed, end) = io::pipe().unwrap();
        writer.write_all(b"x").unwrap();
        drop(end);
        let fds = [Some(quiet.as_fd()), Some(full.as_fd()), None, Some(closed.as_fd())];
        assert_eq!(wait_readable(&fds, Duration::from_secs(9)).unwrap(), [false, true, false, true]);
        assert_eq!(wait_readable(&fds[..1], Duration::from_millis(1)).unwrap(), [false]);
    }

    #[test]
    fn a_writer_is_ready_while_there_is_room() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        never_block(writer.as_fd()).unwrap();
        let ready = |writer: &io::PipeWriter| wait_ready(&[], Some(writer.as_fd()), Duration::ZERO).unwrap().1;
        assert!(ready(&writer));
        let chunk = [0; 4096];
        while writer.write(&chunk).is_ok() {}
        assert!(!ready(&writer));
        std::io::Read::read_exact(&mut reader, &mut [0; 8192]).unwrap();
        assert!(ready(&writer));
    }
}
