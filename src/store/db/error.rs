//! The errors of the engine database, in words for people.

use crate::{
    model::{Kind, WorkerId},
    os::{Shortage, error_kind::kind_of},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// The operation on the file during which SQLite ran out of a resource.
pub(in crate::store) const UNNAMED: &str = "work with";

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the database {} is busy: {}", path.display(), busy(holder, *waited_ms))]
    Busy { path: PathBuf, holder: Option<u32>, waited_ms: u64 },
    #[error("no space left for the database {}", path.display())]
    DiskFull { path: PathBuf },
    #[error("failed to read or write the database {}: {reason}", path.display())]
    Io { path: PathBuf, reason: String },
    #[error("the database {} is damaged: {reason}", path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error("the database {} was replaced or removed while windlass used it", path.display())]
    Replaced { path: PathBuf },
    #[error("the database {} has schema version {found}; this windlass knows up to {known}", path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("the database {} has schema version {found}; this windlass upgrades from version {oldest} on", path.display())]
    Older { path: PathBuf, found: i64, oldest: i64 },
    #[error("the schema of {} can't be upgraded while worker {worker} of an older windlass uses it", path.display())]
    InUse { path: PathBuf, worker: WorkerId },
    #[error("{} is not a windlass database", path.display())]
    NotOurs { path: PathBuf },
    #[error("the database {} has a schema that is not windlass's: {differences}", path.display())]
    Schema { path: PathBuf, differences: String },
    #[error("the database {} has `{pragma}` = {found}, expected {wanted}", path.display())]
    Pragma { path: PathBuf, pragma: &'static str, wanted: String, found: String },
    #[error("failed to {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    /// Another request in the same transaction failed. Nothing of this one was written.
    #[error("the transaction was rolled back because another request in it failed")]
    Aborted,
    #[error("the database is closed: windlass is stopping")]
    Closed,
    #[error("the database was stopped after a failed fsync; restart windlass")]
    Poisoned,
    #[error("another daemon has taken over; this one can no longer write")]
    Fenced,
    #[error("{what} does not exist")]
    NotFound { what: String },
    #[error("{reason}")]
    Conflict { reason: String },
    /// A document was deleted while work on it was being submitted.
    #[error("a document was deleted while work on it was submitted")]
    DocumentGone,
    #[error("{reason}")]
    Refused { reason: String },
    #[error("a closure panicked inside a transaction; its writes were undone")]
    Panicked,
    #[error("database error: {reason}")]
    Sqlite { reason: String },
}

fn busy(holder: &Option<u32>, waited_ms: u64) -> String {
    match holder {
        Some(pid) => format!("process {pid} has been writing for more than {waited_ms} ms"),
        None => format!("another process has been writing for more than {waited_ms} ms"),
    }
}

impl Error {
    /// The kind of error.
    pub fn kind(&self) -> Kind {
        match self {
            Error::NotFound { .. } => Kind::NotFound,
            Error::Conflict { .. } | Error::DocumentGone => Kind::Conflict,
            Error::Refused { .. } => Kind::Invalid,
            Error::Busy { .. } => Kind::Locked,
            Error::DiskFull { .. } => Kind::DiskFull,
            Error::Io { .. } | Error::Poisoned => Kind::Io,
            Error::File { source, .. } => kind_of(source),
            Error::Aborted | Error::Closed => Kind::Unavailable,
            Error::Panicked => Kind::Bug,
            Error::Corrupt { .. }
            | Error::Replaced { .. }
            | Error::Newer { .. }
            | Error::Older { .. }
            | Error::InUse { .. }
            | Error::NotOurs { .. }
            | Error::Schema { .. }
            | Error::Pragma { .. }
            | Error::Fenced
            | Error::Sqlite { .. } => Kind::Failed,
        }
    }

    pub fn not_found(what: impl std::fmt::Display) -> Error {
        Error::NotFound { what: what.to_string() }
    }

    pub fn conflict(reason: impl Into<String>) -> Error {
        Error::Conflict { reason: reason.into() }
    }

    pub fn refused(reason: impl Into<String>) -> Error {
        Error::Refused { reason: reason.into() }
    }

    /// What the user can do next, if known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Busy { .. } => {
                Some("a stopped (Ctrl-Z) or hung windlass may hold it: continue it with `fg` or end it")
            }
            Error::DiskFull { .. } => Some("free some space or run `windlass prune`, then try again; nothing was lost"),
            Error::File { source, .. } => Shortage::of_start(source).map(Shortage::hint),
            Error::Replaced { .. } => Some("start windlass again; submit again what was not acknowledged"),
            Error::Newer { .. } => Some("use the newer windlass that wrote it"),
            Error::Older { .. } => Some("upgrade it with an older windlass first, or move the home directory away"),
            Error::InUse { .. } => Some("stop the older windlass, then try again"),
            Error::NotOurs { .. } => Some("choose another home with `--home DIR`"),
            Error::Schema { .. } => Some(
                "it was changed from outside: find out why, then restore a backup, or undo the change with `sqlite3`",
            ),
            Error::Corrupt { .. } => Some("restore a backup, or move the home directory away and start over"),
            _ => None,
        }
    }

    /// SQLite met a shortage: a full disk, or too few descriptors or too little memory to work with the file.
    pub(in crate::store) fn short(what: Shortage, path: &Path) -> Error {
        match what {
            Shortage::Disk => Error::DiskFull { path: path.to_path_buf() },
            what => Error::File { action: UNNAMED, path: path.to_path_buf(), source: what.as_error() },
        }
    }

    /// Whether the error is temporary: a shortage, or another process is writing.
    pub fn passes(&self) -> bool {
        matches!(self, Error::DiskFull { .. } | Error::Busy { .. } | Error::Aborted) || Shortage::behind(self).is_some()
    }

    /// Whether the whole shared transaction was rolled back, so that further statements would run outside a
    /// transaction.
    pub(in crate::store) fn ends_transaction(&self) -> bool {
        matches!(
            self,
            Error::DiskFull { .. } | Error::Io { .. } | Error::File { .. } | Error::Corrupt { .. } | Error::Poisoned
        )
    }

    /// A copy for each other caller of the same transaction.
    pub(in crate::store) fn duplicate(&self) -> Error {
        match self {
            Error::Busy { path, holder, waited_ms } => {
                Error::Busy { path: path.clone(), holder: *holder, waited_ms: *waited_ms }
            }
            Error::DiskFull { path } => Error::DiskFull { path: path.clone() },
            Error::File { action, path, source } if source.raw_os_error().is_some() => {
                let source = io::Error::from_raw_os_error(source.raw_os_error().unwrap_or_default());
                Error::File { action, path: path.clone(), source }
            }
            Error::Io { path, reason } => Error::Io { path: path.clone(), reason: reason.clone() },
            Error::Corrupt { path, reason } => Error::Corrupt { path: path.clone(), reason: reason.clone() },
            Error::Newer { path, found, known } => Error::Newer { path: path.clone(), found: *found, known: *known },
            Error::Replaced { path } => Error::Replaced { path: path.clone() },
            Error::Poisoned => Error::Poisoned,
            Error::Fenced => Error::Fenced,
            Error::Closed => Error::Closed,
            Error::DocumentGone => Error::DocumentGone,
            other => Error::Sqlite { reason: other.to_string() },
        }
    }
}

/// Converts an SQLite error. A failed fsync becomes `Poisoned`, after which nothing may be acknowledged.
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        use rusqlite::ErrorCode::*;
        // The error code of the failed system call, which SQLite does not pass on.
        let short = Shortage::of(&io::Error::last_os_error());
        let path = PathBuf::from("engine.db");
        let reason = without_sql(&error);
        let rusqlite::Error::SqliteFailure(code, _) = &error else {
            return match is_impossible(&error) {
                true => Error::Corrupt { path, reason },
                false => Error::Sqlite { reason },
            };
        };
        match code.code {
            DiskFull => Error::DiskFull { path },
            SystemIoFailure if is_fsync(code.extended_code) => Error::Poisoned,
            // The shared memory of the log could not grow.
            SystemIoFailure if code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => Error::DiskFull { path },
            OutOfMemory => Error::short(Shortage::Memory, &path),
            SystemIoFailure | CannotOpen => match short {
                Some(short) => Error::short(short, &path),
                None => Error::Io { path, reason },
            },
            ReadOnly => Error::Io { path, reason },
            DatabaseCorrupt | NotADatabase => Error::Corrupt { path, reason },
            DatabaseBusy | DatabaseLocked => Error::Busy { path, holder: None, waited_ms: 0 },
            _ => Error::Sqlite { reason },
        }
    }
}

/// Values that our STRICT tables never hold, so that only damage can produce them.
fn is_impossible(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
    )
}

/// The text of an error without the statement, which may be a whole schema.
fn without_sql(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

fn is_fsync(extended: i32) -> bool {
    extended == rusqlite::ffi::SQLITE_IOERR_FSYNC || extended == rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC
}
