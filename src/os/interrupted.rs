//! Repeats system calls that a signal interrupts.

use std::io;

/// Repeats the call until it returns something other than `EINTR`.
pub fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_repeated_until_it_has_an_answer() {
        let mut left = 3;
        let answer = retried(|| match left {
            0 => Ok("done"),
            _ => {
                left -= 1;
                Err(io::ErrorKind::Interrupted.into())
            }
        });
        assert_eq!(answer.unwrap(), "done");
        let refused = retried(|| Err::<(), _>(io::Error::from_raw_os_error(libc::EIO)));
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EIO));
    }
}
