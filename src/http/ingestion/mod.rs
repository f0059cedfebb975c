//! The ingestion API under `/api/v1`, wire-compatible with existing clients.
//!
//! One file per resource; `object` has the shared response types, `form` reads requests, `listing` sends long
//! responses. May import: everything on the floors below, and of this room `App`, `Failure`, `Caller`. Never: blocks
//! the server's thread; keeps a large body in memory.

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
mod turn;
mod vector_databases;
mod workflow;

use crate::http::App;
use axum::extract::DefaultBodyLimit;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Endpoints whose work grows with the size of a database.
pub const LONG: &[&str] = &["/api/v1/lancedb/vacuum"];

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
