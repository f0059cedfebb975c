//! `/api/v1/resources`: what steps share, who holds it, and how many wait for it.

use super::answer::Refused;
use crate::{
    http::{App, Result},
    model::ResourceKind,
    view::{self, ResourceList},
};
use axum::{
    Json,
    extract::{Query, State},
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(resources))
}

/// The most resources in one response.
const MOST: usize = 1_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Page {
    /// At most 1000.
    #[param(example = 50)]
    limit: Option<usize>,
    /// Only resources behind one of this name, of the kind `after_kind`.
    after: Option<String>,
    after_kind: Option<ResourceKind>,
}

/// Counted resources and rates, by kind and name
#[utoipa::path(get, path = "/api/v1/resources", tag = "machine", params(Page),
    responses((status = 200, body = ResourceList), Refused))]
async fn resources(State(app): State<App>, Query(page): Query<Page>) -> Result<Json<ResourceList>> {
    let after = page.after.map(|name| (page.after_kind.unwrap_or(ResourceKind::Counted), name));
    let limit = page.limit.unwrap_or(50).clamp(1, MOST);
    Ok(Json(app.blocking(move |engine| view::resources(engine.store(), after, limit)).await?))
}
