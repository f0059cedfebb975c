//! `/openapi.json`: the description of everything that is served.

use crate::http::{App, Failure, Result};
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(describe))
}

/// What is served, as OpenAPI 3.1
#[utoipa::path(get, path = "/openapi.json", tag = "daemon", responses((status = 200, description = "This document", body = Object)))]
async fn describe(State(app): State<App>) -> Result<Response> {
    let described = app.openapi().ok_or_else(|| Failure::unavailable("windlass is starting", 1))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], described).into_response())
}
