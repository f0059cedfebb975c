//! `/sync-state/{source}`: a note of how far a client has come with a source.

use super::{
    form::Sent,
    object::{Message, SyncStateObject},
};
use crate::{
    http::{App, Failure, Result},
    store::sync_state,
};
use axum::{
    Json,
    extract::{Path, State},
};

fn missing(source: &str) -> Failure {
    Failure::not_found(format!("No sync state found for {source}"))
}

#[utoipa::path(get, path = "/api/v1/sync-state/{*source}", tag = "ingestion", summary = "The sync state of a client",
    params(("source" = String, Path)), responses((status = 200, body = SyncStateObject), (status = 404)))]
pub async fn show(State(app): State<App>, Path(source): Path<String>) -> Result<Json<SyncStateObject>> {
    let name = source.clone();
    let found = app.blocking(move |engine| engine.store().read(|tx| sync_state::get(tx, &name))).await?;
    found.map(|it| Json(it.into())).ok_or_else(|| missing(&source))
}

/// The sync state of a source.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Only described.
pub struct NewSyncState {
    commit_sha: String,
    /// `main` by default.
    branch: Option<String>,
    /// A JSON object; fields that it omits stay as they are.
    metadata: Option<String>,
}

#[utoipa::path(put, path = "/api/v1/sync-state/{*source}", tag = "ingestion", summary = "Set the sync state of a client",
    params(("source" = String, Path)), request_body(content = NewSyncState, content_type = "multipart/form-data"),
    responses((status = 200, body = SyncStateObject), (status = 400)))]
pub async fn put(
    State(app): State<App>,
    Path(source): Path<String>,
    Sent(form): Sent,
) -> Result<Json<SyncStateObject>> {
    if source.contains('\0') {
        return Err(Failure::bad_request("a source can't contain NUL"));
    }
    let commit = form.text("commit_sha")?.to_string();
    let branch = form.get("branch").unwrap_or("main").to_string();
    let metadata = form.object("metadata")?.unwrap_or_default();
    let state = app
        .blocking(move |engine| {
            engine.store().write(move |tx| sync_state::put(tx, &source, &commit, &branch, &metadata))
        })
        .await?;
    Ok(Json(state.into()))
}

#[utoipa::path(delete, path = "/api/v1/sync-state/{*source}", tag = "ingestion", summary = "Delete the sync state of a client",
    params(("source" = String, Path)), responses((status = 200, body = Message), (status = 404)))]
pub async fn delete(State(app): State<App>, Path(source): Path<String>) -> Result<Json<Message>> {
    let name = source.clone();
    let gone = app.blocking(move |engine| engine.store().write(move |tx| sync_state::remove(tx, &name))).await?;
    match gone {
        true => Ok(Json(Message { message: format!("Sync state reset for {source}") })),
        false => Err(missing(&source)),
    }
}
