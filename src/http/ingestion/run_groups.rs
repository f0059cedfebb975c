//! `/workflow/run-groups` and `/workflow/run_groups`: groups of runs.

use super::{
    form::Queried,
    listing::{self, PAGE},
    object::{self, GroupObject},
    turn::PATIENCE,
};
use crate::{
    http::{App, Failure, Result},
    model::GroupId,
    store::records,
};
use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Instant;
use utoipa::ToSchema;

#[utoipa::path(get, path = "/api/v1/workflow/run-groups", tag = "ingestion", summary = "Groups, newest first",
    params(("batch_id" = Option<i64>, Query)), responses((status = 200, body = [GroupObject])))]
pub async fn list(State(app): State<App>, Queried(query): Queried) -> Result<Response> {
    let batch = query.number("batch_id")?;
    listing::array(app, String::new(), String::new(), GroupId(i64::MAX), move |engine, before| {
        let found = engine.store().read(|tx| records::groups(tx, batch, before, PAGE))?;
        let next = found.last().filter(|_| found.len() == PAGE).map(|it| it.id);
        Ok((found.into_iter().map(GroupObject::from).collect(), next))
    })
    .await
}

fn missing(id: i64) -> Failure {
    Failure::not_found(format!("run group {id} not found"))
}

#[utoipa::path(get, path = "/api/v1/workflow/run_groups/{id}", tag = "ingestion", summary = "A group",
    params(("id" = i64, Path)), responses((status = 200, body = GroupObject), (status = 404)))]
pub async fn show(State(app): State<App>, Path(id): Path<i64>) -> Result<Json<GroupObject>> {
    let found = app.blocking(move |engine| engine.store().read(|tx| records::group(tx, GroupId(id)))).await?;
    found.map(|it| Json(it.into())).ok_or_else(|| missing(id))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DeletedGroup {
    message: String,
    statistics: DeletedGroupRows,
}

/// The rows deleted with a group.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeletedGroupRows {
    deleted_runsteps: u64,
    deleted_lifecyclehistory: i64,
    deleted_workflowruns: u64,
    deleted_rungroups: u64,
    total_deleted: u64,
}

#[utoipa::path(delete, path = "/api/v1/workflow/run_groups/{id}", tag = "ingestion",
    summary = "Delete a group with its runs, steps and history; running work is cancelled first", params(("id" = i64, Path)),
    responses((status = 200, body = DeletedGroup), (status = 404),
        (status = 409, description = "Some of its work is still running.")))]
pub async fn delete(State(app): State<App>, Path(id): Path<i64>) -> Result<Json<DeletedGroup>> {
    let deadline = Instant::now() + PATIENCE;
    let removed = app.blocking(move |engine| engine.delete_group(GroupId(id), deadline)).await;
    let (removed, history) =
        removed.map_err(|failure| if failure.status.as_u16() == 404 { missing(id) } else { failure })?;
    let statistics = DeletedGroupRows {
        deleted_runsteps: removed.steps,
        deleted_lifecyclehistory: history,
        deleted_workflowruns: removed.runs,
        deleted_rungroups: 1,
        total_deleted: removed.steps + removed.runs + 1 + history.unsigned_abs(),
    };
    Ok(Json(DeletedGroup { message: format!("RunGroup {id} deleted successfully"), statistics }))
}

#[utoipa::path(get, path = "/api/v1/workflow/run_groups/{id}/stats", tag = "ingestion", summary = "Runs of a group by status",
    params(("id" = i64, Path)), responses((status = 200, body = std::collections::BTreeMap<String, i64>, description = "`{PENDING: n, RUNNING: n, ...}`"), (status = 404)))]
pub async fn stats(State(app): State<App>, Path(id): Path<i64>) -> Result<Json<Map<String, Value>>> {
    let found = app.blocking(move |engine| engine.store().read(|tx| records::tally_of_group(tx, GroupId(id)))).await?;
    found.map(|it| Json(object::counts(&it))).ok_or_else(|| missing(id))
}
