//! Errors of embedding.

use crate::{model::Kind, os::error_kind::kind_of};

/// The result type of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("no embedder `{name}`")]
    Unknown { name: String },
    #[error("the built-in table of the static embedder is damaged: {detail}")]
    Table { detail: String },
    #[error("`{model}` is built in, not a model of the server at {url}")]
    NoModel { url: String, model: String },
    #[error("{url}: this build of windlass has no TLS")]
    NoTls { url: String },
    #[error("the API key of the server at {url} is missing: there is no variable or secret `{name}`")]
    Key { url: String, name: String },
    #[error("the API key `{name}` is not sent to {url}: you have not paired the two")]
    Unpaired { url: String, name: String },
    #[error("failed to record the embedding server in {}", path.display())]
    Note { path: std::path::PathBuf, source: std::io::Error },
    #[error("the embedding server at {url} can't be reached: {reason}")]
    Away { url: String, reason: String },
    #[error("the embedding server at {url} answered {status}{said}")]
    Status { url: String, status: u16, said: String },
    #[error("the embedding server at {url} answered with something other than a list of vectors: {reason}")]
    Answer { url: String, reason: String },
    #[error("the model `{model}` answered with vectors of {got} dimensions, expected {expected}")]
    Dimension { model: String, expected: usize, got: usize },
}

impl Error {
    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        match self {
            error if error.is_retryable() => Kind::Unavailable,
            Error::Dimension { .. } => Kind::Conflict,
            Error::Note { source, .. } => kind_of(source),
            Error::Table { .. } => Kind::Bug,
            Error::Unknown { .. }
            | Error::NoModel { .. }
            | Error::NoTls { .. }
            | Error::Key { .. }
            | Error::Unpaired { .. }
            | Error::Away { .. }
            | Error::Status { .. }
            | Error::Answer { .. } => Kind::Invalid,
        }
    }

    /// Whether the same request may succeed later, because the server was unreachable, busy or failed temporarily.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Away { .. } | Error::Answer { .. } => true,
            Error::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }

    /// What the user should do next, if known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Unknown { .. } => Some(
                "use `static` (built in, the default) or `hash` (no table, for small devices), or set `embed.url` to the \
                 server that has it",
            ),
            Error::Table { .. } => Some("this binary is broken: install windlass again"),
            Error::NoModel { .. } => Some("set `embed.model` to a model of the server, or remove `embed.url`"),
            Error::NoTls { .. } => Some("build it with `--features https`, or use an `http://` address"),
            Error::Key { .. } => Some("set the variable, or write the key into a file of that name in `secrets`"),
            Error::Unpaired { .. } => Some(
                "if the server is yours, pair them in `windlass.toml`: `[embed.servers]`, then \"ADDRESS\" = \"NAME OF THE \
                 KEY\"; or submit the work again with your own `embed.url` and `embed.key`",
            ),
            Error::Note { .. } => None,
            Error::Away { .. } => Some("start the server, or see `embed.url`"),
            Error::Status { status: 401 | 403, .. } => Some("see `embed.key`: it names the variable with the API key"),
            Error::Status { status: 404, .. } => {
                Some("check `embed.url` and `embed.model`: the server does not know them")
            }
            Error::Status { .. } if self.is_retryable() => Some("try again later"),
            Error::Status { .. } => Some("see `embed.model`, `embed.dimensions` and `embed.batch`"),
            Error::Answer { .. } => Some("check that `embed.url` is the address of an OpenAI-compatible server"),
            Error::Dimension { .. } => {
                Some("use the model that the vector database was made with, or ingest into another `--db`")
            }
        }
    }
}
