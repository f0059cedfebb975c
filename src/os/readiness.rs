//! Waits for descriptors.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    time::Duration,
};

/// Waits until one of the descriptors can be read or has hung up, or the time is over. The answer has one entry per
/// descriptor, in order; a `None` is skipped. A signal ends the wait early with nothing ready.
pub fn wait_readable(fds: &[Option<BorrowedFd<'_>>], timeout: Duration) -> io::Result<Vec<bool>> {
    let mut polled: Vec<libc::pollfd> = fds
        .iter()
        .map(|it| libc::pollfd { fd: it.map_or(-1, |fd| fd.as_raw_fd()), events: libc::POLLIN, revents: 0 })
        .collect();
    // Rounded up, so that a loop with a deadline does not spin through its last millisecond.
    let millis = timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i32;
    // SAFETY: the array outlives the call and its length is given.
    let count = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, millis) };
    if count < 0 {
        let error = io::Error::last_os_error();
        return match error.kind() {
            io::ErrorKind::Interrupted => Ok(vec![false; fds.len()]),
            _ => Err(error),
        };
    }
    Ok(polled.iter().map(|it| it.revents != 0).collect())
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
}
