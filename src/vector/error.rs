//! Errors of the vector databases.

use super::FilterError;
use crate::{
    model::Kind,
    os::{Shortage, error_kind::kind_of, ownership, process_stat, regular_file::NotRegular, wal_readers},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// The result type of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("no vector database at {}", path.display())]
    NotFound { path: PathBuf },
    #[error("{} is not a vector database", path.display())]
    NotAVectorDatabase { path: PathBuf },
    #[error("{} has schema version {found}, this program knows {known}", path.display())]
    SchemaVersion { path: PathBuf, found: i64, known: i64 },
    #[error(
        "{} was embedded with `{recorded}` ({recorded_dimension} dimensions), not with `{requested}`{}",
        path.display(),
        requested_dimension.map_or(String::new(), |it| format!(" ({it})"))
    )]
    Embedder {
        path: PathBuf,
        recorded: String,
        recorded_dimension: usize,
        requested: String,
        /// `None` if the server has not been asked yet.
        requested_dimension: Option<usize>,
    },
    #[error("a vector of {got} dimensions in a database of {expected}")]
    Dimension { expected: usize, got: usize },
    #[error("a vector with a value that is not a finite number")]
    NotFinite,
    #[error("another writer took over {} (epoch {current}, ours was {held})", path.display())]
    Fenced { path: PathBuf, held: i64, current: i64 },
    #[error("{} is open for reading only", path.display())]
    ReadOnly { path: PathBuf },
    #[error("{} is locked by {by}", path.display())]
    Busy { path: PathBuf, by: String },
    #[error("timed out: {action} {}", path.display())]
    TooLong { action: &'static str, path: PathBuf },
    #[error("no space left for {}", path.display())]
    DiskFull { path: PathBuf },
    #[error("{} is damaged: {detail}", path.display())]
    Damaged { path: PathBuf, detail: String },
    #[error("{} has a schema that is not windlass's: {differences}", path.display())]
    Schema { path: PathBuf, differences: String },
    #[error(transparent)]
    Ownership(#[from] ownership::Error),
    #[error("{} has `{pragma}` = {found}, expected {wanted}", path.display())]
    Pragma { path: PathBuf, pragma: &'static str, wanted: String, found: String },
    #[error("failed to {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("failed to {action} {}", path.display())]
    Sql { action: &'static str, path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(transparent)]
    Filter(#[from] FilterError),
}

impl Error {
    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Error::NotFound { .. } => Kind::NotFound,
            Error::NotAVectorDatabase { .. } | Error::Filter(_) => Kind::Invalid,
            Error::Embedder { .. } | Error::Fenced { .. } => Kind::Conflict,
            Error::Busy { .. } => Kind::Locked,
            Error::TooLong { .. } => Kind::TimedOut,
            Error::DiskFull { .. } => Kind::DiskFull,
            Error::Ownership(error) => error.kind(),
            Error::Io { source, .. } if NotRegular::behind(source).is_some() => Kind::Invalid,
            Error::Io { source, .. } => kind_of(source),
            Error::Dimension { .. } | Error::NotFinite => Kind::Bug,
            Error::SchemaVersion { .. }
            | Error::ReadOnly { .. }
            | Error::Damaged { .. }
            | Error::Schema { .. }
            | Error::Pragma { .. }
            | Error::Sql { .. } => Kind::Failed,
        }
    }

    /// What the user should do next, if known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::NotFound { .. } => Some("make one with `windlass ingest PATH`, or see `windlass db list`"),
            Error::NotAVectorDatabase { .. } => {
                Some("see `windlass db list`, or give the path of a file that `windlass ingest` has made")
            }
            Error::Embedder { .. } => {
                Some("use the recorded embedder, or re-ingest with `--force` into another `--db`")
            }
            Error::SchemaVersion { .. } => Some("use the release of windlass that wrote it, or ingest again"),
            Error::Fenced { .. } => Some("run the same command again; see `windlass locks` for the holder"),
            Error::Busy { .. } => Some("see `windlass locks` for the holder"),
            Error::DiskFull { .. } => {
                Some("free some space, then run the same command again; nothing was written in part")
            }
            Error::TooLong { .. } => Some("narrow the search with `--filter`; if the file is not yours, do not use it"),
            Error::Damaged { .. } => Some("run `windlass db check`, or ingest again into another `--db`"),
            Error::Schema { .. } => Some("it was changed from outside: ingest again into another `--db`"),
            Error::Ownership(ownership::Error::Foreign { .. }) => {
                Some("run it as the owner of the file, for example with `sudo -u`")
            }
            Error::Ownership(ownership::Error::Writable { .. }) => {
                Some("inspect its content, then remove that right with `chmod go-w`")
            }
            Error::Ownership(ownership::Error::Linked { .. }) => {
                Some("a hard link elsewhere would receive each write too: copy the file, and use the copy")
            }
            Error::Filter(error) => error.hint(),
            _ => None,
        }
    }

    /// The error for a locked `path`, with the process that holds the lock if the system reports it.
    fn busy(path: PathBuf) -> Error {
        let by = wal_readers::writer(&path).map_or_else(|| "another process".to_string(), process_stat::in_words);
        Error::Busy { path, by }
    }

    fn short(what: Shortage, action: &'static str, path: PathBuf) -> Error {
        match what {
            Shortage::Disk => Error::DiskFull { path },
            what => Error::Io { action, path, source: what.as_error() },
        }
    }

    /// Converts an error of SQLite, so that callers need not know its codes.
    pub(super) fn sql(action: &'static str, path: &Path, source: rusqlite::Error) -> Error {
        // The code of the failed system call, which SQLite does not return.
        let code = Shortage::of(&io::Error::last_os_error());
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Error::busy(path),
            Some(rusqlite::ErrorCode::OperationInterrupted) => Error::TooLong { action, path },
            Some(rusqlite::ErrorCode::DiskFull) => Error::DiskFull { path },
            Some(rusqlite::ErrorCode::OutOfMemory) => Error::short(Shortage::Memory, action, path),
            Some(rusqlite::ErrorCode::SystemIoFailure | rusqlite::ErrorCode::CannotOpen) => {
                match code.or_else(|| Shortage::at(&path)) {
                    Some(short) => Error::short(short, action, path),
                    None => Error::Sql { action, path, source: Box::new(source) },
                }
            }
            Some(rusqlite::ErrorCode::ReadOnly) => Error::ReadOnly { path },
            Some(rusqlite::ErrorCode::NotADatabase) => Error::NotAVectorDatabase { path },
            Some(rusqlite::ErrorCode::DatabaseCorrupt) => Error::Damaged { path, detail: source.to_string() },
            _ => Error::Sql { action, path, source: Box::new(source) },
        }
    }
}
