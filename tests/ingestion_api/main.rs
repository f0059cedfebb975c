//! The ingestion API as existing clients use it: every row of its table, against the real `serve`, with requests byte
//! for byte as Python's aiohttp sends them.

#[path = "../support"]
mod support {
    pub mod binary;
    pub mod needs;
    pub mod web;
}

use support::web;

mod batches;
mod catalog;
mod client;
mod deletion;
mod documents;
mod python;
mod reach;
mod sources;
mod vectors;
mod workflows;

use client::{Client, Field, text};
use serde_json::Value;
use web::Web;

/// A text about a single topic.
pub const ROPES: &str = "# Ropes\n\nHemp rots when it is stored wet. Dry every rope before you coil it.\n";
pub const KNOTS: &str = "# Knots\n\nA bowline makes a loop that does not slip, and comes loose after a heavy load.\n";

/// A new batch.
#[track_caller]
pub fn batch(client: &Client, source: &str) -> i64 {
    let made = client.multipart("POST", "/api/v1/batch/", &[text("source", source), text("name", "a batch")]);
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["batch_id"].as_i64().unwrap()
}

/// What an upload of these bytes sends.
pub fn upload(source: &str, uri: &str, batch: i64, content: &str) -> Vec<Field> {
    let name = uri.rsplit('/').next().unwrap_or_default();
    vec![
        text("source", source),
        text("source_uri", uri),
        text("batch_id", &batch.to_string()),
        text("doc_meta", "{}"),
        text("mime_type", "text/markdown"),
        Field::file("file", name, "binary/octet-stream", content.as_bytes()),
    ]
}

/// Uploads a document into a batch.
#[track_caller]
pub fn ingest(client: &Client, source: &str, uri: &str, batch: i64, content: &str) -> Value {
    let answer = client.multipart("POST", "/api/v1/document/ingest-document", &upload(source, uri, batch, content));
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

/// Starts the workflow on a batch, and returns the group.
#[track_caller]
pub fn start(client: &Client, batch: i64, more: &[Field]) -> i64 {
    let fields = [&[text("batch_id", &batch.to_string()), text("priority", "0")], more].concat();
    let started = client.multipart("POST", "/api/v1/batch/start-workflows", &fields);
    assert_eq!(started.status, 201, "{}", started.text());
    started.json()["run_group"]["id"].as_i64().unwrap()
}

/// Waits until a group has ended, and returns it.
#[track_caller]
pub fn ended(client: &Client, group: i64) -> Value {
    web::until("the group ends", || {
        let found = client.get(&format!("/api/v1/workflow/run_groups/{group}")).json();
        (!found["completed_date"].is_null()).then_some(found)
    })
}

/// A server with one batch of two processed documents.
pub fn worked() -> (Web, i64, i64) {
    let web = Web::start();
    let client = Client::of(&web);
    let id = batch(&client, "shed");
    ingest(&client, "shed", "docs/ropes.md", id, ROPES);
    ingest(&client, "shed", "docs/knots.md", id, KNOTS);
    let group = start(&client, id, &[]);
    assert_eq!(ended(&client, group)["status"], "COMPLETED");
    (web, id, group)
}

/// The keys of an object in their order.
#[track_caller]
pub fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap_or_else(|| panic!("{object}")).keys().map(String::as_str).collect()
}

pub const BATCH: &str = "id name source start_date completed_date batch_params duration";
pub const DOCUMENT: &str = "id doc_hash uri source version batch_id";
pub const RUN: &str = "id workflow_definition_id run_group_id batch_id doc_id priority created_date start_date \
    completed_date status status_date status_message status_meta run_params duration";
pub const STEP: &str = "id workflow_run_id workflow_step_number workflow_step_name step_config_id step_type is_last_step \
    created_date priority start_date status_date completed_date retry retries status status_message status_meta worker_id \
    duration";
pub const GROUP: &str = "id name workflow_definition_id param_definition_id batch_id created_date start_date \
    completed_date status status_date status_message status_meta";
pub const HISTORY: &str = "id event handler_name run_group_id workflow_run_id step_id start_date completed_date status \
    status_date status_message status_meta";

/// Asserts that an object has exactly these fields in this order.
#[track_caller]
pub fn has_shape(object: &Value, shape: &str) {
    assert_eq!(keys(object), shape.split_whitespace().collect::<Vec<_>>());
}

/// Asserts that an answer is an error with this status, in the head and in the body.
#[track_caller]
pub fn refused(answer: &web::Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["status_code"], status, "{body}");
    assert!(body["error"].as_str().is_some_and(|it| !it.is_empty()), "{body}");
}
