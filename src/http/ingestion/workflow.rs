//! `/workflow`: runs, their steps and their history.

use super::{
    definitions,
    form::{Fields, Queried, Sent},
    listing::{self, PAGE},
    object::{self, HistoryObject, RunObject, StepObject},
    start::StartRequest,
};
use crate::{
    definition::Definition,
    engine::Engine,
    http::{App, Caller, Failure, Result},
    ingest::batch::{self, Start, Which},
    model::{GroupId, RunId, Status, StepId},
    store::{
        ReadTx, document_uri,
        records::{self, NEWEST, RunRecord, Wanted},
    },
};
use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// The most rows that a page may have.
const ROWS_MAX: i64 = 1_000;

fn status_of(query: &Fields) -> Result<Status> {
    query.text("status")?.parse().map_err(Failure::bad_request)
}

/// The document of a run.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct DocumentInfo {
    uri: Option<String>,
    source: Option<String>,
    file_size: Option<u64>,
    mime_type: Option<String>,
}

/// A run with the requested parts.
#[derive(Debug, Serialize, ToSchema)]
pub struct DetailedRun {
    workflow_run: RunObject,
    steps: Option<Vec<StepObject>>,
    document_info: Option<DocumentInfo>,
}

/// A run in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ListedRun {
    /// Without any included part.
    Alone(Box<RunObject>),
    Detailed(Box<DetailedRun>),
}

/// The parts to include with each run of a list.
#[derive(Debug, Clone, Copy)]
struct Include {
    steps: bool,
    document: bool,
}

impl Include {
    fn of(query: &Fields) -> Result<Include> {
        Ok(Include { steps: query.flag("include_steps")?, document: query.flag("include_doc_info")? })
    }

    fn object(self, tx: &ReadTx, run: RunRecord) -> crate::store::Result<ListedRun> {
        if !self.steps && !self.document {
            return Ok(ListedRun::Alone(Box::new(run.into())));
        }
        let steps = match self.steps {
            true => Some(records::steps_of_run(tx, run.id)?.into_iter().map(StepObject::from).collect()),
            false => None,
        };
        let document_info = if self.document { Some(document_of(tx, &run)?) } else { None };
        Ok(ListedRun::Detailed(Box::new(DetailedRun { workflow_run: run.into(), steps, document_info })))
    }
}

/// The document in the run's batch with its content, otherwise any document with it.
fn document_of(tx: &ReadTx, run: &RunRecord) -> crate::store::Result<DocumentInfo> {
    let Some(content) = &run.content else { return Ok(DocumentInfo::default()) };
    let documents = document_uri::of_content(tx, content)?;
    let of_batch = documents.iter().find(|it| it.batch == run.batch).or(documents.first());
    let kept = document_uri::content(tx, content)?;
    Ok(DocumentInfo {
        uri: of_batch.map(|it| it.uri.clone()),
        source: of_batch.map(|it| it.source.clone()),
        file_size: kept.as_ref().map(|it| it.0),
        mime_type: kept.map(|it| it.1),
    })
}

/// A page of runs, if one was requested.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunPage {
    items: Vec<ListedRun>,
    total: i64,
    page: i64,
    rows_per_page: i64,
    total_pages: i64,
}

/// Runs: all of them, or a page.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // Only described: all of them are sent while they are read.
pub enum ListedRuns {
    All(Vec<ListedRun>),
    Page(RunPage),
}

#[utoipa::path(get, path = "/api/v1/workflow/", tag = "ingestion", summary = "Runs, newest first",
    params(("batch_id" = Option<i64>, Query), ("include_steps" = Option<bool>, Query),
        ("include_doc_info" = Option<bool>, Query), ("page" = Option<i64>, Query), ("rows_per_page" = Option<i64>, Query)),
    responses((status = 200, body = ListedRuns, description = "An array, or with `page` or `rows_per_page` a page of it"), (status = 400)))]
pub async fn list(State(app): State<App>, Queried(query): Queried) -> Result<Response> {
    let wanted = Wanted { batch: query.number("batch_id")?, status: None };
    runs(app, wanted, &query).await
}

#[utoipa::path(get, path = "/api/v1/workflow/by-status", tag = "ingestion", summary = "Runs with a status, newest first",
    params(("status" = String, Query), ("batch_id" = Option<i64>, Query), ("include_doc_info" = Option<bool>, Query),
        ("page" = Option<i64>, Query), ("rows_per_page" = Option<i64>, Query)),
    responses((status = 200, body = ListedRuns, description = "An array, or with `page` or `rows_per_page` a page of it"), (status = 400)))]
pub async fn by_status(State(app): State<App>, Queried(query): Queried) -> Result<Response> {
    let wanted = Wanted { batch: query.number("batch_id")?, status: Some(status_of(&query)?) };
    runs(app, wanted, &query).await
}

async fn runs(app: App, wanted: Wanted, query: &Fields) -> Result<Response> {
    let include = Include::of(query)?;
    let (page, rows) = (query.number("page")?, query.number("rows_per_page")?);
    if page.is_none() && rows.is_none() {
        return all_runs(app, wanted, include, String::new(), String::new()).await;
    }
    let (page, rows) = (page.unwrap_or(1), rows.unwrap_or(10));
    if page < 1 || !(1..=ROWS_MAX).contains(&rows) {
        return Err(Failure::bad_request(format!("`page` counts from 1, `rows_per_page` from 1 to {ROWS_MAX}")));
    }
    let (items, total) = app
        .blocking(move |engine| {
            engine.store().read(|tx| {
                let total = records::total(tx, &wanted)?;
                let runs = records::page(tx, &wanted, (page - 1).saturating_mul(rows), rows)?;
                let items = runs.into_iter().map(|it| include.object(tx, it));
                Ok((items.collect::<crate::store::Result<Vec<ListedRun>>>()?, total))
            })
        })
        .await?;
    let total_pages = (total + rows - 1) / rows;
    Ok(Json(RunPage { items, total, page, rows_per_page: rows, total_pages }).into_response())
}

async fn all_runs(app: App, wanted: Wanted, include: Include, before: String, after: String) -> Result<Response> {
    listing::array(app, before, after, NEWEST, move |engine, place| {
        Ok(engine.store().read(|tx| {
            let (runs, next) = records::older(tx, &wanted, place, PAGE / 5)?;
            let items =
                runs.into_iter().map(|it| include.object(tx, it)).collect::<crate::store::Result<Vec<ListedRun>>>();
            Ok((items?, next))
        })?)
    })
    .await
}

/// All runs of a batch as the middle of an object.
pub async fn runs_of_batch(app: App, batch: i64, before: String, after: String) -> Result<Response> {
    let wanted = Wanted { batch: Some(batch), status: None };
    all_runs(app, wanted, Include { steps: false, document: false }, before, after).await
}

#[utoipa::path(get, path = "/api/v1/workflow/runs", tag = "ingestion", summary = "Runs of a batch",
    params(("batch_id" = i64, Query)), responses((status = 200, body = [RunObject]), (status = 400)))]
pub async fn of_batch(State(app): State<App>, Queried(query): Queried) -> Result<Response> {
    let batch = query.needed_number("batch_id")?;
    runs_of_batch(app, batch, String::new(), String::new()).await
}

/// A run with its steps.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunWithSteps {
    #[serde(flatten)]
    run: RunObject,
    steps: Vec<StepObject>,
}

fn with_steps(engine: &Engine, id: RunId) -> Result<Option<RunWithSteps>> {
    Ok(engine.store().read(|tx| {
        let Some(run) = records::run(tx, id)? else { return Ok(None) };
        let steps = records::steps_of_run(tx, id)?.into_iter().map(StepObject::from).collect();
        Ok(Some(RunWithSteps { run: run.into(), steps }))
    })?)
}

#[utoipa::path(get, path = "/api/v1/workflow/runs/{id}", tag = "ingestion", summary = "A run with its steps",
    params(("id" = i64, Path)), responses((status = 200, body = RunWithSteps), (status = 404)))]
pub async fn show(State(app): State<App>, Path(id): Path<i64>) -> Result<Json<RunWithSteps>> {
    let found = app.blocking(move |engine| with_steps(engine, RunId(id))).await?;
    found.map(Json).ok_or_else(|| Failure::not_found(format!("workflow run {id} not found")))
}

#[utoipa::path(get, path = "/api/v1/workflow/runs/{id}/lifecycle", tag = "ingestion", summary = "Events of a run",
    params(("id" = i64, Path)), responses((status = 200, body = [HistoryObject]), (status = 404)))]
pub async fn lifecycle(State(app): State<App>, Path(id): Path<i64>) -> Result<Json<Vec<HistoryObject>>> {
    let found = app.blocking(move |engine| engine.store().read(|tx| records::history(tx, RunId(id)))).await?;
    if found.is_empty() {
        return Err(Failure::not_found(format!("workflow run {id} not found")));
    }
    Ok(Json((1..).zip(found).map(|(no, it)| HistoryObject::new(no, it)).collect()))
}

#[utoipa::path(get, path = "/api/v1/workflow/steps", tag = "ingestion", summary = "Steps with a status",
    params(("status" = String, Query)), responses((status = 200, body = [StepObject]), (status = 400)))]
pub async fn steps(State(app): State<App>, Queried(query): Queried) -> Result<Response> {
    let status = status_of(&query)?;
    listing::array(app, String::new(), String::new(), StepId(0), move |engine, after| {
        let (steps, next) = engine.store().read(|tx| records::steps_with_status(tx, status, after))?;
        Ok((steps.into_iter().map(StepObject::from).collect(), next))
    })
    .await
}

/// The fields that start the workflow on one document.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described.
pub struct StartWorkflow {
    /// `sha256-<hex>`
    doc_id: String,
    /// The built-in `ingest` by default. The spelling `workflow_definiton_id` is read too.
    workflow_definition_id: Option<String>,
    param_id: Option<String>,
    priority: Option<i64>,
}

#[utoipa::path(post, path = "/api/v1/workflow/", tag = "ingestion", summary = "Process one document",
    request_body(content = StartWorkflow, content_type = "multipart/form-data"),
    responses((status = 201, body = Vec<serde_json::Value>, description = "`[run, [step, ...]]`"), (status = 400),
        (status = 403, description = "Without the token: the workflow was only submitted."), (status = 404)))]
pub async fn start(
    State(app): State<App>,
    caller: Extension<Caller>,
    Sent(form): Sent,
) -> Result<(StatusCode, Json<(Option<RunObject>, Vec<StepObject>)>)> {
    let doc_id = form.text("doc_id")?.to_string();
    let request = StartRequest::of(&form, &app, &caller)?;
    let started = app.blocking(move |engine| start_one(engine, &doc_id, request)).await?;
    let (run, steps) = started.map_or((None, Vec::new()), |it| (Some(it.run), it.steps));
    Ok((StatusCode::CREATED, Json((run, steps))))
}

fn start_one(engine: &Engine, doc_id: &str, request: StartRequest) -> Result<Option<RunWithSteps>> {
    let missing = || Failure::not_found(format!("Document {doc_id} not found"));
    let content = object::parse_hash(doc_id).ok_or_else(missing)?;
    let documents = engine.store().read(|tx| document_uri::of_content(tx, &content))?;
    let batch = documents.iter().find_map(|it| it.batch).ok_or_else(missing)?;
    let (definition, params): (Definition, _) = definitions::find_both(engine, &request)?;
    let start = Start {
        batch,
        definition,
        params,
        database: request.database,
        priority: request.priority,
        name: Some(format!("single run {doc_id}")),
        which: Which::One(content),
    };
    let started = batch::start(engine, &start).map_err(super::turn::of_ingest)?;
    started.first_run.map_or(Ok(None), |run| with_steps(engine, run))
}

/// The group to retry, if the query does not name it.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described.
pub struct WhichGroup {
    run_group_id: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RetriedGroup {
    message: &'static str,
    run_group_id: i64,
    /// Runs that are retried.
    runs: i64,
}

#[utoipa::path(post, path = "/api/v1/workflow/retry", tag = "ingestion", summary = "Retry the failed runs of a group",
    params(("run_group_id" = Option<i64>, Query, description = "Here or in a form")),
    request_body(content = Option<WhichGroup>, content_type = "multipart/form-data"),
    responses((status = 201, body = RetriedGroup), (status = 404)))]
pub async fn retry(State(app): State<App>, Sent(form): Sent) -> Result<(StatusCode, Json<RetriedGroup>)> {
    let id = form.needed_number("run_group_id")?;
    let runs = app.blocking(move |engine| engine.retry_lost(GroupId(id))).await?;
    Ok((StatusCode::CREATED, Json(RetriedGroup { message: "Failed runs are retried", run_group_id: id, runs })))
}
