//! The polite request to stop.

use super::App;
use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

#[derive(Serialize, ToSchema)]
struct Stopping {
    /// Of the process that stops.
    pid: u32,
    /// Seconds that running steps may take to finish.
    grace: u64,
}

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(stop))
}

/// Stops the daemon: running steps may finish. Repeating it changes nothing.
#[utoipa::path(post, path = "/api/v1/stop", tag = "daemon", responses((status = 202, body = Stopping)))]
async fn stop(State(app): State<App>) -> (StatusCode, Json<Stopping>) {
    app.request_stop();
    let grace = app.settings().stop_timeout.0 / 1000;
    (StatusCode::ACCEPTED, Json(Stopping { pid: std::process::id(), grace }))
}
