//! `/api/v1/runs`: list, show, why, cancel, retry.

use super::{
    answer::{Limit, Refused, id, optional, page},
    body::OptionalJsonBody,
    groups::Retried,
    retry::NewRetry,
    steps::CancelledSteps,
};
use crate::{
    http::{App, Failure, Result},
    model::{RunId, Status},
    store::read::{self, RunFilter},
    view::{self, RunList, RunView, Subject, WhyView},
};
use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(why))
        .routes(routes!(cancel))
        .routes(routes!(retry))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Page {
    /// The group, such as 12 or g12; default: the newest
    group: Option<String>,
    /// Only runs with this status
    #[param(value_type = Option<Status>, inline)]
    status: Option<String>,
    /// Only runs after this one: `next` of the previous page
    after: Option<String>,
    /// The maximum number, 1 to 1000; default 50
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    limit: Option<Limit>,
}

/// Runs of a group, in the order of submission
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", params(Page), responses((status = 200, body = RunList), Refused))]
async fn list(State(app): State<App>, Query(query): Query<Page>) -> Result<Json<RunList>> {
    let group = optional(&query.group)?;
    let filter = RunFilter {
        status: optional::<Status>(&query.status)?,
        after: optional(&query.after)?,
        limit: page(query.limit)?,
    };
    let found = app.blocking(move |engine| {
        let store = engine.store();
        let group = view::group_or_newest(store, group)?;
        view::runs(store, group, &filter)
    });
    Ok(Json(found.await?))
}

/// A run with its steps and their needs
#[utoipa::path(get, path = "/api/v1/runs/{run}", tag = "runs", params(("run" = String, Path, description = "Such as 34 or r34", example = "r3")),
    responses((status = 200, body = RunView), Refused))]
async fn show(State(app): State<App>, Path(run): Path<String>) -> Result<Json<RunView>> {
    let run: RunId = id(&run)?;
    Ok(Json(app.blocking(move |engine| view::show_run(engine, run)).await?))
}

/// Which steps hold a run up, and why
#[utoipa::path(get, path = "/api/v1/runs/{run}/why", tag = "runs", params(("run" = String, Path, description = "Such as 34 or r34", example = "r3")),
    responses((status = 200, body = WhyView), Refused))]
async fn why(State(app): State<App>, Path(run): Path<String>) -> Result<Json<WhyView>> {
    let run: RunId = id(&run)?;
    Ok(Json(app.blocking(move |engine| view::why(engine, Subject::Run(run))).await?))
}

/// Cancels a run
#[utoipa::path(post, path = "/api/v1/runs/{run}/cancel", tag = "runs", params(("run" = String, Path, description = "Such as 34 or r34", example = "r3")),
    responses((status = 200, body = CancelledSteps), Refused))]
async fn cancel(State(app): State<App>, Path(run): Path<String>) -> Result<Json<CancelledSteps>> {
    let run: RunId = id(&run)?;
    let did = app.blocking(move |engine| engine.cancel_run(run)).await?;
    Ok(Json(CancelledSteps { run: Some(run), step: None, cancelled: did.out, cancel_requested: did.cancel_requested }))
}

/// Retries the failed and cancelled steps of a run
///
/// With a body, under a repaired workflow, or from a step on.
#[utoipa::path(post, path = "/api/v1/runs/{run}/retry", tag = "runs", request_body = Option<NewRetry>, params(("run" = String, Path, description = "Such as 34 or r34", example = "r3")),
    responses((status = 200, body = Retried), Refused))]
async fn retry(
    State(app): State<App>,
    Path(run): Path<String>,
    OptionalJsonBody(new): OptionalJsonBody<NewRetry>,
) -> Result<Json<Retried>> {
    let run: RunId = id(&run)?;
    let did = app.blocking(move |engine| {
        let steps = engine.retry_run_as(run, &new.read(engine)?)?;
        let group = engine.store().read(|tx| read::show_run(tx, run))?.run.group;
        Ok::<_, Failure>(Retried { group, reopened: steps > 0 })
    });
    Ok(Json(did.await?))
}
