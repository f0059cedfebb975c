//! windlass's own API: groups, runs, steps, schedules, workers, locks, events, search.
//!
//! One file per resource. May import: everything on the floors below, and of this room `App`, `Failure`, `Caller`.
//! Never: blocks the thread of the server; pages by a large offset; shapes a document that `--json` prints (`view` does).

mod answer;
mod body;
mod event_ring;
mod events;
mod export;
mod groups;
mod locks;
mod machine;
mod openapi;
mod resources;
mod retry;
mod runs;
mod schedules;
mod search;
mod steps;
mod submit;
mod waiting;
mod workflows;

pub use answer::{ErrorBody, RefusedBody};
pub use body::JsonBody;
pub use event_ring::EventRing;
pub use openapi::router as openapi_router;

use crate::http::App;
use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::OpenApiRouter;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(groups::router())
        .merge(runs::router())
        .merge(steps::router())
        .merge(waiting::router())
        .merge(machine::router())
        .merge(schedules::router())
        .merge(workflows::router())
        .merge(locks::router())
        .merge(resources::router())
        .merge(search::router())
        .merge(events::router())
        // The setting `http.body` already limits every body.
        .layer(DefaultBodyLimit::disable())
}
