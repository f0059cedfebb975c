//! Submitting any workflow with its items.

use super::{
    answer::{Refused, RefusedBody},
    body::JsonBody,
};
use crate::{
    definition::{Definition, KnownKinds, parse},
    engine::{Engine, Submission},
    http::{App, Failure, Result},
    model::{GroupId, number::keep_digits},
    view,
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;
use utoipa::ToSchema;

/// A workflow to run. A null field counts as omitted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewGroup {
    /// The workflow: its YAML or JSON as a text, or as an object.
    definition: DefinitionText,
    /// One run each: a string, or an object whose fields the steps read. Omitted: one run, if the workflow needs no item.
    #[schema(example = json!(["world", "moon"]))]
    items: Option<Vec<Item>>,
    /// What the templates read as `params`.
    #[schema(value_type = Option<Object>)]
    params: Option<serde_json::Map<String, Value>>,
    /// Submitting the same content again with the same key creates no second group.
    #[schema(max_length = 1024)]
    key: Option<String>,
    /// Higher priorities run first; default 0.
    priority: Option<i64>,
    /// The group's share relative to other groups, from 1 to 1000; default 1.
    #[schema(minimum = 1, maximum = 1000)]
    weight: Option<i64>,
    /// The name of the group; default: the workflow's name.
    #[schema(max_length = 1024)]
    name: Option<String>,
    /// The directory in which commands start, an absolute path; default `/`.
    #[schema(value_type = Option<String>)]
    directory: Option<PathBuf>,
    /// Runs steps even if their results are cached.
    force: Option<bool>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum DefinitionText {
    Text(String),
    #[schema(value_type = Object)]
    Object(serde_json::Map<String, Value>),
}

impl DefinitionText {
    pub(super) fn text(&self) -> String {
        match self {
            DefinitionText::Text(text) => text.clone(),
            DefinitionText::Object(object) => Value::Object(object.clone()).to_string(),
        }
    }

    pub(super) fn parse(&self, engine: &Engine) -> Result<Definition> {
        Ok(parse(&self.text(), "definition", &KnownKinds::new(engine.kinds().names()))?)
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
enum Item {
    Text(String),
    #[schema(value_type = Object)]
    Object(serde_json::Map<String, Value>),
}

/// The result of a submission.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SubmittedView {
    group: GroupId,
    /// False: the key was in use with the same content, and this is its group; or `skipped`.
    new: bool,
    /// Nothing was submitted: this group of the same concurrency group has not ended, and the policy of the workflow is to skip.
    skipped: bool,
    runs: usize,
    /// Workers that are alive.
    workers: usize,
}

/// Submits a workflow with its items
///
/// When the response arrives, the group is on disk. The same key with the same content returns the existing group.
#[utoipa::path(post, path = "/api/v1/groups", tag = "groups", request_body = NewGroup, responses(
    (status = 201, body = SubmittedView),
    (status = 200, body = SubmittedView, description = "The key was in use with the same content, or the workflow was skipped"),
    Refused, RefusedBody))]
pub(super) async fn submit(
    State(app): State<App>,
    JsonBody(new): JsonBody<NewGroup>,
) -> Result<(StatusCode, Json<SubmittedView>)> {
    let done = app.blocking(move |engine| submitted(engine, new)).await?;
    let status = if done.new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(done)))
}

fn submitted(engine: &Engine, new: NewGroup) -> Result<SubmittedView> {
    let submission = submission(engine, new)?;
    let runs = submission.items.len();
    let made = engine.submit(submission)?;
    let alive = view::workers(engine.store())?.workers.iter().filter(|it| it.alive).count();
    Ok(SubmittedView { group: made.group, new: made.new, skipped: made.skipped, runs, workers: alive })
}

fn submission(engine: &Engine, new: NewGroup) -> Result<Submission> {
    let definition = new.definition.parse(engine)?;
    let items = items_of(&definition, new.items)?;
    let directory = directory_of(new.directory)?;
    if new.key.as_ref().is_some_and(String::is_empty) {
        return Err(Failure::bad_request("`key` must not be empty"));
    }
    let texts = [&new.key, &new.name].into_iter().flatten().chain(&items);
    if let Some(text) = texts.into_iter().find(|it| it.contains('\0')) {
        let shown: String = text.replace('\0', "\u{fffd}").chars().take(80).collect();
        return Err(Failure::bad_request(format!("`{shown}` contains NUL")));
    }
    Ok(Submission {
        params: Value::Object(new.params.unwrap_or_default()),
        directory,
        name: new.name.filter(|it| !it.is_empty()),
        priority: new.priority.unwrap_or(0),
        weight: new.weight.unwrap_or(1),
        key: new.key,
        force: new.force.unwrap_or(false),
        ..Submission::new(definition, items)
    })
}

fn items_of(definition: &Definition, items: Option<Vec<Item>>) -> Result<Vec<String>> {
    let Some(items) = items else {
        if definition.asks_for_item()? {
            let what = format!("the workflow `{}` needs items, but none were given", definition.id);
            return Err(Failure::bad_request(what).hint("give them in `items`, one run each"));
        }
        return Ok(vec![String::new()]);
    };
    let text = |(at, item): (usize, Item)| match item {
        Item::Object(object) => Ok(Value::Object(object).to_string()),
        // Such a text is meant to be an object, and templates could not read a malformed one.
        Item::Text(text) if text.trim_start().starts_with('{') => {
            match serde_json::from_slice::<Value>(&keep_digits(text.as_bytes())) {
                Ok(_) => Ok(text),
                Err(error) => {
                    Err(Failure::bad_request(format!("item {at} begins like a JSON object but is not one: {error}")))
                }
            }
        }
        Item::Text(text) => Ok(text),
    };
    items.into_iter().enumerate().map(text).collect()
}

pub(super) fn directory_of(requested: Option<PathBuf>) -> Result<PathBuf> {
    let Some(directory) = requested else { return Ok(PathBuf::from("/")) };
    match directory.is_absolute() && directory.is_dir() {
        true => Ok(directory),
        false => {
            Err(Failure::bad_request(format!("`{}` is not the absolute path of a directory", directory.display())))
        }
    }
}
