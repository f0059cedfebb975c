//! `/workflow/param-sets`: parameter sets; the built-in one can't be deleted.

use super::{definitions::yaml, form::Sent, object::Message};
use crate::{
    definition::ParameterSet,
    http::{App, Caller, Failure, Result},
    ingest::{
        kept_database_path,
        parameter_sets::{self, Change, Stored},
        raises_limit, reaches_beyond,
    },
};
use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::{self, PathBuf};
use utoipa::ToSchema;

fn source(stored: &Stored) -> &'static str {
    if stored.path.is_some() { "user" } else { "app" }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ListedParamSet {
    id: String,
    name: String,
    /// `app`: built in, or `user`.
    source: &'static str,
}

#[utoipa::path(get, path = "/api/v1/workflow/param-sets", tag = "ingestion", summary = "Parameter sets",
    responses((status = 200, body = [ListedParamSet], description = "By id")))]
pub async fn list(State(app): State<App>) -> Result<Json<Vec<ListedParamSet>>> {
    let all = app.blocking(|engine| parameter_sets::all(engine.home()).map_err(super::turn::of_ingest)).await?;
    let listed = |it: Stored| ListedParamSet { source: source(&it), id: it.set.id, name: it.set.name };
    Ok(Json(all.into_iter().map(listed).collect()))
}

#[utoipa::path(get, path = "/api/v1/workflow/param-sets/{id}", tag = "ingestion", summary = "A parameter set as YAML",
    params(("id" = String, Path, example = "default")), responses((status = 200, body = Object, content_type = "text/yaml"), (status = 404)))]
pub async fn show(State(app): State<App>, Path(id): Path<String>) -> Result<Response> {
    let text = app
        .blocking(move |engine| {
            let found = parameter_sets::find(engine.home(), &id).map_err(super::turn::of_ingest)?;
            let found = found.ok_or_else(|| Failure::not_found(format!("param set {id} not found")))?;
            found.text().map_err(super::turn::of_ingest)
        })
        .await?;
    Ok(yaml(text))
}

/// A parameter set to store.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described.
pub struct NewParamSet {
    yaml_content: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct KeptParamSet {
    message: &'static str,
    id: String,
    #[schema(value_type = String)]
    file_path: PathBuf,
}

#[utoipa::path(post, path = "/api/v1/workflow/param-sets", tag = "ingestion", summary = "Add a parameter set",
    request_body(content = NewParamSet, content_type = "multipart/form-data"),
    responses((status = 201, body = KeptParamSet), (status = 400),
        (status = 403, description = "Without the token: it names a server, a key, or a vector database outside the home, or raises a limit."),
        (status = 409)))]
pub async fn create(
    State(app): State<App>,
    caller: Extension<Caller>,
    Sent(form): Sent,
) -> Result<(StatusCode, Json<KeptParamSet>)> {
    let text = form.text("yaml_content")?.to_string();
    let standard = app.settings().parameters.clone();
    let (set, change) = app
        .blocking(move |engine| {
            if !caller.may_reach_out() {
                let set = ParameterSet::parse(&text, "yaml_content")?;
                stays_at_home(engine.home(), &set)?;
                raises_nothing(engine.home(), &standard, &set)?;
            }
            parameter_sets::save(engine.home(), &text).map_err(super::turn::of_ingest)
        })
        .await?;
    match change {
        Change::Done(path) => {
            let message = "Parameter set created successfully";
            Ok((StatusCode::CREATED, Json(KeptParamSet { message, id: set.id, file_path: path })))
        }
        _ => Err(Failure::conflict(format!("Parameter set with ID '{}' already exists", set.id))),
    }
}

/// Checks what a caller without the token may set.
fn stays_at_home(home: &path::Path, set: &ParameterSet) -> Result<()> {
    match reaches_beyond(home, set) {
        None => Ok(()),
        Some(key) => Err(Failure::new(403, format!("`{key}` reaches outside the home: that requires the token"))
            .hint("send the token, or put the set into `params/` in the home directory")),
    }
}

/// Without the token, limits may only be lowered below those of the home's own set (setting `parameters`).
fn raises_nothing(home: &path::Path, standard: &str, set: &ParameterSet) -> Result<()> {
    let own = parameter_sets::find(home, standard).ok().flatten();
    match raises_limit(set, &own.map_or_else(ParameterSet::builtin, |it| it.set)) {
        None => Ok(()),
        Some(key) => {
            let what = format!("`{key}` is above the limit of the parameter set `{standard}`: that requires the token");
            Err(Failure::new(403, what).hint("send the token, or put the set into `params/` in the home directory"))
        }
    }
}

#[utoipa::path(delete, path = "/api/v1/workflow/param-sets/{id}", tag = "ingestion", summary = "Delete a parameter set",
    params(("id" = String, Path, example = "mine")), responses((status = 200, body = Message), (status = 403, description = "It is built in."), (status = 404)))]
pub async fn delete(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Message>> {
    let name = id.clone();
    let change = app
        .blocking(move |engine| parameter_sets::remove(engine.home(), &name).map_err(super::turn::of_ingest))
        .await?;
    match change {
        Change::Done(_) => Ok(Json(Message { message: format!("Parameter set '{id}' deleted successfully") })),
        Change::Builtin => Err(Failure::new(403, format!("Parameter set '{id}' is built in and can't be deleted"))),
        _ => Err(Failure::not_found(format!("Parameter set '{id}' not found"))),
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct WholeParamSet {
    id: String,
    name: String,
    #[schema(value_type = Object)]
    meta: Value,
    #[schema(value_type = Object)]
    config: Value,
    source: &'static str,
}

#[utoipa::path(get, path = "/api/v1/workflow/param_sets/target/{target}", tag = "ingestion",
    summary = "Parameter sets that write into a vector database", params(("target" = String, Path)),
    responses((status = 200, body = [WholeParamSet])))]
pub async fn of_target(State(app): State<App>, Path(target): Path<String>) -> Result<Json<Vec<WholeParamSet>>> {
    let all = app
        .blocking(move |engine| {
            let place = |name: &str| kept_database_path(engine.home(), name).ok();
            let wanted = place(&target);
            let mut all = parameter_sets::all(engine.home()).map_err(super::turn::of_ingest)?;
            all.retain(|it| {
                let path = it.set.config["store"]["path"].as_str().unwrap_or_default();
                path == target || (wanted.is_some() && place(path) == wanted)
            });
            Ok::<_, Failure>(all)
        })
        .await?;
    let object = |it: Stored| {
        let (source, set) = (source(&it), it.set);
        WholeParamSet { id: set.id, name: set.name, meta: json!(set.meta), config: json!(set.config), source }
    };
    Ok(Json(all.into_iter().map(object).collect()))
}
