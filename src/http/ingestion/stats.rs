//! `/stats`: how long the steps of a group took, and how they ended.

use super::{
    form::Queried,
    object::{in_seconds, tenths},
};
use crate::{
    http::{App, Result},
    model::GroupId,
    store::records::{self, DurationRecord, StepCount},
};
use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

/// How long the completed steps of one name took; seconds.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepDurations {
    step_type: String,
    count: i64,
    longest: f64,
    shortest: f64,
    average: f64,
    /// The page number, if paged.
    pages: Option<i64>,
    pages_per_min: Option<f64>,
    total_duration: f64,
    /// From the first start to the last end.
    wall_clock_time: f64,
}

#[utoipa::path(get, path = "/api/v1/stats/durations", tag = "ingestion",
    summary = "How long completed steps of a group took, by step; in seconds", params(("run_group_id" = i64, Query)),
    responses((status = 200, body = [StepDurations])))]
pub async fn durations(State(app): State<App>, Queried(query): Queried) -> Result<Json<Vec<StepDurations>>> {
    let id = GroupId(query.needed_number("run_group_id")?);
    let found = app.blocking(move |engine| engine.store().read(|tx| records::durations(tx, id))).await?;
    Ok(Json(found.into_iter().map(StepDurations::from).collect()))
}

impl From<DurationRecord> for StepDurations {
    fn from(it: DurationRecord) -> StepDurations {
        let minutes = it.total as f64 / 60_000.0;
        StepDurations {
            pages_per_min: it.pages.filter(|_| minutes > 0.0).map(|pages| (pages as f64 / minutes).round()),
            step_type: it.step,
            count: it.count,
            longest: tenths(it.longest as f64),
            shortest: tenths(it.shortest as f64),
            average: tenths(it.total as f64 / it.count.max(1) as f64),
            pages: it.pages,
            total_duration: in_seconds(it.total),
            wall_clock_time: in_seconds(it.wall),
        }
    }
}

/// Steps of one name and status in a group.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepStats {
    /// Of the batch.
    name: Option<String>,
    param_definition_id: Option<String>,
    workflow_step_name: String,
    status: &'static str,
    count: i64,
    pages: Option<i64>,
}

#[utoipa::path(get, path = "/api/v1/stats/step-stats", tag = "ingestion",
    summary = "Steps of a group by step and status", params(("run_group_id" = i64, Query)),
    responses((status = 200, body = [StepStats])))]
pub async fn step_stats(State(app): State<App>, Queried(query): Queried) -> Result<Json<Vec<StepStats>>> {
    let id = GroupId(query.needed_number("run_group_id")?);
    let found = app.blocking(move |engine| engine.store().read(|tx| records::step_counts(tx, id))).await?;
    let object = |it: StepCount| StepStats {
        name: it.batch,
        param_definition_id: it.params,
        workflow_step_name: it.step,
        status: it.status.name(),
        count: it.count,
        pages: it.pages,
    };
    Ok(Json(found.into_iter().map(object).collect()))
}
