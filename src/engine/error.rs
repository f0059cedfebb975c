//! The errors of the engine, in words for people.

use crate::{
    artifact, definition, embed,
    model::{Kind, Outcome},
    os::{Shortage, error_kind::kind_of},
    settings, store,
};
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
    #[error(transparent)]
    Embed(#[from] embed::Error),
    #[error(transparent)]
    Settings(#[from] settings::Error),
    #[error("failed to {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{what}")]
    Refused { kind: Kind, what: String, hint: Option<&'static str> },
    /// The limits of this process are too low for its work.
    #[error("{what}")]
    TooLow { what: String, hint: &'static str },
    #[error("resource `{key}` is locked by {holder}")]
    Locked { key: String, holder: String },
    #[error("timed out waiting after {after}")]
    TimedOut { after: crate::model::Millis },
}

impl Error {
    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Store(error) => error.kind(),
            Error::Artifact(error) => error.kind(),
            Error::Definition(error) => error.kind(),
            Error::Embed(error) => error.kind(),
            Error::Settings(error) => error.kind(),
            Error::Io { source, .. } => kind_of(source),
            Error::Refused { kind, .. } => *kind,
            Error::TooLow { .. } => Kind::Failed,
            Error::Locked { .. } => Kind::Conflict,
            Error::TimedOut { .. } => Kind::TimedOut,
        }
    }

    /// Whether the cause is a full disk.
    pub fn is_full(&self) -> bool {
        self.shortage() == Some(Shortage::Disk)
    }

    /// The resource that ran out, if a shortage is the cause.
    pub fn shortage(&self) -> Option<Shortage> {
        match self {
            Error::Store(store::Error::DiskFull { .. }) => Some(Shortage::Disk),
            Error::Artifact(error) => error.shortage(),
            other => Shortage::behind(other),
        }
    }

    /// Whether the error is temporary, so that the caller should retry.
    pub fn passes(&self) -> bool {
        matches!(self, Error::Store(error) if error.passes()) || self.shortage().is_some()
    }

    /// The outcome of a step with this error, if it is a shortage, which is not the step's fault. `ran`: the work was
    /// done and its result is lost. Output that does not fit on the disk may never fit, so it also counts as lost work.
    pub fn no_room(&self, ran: bool) -> Option<Outcome> {
        let short = self.shortage()?;
        Some(Outcome::NoRoom { reason: with_causes(self), in_vain: ran || short == Shortage::Disk })
    }

    /// The outcome of a step with this error. `ran`: as for `no_room`.
    pub fn outcome(&self, ran: bool) -> Outcome {
        match (self, self.no_room(ran)) {
            (_, Some(no_room)) => no_room,
            (Error::Definition(_) | Error::Refused { .. }, None) => Outcome::permanent("input", self.to_string()),
            (error, None) => Outcome::retryable("io", with_causes(error)),
        }
    }

    /// An error for a request that is invalid or can't be carried out.
    pub fn refused(what: impl Into<String>, hint: Option<&'static str>) -> Error {
        Error::Refused { kind: Kind::Invalid, what: what.into(), hint }
    }

    /// What the user can do next, if known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Store(error) => error.hint().map(str::to_string),
            Error::Artifact(error) => error.hint().map(str::to_string),
            Error::Definition(error) => error.hint().map(str::to_string),
            Error::Embed(error) => error.hint().map(str::to_string),
            Error::Settings(error) => error.hint(),
            Error::Refused { hint, .. } => hint.map(str::to_string),
            Error::Locked { .. } => Some("wait for it, or see `windlass locks`".to_string()),
            Error::TooLow { hint, .. } => Some(hint.to_string()),
            Error::Io { source, .. } => Shortage::of_start(source).map(|it| it.hint().to_string()),
            Error::TimedOut { .. } => None,
        }
    }
}

/// An error with its causes, on one line.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_nobodys_fault_and_other_errors_are_none() {
        let failed = |code| Error::Io {
            action: "open the worker pool",
            path: "py".into(),
            source: io::Error::from_raw_os_error(code),
        };
        for code in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EAGAIN] {
            let Some(Outcome::NoRoom { reason, in_vain: false }) = failed(code).no_room(false) else {
                panic!("{code}")
            };
            assert!(reason.starts_with("failed to open the worker pool py: "), "{reason}");
            assert!(failed(code).passes() && failed(code).hint().is_some());
        }
        assert!(matches!(failed(libc::EMFILE).no_room(true), Some(Outcome::NoRoom { in_vain: true, .. })));
        let full = Error::Store(store::Error::DiskFull { path: "engine.db".into() });
        assert!(matches!(full.no_room(false), Some(Outcome::NoRoom { in_vain: true, .. })), "it may never fit");
        let descriptors =
            store::Error::File { action: "open", path: "x".into(), source: Shortage::Descriptors.as_error() };
        assert!(Error::Store(descriptors).passes());
        for code in [libc::ENOENT, libc::EIO, libc::EACCES] {
            assert!(failed(code).no_room(true).is_none() && !failed(code).passes(), "{code}");
        }
    }
}
