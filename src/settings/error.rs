//! What can be wrong with the settings.

use crate::os::ownership;
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
    #[error("found no place for the home directory: neither HOME nor XDG_DATA_HOME is set")]
    NoHome,
    #[error("the home directory {} has a name that is not UTF-8", home.display())]
    NotUtf8 { home: PathBuf },
    #[error(transparent)]
    Ownership(#[from] ownership::Error),
    #[error("{} was not made by you on this machine, so nothing in it is read or run", home.display())]
    Untrusted { home: PathBuf },
    #[error("there is no place to remember trusted homes in: neither HOME nor XDG_DATA_HOME is set")]
    NoMemory,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Tells the user what would be right, where we know.
    pub fn hint(&self) -> Option<String> {
        let words = match self {
            Error::File { hint, .. } | Error::Flag { hint, .. } => return hint.clone(),
            Error::Ownership(error) => return error.hint(),
            Error::Untrusted { home } => {
                let dir = home.parent().unwrap_or(home).to_string_lossy().replace('\'', "'\\''");
                return Some(format!("look at its settings and work, then trust it once: `windlass trust '{dir}'`"));
            }
            Error::Variable { .. } => "see `windlass settings` for what each setting may be",
            Error::Io { .. } => "check who owns the file and its mode",
            Error::NoHome => "name a directory with `--home` or WINDLASS_HOME",
            Error::NotUtf8 { .. } => "name another directory with `--home` or WINDLASS_HOME",
            Error::NoMemory => "name the home with `--home` or WINDLASS_HOME: what you name yourself is trusted",
        };
        Some(words.to_string())
    }
}
