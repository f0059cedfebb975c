//! What can go wrong while searching.

use crate::{embed, vector};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the database was embedded with `{recorded}`, the query with `{asked}`")]
    Embedder { recorded: String, asked: String },
    #[error(transparent)]
    Vector(#[from] vector::Error),
    #[error(transparent)]
    Embed(#[from] embed::Error),
}

impl Error {
    /// What the user can do next, if known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Embedder { .. } => Some("search with the recorded embedder, or with `--mode text`"),
            Error::Vector(error) => error.hint(),
            Error::Embed(error) => error.hint(),
        }
    }
}
