//! Errors of backups, for people.

use crate::{
    artifact,
    model::{Bytes, Kind},
    os::{error_kind::kind_of_named, ownership},
    store, vector,
};
use std::{io, path::PathBuf};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("not enough disk space in {}: need {}, have {}", dir.display(), Bytes(*needed), Bytes(*free))]
    DiskFull { dir: PathBuf, needed: u64, free: u64 },
    #[error("{} is not a complete backup: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{} was made by a newer windlass ({version})", path.display())]
    Newer { path: PathBuf, version: String },
    #[error("the copied database is damaged: {}", problems.join("; "))]
    DamagedDatabase { problems: Vec<String> },
    #[error("{} is not a regular file, and a backup would replace it", path.display())]
    NotRegular { path: PathBuf },
    #[error("{} is not empty", home.display())]
    NotEmpty { home: PathBuf },
    #[error("{} is in use: {by}", home.display())]
    InUse { home: PathBuf, by: String },
    #[error("stopped before it was done; nothing was kept")]
    Stopped,
    #[error(transparent)]
    Ownership(#[from] ownership::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Artifact(#[from] artifact::Error),
    #[error(transparent)]
    Vector(#[from] vector::Error),
}

impl Error {
    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Io { source, .. } => kind_of_named(source),
            Error::DiskFull { .. } => Kind::DiskFull,
            Error::NotEmpty { .. } | Error::InUse { .. } => Kind::Conflict,
            Error::NotRegular { .. } => Kind::Invalid,
            Error::Stopped => Kind::Cancelled,
            Error::Damaged { .. } | Error::Newer { .. } | Error::DamagedDatabase { .. } => Kind::Failed,
            Error::Ownership(error) => error.kind(),
            Error::Store(error) => error.kind(),
            Error::Artifact(error) => error.kind(),
            Error::Vector(error) => error.kind(),
        }
    }

    /// What the user should do next, if known.
    pub fn hint(&self) -> Option<String> {
        let words = match self {
            Error::DiskFull { .. } => "free some space, or choose another disk",
            Error::Damaged { .. } => "take another backup, or another copy of this one",
            Error::Newer { .. } => "use the windlass that made it",
            Error::NotRegular { .. } => "choose another name",
            Error::DamagedDatabase { .. } => "see `windlass doctor`",
            Error::NotEmpty { .. } => {
                "choose another home with `--home DIR`, or give `--force`, which moves the content aside"
            }
            Error::InUse { .. } => "stop it first with `windlass stop`, or stop its workers with Ctrl-C",
            Error::Ownership(error) => return error.hint(),
            Error::Store(error) => return error.hint().map(str::to_string),
            Error::Artifact(error) => return error.hint().map(str::to_string),
            Error::Vector(error) => return error.hint().map(str::to_string),
            Error::Io { .. } | Error::Stopped => return None,
        };
        Some(words.to_string())
    }

    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { action, path: path.into(), source }
    }
}
