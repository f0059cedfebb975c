//! `/api/v1/search` and `/api/v1/databases`.

use super::answer::Refused;
use crate::{
    http::{App, Failure, Result},
    search::{HITS_MAX, Query as SearchQuery},
    vector::Filter,
    view::{self, Databases, Error, Found, Named},
};
use axum::{
    Json,
    extract::{Query, State},
};
use serde::Deserialize;
use std::path::Path;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(search)).routes(routes!(databases))
}

/// The longest query, in bytes.
const QUERY: usize = 10_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SearchRequest {
    /// The query. Searched literally; no operators
    #[param(min_length = 1, max_length = 10000)]
    q: String,
    /// The name of the vector database; default: that of the settings
    db: Option<String>,
    /// hybrid (words and meaning), text (words), or vector (meaning)
    mode: Option<String>,
    /// The maximum number of passages; default 10
    #[param(minimum = 1, maximum = 1000)]
    k: Option<u64>,
    /// Only passages that match, such as `source = "manuals" and page < 10`
    filter: Option<String>,
    /// The minimum cosine similarity, from 0 to 1, of a passage without any word of the query; default: the setting
    /// `search.min_score`
    #[param(minimum = 0, maximum = 1)]
    min_score: Option<f64>,
    /// Whether each hit shows its whole chunk instead of about 300 bytes
    whole: Option<bool>,
}

/// Passages of the ingested documents
#[utoipa::path(get, path = "/api/v1/search", tag = "search", params(SearchRequest), responses((status = 200, body = Found), Refused))]
async fn search(State(app): State<App>, Query(request): Query<SearchRequest>) -> Result<Json<Found>> {
    if request.q.trim().is_empty() || request.q.len() > QUERY {
        return Err(Failure::bad_request(format!("`q` must have 1 to {QUERY} bytes")));
    }
    let k = request.k.unwrap_or(10);
    if !(1..=HITS_MAX as u64).contains(&k) {
        return Err(Failure::bad_request(format!("`k` must be 1 to {HITS_MAX}")));
    }
    if request.min_score.is_some_and(|it| !(0.0..=1.0).contains(&it)) {
        return Err(Failure::bad_request("`min_score` must be 0 to 1"));
    }
    let mode = request.mode.as_deref().unwrap_or("hybrid").parse().map_err(Failure::bad_request)?;
    let filter = request.filter.as_deref().filter(|it| !it.trim().is_empty());
    let filter = filter.map(str::parse::<Filter>).transpose().map_err(Error::Filter)?;
    let query = SearchQuery {
        k: k as usize,
        mode,
        filter,
        min_score: request.min_score.or(app.settings().search_min_score.map(|it| it.0)),
        whole: request.whole.unwrap_or(false),
        ..SearchQuery::new(request.q)
    };
    let name = request.db.filter(|it| !it.is_empty()).unwrap_or_else(|| app.settings().database.clone());
    Ok(Json(app.blocking(move |engine| view::find(&named(engine.home(), &name)?, &query)).await?))
}

/// Only databases in the home directory. A name from the network is never a path.
fn named(home: &Path, name: &str) -> view::Result<Named> {
    let all = view::databases_of(home)?;
    let there: Vec<String> = all.iter().map(|it| it.name.clone()).collect();
    let found = all.into_iter().find(|it| it.name == name);
    found.ok_or_else(|| Error::NoDatabase { name: name.to_string(), there, is_empty: false })
}

/// Every vector database of this home
#[utoipa::path(get, path = "/api/v1/databases", tag = "search", responses((status = 200, body = Databases), Refused))]
async fn databases(State(app): State<App>) -> Result<Json<Databases>> {
    let found = app.blocking(|engine| {
        view::databases(engine.home(), |named, error| {
            tracing::warn!(database = named.name, %error, "a vector database can't be read");
        })
    });
    Ok(Json(found.await?))
}
