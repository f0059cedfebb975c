//! `/api/v1/locks`: who holds which resource key, and releasing one by force.

use super::{
    answer::{Refused, RefusedBody},
    body::JsonBody,
};
use crate::{
    http::{App, Caller, Failure, Result},
    model::ResourceKey,
    store::resource_lock::Forced,
    view::{self, Locks},
};
use axum::{Extension, Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(release))
}

/// The longest reason that is written into the history, in bytes.
const REASON: usize = 1_000;

/// The keys that are held
#[utoipa::path(get, path = "/api/v1/locks", tag = "locks", responses((status = 200, body = Locks), Refused))]
async fn list(State(app): State<App>) -> Result<Json<Locks>> {
    Ok(Json(app.blocking(view::locks).await?))
}

/// The key to release by force, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Release {
    /// As the list of locks shows it.
    key: ResourceKey,
    /// For the history.
    #[schema(min_length = 1, max_length = 1000, example = "the machine of its holder is gone")]
    reason: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct Released {
    key: ResourceKey,
    released: bool,
}

/// Clears a key's row that its holder did not release
///
/// The history records who did it and why. A process that holds the lock of the key's file still excludes others, and is
/// named in the answer (409): end it, or wait for it.
#[utoipa::path(post, path = "/api/v1/locks/release", tag = "locks", request_body = Release,
    responses((status = 200, body = Released), Refused, RefusedBody))]
async fn release(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody<Release>,
) -> Result<Json<Released>> {
    let reason = body.reason.trim();
    if reason.is_empty() || reason.len() > REASON {
        return Err(Failure::bad_request(format!("`reason` must have 1 to {REASON} bytes")));
    }
    let by = format!("{} over HTTP", caller.name());
    let forced = Forced { key: body.key.clone(), why: reason.to_string(), by };
    let released = app.blocking(move |engine| view::force_release(engine, forced)).await?;
    match released {
        true => {
            tracing::warn!(key = %body.key, by = caller.name(), reason, "a resource key was taken away by force");
            Ok(Json(Released { key: body.key, released }))
        }
        false => Err(Failure::not_found(format!("`{}` is not held", body.key)).hint("see GET /api/v1/locks")),
    }
}
