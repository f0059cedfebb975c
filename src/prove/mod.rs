//! The torture program: the real binary as several processes, a seeded nemesis, and a checker that trusts no other
//! part.
//!
//! In a drill, processes of this program submit and run work in one home in a fresh directory. The nemesis kills, stops
//! and misleads them, and fills a disk that it has made. Then everything is healed and the work drains. Finally the
//! remaining state is checked against what the processes logged while they were alive. All logging goes to one side
//! log, with one append and one fsync per record.
//!
//! `checker` is pure: it turns a history into a verdict. `disk_full` runs a whole drill, `drill` its parts; `player` is
//! the code of the processes under test. May import: everything on the floors below. Never: touches a home that it has
//! not made.

mod chance;
mod checker;
mod clock;
mod disk_full;
mod drill;
mod fillable_disk;
mod gather;
mod history;
mod home;
mod kind;
mod log;
mod nemesis;
mod plan;
mod player;
mod processes;
mod role;
mod schedule;
mod trace;
mod verdict;
mod workload;

pub use disk_full::run;
pub use plan::{Drill, Progress};
pub use player::run_if_asked;
pub use verdict::{Invariant, Report, Verdict, Violation};

use crate::{
    model::{ExitStatus, Kind},
    os::error_kind::kind_of,
};
use std::{io, path::PathBuf};

/// Why a drill could not run at all. A violation is not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Engine(#[from] crate::engine::Error),
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    #[error(transparent)]
    Artifact(#[from] crate::artifact::Error),
    #[error("the drill on a small disk ended by itself: {how:?}; see {}", log.display())]
    Filled { how: ExitStatus, log: PathBuf },
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Io { source, .. } => kind_of(source),
            Error::Engine(error) => error.kind(),
            Error::Store(error) => error.kind(),
            Error::Artifact(error) => error.kind(),
            Error::Filled { .. } => Kind::Failed,
            Error::NotEmpty(_) => Kind::Invalid,
        }
    }

    /// What the user should do next, if known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Io { .. } | Error::Filled { .. } => None,
            Error::Engine(error) => error.hint(),
            Error::Store(error) => error.hint().map(str::to_string),
            Error::Artifact(error) => error.hint().map(str::to_string),
            Error::NotEmpty(_) => Some("name a directory that does not exist yet with `--dir`".to_string()),
        }
    }

    /// Whether it failed only because the disk was full.
    fn is_full(&self) -> bool {
        use crate::{artifact, store};
        match self {
            Error::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            Error::Engine(error) => error.is_full(),
            Error::Store(store::Error::DiskFull { .. }) | Error::Artifact(artifact::Error::DiskFull { .. }) => true,
            Error::Store(store::Error::File { source, .. }) | Error::Artifact(artifact::Error::Io { source, .. }) => {
                source.kind() == io::ErrorKind::StorageFull
            }
            _ => false,
        }
    }

    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { action, path, source }
    }
}
