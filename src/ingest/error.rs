//! Errors before documents are processed, for people. An error of a single document is its outcome.

use super::{chunk::ChunkOptionsError, source::SourceError};
use crate::{
    definition, embed, engine,
    model::Kind,
    os::{error_kind::kind_of_named, file_system},
    store, vector,
};
use std::{io, path::PathBuf};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Vector(#[from] vector::Error),
    #[error(transparent)]
    Embed(#[from] embed::Error),
    #[error(transparent)]
    Definition(#[from] definition::Error),
    #[error(transparent)]
    Chunk(#[from] ChunkOptionsError),
    #[error(transparent)]
    FileSystem(#[from] file_system::Error),
    #[error("failed to {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{what}")]
    Refused { kind: Kind, what: String, hint: Option<&'static str> },
}

impl Error {
    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Source(error) => error.kind(),
            Error::Engine(error) => error.kind(),
            Error::Store(error) => error.kind(),
            Error::Vector(error) => error.kind(),
            Error::Embed(error) => error.kind(),
            Error::Definition(error) => error.kind(),
            Error::Chunk(error) => error.kind(),
            Error::FileSystem(error) => error.kind(),
            Error::Io { source, .. } => kind_of_named(source),
            Error::Refused { kind, .. } => *kind,
        }
    }

    /// What the user should do next, if known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Source(error) => error.hint().map(str::to_string),
            Error::Engine(error) => error.hint(),
            Error::Store(error) => error.hint().map(str::to_string),
            Error::Vector(error) => error.hint().map(str::to_string),
            Error::Embed(error) => error.hint().map(str::to_string),
            Error::Definition(error) => error.hint().map(str::to_string),
            Error::Chunk(error) => error.hint().map(str::to_string),
            Error::FileSystem(error) => error.hint(),
            Error::Refused { hint, .. } => hint.map(str::to_string),
            Error::Io { .. } => None,
        }
    }

    pub(super) fn refused(what: impl Into<String>, hint: &'static str) -> Error {
        Error::Refused { kind: Kind::Invalid, what: what.into(), hint: Some(hint) }
    }

    /// The request is valid, but not at the moment.
    pub(super) fn conflict(what: impl Into<String>, hint: &'static str) -> Error {
        Error::Refused { kind: Kind::Conflict, what: what.into(), hint: Some(hint) }
    }
}
