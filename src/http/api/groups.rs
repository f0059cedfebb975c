//! `/api/v1/groups`: list, show, submit, and the verbs on a whole group.

use super::{
    answer::{Limit, Refused, id, optional, page},
    body::OptionalJsonBody,
    retry::NewRetry,
};
use crate::{
    engine::Engine,
    http::{App, Failure, Result},
    model::{GroupId, Status},
    store::read::{self, Below, GroupFilter, Progress},
    view::{self, GroupList, GroupView, Subject, WhyView},
};
use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, super::submit::submit))
        .routes(routes!(show))
        .routes(routes!(progress))
        .routes(routes!(why))
        .routes(routes!(cancel))
        .routes(routes!(retry))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(super::export::export))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Page {
    /// Only groups with this status: PENDING, RUNNING, WAITING, COMPLETED, FAILED or CANCELLED
    #[param(value_type = Option<Status>, inline)]
    status: Option<String>,
    /// Only groups older than this one: `next` of the previous page
    before: Option<String>,
    /// Only groups that steps of this group started
    of: Option<String>,
    /// Also groups that steps of other groups started
    #[param(value_type = Option<bool>)]
    all: Option<bool>,
    /// The maximum number, 1 to 1000; default 50
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    limit: Option<Limit>,
}

/// Groups, newest first
#[utoipa::path(get, path = "/api/v1/groups", tag = "groups", params(Page), responses((status = 200, body = GroupList), Refused))]
async fn list(State(app): State<App>, Query(query): Query<Page>) -> Result<Json<GroupList>> {
    let filter = GroupFilter {
        status: optional::<Status>(&query.status)?,
        before: optional(&query.before)?,
        limit: page(query.limit)?,
        below: match (optional(&query.of)?, query.all) {
            (Some(group), _) => Below::Of(group),
            (None, Some(true)) => Below::All,
            (None, _) => Below::Nothing,
        },
    };
    Ok(Json(app.blocking(move |engine| view::groups(engine.store(), &filter)).await?))
}

/// A group with the counts of its runs and steps
///
/// Walks over all of its steps: `/progress` is for polling.
#[utoipa::path(get, path = "/api/v1/groups/{group}", tag = "groups", params(("group" = String, Path, description = "Such as 12 or g12", example = "g2")),
    responses((status = 200, body = GroupView), Refused))]
async fn show(State(app): State<App>, Path(group): Path<String>) -> Result<Json<GroupView>> {
    let group: GroupId = id(&group)?;
    Ok(Json(app.blocking(move |engine| view::show_group(engine.store(), group)).await?))
}

/// How far a group is
///
/// Costs the same whatever the size of the group.
#[utoipa::path(get, path = "/api/v1/groups/{group}/progress", tag = "groups", params(("group" = String, Path, description = "Such as 12 or g12", example = "g2")),
    responses((status = 200, body = Progress), Refused))]
async fn progress(State(app): State<App>, Path(group): Path<String>) -> Result<Json<Progress>> {
    let group: GroupId = id(&group)?;
    Ok(Json(app.blocking(move |engine| engine.store().read(|tx| read::progress(tx, group))).await?))
}

/// Which steps hold a group up, and why
#[utoipa::path(get, path = "/api/v1/groups/{group}/why", tag = "groups", params(("group" = String, Path, description = "Such as 12 or g12", example = "g2")),
    responses((status = 200, body = WhyView), Refused))]
async fn why(State(app): State<App>, Path(group): Path<String>) -> Result<Json<WhyView>> {
    let group: GroupId = id(&group)?;
    Ok(Json(app.blocking(move |engine| view::why(engine, Subject::Group(group))).await?))
}

#[derive(Debug, Serialize, ToSchema)]
struct Cancelled {
    group: GroupId,
    /// False: it had ended, or was already being cancelled.
    cancelled: bool,
    /// Whether the group has ended; otherwise its running steps will stop.
    ended: bool,
}

/// Cancels a group
///
/// Waiting steps are cancelled immediately. Running steps get a request to stop, then TERM, then KILL.
#[utoipa::path(post, path = "/api/v1/groups/{group}/cancel", tag = "groups", params(("group" = String, Path, description = "Such as 12 or g12", example = "g2")),
    responses((status = 200, body = Cancelled), Refused))]
async fn cancel(State(app): State<App>, Path(group): Path<String>) -> Result<Json<Cancelled>> {
    let group: GroupId = id(&group)?;
    let did = app.blocking(move |engine| {
        let cancelled = engine.cancel_group(group)?;
        let ended = engine.group_end(group)?.is_some();
        Ok::<_, crate::engine::Error>(Cancelled { group, cancelled, ended })
    });
    Ok(Json(did.await?))
}

/// What a retry did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Retried {
    pub group: GroupId,
    /// False: nothing in it failed or was cancelled.
    pub reopened: bool,
}

/// Retries the failed and cancelled runs of a group
///
/// Completed steps stay completed. Attempts count from 1 again. With a body, under a repaired workflow, or from a step on.
#[utoipa::path(post, path = "/api/v1/groups/{group}/retry", tag = "groups", request_body = Option<NewRetry>, params(("group" = String, Path, description = "Such as 12 or g12", example = "g2")),
    responses((status = 200, body = Retried), Refused))]
async fn retry(
    State(app): State<App>,
    Path(group): Path<String>,
    OptionalJsonBody(new): OptionalJsonBody<NewRetry>,
) -> Result<Json<Retried>> {
    let group: GroupId = id(&group)?;
    let did = move |engine: &Engine| Ok::<_, Failure>(engine.retry_group_as(group, &new.read(engine)?)?);
    let reopened = app.blocking(did).await?;
    Ok(Json(Retried { group, reopened }))
}

/// What a pause or a resume did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Paused {
    pub group: Option<GroupId>,
    /// The step type, when it was one.
    #[serde(rename = "type")]
    pub step_type: Option<String>,
    pub paused: bool,
    /// False: it already was.
    pub changed: bool,
}

/// Pauses a group: running steps continue, no new ones start
#[utoipa::path(post, path = "/api/v1/groups/{group}/pause", tag = "groups", params(("group" = String, Path, description = "Such as 12 or g12", example = "g2")),
    responses((status = 200, body = Paused), Refused))]
async fn pause(State(app): State<App>, Path(group): Path<String>) -> Result<Json<Paused>> {
    let group: GroupId = id(&group)?;
    let changed = app.blocking(move |engine| engine.pause_group(group)).await?;
    Ok(Json(Paused { group: Some(group), step_type: None, paused: true, changed }))
}

/// Resumes a group
#[utoipa::path(post, path = "/api/v1/groups/{group}/resume", tag = "groups", params(("group" = String, Path, description = "Such as 12 or g12", example = "g2")),
    responses((status = 200, body = Paused), Refused))]
async fn resume(State(app): State<App>, Path(group): Path<String>) -> Result<Json<Paused>> {
    let group: GroupId = id(&group)?;
    let changed = app.blocking(move |engine| engine.resume_group(group)).await?;
    Ok(Json(Paused { group: Some(group), step_type: None, paused: false, changed }))
}
