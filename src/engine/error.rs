//! What can go wrong in the engine, in words for people.

use crate::{artifact, definition, store};
use std::{io, path::PathBuf};

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Artifact(#[from] artifact::Error),
    #[error(transparent)]
    Definition(#[from] definition::Error),
    #[error("failed to {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{what}")]
    Refused { what: String, hint: Option<&'static str> },
    #[error("resource `{key}` is locked by {holder}")]
    Locked { key: String, holder: String },
    #[error("gave up waiting after {after}")]
    TimedOut { after: crate::model::Millis },
}

impl Error {
    /// Whether all that it wants is room on a disk.
    pub fn is_full(&self) -> bool {
        match self {
            Error::Store(store::Error::DiskFull { .. }) | Error::Artifact(artifact::Error::DiskFull { .. }) => true,
            error => error.system_code().is_some_and(|it| [libc::ENOSPC, libc::EDQUOT].contains(&it)),
        }
    }

    /// Whether descriptors, memory, threads or disk space are wanting: it passes, and no step is to blame.
    pub fn wants_room(&self) -> bool {
        let wanting = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EAGAIN];
        self.is_full() || self.system_code().is_some_and(|it| wanting.contains(&it))
    }

    /// What the system said, if it was the system.
    fn system_code(&self) -> Option<i32> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(it) = cause {
            if let Some(code) = it.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
                return Some(code);
            }
            cause = it.source();
        }
        None
    }

    /// Tells the user what to do next, where we know.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Store(error) => error.hint().map(str::to_string),
            Error::Artifact(error) => error.hint().map(str::to_string),
            Error::Definition(error) => error.hint().map(str::to_string),
            Error::Refused { hint, .. } => hint.map(str::to_string),
            Error::Locked { .. } => Some("wait for it, or see `windlass locks`".to_string()),
            Error::Io { .. } | Error::TimedOut { .. } => None,
        }
    }
}
