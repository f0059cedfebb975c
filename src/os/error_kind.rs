//! Maps system errors to error kinds.

use super::{Shortage, ownership, regular_file::NotRegular};
use crate::model::Kind;
use std::io;

/// The kind of an error. A missing file has no kind of its own here: only the caller knows whether the user named it.
pub fn kind_of(error: &io::Error) -> Kind {
    let denied = error.get_ref().is_some_and(|inner| inner.is::<ownership::Error>());
    match (Shortage::behind(error), error.raw_os_error()) {
        _ if denied => Kind::Denied,
        (Some(Shortage::Disk), _) => Kind::DiskFull,
        (Some(_), _) => Kind::Unavailable,
        (None, Some(libc::EIO | libc::EROFS)) => Kind::Io,
        (None, _) => Kind::Failed,
    }
}

impl ownership::Error {
    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        match self {
            ownership::Error::Io { source, .. } => kind_of(source),
            _ => Kind::Denied,
        }
    }
}

/// Like `kind_of`, for a file that the user named.
pub fn kind_of_named(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        _ if NotRegular::behind(error).is_some() => Kind::Invalid,
        _ => kind_of(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_system_has_the_kind_that_its_code_says() {
        for (code, kind) in [
            (libc::ENOSPC, Kind::DiskFull),
            (libc::EDQUOT, Kind::DiskFull),
            (libc::EIO, Kind::Io),
            (libc::EROFS, Kind::Io),
            (libc::EMFILE, Kind::Unavailable),
            (libc::ENOMEM, Kind::Unavailable),
            (libc::EACCES, Kind::Failed),
            (libc::ENOENT, Kind::Failed),
        ] {
            assert_eq!(kind_of(&io::Error::from_raw_os_error(code)), kind, "{code}");
        }
        assert_eq!(kind_of_named(&io::Error::from_raw_os_error(libc::ENOENT)), Kind::NotFound);
        let foreign = ownership::Error::Link { path: "x".into() };
        assert_eq!(kind_of(&io::Error::from(foreign)), Kind::Denied);
    }
}
