//! `/workflow/param-sets`: parameter sets; the built-in one can't be deleted.

use super::{definitions::yaml, form::Sent};
use crate::{
    http::{App, Failure, Result},
    ingest::{
        database_path,
        parameter_sets::{self, Change, Stored},
    },
};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

fn source(stored: &Stored) -> &'static str {
    if stored.path.is_some() { "user" } else { "app" }
}

#[utoipa::path(get, path = "/api/v1/workflow/param-sets", tag = "ingestion", summary = "Parameter sets",
    responses((status = 200, description = "`[{id, name, source}]`, by id; source is `app` or `user`")))]
pub async fn list(State(app): State<App>) -> Result<Json<Vec<Value>>> {
    let all = app.blocking(|engine| parameter_sets::all(engine.home()).map_err(super::of_ingest)).await?;
    Ok(Json(all.iter().map(|it| json!({"id": it.set.id, "name": it.set.name, "source": source(it)})).collect()))
}

#[utoipa::path(get, path = "/api/v1/workflow/param-sets/{id}", tag = "ingestion", summary = "A parameter set as YAML",
    params(("id" = String, Path)), responses((status = 200, body = String, content_type = "text/yaml"), (status = 404)))]
pub async fn show(State(app): State<App>, Path(id): Path<String>) -> Result<Response> {
    let text = app
        .blocking(move |engine| {
            let found = parameter_sets::find(engine.home(), &id).map_err(super::of_ingest)?;
            let found = found.ok_or_else(|| Failure::not_found(format!("param set {id} not found")))?;
            found.text().map_err(super::of_ingest)
        })
        .await?;
    Ok(yaml(text))
}

/// A parameter set to be kept.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Only described.
pub struct NewParamSet {
    yaml_content: String,
}

#[utoipa::path(post, path = "/api/v1/workflow/param-sets", tag = "ingestion", summary = "Add a parameter set",
    request_body(content = NewParamSet, content_type = "multipart/form-data"),
    responses((status = 201, description = "`{message, id, file_path}`"), (status = 400), (status = 409)))]
pub async fn create(State(app): State<App>, Sent(form): Sent) -> Result<Response> {
    let text = form.text("yaml_content")?.to_string();
    let (set, change) =
        app.blocking(move |engine| parameter_sets::save(engine.home(), &text).map_err(super::of_ingest)).await?;
    match change {
        Change::Done(path) => {
            let answer = json!({"message": "Parameter set created successfully", "id": set.id, "file_path": path});
            Ok((StatusCode::CREATED, Json(answer)).into_response())
        }
        _ => Err(Failure::conflict(format!("Parameter set with ID '{}' already exists", set.id))),
    }
}

#[utoipa::path(delete, path = "/api/v1/workflow/param-sets/{id}", tag = "ingestion", summary = "Delete a parameter set",
    params(("id" = String, Path)), responses((status = 200), (status = 403, description = "It is built in."), (status = 404)))]
pub async fn delete(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>> {
    let name = id.clone();
    let change =
        app.blocking(move |engine| parameter_sets::remove(engine.home(), &name).map_err(super::of_ingest)).await?;
    match change {
        Change::Done(_) => Ok(Json(json!({"message": format!("Parameter set '{id}' deleted successfully")}))),
        Change::Builtin => Err(Failure::new(403, format!("Parameter set '{id}' is built in and can't be deleted"))),
        _ => Err(Failure::not_found(format!("Parameter set '{id}' not found"))),
    }
}

#[utoipa::path(get, path = "/api/v1/workflow/param_sets/target/{target}", tag = "ingestion",
    summary = "Parameter sets that write into a vector database", params(("target" = String, Path)),
    responses((status = 200, description = "`[{id, name, meta, config, source}]`")))]
pub async fn of_target(State(app): State<App>, Path(target): Path<String>) -> Result<Json<Vec<Value>>> {
    let all = app
        .blocking(move |engine| {
            let place = |name: &str| database_path(engine.home(), name).ok();
            let wanted = place(&target);
            let mut all = parameter_sets::all(engine.home()).map_err(super::of_ingest)?;
            all.retain(|it| {
                let path = it.set.config["store"]["path"].as_str().unwrap_or_default();
                path == target || (wanted.is_some() && place(path) == wanted)
            });
            Ok::<_, Failure>(all)
        })
        .await?;
    let object = |it: &Stored| {
        let set = &it.set;
        json!({"id": set.id, "name": set.name, "meta": set.meta, "config": set.config, "source": source(it)})
    };
    Ok(Json(all.iter().map(object).collect()))
}
