//! What can be wrong with the settings.

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
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Tells the user what would be right, where we know.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::File { hint, .. } | Error::Flag { hint, .. } => hint.as_deref(),
            Error::Variable { .. } => Some("see `windlass settings` for what each setting may be"),
            Error::Io { .. } => Some("check who owns the file and its mode"),
            Error::NoHome => Some("name a directory with `--home` or WINDLASS_HOME"),
        }
    }
}
