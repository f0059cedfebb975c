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
