//! The ingestion API under `/api/v1`, wire-compatible with what existing clients speak.
//!
//! One file per resource. May import: everything on the floors below, and of this room `App`, `Failure`, `Caller`.
//! Never: blocks the thread of the server; keeps a whole body in memory that may be large.

use crate::http::App;
use utoipa_axum::router::OpenApiRouter;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
}
