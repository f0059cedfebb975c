//! `/api/v1/waiting`: steps that wait for people, times and signals, and the answers to them.

use super::{
    answer::{Limit, Refused, RefusedBody, id, optional, page},
    body::JsonBody,
};
use crate::{
    http::{App, Failure, Result},
    model::{Answer, GroupId, RunId, StepId, WaitKind},
    store::{
        answer::{Answered, Sent},
        read::WaitingFilter,
        waiting::Signal,
    },
    view::{self, WaitingList},
};
use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(approve))
        .routes(routes!(reject))
        .routes(routes!(signal_group))
        .routes(routes!(signal_run))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Page {
    /// Only steps that wait for this
    #[serde(rename = "for")]
    #[param(value_type = Option<WaitKind>, inline)]
    kind: Option<String>,
    /// Only steps of this group
    group: Option<String>,
    /// Only steps after this one: `next` of the previous page
    after: Option<String>,
    /// The maximum number, 1 to 1000; default 50
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    limit: Option<Limit>,
}

/// Steps that wait for people, times, signals or their children
#[utoipa::path(get, path = "/api/v1/waiting", tag = "steps", params(Page), responses((status = 200, body = WaitingList), Refused))]
async fn list(State(app): State<App>, Query(query): Query<Page>) -> Result<Json<WaitingList>> {
    let kind = query.kind.as_deref().map(|name| {
        let found = WaitKind::ALL.iter().copied().find(|it| it.name() == name);
        found.ok_or_else(|| Failure::bad_request(format!("`{name}` is not one of time, approval, signal, children")))
    });
    let filter = WaitingFilter {
        kind: kind.transpose()?,
        group: optional(&query.group)?,
        after: optional(&query.after)?,
        limit: page(query.limit)?,
    };
    Ok(Json(app.blocking(move |engine| view::waiting(engine.store(), &filter)).await?))
}

/// An approval.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewApproval {
    /// Who approves
    #[schema(example = "anna")]
    by: String,
    /// The value that the step gets. Null: who approved it and when
    #[serde(default)]
    #[schema(example = json!(null))]
    value: Option<Value>,
    /// What is to be kept with it
    #[serde(default)]
    reason: String,
}

/// A rejection.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRejection {
    /// Who rejects
    #[schema(example = "anna")]
    by: String,
    /// Why
    #[schema(example = "wrong logo")]
    reason: String,
}

/// Approves a step that waits for an approval
///
/// The step completes. The first answer counts: repeating it changes nothing, a different one is refused with 409.
#[utoipa::path(post, path = "/api/v1/steps/{step}/approve", tag = "steps", request_body = NewApproval, params(("step" = String, Path, description = "Such as 56 or s56", example = "s5")),
    responses((status = 200, body = Answered), Refused, RefusedBody))]
async fn approve(
    State(app): State<App>,
    Path(step): Path<String>,
    JsonBody(new): JsonBody<NewApproval>,
) -> Result<Json<Answered>> {
    let step: StepId = id(&step)?;
    let answer = Answer { approved: true, by: new.by, at: None, value: new.value, reason: new.reason };
    Ok(Json(app.blocking(move |engine| engine.answer(step, answer)).await?))
}

/// Rejects a step that waits for an approval
///
/// The step fails with the reason; a retry asks again. The first answer counts, as for an approval.
#[utoipa::path(post, path = "/api/v1/steps/{step}/reject", tag = "steps", request_body = NewRejection, params(("step" = String, Path, description = "Such as 56 or s56", example = "s5")),
    responses((status = 200, body = Answered), Refused, RefusedBody))]
async fn reject(
    State(app): State<App>,
    Path(step): Path<String>,
    JsonBody(new): JsonBody<NewRejection>,
) -> Result<Json<Answered>> {
    let step: StepId = id(&step)?;
    let answer = Answer { approved: false, by: new.by, at: None, value: None, reason: new.reason };
    Ok(Json(app.blocking(move |engine| engine.answer(step, answer)).await?))
}

/// A signal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSignal {
    /// Its name, as in `signal: NAME` of the workflow
    #[schema(example = "uploaded")]
    name: String,
    /// Its value, which becomes the value of the steps that waited for it
    #[serde(default)]
    value: Option<Value>,
    /// Who sends it
    #[schema(example = "anna")]
    by: String,
}

/// Sends a signal to the steps of a group that wait for it
///
/// windlass keeps it for steps that wait for it later. Repeating it changes nothing; another value replaces the first.
#[utoipa::path(post, path = "/api/v1/groups/{group}/signal", tag = "groups", request_body = NewSignal, params(("group" = String, Path, description = "Such as 12 or g12", example = "g2")),
    responses((status = 200, body = Sent), Refused, RefusedBody))]
async fn signal_group(
    State(app): State<App>,
    Path(group): Path<String>,
    JsonBody(new): JsonBody<NewSignal>,
) -> Result<Json<Sent>> {
    let group: GroupId = id(&group)?;
    let did = app.blocking(move |engine| {
        let at = engine.store().now();
        engine.signal(Signal { group, run: None, name: new.name, value: new.value, by: new.by, at })
    });
    Ok(Json(did.await?))
}

/// Sends a signal to one run
///
/// As to a group.
#[utoipa::path(post, path = "/api/v1/runs/{run}/signal", tag = "runs", request_body = NewSignal, params(("run" = String, Path, description = "Such as 34 or r34", example = "r3")),
    responses((status = 200, body = Sent), Refused, RefusedBody))]
async fn signal_run(
    State(app): State<App>,
    Path(run): Path<String>,
    JsonBody(new): JsonBody<NewSignal>,
) -> Result<Json<Sent>> {
    let run: RunId = id(&run)?;
    let did = app.blocking(move |engine| {
        let (group, at) = (engine.group_of_run(run)?, engine.store().now());
        engine.signal(Signal { group, run: Some(run), name: new.name, value: new.value, by: new.by, at })
    });
    Ok(Json(did.await?))
}
