//! System resources that ran out, recognised by error code.
//!
//! A shortage is temporary: it is not the step's fault, and a retry can succeed.

use super::disk_space;
use crate::model::Bytes;
use std::{error::Error, fmt, fs::File, io, path::Path};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    Disk,
    Descriptors,
    Memory,
    /// Processes or threads.
    Threads,
}

/// With less free space than this on its disk, a database can't even map its index.
const NOTHING_LEFT: Bytes = Bytes(64 << 10);

impl Shortage {
    /// Recognises a shortage. Leaves out `EAGAIN`, which also means that a socket is not ready.
    pub fn of(error: &io::Error) -> Option<Shortage> {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => return Some(Shortage::Disk),
            io::ErrorKind::OutOfMemory => return Some(Shortage::Memory),
            _ => {}
        }
        match error.raw_os_error()? {
            libc::EMFILE | libc::ENFILE => Some(Shortage::Descriptors),
            _ => None,
        }
    }

    /// Like `of`, for the start of a process or a thread, where `EAGAIN` means that there are too many.
    pub fn of_start(error: &io::Error) -> Option<Shortage> {
        let too_many = error.raw_os_error() == Some(libc::EAGAIN);
        Shortage::of(error).or(too_many.then_some(Shortage::Threads))
    }

    /// The shortage that caused an error: in the error itself or one of its causes.
    pub fn behind(error: &(dyn Error + 'static)) -> Option<Shortage> {
        let mut cause = Some(error);
        while let Some(it) = cause {
            if let Some(error) = it.downcast_ref::<io::Error>() {
                let inner = error.get_ref().map(|it| it as &(dyn Error + 'static));
                if let Some(found) = Shortage::of_start(error).or_else(|| inner.and_then(Shortage::behind)) {
                    return Some(found);
                }
            }
            cause = it.source();
        }
        None
    }

    /// The current shortage on the disk of `path`, for libraries that lose the error code of the failed system call.
    pub fn at(path: &Path) -> Option<Shortage> {
        if disk_space::free(path).is_ok_and(|free| free < NOTHING_LEFT) {
            return Some(Shortage::Disk);
        }
        File::open("/dev/null").err().and_then(|error| Shortage::of(&error))
    }

    /// The error that the system would have returned.
    pub fn as_error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Shortage::Disk => libc::ENOSPC,
            Shortage::Descriptors => libc::EMFILE,
            Shortage::Memory => libc::ENOMEM,
            Shortage::Threads => libc::EAGAIN,
        })
    }

    /// What a person can do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Shortage::Disk => "free some space, then try again; nothing was lost",
            Shortage::Descriptors => "raise the limit on open files, for example with `ulimit -n 1024`",
            Shortage::Memory => "end other programs, or raise the limit with `ulimit -v unlimited`",
            Shortage::Threads => "end other programs, or raise the limit on processes with `ulimit -u`",
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Shortage::Disk => "disk space",
            Shortage::Descriptors => "file descriptors",
            Shortage::Memory => "memory",
            Shortage::Threads => "processes or threads",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_names_what_is_short() {
        let table = [
            (libc::ENOSPC, Some(Shortage::Disk)),
            (libc::EDQUOT, Some(Shortage::Disk)),
            (libc::EMFILE, Some(Shortage::Descriptors)),
            (libc::ENFILE, Some(Shortage::Descriptors)),
            (libc::ENOMEM, Some(Shortage::Memory)),
            (libc::EAGAIN, None),
            (libc::EIO, None),
            (libc::ENOENT, None),
        ];
        for (code, expected) in table {
            assert_eq!(Shortage::of(&io::Error::from_raw_os_error(code)), expected, "{code}");
        }
        let threads = io::Error::from_raw_os_error(libc::EAGAIN);
        assert_eq!(Shortage::of_start(&threads), Some(Shortage::Threads));
        for short in [Shortage::Disk, Shortage::Descriptors, Shortage::Memory, Shortage::Threads] {
            assert_eq!(Shortage::of_start(&short.as_error()), Some(short));
        }
    }

    #[test]
    fn a_shortage_is_found_behind_what_wraps_it() {
        let inner = io::Error::from_raw_os_error(libc::EMFILE);
        let wrapped = io::Error::other(io::Error::other(inner));
        assert_eq!(Shortage::behind(&wrapped), Some(Shortage::Descriptors));
        assert_eq!(Shortage::behind(&io::Error::other("odd")), None);
        assert_eq!(Shortage::at(&std::env::temp_dir()), None);
    }
}
