//! `/openapi.json`: the description of everything that is served.

use crate::http::App;
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
async fn describe(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], app.openapi()).into_response()
}
