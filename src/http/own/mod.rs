//! windlass's own API: groups, runs, steps, workers, locks, events, search.
//!
//! One file per resource. May import: everything on the floors below, and of this room `App`, `Failure`, `Caller`.
//! Never: blocks the thread of the server; pages by a large offset.

use crate::http::App;
use utoipa_axum::router::OpenApiRouter;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
}
