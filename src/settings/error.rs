//! Errors of the settings.

use crate::{
    model::Kind,
    os::{error_kind::kind_of, ownership},
};
use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}:{line}: {message}", path.display())]
    File { path: PathBuf, line: usize, message: String, hint: Option<String> },
    #[error("variable {name}: {message}")]
    Variable { name: String, message: String },
    #[error("setting `{name}`: {message}")]
    Flag { name: String, message: String, hint: Option<String> },
    #[error("failed to {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("other users can read the secret {}", path.display())]
    Exposed { path: PathBuf },
    #[error("no home directory: neither HOME nor XDG_DATA_HOME is set")]
    NoHome,
    #[error("the name of the home directory {} is not UTF-8", home.display())]
    NotUtf8 { home: PathBuf },
    #[error(transparent)]
    Ownership(#[from] ownership::Error),
    #[error("{} was replaced by another directory while it was opened", home.display())]
    Replaced { home: PathBuf },
    #[error("you did not make {} on this machine, so windlass reads and runs nothing in it", home.display())]
    Untrusted { home: PathBuf },
    #[error("the file system of {} does not store creation times, so this home can't be trusted", home.display())]
    NoBirth { home: PathBuf },
    #[error("no directory for the list of trusted homes: neither HOME nor XDG_DATA_HOME is set")]
    NoMemory,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Ownership(error) => error.kind(),
            Error::Untrusted { .. } | Error::Replaced { .. } | Error::Exposed { .. } => Kind::Denied,
            Error::Io { source, .. } => kind_of(source),
            Error::File { .. }
            | Error::Variable { .. }
            | Error::Flag { .. }
            | Error::NoHome
            | Error::NotUtf8 { .. }
            | Error::NoBirth { .. }
            | Error::NoMemory => Kind::Invalid,
        }
    }

    /// What the user should do next, if known.
    pub fn hint(&self) -> Option<String> {
        let words = match self {
            Error::File { hint, .. } | Error::Flag { hint, .. } => return hint.clone(),
            Error::Ownership(error) => return error.hint(),
            Error::Untrusted { home } => {
                let dir = home.parent().unwrap_or(home).to_string_lossy().replace('\'', "'\\''");
                return Some(format!("inspect its settings and work, then trust it once: `windlass trust '{dir}'`"));
            }
            Error::Exposed { path } => return Some(format!("make it yours alone: `chmod 600 '{}'`", path.display())),
            Error::Replaced { .. } => "check who can rename it: only you should be able to write its parent directory",
            Error::Variable { .. } => "see `windlass settings` for the allowed values",
            Error::Io { .. } => "check the owner and the mode of the file",
            Error::NoHome => "name a directory with `--home` or WINDLASS_HOME",
            Error::NotUtf8 { .. } => "name another directory with `--home` or WINDLASS_HOME",
            Error::NoMemory | Error::NoBirth { .. } => {
                "name the home with `--home` or WINDLASS_HOME: a home that you name is trusted"
            }
        };
        Some(words.to_string())
    }
}
