//! What can be wrong with a definition, a parameter set or a template.

use crate::model::Kind;

/// Why a text was refused. Prints as a lower-case fragment; `hint` suggests a correction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A file was refused at this line, counted from 1.
    #[error("{file}:{line}: {message}")]
    Refused { file: String, line: u64, message: String, hint: Option<String> },
    /// A template can't be parsed, or can't be rendered with the available values.
    #[error("template `{template}`: {message}")]
    Template { template: String, message: String, hint: Option<String> },
    /// A parameter was refused: one given with `--set`, or one that a template uses.
    #[error("parameter `{key}`: {message}")]
    Parameter { key: String, message: String, hint: Option<String> },
    /// A step with a cached result that could become stale.
    #[error("step `{step}` {message}")]
    Cache { step: String, message: String, hint: Option<String> },
    /// A stored definition or parameter set can't be read back.
    #[error("stored {what} is damaged: {message}")]
    Stored { what: &'static str, message: String },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The kind of error.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Refused { .. } | Error::Template { .. } | Error::Parameter { .. } | Error::Cache { .. } => {
                Kind::Invalid
            }
            Error::Stored { .. } => Kind::Failed,
        }
    }

    /// Suggests a correction, if one is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Refused { hint, .. }
            | Error::Template { hint, .. }
            | Error::Parameter { hint, .. }
            | Error::Cache { hint, .. } => hint.as_deref(),
            Error::Stored { .. } => Some("run `windlass doctor`"),
        }
    }
}
