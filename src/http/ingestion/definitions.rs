//! `/workflow/definitions`: the workflows that can be started, by id: the built-in one, the files of `workflows/` in
//! the home directory, and the newest version of those submitted before.

use super::start::StartRequest;
use crate::{
    definition::{
        Definition, KnownKinds, ParameterSet,
        catalog::{self, Entry},
    },
    engine::Engine,
    http::{App, Failure, Result},
    ingest::{self, WORKFLOW, parameter_sets},
    store::definition,
};
use axum::{
    Json,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A workflow that can be started, and its text.
struct Known {
    definition: Definition,
    text: String,
    /// Known only because it was once submitted, with items that its author chose.
    submitted: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ListedDefinition {
    id: String,
    name: String,
}

#[utoipa::path(get, path = "/api/v1/workflow/definitions", tag = "ingestion", summary = "Workflows that can be started",
    responses((status = 200, body = [ListedDefinition], description = "By id")))]
pub async fn list(State(app): State<App>) -> Result<Json<Vec<ListedDefinition>>> {
    let all = app.blocking(all).await?;
    Ok(Json(all.into_iter().map(|(id, it)| ListedDefinition { id, name: it.definition.name }).collect()))
}

#[utoipa::path(get, path = "/api/v1/workflow/definitions/{id}", tag = "ingestion", summary = "A workflow as YAML",
    params(("id" = String, Path, example = "ingest")), responses((status = 200, body = Object, content_type = "text/yaml"), (status = 404)))]
pub async fn show(State(app): State<App>, Path(id): Path<String>) -> Result<Response> {
    let text = app.blocking(move |engine| Ok::<_, Failure>(find(engine, &id)?.text)).await?;
    Ok(yaml(text))
}

pub fn yaml(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/yaml; charset=utf-8")], text).into_response()
}

/// Later sources outrank earlier ones: submitted definitions, files, the built-in one.
fn all(engine: &Engine) -> Result<BTreeMap<String, Known>> {
    let mut found = BTreeMap::new();
    for it in engine.store().read(definition::newest)? {
        // A version that this program can't read, or that was changed in the database, can't be started.
        let Ok(definition) = Definition::from_stored(&it.body, &it.hash) else { continue };
        let text = pretty(&it.body);
        found.insert(definition.id.clone(), Known { definition, text, submitted: true });
    }
    let kinds = KnownKinds::new(engine.kinds().names());
    let (entries, refused) = catalog::workflows(engine.home(), &kinds).map_err(|error| {
        let directory = engine.home().join(catalog::DIRECTORY);
        Failure::new(500, format!("failed to list {}: {error}", directory.display()))
    })?;
    for Entry { definition, text } in entries {
        found.insert(definition.id.clone(), Known { definition, text, submitted: false });
    }
    refused.iter().for_each(|error| tracing::warn!(%error, "failed to read a workflow"));
    let definition = ingest::definition()?;
    found.insert(definition.id.clone(), Known { definition, text: WORKFLOW.to_string(), submitted: false });
    Ok(found)
}

/// JSON is YAML.
fn pretty(body: &str) -> String {
    let value: Value = serde_json::from_str(body).unwrap_or_default();
    serde_json::to_string_pretty(&value).unwrap_or_default() + "\n"
}

fn find(engine: &Engine, id: &str) -> Result<Known> {
    let missing = || Failure::not_found(format!("workflow definition {id} not found"));
    all(engine)?.remove(id).ok_or_else(missing)
}

/// The workflow and the parameter set of a request.
pub fn find_both(engine: &Engine, request: &StartRequest) -> Result<(Definition, ParameterSet)> {
    let definition = match &request.definition {
        Some(id) => {
            let found = find(engine, id)?;
            // Its commands would run with items of the caller's choice.
            if found.submitted && !request.may_reach_out {
                return Err(Failure::new(
                    403,
                    format!("the workflow {id} was only submitted: starting it requires the token"),
                )
                .hint("send the token, or put the workflow into `workflows/` in the home directory"));
            }
            found.definition
        }
        None => ingest::definition()?,
    };
    let found = parameter_sets::find(engine.home(), &request.params).map_err(super::turn::of_ingest)?;
    let missing = || Failure::not_found(format!("param set {} not found", request.params));
    Ok((definition, found.ok_or_else(missing)?.set))
}
