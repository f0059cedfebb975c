//! `/stats`: how long the steps of a group took, and what became of them.

use super::{
    form::Queried,
    object::{in_seconds, tenths},
};
use crate::{
    http::{App, Result},
    model::GroupId,
    store::ledger::{self, DurationRecord, StepCount},
};
use axum::{Json, extract::State};
use serde_json::{Value, json};

#[utoipa::path(get, path = "/api/v1/stats/durations", tag = "ingestion",
    summary = "How long completed steps of a group took, by step; in seconds", params(("run_group_id" = i64, Query)),
    responses((status = 200, description = "`[{step_type, count, longest, shortest, average, pages, pages_per_min, \
        total_duration, wall_clock_time}]`")))]
pub async fn durations(State(app): State<App>, Queried(query): Queried) -> Result<Json<Vec<Value>>> {
    let id = GroupId(query.needed_number("run_group_id")?);
    let found = app.blocking(move |engine| engine.store().read(|tx| ledger::durations(tx, id))).await?;
    Ok(Json(found.iter().map(duration).collect()))
}

fn duration(it: &DurationRecord) -> Value {
    let minutes = it.total as f64 / 60_000.0;
    let per_minute = it.pages.filter(|_| minutes > 0.0).map(|pages| (pages as f64 / minutes).round());
    json!({
        "step_type": it.step,
        "count": it.count,
        "longest": tenths(it.longest as f64),
        "shortest": tenths(it.shortest as f64),
        "average": tenths(it.total as f64 / it.count.max(1) as f64),
        "pages": it.pages,
        "pages_per_min": per_minute,
        "total_duration": in_seconds(it.total),
        "wall_clock_time": in_seconds(it.wall),
    })
}

#[utoipa::path(get, path = "/api/v1/stats/step-stats", tag = "ingestion",
    summary = "Steps of a group by step and status", params(("run_group_id" = i64, Query)),
    responses((status = 200, description = "`[{name, param_definition_id, workflow_step_name, status, count, pages}]`")))]
pub async fn step_stats(State(app): State<App>, Queried(query): Queried) -> Result<Json<Vec<Value>>> {
    let id = GroupId(query.needed_number("run_group_id")?);
    let found = app.blocking(move |engine| engine.store().read(|tx| ledger::step_counts(tx, id))).await?;
    let object = |it: StepCount| {
        json!({
            "name": it.batch,
            "param_definition_id": it.params,
            "workflow_step_name": it.step,
            "status": it.status.name(),
            "count": it.count,
            "pages": it.pages,
        })
    };
    Ok(Json(found.into_iter().map(object).collect()))
}
