//! Passes open descriptors to another process over a Unix socket (SCM_RIGHTS).
//!
//! Passing leaves every descriptor of this process close-on-exec, so nothing leaks into a child that another thread
//! happens to start at the same moment.

use std::{
    io,
    mem::size_of,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
};

/// At most so many descriptors in one message.
pub const MOST: usize = 32;

/// Room for one control message with `MOST` descriptors, aligned for its header.
#[repr(C)]
union Control {
    bytes: [u8; 256],
    _align: libc::cmsghdr,
}

/// Sends descriptors, and one byte of no meaning with them.
pub fn send(socket: &UnixStream, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    send_with(socket, 0, fds)
}

/// Sends one byte, and descriptors with it.
pub fn send_with(socket: &UnixStream, byte: u8, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if fds.len() > MOST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors to pass"));
    }
    let raw: Vec<RawFd> = fds.iter().map(|it| it.as_raw_fd()).collect();
    let length = size_of::<RawFd>() * raw.len();
    let mut byte = [byte];
    let mut control = Control { bytes: [0; 256] };
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: all pointers lead to locals that outlive the call; the control message fits in its buffer, because
    // CMSG_SPACE of 32 descriptors is 144 bytes.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        if !raw.is_empty() {
            message.msg_control = (&raw mut control).cast();
            message.msg_controllen = libc::CMSG_SPACE(length as libc::c_uint) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(length as libc::c_uint) as _;
            std::ptr::copy_nonoverlapping(raw.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), length);
        }
        retry(|| libc::sendmsg(socket.as_raw_fd(), &message, no_sigpipe()))
    };
    sent.map(|_| ())
}

/// Waits for a message of `send`. The descriptors are *not* close-on-exec: they are meant for a child. An end of the
/// stream is an error of the kind `UnexpectedEof`.
pub fn receive(socket: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    match receive_with(socket, &mut [0])? {
        (0, _) => Err(io::ErrorKind::UnexpectedEof.into()),
        (_, fds) => Ok(fds),
    }
}

/// Reads bytes, and the descriptors that came with them, which are *not* close-on-exec. No bytes: the stream has ended.
///
/// An error of the kind `InvalidData` when more descriptors came than there was room for: those that arrived are closed.
pub fn receive_with(socket: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = Control { bytes: [0; 256] };
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut fds = Vec::new();
    // SAFETY: as in `send`; each received descriptor is new and has no other owner. Other control messages, such as
    // credentials, may stand before and behind the descriptors.
    let (count, flags) = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of::<Control>() as _;
        let count = retry(|| libc::recvmsg(socket.as_raw_fd(), &mut message, 0))?;
        let mut header = libc::CMSG_FIRSTHDR(&message);
        while !header.is_null() {
            if ((*header).cmsg_level, (*header).cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let length = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                for index in 0..length / size_of::<RawFd>() {
                    let place = libc::CMSG_DATA(header).cast::<RawFd>().add(index);
                    fds.push(OwnedFd::from_raw_fd(place.read_unaligned()));
                }
            }
            header = libc::CMSG_NXTHDR(&message, header);
        }
        (count, message.msg_flags)
    };
    if flags & libc::MSG_CTRUNC != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more descriptors were passed than fit"));
    }
    Ok((count as usize, fds))
}

/// Writes all bytes. A closed socket is an error, never a signal, whatever this process does with SIGPIPE.
pub fn write_quietly(socket: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        // SAFETY: the buffer outlives the call and its length is given.
        let sent =
            retry(|| unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), no_sigpipe()) })?;
        bytes = &bytes[sent as usize..];
    }
    Ok(())
}

fn retry(mut call: impl FnMut() -> isize) -> io::Result<isize> {
    loop {
        let result = call();
        if result >= 0 {
            return Ok(result);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn no_sigpipe() -> libc::c_int {
    #[cfg(target_vendor = "apple")]
    return 0;
    #[cfg(not(target_vendor = "apple"))]
    libc::MSG_NOSIGNAL
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        os::fd::AsFd,
    };

    #[test]
    fn descriptors_arrive_in_order_and_work() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut first, first_end) = io::pipe().unwrap();
        let (mut second, second_end) = io::pipe().unwrap();
        send(&here, &[first_end.as_fd(), second_end.as_fd()]).unwrap();
        drop((first_end, second_end));
        let mut got = receive(&there).unwrap().into_iter();
        for (text, pipe) in [("one", &mut first), ("two", &mut second)] {
            std::fs::File::from(got.next().unwrap()).write_all(text.as_bytes()).unwrap();
            let mut read = String::new();
            pipe.read_to_string(&mut read).unwrap();
            assert_eq!(read, text);
        }
        assert!(got.next().is_none());
    }

    #[test]
    fn a_word_comes_with_its_descriptor() {
        let (here, there) = UnixStream::pair().unwrap();
        let (_pipe, end) = io::pipe().unwrap();
        write_quietly(&here, b"ab").unwrap();
        send_with(&here, b'c', &[end.as_fd()]).unwrap();
        let (mut words, mut fds, mut buffer) = (Vec::new(), 0, [0; 16]);
        while words.len() < 3 {
            let (count, got) = receive_with(&there, &mut buffer).unwrap();
            words.extend_from_slice(&buffer[..count]);
            fds += got.len();
        }
        assert_eq!((words.as_slice(), fds), (&b"abc"[..], 1));
    }

    #[test]
    fn no_descriptors_is_a_message_too_and_a_closed_socket_is_an_error() {
        let (here, there) = UnixStream::pair().unwrap();
        send(&here, &[]).unwrap();
        drop(here);
        assert!(receive(&there).unwrap().is_empty());
        assert_eq!(receive(&there).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(send(&there, &[]).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn descriptors_are_found_behind_other_control_messages() {
        let (here, there) = UnixStream::pair().unwrap();
        let on: libc::c_int = 1;
        // SAFETY: the option is an int, whose size is given.
        let set = unsafe {
            libc::setsockopt(
                there.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PASSCRED,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        assert_eq!(set, 0);
        let (_pipe, end) = io::pipe().unwrap();
        send(&here, &[end.as_fd()]).unwrap();
        assert_eq!(receive(&there).unwrap().len(), 1);
    }

    #[test]
    fn more_descriptors_than_there_is_room_for_are_an_error_and_none_stays_open() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut pipe, end) = io::pipe().unwrap();
        send_unchecked(&here, &[end.as_raw_fd(); 100]);
        drop(end);
        assert_eq!(receive(&there).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(pipe.read(&mut [0]).unwrap(), 0, "somebody holds the pipe");
    }

    /// What a peer sends that does not know of `MOST`.
    fn send_unchecked(socket: &UnixStream, fds: &[RawFd]) {
        let length = std::mem::size_of_val(fds);
        let mut control = vec![0u64; 128];
        let mut byte = [0u8];
        let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        // SAFETY: as in `send_with`; 100 descriptors fit into 1 KiB.
        let sent = unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = &mut part;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(length as libc::c_uint) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(length as libc::c_uint) as _;
            std::ptr::copy_nonoverlapping(fds.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), length);
            libc::sendmsg(socket.as_raw_fd(), &message, 0)
        };
        assert_eq!(sent, 1);
    }
}
