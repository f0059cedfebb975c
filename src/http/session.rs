//! How a browser gets in: a one-time link sets a cookie.

use super::{App, Failure, Result};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use serde::Serialize;
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

const COOKIE: &str = "windlass_session";
/// How long a link may wait to be opened.
const LINK_LASTS: Duration = Duration::from_secs(600);
const COOKIE_LASTS: Duration = Duration::from_secs(30 * 86_400);
/// Links that may wait at a time; the oldest goes first.
const LINKS: usize = 32;

/// The links that were given out and not opened.
#[derive(Default)]
pub struct Tickets(Mutex<VecDeque<(String, Instant)>>);

impl Tickets {
    pub fn issue(&self) -> String {
        let mut bytes = [0u8; 24];
        // Without randomness there is no link: the empty one never opens.
        let code = getrandom::fill(&mut bytes).map(|()| hex::encode(bytes)).unwrap_or_default();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == LINKS {
            waiting.pop_front();
        }
        waiting.push_back((code.clone(), Instant::now()));
        code
    }

    fn redeem(&self, code: &str, now: Instant) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|it| now.saturating_duration_since(it.1) < LINK_LASTS);
        let found = waiting.iter().position(|it| !code.is_empty() && it.0 == code);
        found.and_then(|it| waiting.remove(it)).is_some()
    }
}

/// A link for one browser.
#[derive(Serialize, ToSchema)]
struct Link {
    /// To be opened on this server; works once.
    path: String,
    /// Seconds for which it can be opened.
    expires_in: u64,
}

/// Needs no token: the link is one.
pub fn open_router() -> OpenApiRouter<App> {
    OpenApiRouter::new().route("/open/{code}", axum::routing::get(open).head(async || StatusCode::NO_CONTENT))
}

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(issue))
}

/// Makes a one-time link to the page.
#[utoipa::path(post, path = "/api/v1/session", tag = "page", responses((status = 201, body = Link)))]
async fn issue(State(app): State<App>) -> (StatusCode, Json<Link>) {
    let link = Link { path: app.access().one_time_path(), expires_in: LINK_LASTS.as_secs() };
    (StatusCode::CREATED, Json(link))
}

async fn open(State(app): State<App>, Path(code): Path<String>, headers: HeaderMap) -> Result<Response> {
    if !app.access().tickets.redeem(&code, Instant::now()) {
        // Whoever is let in may follow an old link: it leads to the page.
        if cookies(&headers).any(|it| app.access().token().is_session(it)) {
            return Ok(Redirect::to("/").into_response());
        }
        let failure = Failure::new(401, "this link was opened already, or is too old");
        return Ok(how_to_get_in(&failure));
    }
    let cookie = format!(
        "{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}",
        app.access().token().session(),
        COOKIE_LASTS.as_secs()
    );
    let value = HeaderValue::from_str(&cookie).map_err(|_| Failure::new(500, "the session can't be written"))?;
    let headers = [(header::SET_COOKIE, value), (header::LOCATION, HeaderValue::from_static("/"))];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

/// The values of our cookie in a request; a browser may send several.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|it| it.to_str().ok());
    let pairs = lines.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
    pairs.filter(|it| it.0 == COOKIE).map(|it| it.1)
}

pub fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).is_some_and(|it| it.contains("text/html"))
}

/// For people who came without a way in.
pub fn how_to_get_in(failure: &Failure) -> Response {
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <meta name=color-scheme content=\"light dark\"><title>Not let in · windlass</title>\
         <body style=\"font:1.1rem/1.5 system-ui;max-width:36rem;margin:4rem auto;padding:0 1rem\"><h1>windlass</h1>\
         <p>You are not let in: {}.<p>Run <code>windlass ui</code> on the machine where windlass runs: it opens this page for your browser.",
        failure.message
    );
    (failure.status, Html(page)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_once_and_not_for_ever() {
        let tickets = Tickets::default();
        let (first, second, now) = (tickets.issue(), tickets.issue(), Instant::now());
        assert!(tickets.redeem(&first, now) && !tickets.redeem(&first, now));
        assert!(!tickets.redeem(&second, now + LINK_LASTS) && !tickets.redeem("", now));
        let oldest = tickets.issue();
        (0..LINKS).for_each(|_| drop(tickets.issue()));
        assert!(!tickets.redeem(&oldest, now), "the number of links is bounded");
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; windlass_session=x; b=2"));
        headers.append(header::COOKIE, HeaderValue::from_static("windlass_session=y"));
        assert_eq!(cookies(&headers).collect::<Vec<_>>(), ["x", "y"]);
    }
}
