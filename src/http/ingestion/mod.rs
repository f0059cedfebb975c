//! The ingestion API under `/api/v1`, wire-compatible with what existing clients speak.
//!
//! One file per resource; `object` has what they are made of, `form` reads requests, `listing` sends long answers.
//! May import: everything on the floors below, and of this room `App`, `Failure`, `Caller`.
//! Never: blocks the thread of the server; keeps a whole body in memory that may be large.

mod batch;
mod definitions;
mod document;
mod form;
mod listing;
mod object;
mod param_sets;
mod result;
mod run_groups;
mod source_status;
mod start;
mod stats;
mod sync_state;
mod vector_databases;
mod workflow;

use crate::{
    http::{App, Failure},
    ingest,
    model::{Holder, HolderKind},
};
use axum::extract::DefaultBodyLimit;
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Addresses whose work grows with the size of a database.
pub const LONG: &[&str] = &["/api/v1/lancedb/vacuum"];

/// How long a deletion waits for the runs that it has cancelled.
const PATIENCE: Duration = Duration::from_secs(15);

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(batch::list, batch::create))
        .routes(routes!(batch::start_workflows))
        .routes(routes!(batch::status))
        .routes(routes!(batch::steps))
        .routes(routes!(document::list))
        .routes(routes!(document::ingest))
        .routes(routes!(document::delete_by_uri))
        .routes(routes!(document::cleanup_orphans))
        .routes(routes!(source_status::source_status))
        .routes(routes!(sync_state::show, sync_state::put, sync_state::delete))
        .routes(routes!(workflow::list, workflow::start))
        .routes(routes!(workflow::by_status))
        .routes(routes!(workflow::steps))
        .routes(routes!(workflow::of_batch))
        .routes(routes!(workflow::show))
        .routes(routes!(workflow::lifecycle))
        .routes(routes!(result::result))
        .routes(routes!(workflow::retry))
        .routes(routes!(definitions::list))
        .routes(routes!(definitions::show))
        .routes(routes!(param_sets::list, param_sets::create))
        .routes(routes!(param_sets::show, param_sets::delete))
        .routes(routes!(param_sets::of_target))
        .routes(routes!(run_groups::list))
        .routes(routes!(run_groups::show, run_groups::delete))
        .routes(routes!(run_groups::stats))
        .routes(routes!(stats::durations))
        .routes(routes!(stats::step_stats))
        .routes(routes!(vector_databases::list))
        .routes(routes!(vector_databases::info))
        .routes(routes!(vector_databases::vacuum, vector_databases::post_vacuum))
        .routes(routes!(vector_databases::documents))
        // `form` has its own limits; a file may be as large as the server's limit on bodies.
        .layer(DefaultBodyLimit::disable())
}

/// A request as the holder of a resource lock. Each request is a separate holder: two of them exclude each other.
fn holder() -> Holder {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    Holder { kind: HolderKind::Web, id: NEXT.fetch_add(1, Ordering::Relaxed) }
}

/// What the body of a request names and can't be read is the client's mistake, not an address that does not exist.
fn of_ingest(error: ingest::Error) -> Failure {
    use ingest::Error;
    let message = match &error {
        Error::Source(_) => error.to_string(),
        // A name that leads nowhere.
        Error::Io { action: "resolve", source, .. } => format!("{error}: {source}"),
        _ => return error.into(),
    };
    let failure = Failure::bad_request(message);
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
