//! `/api/v1/schedules`: workflows that start by themselves, at times or when files come.

use super::{
    answer::{Refused, RefusedBody},
    body::JsonBody,
    submit::{DefinitionText, directory_of},
};
use crate::{
    definition::{KnownKinds, parse_file},
    engine::{Engine, ScheduledWorkflow},
    http::{App, Failure, Result},
    model::Timestamp,
    view::{self, FiringView, ScheduleView, Schedules},
};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(show, remove))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(run))
        .routes(routes!(backfill))
}

/// The schedules, by their names
#[utoipa::path(get, path = "/api/v1/schedules", tag = "schedules", responses((status = 200, body = Schedules), Refused))]
async fn list(State(app): State<App>) -> Result<Json<Schedules>> {
    Ok(Json(app.blocking(view::schedules).await?))
}

/// One schedule with its next five times and its last ten firings
#[utoipa::path(get, path = "/api/v1/schedules/{name}", tag = "schedules", params(("name" = String, Path)),
    responses((status = 200, body = ScheduleView), Refused))]
async fn show(State(app): State<App>, Path(name): Path<String>) -> Result<Json<ScheduleView>> {
    Ok(Json(app.blocking(move |engine| view::show_schedule(engine, &name)).await?))
}

/// A workflow whose file has a `schedule` or an `on`. A null field counts as omitted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSchedule {
    /// The workflow file: its YAML or JSON as a text, or as an object.
    definition: DefinitionText,
    /// The name of the schedule; default: the workflow's id.
    #[schema(max_length = 1024)]
    name: Option<String>,
    /// What the templates read as `params`.
    #[schema(value_type = Option<Object>)]
    params: Option<serde_json::Map<String, Value>>,
    /// The directory in which commands start, an absolute path; default `/`.
    #[schema(value_type = Option<String>)]
    directory: Option<PathBuf>,
    /// Higher priorities run first; default 0.
    priority: Option<i64>,
    /// The share of its groups relative to others, from 1 to 1000; default 1.
    #[schema(minimum = 1, maximum = 1000)]
    weight: Option<i64>,
}

/// Adds a schedule, or replaces the one of its name
#[utoipa::path(post, path = "/api/v1/schedules", tag = "schedules", request_body = NewSchedule, responses(
    (status = 201, body = ScheduleView),
    (status = 200, body = ScheduleView, description = "It replaced the one of its name"), Refused, RefusedBody))]
async fn add(State(app): State<App>, JsonBody(new): JsonBody<NewSchedule>) -> Result<(StatusCode, Json<ScheduleView>)> {
    let (fresh, view) = app.blocking(move |engine| added(engine, new)).await?;
    Ok((if fresh { StatusCode::CREATED } else { StatusCode::OK }, Json(view)))
}

fn added(engine: &Engine, new: NewSchedule) -> Result<(bool, ScheduleView)> {
    let file = parse_file(&new.definition.text(), "definition", &KnownKinds::new(engine.kinds().names()))?;
    let Some(trigger) = file.trigger() else {
        return Err(Failure::bad_request("the workflow has no `schedule` and no `on`"));
    };
    let new = ScheduledWorkflow {
        name: new.name.filter(|it| !it.is_empty()).unwrap_or_else(|| file.definition.id.clone()),
        definition: file.definition,
        trigger,
        items_from: file.items_from,
        params: Value::Object(new.params.unwrap_or_default()),
        directory: directory_of(new.directory)?.to_string_lossy().into_owned(),
        file: String::new(),
        priority: new.priority.unwrap_or(0),
        weight: new.weight.unwrap_or(1),
    };
    let fresh = engine.add_schedule(&new)?;
    Ok((fresh, view::show_schedule(engine, &new.name)?))
}

/// Whether something changed.
#[derive(Debug, Serialize, ToSchema)]
struct ScheduleChanged {
    schedule: String,
    changed: bool,
}

/// Removes a schedule; what it started stays
#[utoipa::path(delete, path = "/api/v1/schedules/{name}", tag = "schedules", params(("name" = String, Path)),
    responses((status = 200, body = ScheduleChanged), Refused))]
async fn remove(State(app): State<App>, Path(schedule): Path<String>) -> Result<Json<ScheduleChanged>> {
    let name = schedule.clone();
    app.blocking(move |engine| engine.remove_schedule(&name)).await?;
    Ok(Json(ScheduleChanged { schedule, changed: true }))
}

/// Stops firing until it is resumed
#[utoipa::path(post, path = "/api/v1/schedules/{name}/pause", tag = "schedules", params(("name" = String, Path)),
    responses((status = 200, body = ScheduleChanged), Refused))]
async fn pause(State(app): State<App>, Path(schedule): Path<String>) -> Result<Json<ScheduleChanged>> {
    let name = schedule.clone();
    let changed = app.blocking(move |engine| engine.pause_schedule(&name)).await?;
    Ok(Json(ScheduleChanged { schedule, changed }))
}

/// Fires again, from now on
#[utoipa::path(post, path = "/api/v1/schedules/{name}/resume", tag = "schedules", params(("name" = String, Path)),
    responses((status = 200, body = ScheduleChanged), Refused))]
async fn resume(State(app): State<App>, Path(schedule): Path<String>) -> Result<Json<ScheduleChanged>> {
    let name = schedule.clone();
    let changed = app.blocking(move |engine| engine.resume_schedule(&name)).await?;
    Ok(Json(ScheduleChanged { schedule, changed }))
}

/// What was started.
#[derive(Debug, Serialize, ToSchema)]
struct Fired {
    schedule: String,
    firings: Vec<FiringView>,
}

/// Starts the workflow now, whatever its schedule says; one that watches a directory, for all files in it
#[utoipa::path(post, path = "/api/v1/schedules/{name}/run", tag = "schedules", params(("name" = String, Path)),
    responses((status = 200, body = Fired), Refused))]
async fn run(State(app): State<App>, Path(schedule): Path<String>) -> Result<Json<Fired>> {
    let name = schedule.clone();
    let firings = app
        .blocking(move |engine| {
            let firing = engine.run_schedule(&name)?;
            view::firing_view(engine, firing).map(|it| vec![it])
        })
        .await?;
    Ok(Json(Fired { schedule, firings }))
}

/// The times to start it for, in milliseconds since 1970.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Backfill {
    #[schema(example = 1_767_225_600_000_i64)]
    from: Timestamp,
    /// Omitted: now.
    to: Option<Timestamp>,
}

/// Starts the workflow for each past time for which it has not been started
#[utoipa::path(post, path = "/api/v1/schedules/{name}/backfill", tag = "schedules", params(("name" = String, Path)),
    request_body = Backfill, responses((status = 200, body = Fired), Refused, RefusedBody))]
async fn backfill(
    State(app): State<App>,
    Path(schedule): Path<String>,
    JsonBody(body): JsonBody<Backfill>,
) -> Result<Json<Fired>> {
    let name = schedule.clone();
    let firings = app
        .blocking(move |engine| {
            let to = body.to.unwrap_or(engine.store().now());
            let firings = engine.backfill_schedule(&name, body.from, to)?;
            firings.into_iter().map(|it| view::firing_view(engine, it)).collect::<view::Result<Vec<_>>>()
        })
        .await?;
    Ok(Json(Fired { schedule, firings }))
}
