//! Passages that were found in a vector database.

use super::{
    database::{Named, open_database},
    error::{Error, Result},
};
use crate::{
    embed,
    search::{Hit, Mode, Query, search},
};
use serde::Serialize;

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Found {
    pub query: String,
    pub mode: Mode,
    /// The name of the vector database.
    pub database: String,
    /// Best first.
    pub hits: Vec<Hit>,
    /// Documents that were searched.
    pub documents: u64,
}

/// Searches one vector database. By words alone needs no embedder.
pub fn find(database: &Named, query: &Query) -> Result<Found> {
    let opened = open_database(database)?;
    let server = opened.server()?.and_then(|it| serde_json::from_value(it).ok());
    let embedder = embed::recorded(opened.embedder(), server, opened.dimension());
    let hits = match (embedder, query.mode) {
        (Ok(embedder), _) => search(&opened, embedder.as_ref(), query)?,
        (Err(_), Mode::Text) => search(&opened, embed::by_name("hash").map_err(Error::Embed)?.as_ref(), query)?,
        (Err(error), _) => return Err(error.into()),
    };
    let documents = opened.info()?.documents;
    Ok(Found { query: query.text.clone(), mode: query.mode, database: database.name.clone(), hits, documents })
}
