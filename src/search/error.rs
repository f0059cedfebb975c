//! Errors of a search.

use crate::{embed, model::Kind, vector};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the database was embedded with `{recorded}`, the query with `{requested}`")]
    Embedder { recorded: String, requested: String },
    #[error(transparent)]
    Vector(#[from] vector::Error),
    #[error(transparent)]
    Embed(#[from] embed::Error),
}

impl Error {
    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Embedder { .. } => Kind::Conflict,
            Error::Vector(error) => error.kind(),
            Error::Embed(error) => error.kind(),
        }
    }

    /// What the user should do next, if known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Embedder { .. } => Some("search with the recorded embedder, or with `--mode text`"),
            Error::Vector(error) => error.hint(),
            Error::Embed(embed::Error::Away { .. }) => {
                Some("start the server, or see `embed.url`; `--mode text` (over HTTP `mode=text`) needs no server")
            }
            Error::Embed(error) if error.is_retryable() => {
                Some("try again later; `--mode text` (over HTTP `mode=text`) needs no server")
            }
            Error::Embed(error) => error.hint(),
        }
    }
}
