//! The error type of the library.

use crate::model::Kind;
use std::{error, fmt};

/// An error, in words for people.
///
/// `Display` is one lower-case line without a full stop, [`source`](std::error::Error::source) returns the cause, and
/// [`hint`](Error::hint) says what to do next, if known.
#[derive(Debug)]
pub struct Error {
    message: String,
    hint: Option<String>,
    kind: Kind,
    source: Option<Box<dyn error::Error + Send + Sync>>,
}

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The kind of failure. The exit codes of the command distinguish the same kinds.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What to do next, if known: `free some space, or lower disk_reserve`.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { message: message.into(), hint: None, kind, source: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().and_then(|error| error.source())
    }
}

macro_rules! from {
    ($($error:ty),+) => { $(
        impl From<$error> for Error {
            fn from(error: $error) -> Error {
                Error {
                    message: error.to_string(),
                    hint: error.hint().map(|hint| hint.to_string()),
                    kind: error.kind(),
                    source: Some(Box::new(error)),
                }
            }
        }
    )+ };
}
from!(
    crate::engine::Error,
    crate::assembly::Error,
    crate::settings::Error,
    crate::definition::Error,
    crate::store::Error
);
