//! Passes open descriptors to another process over a Unix socket (SCM_RIGHTS).
//!
//! All descriptors of this process stay close-on-exec, so nothing leaks into a child that another thread happens to
//! start at the same moment.

use rustix::{
    io::retry_on_intr,
    net::{
        self, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags,
    },
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

/// The maximum number of descriptors in one message.
pub const MOST: usize = 32;

/// Space for `MOST` descriptors and for other control messages, in bytes.
const CONTROL: usize = 256;

/// Sends descriptors along with a meaningless byte.
pub fn send(socket: &UnixStream, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    send_with(socket, 0, fds)
}

/// Sends one byte and, with it, descriptors.
pub fn send_with(socket: &UnixStream, byte: u8, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); CONTROL];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if fds.len() > MOST || !(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(fds))) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors to pass"));
    }
    retry_on_intr(|| net::sendmsg(socket, &[IoSlice::new(&[byte])], &mut control, no_sigpipe()))?;
    Ok(())
}

/// Waits for a message from `send`. The descriptors are *not* close-on-exec, because they are meant for a child.
/// Returns an `UnexpectedEof` error at the end of the stream.
pub fn receive(socket: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    match receive_with(socket, &mut [0])? {
        (0, _) => Err(io::ErrorKind::UnexpectedEof.into()),
        (_, fds) => Ok(fds),
    }
}

/// Reads bytes and the descriptors that came with them. The descriptors are *not* close-on-exec. Zero bytes mean the
/// end of the stream.
///
/// Returns an `InvalidData` error if more descriptors arrived than fit, and closes those that did.
pub fn receive_with(socket: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); CONTROL];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(bytes)];
    let message = retry_on_intr(|| net::recvmsg(socket, &mut parts, &mut control, RecvFlags::empty()))?;
    // Other control messages, such as credentials, may precede and follow the descriptors.
    let passed = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let fds: Vec<OwnedFd> = passed.flatten().collect();
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more descriptors were passed than fit"));
    }
    Ok((message.bytes, fds))
}

/// Writes all bytes. A closed socket causes an error, never a signal, however this process handles SIGPIPE.
pub fn write_quietly(socket: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = retry_on_intr(|| net::send(socket, bytes, no_sigpipe()))?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

fn no_sigpipe() -> SendFlags {
    #[cfg(target_vendor = "apple")]
    return SendFlags::empty();
    #[cfg(not(target_vendor = "apple"))]
    SendFlags::NOSIGNAL
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
        net::sockopt::set_socket_passcred(&there, true).unwrap();
        let (_pipe, end) = io::pipe().unwrap();
        send(&here, &[end.as_fd()]).unwrap();
        assert_eq!(receive(&there).unwrap().len(), 1);
    }

    #[test]
    fn more_descriptors_than_there_is_room_for_are_an_error_and_none_stays_open() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut pipe, end) = io::pipe().unwrap();
        send_unchecked(&here, &[end.as_fd(); 100]);
        drop(end);
        assert_eq!(receive(&there).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(pipe.read(&mut [0]).unwrap(), 0, "somebody holds the pipe");
    }

    /// Sends without the limit of `MOST`, as another program might.
    fn send_unchecked(socket: &UnixStream, fds: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); 1024];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
        let sent = net::sendmsg(socket, &[IoSlice::new(&[0])], &mut control, SendFlags::empty());
        assert_eq!(sent, Ok(1));
    }
}
