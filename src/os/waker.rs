//! Wakes a thread that waits for descriptors.

use super::readiness::never_block;
use std::{
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::fd::{AsFd, BorrowedFd},
};

/// A pipe: readable from a call of `wake` until `clear`.
#[derive(Debug)]
pub struct Waker {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Waker {
    /// # Errors
    ///
    /// No descriptor is left.
    pub fn new() -> io::Result<Waker> {
        let (reader, writer) = io::pipe()?;
        never_block(reader.as_fd())?;
        never_block(writer.as_fd())?;
        Ok(Waker { reader, writer })
    }

    /// Wakes the thread that waits for it, now or when it waits next.
    pub fn wake(&self) {
        // A full pipe is readable already.
        let _ = (&self.writer).write(&[1]);
    }

    /// Call this before you check for work, so that no wake is lost.
    pub fn clear(&self) {
        let mut buffer = [0; 64];
        while (&self.reader).read(&mut buffer).is_ok_and(|it| it == buffer.len()) {}
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::readiness::wait_readable;
    use std::time::Duration;

    #[test]
    fn it_is_readable_from_a_wake_until_it_is_cleared() {
        let waker = Waker::new().unwrap();
        let woken = |waker: &Waker| wait_readable(&[Some(waker.as_fd())], Duration::ZERO).unwrap()[0];
        assert!(!woken(&waker));
        // More than a pipe has room for.
        (0..100_000).for_each(|_| waker.wake());
        assert!(woken(&waker));
        waker.clear();
        assert!(!woken(&waker));
        waker.wake();
        assert!(woken(&waker));
    }
}
