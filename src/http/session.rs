//! Signing in from a browser: a one-time link or the token opens a session.
//!
//! A session is a random secret. This process keeps only its digest, in memory. The session ends when it expires, on
//! sign-out, or with the process. The page keeps the secret in `sessionStorage` and sends it as a header. A cookie
//! would be sent to every port of the host name, and so to other programs.

use super::{
    App, Caller, Failure, Result,
    api::{JsonBody, RefusedBody},
    peer::Peer,
    sessions::{IDLE, LINK_LASTS, SESSION_LASTS},
};
use crate::os::{
    Clock, SystemClock,
    socket_owner::{self, SocketOwner},
};
use axum::{
    Extension, Json,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode, Uri},
};
use serde::{Deserialize, Serialize};
use std::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The limit for the body of a sign-in in bytes. It comes from unauthenticated clients.
const SIGN_IN: usize = 4_096;

/// A link for one browser.
#[derive(Serialize, ToSchema)]
struct Link {
    /// Open it on this server; it works once.
    #[schema(example = "/open/9f2c…")]
    path: String,
    /// Seconds for which it can be opened.
    #[schema(example = 600)]
    expires_in: u64,
}

/// What opens a session: one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignIn {
    /// The last part of a one-time link. If the system says who connects, it works only for the user that windlass runs as.
    #[schema(example = "9f2c…")]
    code: Option<String>,
    /// The token.
    token: Option<String>,
}

/// An open session.
#[derive(Serialize, ToSchema)]
struct Opened {
    /// The secret; send it as `X-Windlass-Session` to the same host name and port.
    session: String,
    /// Seconds without a request after which it ends.
    #[schema(example = 43200)]
    idle: u64,
    /// Seconds after which it always ends.
    #[schema(example = 604800)]
    expires_in: u64,
}

/// The sessions that were ended.
#[derive(Serialize, ToSchema)]
struct Ended {
    /// How many sessions.
    #[schema(example = 1)]
    ended: usize,
}

/// Needs no token, because the link serves as one.
pub fn open_router() -> OpenApiRouter<App> {
    let link = axum::routing::get(super::page::index).head(waits);
    let sign_in = OpenApiRouter::new().routes(routes!(sign_in)).layer(DefaultBodyLimit::max(SIGN_IN));
    OpenApiRouter::new().route("/open/{code}", link).merge(sign_in)
}

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(issue, sign_out))
}

/// Makes a one-time link to the page.
#[utoipa::path(post, path = "/api/v1/session", tag = "page", responses((status = 201, body = Link)))]
async fn issue(State(app): State<App>) -> (StatusCode, Json<Link>) {
    let link = Link { path: app.access().one_time_path(), expires_in: LINK_LASTS.as_secs() };
    (StatusCode::CREATED, Json(link))
}

/// Ends the session of the request; with the token, every session.
#[utoipa::path(delete, path = "/api/v1/session", tag = "page", responses((status = 200, body = Ended)))]
async fn sign_out(State(app): State<App>, Extension(caller): Extension<Caller>) -> Json<Ended> {
    let ended = match caller {
        Caller::Session(id) => app.access().sessions.end(Some(id)),
        Caller::Token => app.access().sessions.end(None),
        _ => 0,
    };
    Json(Ended { ended })
}

/// Opens a session with a one-time link or the token.
#[utoipa::path(post, path = "/api/v1/session/open", tag = "page", request_body = SignIn,
    responses((status = 201, body = Opened), (status = 400), RefusedBody))]
async fn sign_in(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
    JsonBody(body): JsonBody<SignIn>,
) -> Result<(StatusCode, Json<Opened>)> {
    let access = app.access();
    match (&body.code, &body.token) {
        (Some(code), None) => {
            // Checked before the link is used up, so that another user can't use it up.
            let owner = app.blocking(move |_| Ok::<_, Failure>(socket_owner::owner(peer.remote, peer.local))).await?;
            if !may_open(owner, peer.remote.ip().to_canonical().is_loopback(), socket_owner::own_user()) {
                return Err(Failure::new(403, "only the user that windlass runs as can use this link")
                    .hint("sign in with the token"));
            }
            if !access.links.redeem(code, Instant::now()) {
                return Err(Failure::new(401, "this link was already used, or has expired"));
            }
        }
        (None, Some(token)) if access.token().is(token.trim().as_bytes()) => {}
        (None, Some(_)) => return Err(Failure::new(401, "wrong token")),
        _ => return Err(Failure::bad_request("a session needs either `code` or `token`")),
    }
    let host = super::access::host_of(&uri, &headers);
    let session = access.sessions.begin(&host, SystemClock.wall());
    let session = session.ok_or_else(|| Failure::unavailable("no randomness available for a session", 1))?;
    let opened = Opened { session, idle: IDLE.as_secs(), expires_in: SESSION_LASTS.as_secs() };
    Ok((StatusCode::CREATED, Json(opened)))
}

/// Whether a link works for this peer. On this machine it works only for our own user, and for root, who can do
/// everything anyway.
fn may_open(owner: SocketOwner, loopback: bool, own: u32) -> bool {
    match owner {
        SocketOwner::User(user) => user == own || user == 0,
        SocketOwner::Nobody => !loopback,
        SocketOwner::Unknown => true,
    }
}

/// Whether a link still waits to be opened; asking does not open it.
async fn waits(State(app): State<App>, Path(code): Path<String>) -> StatusCode {
    match app.access().links.waits(&code, Instant::now()) {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::GONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_counts_on_this_machine_for_its_user_alone() {
        use SocketOwner::*;
        for (owner, loopback, may) in [
            (User(1000), true, true),
            (User(0), true, true),
            (User(1001), true, false),
            (User(1001), false, false),
            (Nobody, true, false),
            (Nobody, false, true),
            (Unknown, true, true),
        ] {
            assert_eq!(may_open(owner, loopback, 1000), may, "{owner:?}, loopback: {loopback}");
        }
    }
}
