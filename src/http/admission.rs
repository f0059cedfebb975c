//! Middleware that admits a request to the daemon and to its areas. `access` decides, from the head of a request.

use super::{App, Area, Failure, access::changes, connections::Standing, peer::Peer};
use axum::{
    extract::{Request, State},
    http::{HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Stopping a second time is not an error.
const STOP: &str = "/api/v1/stop";

/// Middleware: refuses requests that are not meant for us.
pub async fn admit(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = match app.access().check_head(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Middleware of an area: admits authorised callers, and passes their identity to the handler.
pub async fn guard(State((app, area)): State<(App, Area)>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().map(|it| it.remote.ip().to_canonical());
    let (mut head, body) = request.into_parts();
    if app.is_stopping() && changes(&head.method, &head.uri) && head.uri.path() != STOP {
        return Failure::unavailable("windlass is stopping", 5).into_response();
    }
    match app.access().guard(area, &head, peer) {
        Ok(caller) => {
            if let Some(standing) = head.extensions.get::<Standing>() {
                standing.is(caller.may_reach_out());
            }
            head.extensions.insert(caller);
            next.run(Request::from_parts(head, body)).await
        }
        Err(failure) => failure.into_response(),
    }
}
