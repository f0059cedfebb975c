//! The bodies of requests.

use crate::{
    http::{App, Failure, Result},
    model::number::keep_digits,
};
use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use serde::de::DeserializeOwned;

/// A JSON object in the body of a request. The setting `http.body` limits its size.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<JsonBody<T>> {
        let declared = is_json(request.headers());
        match declared {
            true => decode(&read(request, app).await?).map(JsonBody),
            false => Err(undeclared()),
        }
    }
}

/// The same, with a default for a request without a body.
pub struct OptionalJsonBody<T>(pub T);

impl<T: DeserializeOwned + Default> FromRequest<App> for OptionalJsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<OptionalJsonBody<T>> {
        let declared = is_json(request.headers());
        let bytes = read(request, app).await?;
        match declared {
            _ if bytes.is_empty() => Ok(OptionalJsonBody(T::default())),
            true => decode(&bytes).map(OptionalJsonBody),
            false => Err(undeclared()),
        }
    }
}

fn undeclared() -> Failure {
    Failure::new(415, "the body must be declared as JSON").hint("send the header `Content-Type: application/json`")
}

async fn read(request: Request, app: &App) -> Result<Bytes> {
    Bytes::from_request(request, app).await.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Failure::new(413, "the body is larger than this address or the setting `http.body` allows")
        }
        _ => Failure::bad_request("the request body ended early"),
    })
}

fn decode<T: DeserializeOwned>(bytes: &Bytes) -> Result<T> {
    let wrong = |it: axum::extract::rejection::JsonRejection| Failure::new(it.status().as_u16(), it.body_text());
    // serde would read a list as the fields in their order of declaration.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        let Json(_) = Json::<serde::de::IgnoredAny>::from_bytes(bytes).map_err(wrong)?;
        return Err(Failure::new(422, "the body must be a JSON object"));
    }
    let Json(value) = Json::from_bytes(&keep_digits(bytes)).map_err(wrong)?;
    Ok(value)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}
