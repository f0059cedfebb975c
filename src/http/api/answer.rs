//! Shared by the handlers: ids in paths, pages, and the form of errors.

use crate::http::{Failure, Result};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// The form of every error.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// What went wrong, for people.
    pub error: String,
    /// The status again.
    pub status_code: u16,
    /// What to do next, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// A code for programs, if the status alone is ambiguous.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// How a request for something by its id may be refused.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code)] // Only described, never made: what is sent is a `Failure`.
pub enum Refused {
    /// The request is invalid.
    #[response(status = 400)]
    BadRequest(ErrorBody),
    /// A token is required.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// The request's origin is not allowed.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// It does not exist.
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// Locked by another holder, or in conflict with existing data.
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// The database is busy, or windlass is stopping; try again.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// How a request with a body may be refused besides.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code)] // Only described, as above.
pub enum RefusedBody {
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The body is not declared as JSON.
    #[response(status = 415)]
    MediaType(ErrorBody),
    /// The body is JSON, but of the wrong shape.
    #[response(status = 422)]
    Unprocessable(ErrorBody),
}

/// A name such as `g12`, or the bare number.
pub fn id<T: FromStr<Err = String>>(text: &str) -> Result<T> {
    text.parse().map_err(Failure::bad_request)
}

/// The same for an optional parameter.
pub fn optional<T: FromStr<Err = String>>(text: &Option<String>) -> Result<Option<T>> {
    text.as_deref().map(id).transpose()
}

/// The requested page size.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub struct Limit(u64);

pub const PAGE: usize = 50;
const PAGE_MAX: u64 = 1_000;

/// The number of rows of a page.
pub fn page(limit: Option<Limit>) -> Result<usize> {
    match limit {
        None => Ok(PAGE),
        Some(Limit(limit @ 1..=PAGE_MAX)) => Ok(limit as usize),
        Some(_) => Err(Failure::bad_request(format!("`limit` must be 1 to {PAGE_MAX}"))),
    }
}
