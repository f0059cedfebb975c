//! The response to a request that can't be served: a status, and `{"error": "...", "status_code": N}`.

use crate::{
    artifact, definition,
    engine::{self, with_causes},
    ingest,
    model::Kind,
    search, store, vector, view,
};
use axum::{
    Json,
    body::{Body, HttpBody},
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;

pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// The longest text of a foreign error that is passed on, in bytes.
const LONGEST: usize = 4_096;

/// Why a request was not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub status: StatusCode,
    pub message: String,
    /// What to do next, if known.
    pub hint: Option<String>,
    /// A code for programs, if the status alone is ambiguous.
    pub code: Option<String>,
    /// Sent as `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
}

impl Failure {
    /// An invalid status becomes 500.
    pub fn new(status: u16, message: impl Into<String>) -> Failure {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Failure { status, message: message.into(), hint: None, code: None, retry_after: None }
    }

    /// 400
    pub fn bad_request(message: impl Into<String>) -> Failure {
        Failure::new(400, message)
    }

    /// 404
    pub fn not_found(message: impl Into<String>) -> Failure {
        Failure::new(404, message)
    }

    /// 409: locked by another holder, or in conflict with existing data.
    pub fn conflict(message: impl Into<String>) -> Failure {
        Failure::new(409, message)
    }

    /// 413: `most` is the setting `http.body`.
    pub fn too_large(most: u64) -> Failure {
        Failure::new(413, format!("a body may have at most {most} bytes (setting `http.body`)"))
    }

    /// 503, with the number of seconds to wait before trying again.
    pub fn unavailable(message: impl Into<String>, retry_after: u32) -> Failure {
        Failure { retry_after: Some(retry_after), ..Failure::new(503, message) }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    pub fn code(mut self, code: impl Into<String>) -> Failure {
        self.code = Some(code.into());
        self
    }

    fn with_hint(mut self, hint: Option<impl Into<String>>) -> Failure {
        self.hint = hint.map(Into::into);
        self
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut body = json!({"error": self.message, "status_code": self.status.as_u16()});
        if let Some(hint) = &self.hint {
            body["hint"] = hint.as_str().into();
        }
        if let Some(code) = &self.code {
            body["code"] = code.as_str().into();
        }
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Gives errors from elsewhere, such as extractors, the same form as our own.
pub async fn shape(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|it| it == "application/json");
    let is_page =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|it| it.as_bytes().starts_with(b"text/html"));
    if !(status.is_client_error() || status.is_server_error()) || is_json || is_page {
        return response;
    }
    let text = text_of(response.into_body()).await;
    let message = if text.is_empty() { status.canonical_reason().unwrap_or("error").to_lowercase() } else { text };
    Failure::new(status.as_u16(), message).into_response()
}

/// A short text. Longer texts and binary data are left out.
async fn text_of(body: Body) -> String {
    if body.size_hint().upper().is_none_or(|it| it > LONGEST as u64) {
        return String::new();
    }
    let bytes = axum::body::to_bytes(body, LONGEST).await.unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_string()
}

/// The status of each kind of error, and the seconds after which to retry.
const fn status_of(kind: Kind) -> (u16, Option<u32>) {
    match kind {
        Kind::Invalid => (400, None),
        Kind::Denied => (403, None),
        Kind::NotFound => (404, None),
        Kind::Conflict | Kind::Cancelled => (409, None),
        Kind::Locked => (503, Some(1)),
        Kind::Unavailable => (503, Some(5)),
        Kind::TimedOut => (504, None),
        Kind::DiskFull => (507, None),
        Kind::Io | Kind::Failed | Kind::Bug => (500, None),
    }
}

impl Failure {
    /// The response to an error of this kind. The causes of a 500 go to the log, not to the client.
    pub(super) fn of(kind: Kind, error: &(dyn std::error::Error + 'static)) -> Failure {
        let (status, retry_after) = status_of(kind);
        if status == 500 {
            tracing::error!(error = with_causes(error), "a request failed");
        }
        Failure { retry_after, ..Failure::new(status, error.to_string()) }
    }
}

macro_rules! failures {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                let hint = error.hint();
                Failure::of(error.kind(), &error).with_hint(hint)
            }
        }
    )+};
}

failures!(
    artifact::Error,
    definition::Error,
    engine::Error,
    ingest::Error,
    search::Error,
    store::Error,
    vector::Error,
    view::Error,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_its_status_twice_and_what_to_do() {
        let response = Failure::unavailable("busy", 2).hint("wait").into_response();
        assert_eq!(
            (response.status(), response.headers()["retry-after"].to_str().unwrap()),
            (StatusCode::SERVICE_UNAVAILABLE, "2")
        );
        let from: Failure = store::Error::not_found("run r9").into();
        assert_eq!((from.status.as_u16(), from.message.as_str()), (404, "run r9 does not exist"));
        let locked: Failure = engine::Error::Locked { key: "vec:x".into(), holder: "s1".into() }.into();
        assert_eq!(locked.status.as_u16(), 409);
        assert!(locked.hint.is_some());
    }

    #[test]
    fn every_kind_of_error_has_its_status() {
        let statuses = Kind::ALL.map(|kind| (kind, status_of(kind).0));
        assert_eq!(
            statuses,
            [
                (Kind::NotFound, 404),
                (Kind::Conflict, 409),
                (Kind::Invalid, 400),
                (Kind::Locked, 503),
                (Kind::DiskFull, 507),
                (Kind::Io, 500),
                (Kind::Unavailable, 503),
                (Kind::Denied, 403),
                (Kind::Cancelled, 409),
                (Kind::TimedOut, 504),
                (Kind::Failed, 500),
                (Kind::Bug, 500),
            ]
        );
        assert!(Kind::ALL.iter().all(|kind| (status_of(*kind).0 == 503) == status_of(*kind).1.is_some()));
    }
}
