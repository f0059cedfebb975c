//! Errors of the artifact store.

use crate::{
    model::{ArtifactHash, Bytes, Kind},
    os::{Shortage, error_kind::kind_of},
};
use std::{
    io,
    path::{Path, PathBuf},
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No partial file is left. `needed` and `free` are in bytes.
    #[error("not enough disk space in {}: need {}, have {}", dir.display(), Bytes(*needed), Bytes(*free))]
    DiskFull { dir: PathBuf, needed: u64, free: u64 },
    /// The content does not match the hash. Such content is never returned.
    #[error("artifact {hash} is corrupt: {detail}")]
    Corrupt { hash: ArtifactHash, detail: String },
    #[error("artifact {hash} is missing")]
    Missing { hash: ArtifactHash },
    /// The source of a `put` failed; the store is intact.
    #[error("failed to read the content to store")]
    Source(#[source] io::Error),
    #[error("failed to {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("the artifacts in {} are locked", dir.display())]
    Busy { dir: PathBuf },
    #[error("`{0}` is not a valid worker name")]
    WorkerTag(String),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Error::DiskFull { .. } => Kind::DiskFull,
            Error::Busy { .. } => Kind::Locked,
            Error::Source(source) | Error::Io { source, .. } => kind_of(source),
            Error::Corrupt { .. } | Error::Missing { .. } => Kind::Failed,
            Error::WorkerTag(_) => Kind::Bug,
        }
    }

    /// What the user should do next, if known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::DiskFull { .. } => Some("run `windlass prune`, or set `artifact_dir` to a larger disk"),
            Error::Corrupt { .. } | Error::Missing { .. } => {
                Some("run `windlass doctor`; the step that made it can run again")
            }
            Error::Busy { .. } => Some("a prune is running; wait for it, or see `windlass status`"),
            Error::Io { .. } => Some("check the disk and the owner of the directory"),
            Error::Source(_) | Error::WorkerTag(_) => None,
        }
    }

    /// The shortage that caused the error, if any.
    pub fn shortage(&self) -> Option<Shortage> {
        match self {
            Error::DiskFull { .. } => Some(Shortage::Disk),
            other => Shortage::behind(other),
        }
    }

    /// Whether the step that made the artifact must run again.
    pub fn is_damage(&self) -> bool {
        matches!(self, Error::Corrupt { .. } | Error::Missing { .. })
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { action, path: path.to_path_buf(), source }
    }
}

/// Whether the disk, or the user's quota, is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    Shortage::of(error) == Some(Shortage::Disk)
}
