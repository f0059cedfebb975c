//! Errors of building a document, most of them from the floors below.

use crate::{
    embed, engine,
    model::{Kind, nearest},
    os::error_kind::kind_of,
    search, store, vector,
};
use std::path::PathBuf;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Vector(#[from] vector::Error),
    #[error(transparent)]
    Search(#[from] search::Error),
    #[error(transparent)]
    Embed(#[from] embed::Error),
    #[error(transparent)]
    Filter(#[from] vector::FilterError),
    #[error(
        "`{name}` was embedded with `{model}` by a server at {url}, which you have not named: nothing was sent there"
    )]
    UnknownServer { name: String, model: String, url: String },
    #[error("failed to list {}", path.display())]
    List { path: PathBuf, source: std::io::Error },
    #[error("no vector database `{name}`{}", if *is_empty { ": the file is empty" } else { "" })]
    NoDatabase { name: String, there: Vec<String>, is_empty: bool },
    #[error("`{key}` was released, but {who} still holds the file lock {}: the next holder waits for it", path.display())]
    StillLocked { key: String, who: String, path: PathBuf },
    #[error("the log of {step} is damaged")]
    DamagedLog { step: crate::model::StepId, source: std::io::Error },
    #[error("`{0}` is not a cursor")]
    Cursor(String),
    #[error("{}", if *many { format!("several definitions have a hash that begins with `{text}`") } else { format!("no definition `{text}`") })]
    NoDefinition { text: String, many: bool, meant: Option<String> },
    #[error("there is no group yet")]
    NoGroup,
}

impl Error {
    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Engine(error) => error.kind(),
            Error::Store(error) => error.kind(),
            Error::Vector(error) => error.kind(),
            Error::Search(error) => error.kind(),
            Error::Embed(error) => error.kind(),
            Error::Filter(error) => error.kind(),
            Error::List { source, .. } | Error::DamagedLog { source, .. } => kind_of(source),
            Error::NoDatabase { .. } | Error::NoDefinition { .. } | Error::NoGroup => Kind::NotFound,
            Error::StillLocked { .. } | Error::UnknownServer { .. } => Kind::Conflict,
            Error::Cursor(_) => Kind::Invalid,
        }
    }

    /// What the user should do next, if known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Engine(error) => error.hint(),
            Error::Store(error) => error.hint().map(str::to_string),
            Error::Vector(error) => error.hint().map(|it| it.to_string()),
            Error::Search(error) => error.hint().map(|it| it.to_string()),
            Error::UnknownServer { url, .. } => Some(format!(
                "if you trust it, name it in `windlass.toml`: `[embed.servers]`, then \"{url}\" = \"NAME OF ITS KEY, OR EMPTY\"; \
                 or search by words alone: `--mode text`"
            )),
            Error::Embed(error @ embed::Error::Unpaired { .. }) => error.hint().map(str::to_string),
            Error::Embed(_) => Some("search by words alone: mode `text`".to_string()),
            Error::Filter(error) => error.hint().map(|it| it.to_string()),
            Error::NoDatabase { name, there, .. } => Some(match nearest(name, there.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if there.is_empty() => "make one with `windlass ingest PATH`".to_string(),
                None => format!("there is {}", there.join(", ")),
            }),
            Error::NoDefinition { many: true, .. } => Some("give more of its digits".to_string()),
            Error::NoDefinition { meant: Some(meant), .. } => Some(format!("did you mean `{meant}`?")),
            Error::NoDefinition { .. } => Some("see `windlass list definitions`".to_string()),
            Error::StillLocked { .. } => {
                Some("cancel the work that holds it, or wait: `--force` does not interrupt it".to_string())
            }
            Error::Cursor(_) => Some("take it from `windlass events --json`".to_string()),
            Error::NoGroup => Some("make one with `windlass ingest PATH` or `windlass run FILE`".to_string()),
            Error::List { .. } | Error::DamagedLog { .. } => None,
        }
    }
}
