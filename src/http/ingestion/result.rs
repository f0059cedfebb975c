//! The result of a run as one response: its output, or the status for its failure.

use crate::{
    engine::Engine,
    http::{App, Failure, Result},
    model::{Outcome, RunId, Status},
    store::read,
};
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The result of a run that completed without output.
const NOTHING: &str = "completed without output";

/// The result of a run that completed.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunResult {
    run_id: i64,
    /// `COMPLETED`
    status: String,
    /// The output of its last step; `completed without output` if there is none.
    result: Value,
}

#[utoipa::path(get, path = "/api/v1/workflow/runs/{id}/result", tag = "ingestion", summary = "The result of a run",
    description = "If the run has not completed, an error whose `code` says why",
    params(("id" = i64, Path)),
    responses((status = 200, body = RunResult), (status = 404),
        (status = 409, description = "It was cancelled (`cancelled`), or has not ended (`not_ended`)."),
        (status = 502, description = "A step's worker ended without an answer, so the result is lost (`result_lost`)."),
        (status = 504, description = "A step took too long (`timed_out`).")))]
pub async fn result(State(app): State<App>, Path(id): Path<i64>) -> Result<Json<RunResult>> {
    app.blocking(move |engine| of_run(engine, RunId(id))).await.map(Json)
}

fn of_run(engine: &Engine, id: RunId) -> Result<RunResult> {
    let store = engine.store();
    let found = store.read(|tx| read::show_run(tx, id)).map_err(|error| match error {
        crate::store::Error::NotFound { .. } => Failure::not_found(format!("workflow run {id} not found", id = id.0)),
        error => error.into(),
    })?;
    match found.run.status {
        Status::Completed => {
            let result = found.output.filter(|it| !it.is_null()).unwrap_or_else(|| NOTHING.into());
            Ok(RunResult { run_id: id.0, status: found.run.status.name().to_string(), result })
        }
        Status::Cancelled | Status::Skipped => Err(failure(&Outcome::Cancelled)),
        Status::Failed => {
            let step = found.steps.iter().find(|it| it.status == Status::Failed).map(|it| it.id);
            let attempts = step.map(|step| store.read(|tx| read::show_step(tx, step))).transpose()?;
            let last = attempts.and_then(|it| it.attempts_all.into_iter().next_back()).and_then(|it| it.detail);
            let outcome = last.and_then(|it| serde_json::from_value(it["outcome"].clone()).ok());
            let unknown = || Outcome::permanent("failed", "the run failed; its attempts have been pruned");
            Err(failure(&outcome.unwrap_or_else(unknown)))
        }
        Status::Pending | Status::Running | Status::Waiting | Status::Error => {
            Err(Failure::conflict("the run has not ended").code("not_ended"))
        }
    }
}

/// The response to each kind of outcome.
fn failure(outcome: &Outcome) -> Failure {
    let (status, code) = match outcome {
        Outcome::Failed { kind, .. } if kind == "result_lost" => (502, kind.as_str()),
        Outcome::Failed { kind, .. } if kind == "not_startable" => (503, kind.as_str()),
        Outcome::Failed { kind, .. } => (500, kind.as_str()),
        Outcome::TimedOut { .. } => (504, "timed_out"),
        Outcome::ResourceLimit { .. } => (507, "resource_limit"),
        Outcome::Crashed { .. } => (500, "crashed"),
        Outcome::Cancelled => (409, "cancelled"),
        Outcome::Interrupted { .. } => (503, "interrupted"),
        Outcome::NoRoom { .. } => (507, "no_room"),
        // Does not occur: a run does not fail with this outcome.
        Outcome::Succeeded => (500, "failed"),
    };
    Failure::new(status, outcome.to_string()).code(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Millis, ResourceLimit};

    #[test]
    fn every_kind_of_outcome_has_its_status_and_its_code() {
        let limit = Outcome::ResourceLimit { limit: ResourceLimit::Memory, message: "too much".into() };
        for (outcome, status, code) in [
            (Outcome::retryable("result_lost", "x"), 502, "result_lost"),
            (Outcome::permanent("not_startable", "x"), 503, "not_startable"),
            (Outcome::permanent("encrypted", "result lost"), 500, "encrypted"),
            (Outcome::TimedOut { after: Millis(1) }, 504, "timed_out"),
            (Outcome::Cancelled, 409, "cancelled"),
            (limit, 507, "resource_limit"),
            (Outcome::Crashed { signal: Some(11), message: "x".into() }, 500, "crashed"),
        ] {
            let failure = failure(&outcome);
            assert_eq!((failure.status.as_u16(), failure.code.as_deref()), (status, Some(code)), "{outcome:?}");
        }
    }
}
