//! `/metrics`: everything that is counted, in the text format of Prometheus.

use super::{App, Result};
use axum::{extract::State, http::header, response::IntoResponse};
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Everything that is counted, in the text format of Prometheus (0.0.4).
#[utoipa::path(get, path = "/metrics", tag = "daemon", responses((status = 200, content_type = "text/plain")))]
async fn metrics(State(app): State<App>) -> Result<impl IntoResponse> {
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.registry().prometheus()))
}
