//! The state of the engine as a whole: `/api/v1/status`, `/workers`, `/queues`.

use super::{answer::Refused, groups::Paused};
use crate::{
    http::{App, Failure, Result},
    store::read::{self, Queues},
    view::{self, StatusView, TypeList, Workers},
};
use axum::{
    Json,
    extract::{Path, State},
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(workers))
        .routes(routes!(queues))
        .routes(routes!(types))
        .routes(routes!(pause))
        .routes(routes!(resume))
}

/// What runs, what waits, the workers, and each problem with the command that fixes it
#[utoipa::path(get, path = "/api/v1/status", tag = "machine", responses((status = 200, body = StatusView), Refused))]
async fn status(State(app): State<App>) -> Result<Json<StatusView>> {
    let daemon = app.daemon();
    Ok(Json(app.blocking(move |engine| view::status(engine, Some(daemon))).await?))
}

/// Workers that are registered, and the processes that they keep
#[utoipa::path(get, path = "/api/v1/workers", tag = "machine", responses((status = 200, body = Workers), Refused))]
async fn workers(State(app): State<App>) -> Result<Json<Workers>> {
    Ok(Json(app.blocking(|engine| view::workers(engine.store())).await?))
}

/// What waits and what runs, by step type
#[utoipa::path(get, path = "/api/v1/queues", tag = "machine", responses((status = 200, body = Queues), Refused))]
async fn queues(State(app): State<App>) -> Result<Json<Queues>> {
    Ok(Json(app.blocking(|engine| engine.store().read(read::queues)).await?))
}

/// Step types, and the memory that their steps reserve
#[utoipa::path(get, path = "/api/v1/types", tag = "machine", responses((status = 200, body = TypeList), Refused))]
async fn types(State(app): State<App>) -> Result<Json<TypeList>> {
    Ok(Json(app.blocking(|engine| view::types(engine.store())).await?))
}

/// Pauses a step type: running steps continue, no new ones start
#[utoipa::path(post, path = "/api/v1/queues/{type}/pause", tag = "machine", params(("type" = String, Path, description = "A step type", example = "each")),
    responses((status = 200, body = Paused), Refused))]
async fn pause(State(app): State<App>, Path(step_type): Path<String>) -> Result<Json<Paused>> {
    set(app, step_type, true).await
}

/// Resumes a step type
#[utoipa::path(post, path = "/api/v1/queues/{type}/resume", tag = "machine", params(("type" = String, Path, description = "A step type", example = "each")),
    responses((status = 200, body = Paused), Refused))]
async fn resume(State(app): State<App>, Path(step_type): Path<String>) -> Result<Json<Paused>> {
    set(app, step_type, false).await
}

async fn set(app: App, step_type: String, paused: bool) -> Result<Json<Paused>> {
    if step_type.contains('\0') {
        return Err(Failure::bad_request("a step type can't contain NUL"));
    }
    let name = step_type.clone();
    let changed = app.blocking(move |engine| engine.pause_type(&name, paused)).await?;
    Ok(Json(Paused { group: None, step_type: Some(step_type), paused, changed }))
}
