//! `/health`: whether the engine can make progress.

use super::{App, Parts};
use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

pub struct Observer {
    limit: u64,
}

impl Observer {
    pub fn new(parts: &Parts) -> Observer {
        Observer { limit: parts.settings.history_limit }
    }
}

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health))
}

/// Whether the engine can make progress.
#[utoipa::path(get, path = "/health", tag = "daemon", responses((status = 200), (status = 503)))]
async fn health(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let stopping = app.is_stopping();
    let status = if stopping { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let reasons: &[&str] = if stopping { &["stopping"] } else { &[] };
    let body = json!({"status": if stopping { "unhealthy" } else { "ok" }, "reasons": reasons, "uptime": app.uptime().as_secs(),
        "connections": app.0.connections.count(), "connections_evicted": app.0.connections.evicted(),
        "requests_waiting": app.0.jobs.load().0, "history_limit": app.0.health.limit});
    (status, Json(body))
}
