//! How a browser signs in: a one-time link, or the token, opens a session.
//!
//! A session is a random secret that this process keeps the digest of, in memory alone: it ends by itself, with a sign-out
//! and with the process. The page keeps it in `sessionStorage` and sends it as a header. A cookie would go to every port of
//! the host name, and so to other programs.

use super::{
    App, Caller, Failure, Result,
    api::{JsonBody, RefusedBody},
    server::Peer,
    token::digest,
};
use crate::{
    model::Timestamp,
    os::{
        Clock, SystemClock, Unpoisoned,
        socket_owner::{self, SocketOwner},
    },
};
use axum::{
    Extension, Json,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode, Uri},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The header that carries a session.
pub const HEADER: &str = "x-windlass-session";
/// How long a link may wait to be opened.
const LINK_LASTS: Duration = Duration::from_secs(600);
/// Links that may wait at a time; the oldest goes first.
const LINKS: usize = 32;
/// A session ends after this long without use; time in which the machine sleeps counts.
const IDLE: Duration = Duration::from_secs(12 * 3600);
/// And when it is this old, used or not.
const SESSION_LASTS: Duration = Duration::from_secs(7 * 86_400);
/// Sessions at a time; the one that was not used for longest goes first.
const SESSIONS: usize = 64;
/// Bytes of the body of a sign-in: it comes from strangers.
const SIGN_IN: usize = 4_096;

/// The links that were given out and not opened.
#[derive(Default)]
pub struct Links(Mutex<VecDeque<(String, Instant)>>);

impl Links {
    pub fn issue(&self) -> String {
        // Without randomness there is no link: the empty one never opens.
        let code = random::<24>().unwrap_or_default();
        let mut waiting = lock(&self.0);
        if waiting.len() == LINKS {
            waiting.pop_front();
        }
        waiting.push_back((code.clone(), Instant::now()));
        code
    }

    fn waits(&self, code: &str, now: Instant) -> bool {
        let mut waiting = lock(&self.0);
        waiting.retain(|it| now.saturating_duration_since(it.1) < LINK_LASTS);
        waiting.iter().any(|it| !code.is_empty() && it.0 == code)
    }

    fn redeem(&self, code: &str, now: Instant) -> bool {
        let known = self.waits(code, now);
        if known {
            lock(&self.0).retain(|it| it.0 != code);
        }
        known
    }
}

/// Which of the sessions; none is ever named twice.
pub type SessionId = u64;

/// The open sessions, by the digest of their secret.
#[derive(Default)]
pub struct Sessions {
    open: Mutex<HashMap<[u8; 32], Session>>,
}

struct Session {
    id: SessionId,
    began: Timestamp,
    used: Timestamp,
    /// The host and port that the browser opened it under: its origin.
    host: String,
}

impl Session {
    fn is_over(&self, now: Timestamp) -> bool {
        let (idle, age) = (now.since(self.used).0, now.since(self.began).0);
        idle >= IDLE.as_millis() as u64 || age >= SESSION_LASTS.as_millis() as u64
    }
}

impl Sessions {
    /// Opens one; only the caller knows the secret from then on. `None`: no randomness.
    fn begin(&self, host: &str, now: Timestamp) -> Option<String> {
        let secret = random::<32>()?;
        let mut open = lock(&self.open);
        open.retain(|_, it| !it.is_over(now));
        if open.len() >= SESSIONS {
            let oldest = open.iter().min_by_key(|it| it.1.used).map(|it| *it.0);
            oldest.and_then(|it| open.remove(&it));
        }
        let id = u64::from_ne_bytes(digest(secret.as_bytes())[..8].try_into().unwrap_or_default());
        let session = Session { id, began: now, used: now, host: host.to_ascii_lowercase() };
        open.insert(digest(secret.as_bytes()), session);
        Some(secret)
    }

    /// The session with this secret, which is used by this.
    pub fn find(&self, secret: &[u8], host: &str, now: Timestamp) -> Option<SessionId> {
        let mut open = lock(&self.open);
        let key = digest(secret);
        let session = open.get_mut(&key).filter(|it| it.host.eq_ignore_ascii_case(host))?;
        if session.is_over(now) {
            open.remove(&key);
            return None;
        }
        session.used = now;
        Some(session.id)
    }

    /// Whether it has not ended yet; asking does not use it.
    pub fn is_open(&self, id: SessionId, now: Timestamp) -> bool {
        lock(&self.open).values().any(|it| it.id == id && !it.is_over(now))
    }

    /// Ends one, or all of them; how many.
    fn end(&self, which: Option<SessionId>) -> usize {
        let mut open = lock(&self.open);
        let before = open.len();
        open.retain(|_, it| which.is_some_and(|id| it.id != id));
        before - open.len()
    }
}

fn random<const BYTES: usize>() -> Option<String> {
    let mut bytes = [0u8; BYTES];
    getrandom::fill(&mut bytes).ok().map(|()| hex::encode(bytes))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unpoisoned()
}

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
    /// The last part of a one-time link. It counts only from the user that windlass runs as, where the system says who
    /// connects.
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
    /// Seconds after which it ends in any case.
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

/// Needs no token: the link is one.
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
    JsonBody(asked): JsonBody<SignIn>,
) -> Result<(StatusCode, Json<Opened>)> {
    let access = app.access();
    match (&asked.code, &asked.token) {
        (Some(code), None) => {
            // Looked up before it is spent: another user must not use up the link.
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

/// Whether a link counts from there: on this machine only for our own user, and for root, who can do everything anyway.
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
    fn a_link_opens_once_and_not_for_ever() {
        let links = Links::default();
        let (first, second, now) = (links.issue(), links.issue(), Instant::now());
        assert!(links.waits(&first, now) && links.redeem(&first, now) && !links.redeem(&first, now));
        assert!(!links.redeem(&second, now + LINK_LASTS) && !links.redeem("", now));
        let oldest = links.issue();
        (0..LINKS).for_each(|_| drop(links.issue()));
        assert!(!links.redeem(&oldest, now), "the number of links is bounded");
    }

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

    #[test]
    fn a_session_ends_when_it_is_idle_old_or_signed_out_and_counts_for_one_host_only() {
        let sessions = Sessions::default();
        let at = |after: Duration| Timestamp(1_000_000 + after.as_millis() as i64);
        let start = at(Duration::ZERO);
        let begin = || sessions.begin("127.0.0.1:8787", start).unwrap().into_bytes();
        let (first, second) = (begin(), begin());
        let find = |secret: &[u8], after| sessions.find(secret, "127.0.0.1:8787", at(after));
        let id = find(&first, Duration::ZERO).unwrap();
        assert_eq!(sessions.find(&first, "127.0.0.1:9999", start), None, "another port is another origin");
        assert_eq!(sessions.find(b"", "127.0.0.1:8787", start), None);
        let nearly = IDLE - Duration::from_secs(1);
        assert!(find(&first, nearly).is_some() && find(&first, nearly * 2).is_some(), "what is used stays");
        assert_eq!(find(&second, IDLE), None, "what is not used ends");
        for day in 1..14 {
            let after = Duration::from_secs(day * 43_000);
            assert_eq!(find(&first, after).is_some(), after < SESSION_LASTS, "after {after:?}");
        }
        assert_eq!(find(&first, SESSION_LASTS), None, "nothing stays for ever");
        assert!(!sessions.is_open(id, at(SESSION_LASTS)));
        let (third, fourth) = (begin(), begin());
        let id = find(&third, Duration::ZERO).unwrap();
        assert!(sessions.is_open(id, start) && sessions.end(Some(id)) == 1);
        assert!(!sessions.is_open(id, start) && find(&third, Duration::ZERO).is_none());
        assert!(find(&fourth, Duration::ZERO).is_some(), "of another session only that one ended");
        (0..SESSIONS * 2).for_each(|_| drop(begin()));
        assert_eq!((sessions.end(None), find(&fourth, Duration::ZERO)), (SESSIONS, None), "their number is bounded");
    }
}
