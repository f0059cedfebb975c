//! `/batch`: documents that are uploaded and processed together.

use super::{
    definitions,
    form::{Queried, Sent},
    listing::{self, PAGE},
    object::{self, BatchObject, GroupObject, RunObject, StepObject},
    start::StartRequest,
    workflow,
};
use crate::{
    engine::LockWait,
    http::{App, Caller, Failure, Result},
    ingest::batch::{self, Start, Which},
    model::{GroupId, Millis, ResourceKey, RunId},
    store::{document_batch, records},
};
use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How long starting a batch's new documents waits for another start.
const TURN: Millis = Millis::seconds(30);

#[utoipa::path(get, path = "/api/v1/batch/", tag = "ingestion", summary = "All batches",
    responses((status = 200, body = [BatchObject])))]
pub async fn list(State(app): State<App>) -> Result<Response> {
    listing::array(app, String::new(), String::new(), 0, |engine, after| {
        let found = engine.store().read(|tx| document_batch::list(tx, after, PAGE))?;
        let next = found.last().filter(|_| found.len() == PAGE).map(|it| it.id);
        Ok((found.into_iter().map(BatchObject::from).collect(), next))
    })
    .await
}

/// The fields that create a batch.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described.
pub struct NewBatch {
    #[schema(max_length = 1024)]
    source: String,
    #[schema(max_length = 1024)]
    name: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MadeBatch {
    batch_id: i64,
}

#[utoipa::path(post, path = "/api/v1/batch/", tag = "ingestion", summary = "Create a batch",
    request_body(content = NewBatch, content_type = "multipart/form-data"),
    responses((status = 201, body = MadeBatch), (status = 400)))]
pub async fn create(State(app): State<App>, Sent(form): Sent) -> Result<(StatusCode, Json<MadeBatch>)> {
    let (source, name) = (form.name("source")?.to_string(), form.name("name")?.to_string());
    let batch_id =
        app.blocking(move |engine| engine.store().write(move |tx| document_batch::insert(tx, &source, &name))).await?;
    Ok((StatusCode::CREATED, Json(MadeBatch { batch_id })))
}

/// The fields that start the workflow on the documents of a batch.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described.
pub struct StartWorkflows {
    batch_id: i64,
    /// The built-in `ingest` by default.
    workflow_definition_id: Option<String>,
    /// The setting `parameters` by default.
    param_id: Option<String>,
    priority: Option<i64>,
    /// Leaves out documents that have not changed since a group of the batch processed them with the same workflow and parameters.
    only_unparsed: Option<bool>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct StartedWorkflows {
    message: &'static str,
    /// Runs that were started.
    workflows: usize,
    run_group: Option<GroupObject>,
}

#[utoipa::path(post, path = "/api/v1/batch/start-workflows", tag = "ingestion", summary = "Process the documents of a batch",
    request_body(content = StartWorkflows, content_type = "multipart/form-data"),
    responses((status = 201, body = StartedWorkflows), (status = 400),
        (status = 403, description = "Without the token: the workflow was only submitted."), (status = 404)))]
pub async fn start_workflows(
    State(app): State<App>,
    caller: Extension<Caller>,
    Sent(form): Sent,
) -> Result<(StatusCode, Json<StartedWorkflows>)> {
    let id = form.needed_number("batch_id")?;
    let request = StartRequest::of(&form, &app, &caller)?;
    let which = if form.flag("only_unparsed")? { Which::New } else { Which::All };
    let (workflows, run_group) = app
        .blocking(move |engine| {
            if !engine.store().read(|tx| document_batch::exists(tx, id))? {
                return Err(Failure::not_found(format!("Batch {id} not found")));
            }
            let (definition, params) = definitions::find_both(engine, &request)?;
            // With `only_unparsed`, a start must see the groups that others have started.
            let key = ResourceKey(format!("batch:{id}"));
            let _turn = engine.hold_key(&key, super::turn::holder(), LockWait::AtMost(TURN))?;
            let start = Start {
                batch: id,
                definition,
                params,
                database: request.database,
                priority: request.priority,
                name: None,
                which,
            };
            let started = batch::start(engine, &start).map_err(super::turn::of_ingest)?;
            let group = engine.store().read(|tx| records::group(tx, started.group))?;
            Ok((started.runs, group.map(GroupObject::from)))
        })
        .await?;
    Ok((StatusCode::CREATED, Json(StartedWorkflows { message: "Workflows started", workflows, run_group })))
}

/// How far a batch is.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described: the runs are sent while they are read.
pub struct BatchProgress {
    batch: BatchObject,
    document_count: i64,
    /// By status; statuses without runs are omitted.
    workflow_count: BTreeMap<String, i64>,
    workflows: Vec<RunObject>,
    /// Documents with a completed workflow.
    parsed: i64,
    remaining: i64,
}

#[utoipa::path(get, path = "/api/v1/batch/status", tag = "ingestion", summary = "The progress of a batch",
    params(("batch_id" = i64, Query)),
    responses((status = 200, body = BatchProgress), (status = 404)))]
pub async fn status(State(app): State<App>, Queried(query): Queried) -> Result<Response> {
    let id = query.needed_number("batch_id")?;
    let (batch, documents, parsed, tally) = app
        .blocking(move |engine| {
            engine.store().read(|tx| {
                let (documents, parsed) = document_batch::progress(tx, id)?;
                Ok((document_batch::get(tx, id)?, documents, parsed, records::tally_of_batch(tx, id)?))
            })
        })
        .await
        .map_err(|failure| match failure.status {
            StatusCode::NOT_FOUND => Failure::not_found(format!("Batch {id} not found")),
            _ => failure,
        })?;
    let counts: Map<String, Value> = object::counts(&tally).into_iter().filter(|it| it.1 != json!(0)).collect();
    let batch = serde_json::to_string(&BatchObject::from(batch)).unwrap_or_default();
    let head = format!(
        "{{\"batch\":{batch},\"document_count\":{documents},\"workflow_count\":{},\"workflows\":",
        Value::Object(counts)
    );
    let tail = format!(",\"parsed\":{parsed},\"remaining\":{}}}", documents - parsed);
    workflow::runs_of_batch(app, id, head, tail).await
}

#[utoipa::path(get, path = "/api/v1/batch/{batch_id}/steps", tag = "ingestion", summary = "All steps of a batch",
    params(("batch_id" = i64, Path)), responses((status = 200, body = [StepObject])))]
pub async fn steps(State(app): State<App>, Path(id): Path<i64>) -> Result<Response> {
    let start = (GroupId(0), RunId(0));
    listing::array(app, String::new(), String::new(), start, move |engine, after| {
        Ok(engine.store().read(|tx| {
            let (runs, next) = records::runs_of_batch(tx, id, after, PAGE / 5)?;
            let mut steps = Vec::new();
            for run in &runs {
                steps.extend(records::steps_of_run(tx, *run)?.into_iter().map(StepObject::from));
            }
            Ok((steps, next))
        })?)
    })
    .await
}
