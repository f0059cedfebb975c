//! `/api/v1/steps`: list, show with attempts, logs, why, cancel.

use super::{
    answer::{Limit, Refused, id, optional, page},
    body::OptionalJsonBody,
    groups::Retried,
    retry::NewRetry,
};
use crate::{
    http::{App, Failure, Result},
    model::{RunId, Status, StepId, Token},
    store::read,
    view::{self, Logs, StepFilter, StepList, StepView, Subject, WhyView},
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
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(logs))
        .routes(routes!(why))
        .routes(routes!(cancel))
        .routes(routes!(retry))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Page {
    /// The group, such as 12 or g12; default: the newest
    group: Option<String>,
    /// Only steps with this status
    #[param(value_type = Option<Status>, inline)]
    status: Option<String>,
    /// Only steps of this type
    #[serde(rename = "type")]
    step_type: Option<String>,
    /// Only runs after this one: `next` of the previous page
    after: Option<String>,
    /// The maximum number, 1 to 1000; default 50
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    limit: Option<Limit>,
}

/// Steps of a group, run by run
///
/// A page ends between runs. With a rare status or type it walks over the other steps.
#[utoipa::path(get, path = "/api/v1/steps", tag = "steps", params(Page), responses((status = 200, body = StepList), Refused))]
async fn list(State(app): State<App>, Query(query): Query<Page>) -> Result<Json<StepList>> {
    let group = optional(&query.group)?;
    let filter = StepFilter {
        status: optional::<Status>(&query.status)?,
        step_type: query.step_type,
        after: optional(&query.after)?,
        limit: page(query.limit)?,
    };
    let found = app.blocking(move |engine| {
        let store = engine.store();
        let group = view::group_or_newest(store, group)?;
        view::steps(store, group, &filter)
    });
    Ok(Json(found.await?))
}

/// A step with its attempts, what it runs, and its definition
///
/// Values of `env` are masked, and so are those that a command takes from there.
#[utoipa::path(get, path = "/api/v1/steps/{step}", tag = "steps", params(("step" = String, Path, description = "Such as 56 or s56", example = "s5")),
    responses((status = 200, body = StepView), Refused))]
async fn show(State(app): State<App>, Path(step): Path<String>) -> Result<Json<StepView>> {
    let step: StepId = id(&step)?;
    Ok(Json(app.blocking(move |engine| view::show_step(engine, step)).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LogRequest {
    /// Only attempts with this token or a later one
    from: Option<i64>,
}

/// The output of a step, oldest attempt first
///
/// The newest part of each stream is kept, including the output of a running attempt.
#[utoipa::path(get, path = "/api/v1/steps/{step}/logs", tag = "steps", params(("step" = String, Path, description = "Such as 56 or s56", example = "s5"), LogRequest),
    responses((status = 200, body = Logs), Refused))]
async fn logs(
    State(app): State<App>,
    Path(step): Path<String>,
    Query(request): Query<LogRequest>,
) -> Result<Json<Logs>> {
    let step: StepId = id(&step)?;
    let from = Token(request.from.unwrap_or(0));
    Ok(Json(app.blocking(move |engine| view::logs_until_now(engine, step, from)).await?))
}

/// Why a step does not run, or why it failed, and what would change that
#[utoipa::path(get, path = "/api/v1/steps/{step}/why", tag = "steps", params(("step" = String, Path, description = "Such as 56 or s56", example = "s5")),
    responses((status = 200, body = WhyView), Refused))]
async fn why(State(app): State<App>, Path(step): Path<String>) -> Result<Json<WhyView>> {
    let step: StepId = id(&step)?;
    Ok(Json(app.blocking(move |engine| view::why(engine, Subject::Step(step))).await?))
}

/// The result of cancelling steps.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CancelledSteps {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
    /// Cancelled steps.
    pub cancelled: i64,
    /// Running steps that will stop.
    #[serde(rename = "asked")]
    pub cancel_requested: i64,
}

/// Cancels a step and what needs it
#[utoipa::path(post, path = "/api/v1/steps/{step}/cancel", tag = "steps", params(("step" = String, Path, description = "Such as 56 or s56", example = "s5")),
    responses((status = 200, body = CancelledSteps), Refused))]
async fn cancel(State(app): State<App>, Path(step): Path<String>) -> Result<Json<CancelledSteps>> {
    let step: StepId = id(&step)?;
    let did = app.blocking(move |engine| engine.cancel_step(step)).await?;
    Ok(Json(CancelledSteps { run: None, step: Some(step), cancelled: did.out, cancel_requested: did.cancel_requested }))
}

/// Retries a step and the steps that were cancelled because of it
///
/// With a body, under a repaired workflow.
#[utoipa::path(post, path = "/api/v1/steps/{step}/retry", tag = "steps", request_body = Option<NewRetry>, params(("step" = String, Path, description = "Such as 56 or s56", example = "s5")),
    responses((status = 200, body = Retried), Refused))]
async fn retry(
    State(app): State<App>,
    Path(step): Path<String>,
    OptionalJsonBody(new): OptionalJsonBody<NewRetry>,
) -> Result<Json<Retried>> {
    let step: StepId = id(&step)?;
    let did = app.blocking(move |engine| {
        let how = new.read(engine)?;
        if how.from.is_some() {
            return Err(Failure::bad_request("`from` runs a whole run again: retry the run or its group"));
        }
        let steps = engine.retry_step_as(step, &how)?;
        let group = engine.store().read(|tx| read::show_step(tx, step))?.group;
        Ok::<_, Failure>(Retried { group, reopened: steps > 0 })
    });
    Ok(Json(did.await?))
}
