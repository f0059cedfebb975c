//! Searches a vector database.

use super::{
    database::{Named, open_database},
    error::{Error, Result},
};
use crate::{
    embed::{self, Embedder, Server},
    ingest::{parameter_sets, parameters::server},
    search::{Hit, Mode, Query, floor, search},
    vector::VectorDb,
};
use serde::Serialize;
use std::sync::Arc;

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Found {
    pub query: String,
    pub mode: Mode,
    /// The name of the vector database.
    pub database: String,
    /// Best first.
    pub hits: Vec<Hit>,
    /// The number of documents that were searched.
    pub documents: u64,
    /// The minimum cosine of a hit that contains no word of the query. Null: no minimum, as in mode `text`.
    pub min_score: Option<f64>,
    /// Whether any passage passes the filter; present only if a filter was given and nothing was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_matches: Option<bool>,
}

/// The embedder of a database. A server is used only if the user has named it: the file may come from anyone, but the
/// query and the key are the user's.
fn embedder_of(database: &Named, opened: &VectorDb) -> Result<Arc<dyn Embedder>> {
    let Some(model) = embed::served_model(opened.embedder()) else { return Ok(embed::by_name(opened.embedder())?) };
    let recorded: Option<Server> = opened.server()?.and_then(|it| serde_json::from_value(it).ok());
    if let Some(recorded) = recorded.clone().filter(|it| it.model == model)
        && let Some(key) = embed::paired(&recorded.url)
    {
        return Ok(embed::served(Server { key, ..recorded }, Some(opened.dimension()))?);
    }
    // One of the user's own parameter sets names a server for this model, preferably the recorded one.
    let sets = parameter_sets::all(&database.home).unwrap_or_default();
    let mut own: Vec<Server> = sets.iter().filter_map(|it| server(&it.set)).filter(|it| it.model == model).collect();
    own.sort_by_key(|it| recorded.as_ref().is_none_or(|recorded| recorded.url != it.url));
    let url = recorded.map_or("an unknown address".to_string(), |it| it.url);
    let Some(own) = own.into_iter().next() else {
        return Err(Error::UnknownServer { name: database.name.clone(), model: model.to_string(), url });
    };
    embed::pair(&own.url, own.key.as_deref())?;
    Ok(embed::served(own, Some(opened.dimension()))?)
}

/// Searches one vector database. Searching by words needs no embedder.
pub fn find(database: &Named, query: &Query) -> Result<Found> {
    let opened = open_database(database)?;
    let embedder = match query.mode {
        Mode::Text => embed::by_name("hash")?,
        _ => embedder_of(database, &opened)?,
    };
    let hits = search(&opened, embedder.as_ref(), query)?;
    let documents = opened.info()?.documents;
    let unfound = query.filter.as_ref().filter(|_| hits.is_empty());
    let filter_matches = unfound.map(|it| opened.passes(it)).transpose()?;
    Ok(Found {
        query: query.text.clone(),
        mode: query.mode,
        database: database.name.clone(),
        hits,
        documents,
        min_score: floor(embedder.as_ref(), query),
        filter_matches,
    })
}
