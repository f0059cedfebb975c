//! `/api/v1/events`: events as a stream of server-sent events, from any point of the history.

use super::{
    answer::{Refused, optional},
    event_ring::{Ahead, RingEvent, Subscription},
};
use crate::{
    http::{App, Caller, Failure, Result},
    model::{EventKind, GroupId, RunId},
    store::{
        self,
        event::{self, Cursor},
    },
    view::{self, EventView},
};
use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{Query, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    convert::Infallible,
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events))
}

/// The number of events sent at once, and thus the maximum held for one subscriber.
const AT_ONCE: usize = 256;
/// How many transactions are read at once for a subscriber that fell behind.
const BATCHES: usize = 64;
/// The interval of comments while there are no events. They keep proxies from closing the connection, and detect
/// readers that have gone.
const BEAT: Duration = Duration::from_secs(15);
/// How soon a stream notices that the process is stopping.
const GLANCE: Duration = Duration::from_secs(1);
/// The maximum number of groups and runs that a digest names; beyond it, the digest says "many".
const NAMED: usize = 100;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventRequest {
    /// Only events of this group, such as 12 or g12
    group: Option<String>,
    /// Start after this event; the header Last-Event-ID takes precedence. Omitted: new events only
    after: Option<String>,
    /// Milliseconds, 100 to 60000: instead of every event, send at most one `digest` in this time that names what changed
    #[param(minimum = 100, maximum = 60000)]
    digest: Option<u64>,
}

/// What changed since the last digest.
#[derive(Debug, Serialize, ToSchema)]
struct Digest {
    /// The cursor to resume after this digest.
    cursor: String,
    /// Groups with changes; null: many.
    groups: Option<BTreeSet<GroupId>>,
    /// Runs with changes; null: many.
    runs: Option<BTreeSet<RunId>>,
    kinds: Vec<EventKind>,
}

/// What the `data` of a message is.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described: an event is sent as the text that was made for everybody.
#[serde(untagged)]
enum Sent {
    Event(EventView),
    Digest(Digest),
}

/// Events, as server-sent events
///
/// Every event has an `id`, its cursor: a client that reconnects with it as `Last-Event-ID` misses nothing. `data` is an event as
/// `windlass events --json` prints it, or a digest (`event: digest`). `event: gap` says that part of the history in between is
/// no longer kept, or that the cursor belongs to another history. A comment is sent every 15 seconds. A slow reader falls
/// behind and catches up from the database; the server buffers nothing for it.
#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    params(EventRequest, ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was received")),
    responses((status = 200, description = "A stream; each `data` is one of these", body = inline(Sent), content_type = "text/event-stream"), Refused))]
async fn events(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(request): Query<EventRequest>,
    headers: HeaderMap,
) -> Result<Response> {
    let group = optional(&request.group)?;
    if request.digest.is_some_and(|it| !(100..=60_000).contains(&it)) {
        return Err(Failure::bad_request("`digest` must be 100 to 60000 milliseconds"));
    }
    let last = headers.get("last-event-id").and_then(|it| it.to_str().ok()).filter(|it| !it.is_empty());
    let after = last.or(request.after.as_deref()).map(view::read_cursor).transpose()?;
    let event_ring = app.history().clone();
    let sat = app.blocking(move |engine| {
        let subscription = event_ring.sit_down(engine.store())?;
        let kept = engine.store().read(|tx| Ok((event::oldest(tx)?, event::newest(tx)?)))?;
        Ok::<_, store::Error>((subscription, kept))
    });
    let (Some(subscription), (oldest, newest)) = sat.await? else {
        return Err(Failure::unavailable("too many clients follow the events", 5));
    };
    let mut cursor = after.unwrap_or_else(|| subscription.event_ring().end());
    let mut begin = "retry: 2000\n".to_string();
    // It is unknown whether the row before the oldest was read completely; assume that it was.
    let lost = cursor.seq + 1 < oldest.seq;
    // The cursor is from another history, as after a restore. Otherwise the stream would wait for numbers of the old
    // history.
    let beyond = cursor > Cursor { seq: newest.seq + 1, index: 0 };
    if after.is_some() && (lost || beyond) {
        cursor = if lost { oldest } else { newest };
        begin.push_str(&gap(cursor));
    }
    let _ = write!(begin, "id: {}\nevent: hello\ndata: {{}}\n\n", view::write_cursor(cursor));
    let digest = request.digest.map(Duration::from_millis);
    let (begin, sent) = (Some(begin), Instant::now());
    let follower = Follower { app, caller, subscription, group, cursor, whole: true, digest, begin, sent };
    let body = stream::unfold(follower, |mut follower| async move {
        let text = follower.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), follower))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

fn gap(after: Cursor) -> String {
    format!("event: gap\ndata: {{\"after\":\"{}\"}}\n\n", view::write_cursor(after))
}

/// One subscriber: a cursor and a subscription to the event ring.
struct Follower {
    app: App,
    /// When a session ends, its streams end.
    caller: Caller,
    subscription: Subscription,
    group: Option<GroupId>,
    cursor: Cursor,
    /// Whether the row of the cursor is read completely, as far as is known.
    whole: bool,
    digest: Option<Duration>,
    begin: Option<String>,
    /// When something was last sent.
    sent: Instant,
}

impl Follower {
    /// What to send next; `None` ends the stream.
    async fn next(&mut self) -> Option<String> {
        if let Some(begin) = self.begin.take() {
            return Some(begin);
        }
        loop {
            if self.app.is_stopping() || !self.app.access().still_lets_in(&self.caller) {
                return None;
            }
            let text = match self.digest {
                Some(every) => self.digest(every).await,
                None => self.events().await,
            };
            if let Some(text) = text {
                self.sent = Instant::now();
                return Some(text);
            }
            if self.sent.elapsed() >= BEAT {
                self.sent = Instant::now();
                return Some(": beat\n\n".to_string());
            }
            self.subscription.wait(GLANCE).await;
        }
    }

    /// The next events, if any, or a gap.
    async fn events(&mut self) -> Option<String> {
        loop {
            let found: Vec<Arc<RingEvent>> = match self.subscription.event_ring().after(self.cursor, AT_ONCE) {
                Ahead::Events(events) => {
                    // A slice may end inside a row.
                    self.whole = if events.is_empty() { self.whole } else { events.len() < AT_ONCE };
                    events
                }
                Ahead::Behind => {
                    let (oldest, found) = self.catch_up().await?;
                    if self.cursor.seq + i64::from(self.whole) < oldest.seq {
                        (self.cursor, self.whole) = (oldest, true);
                        return Some(gap(oldest));
                    }
                    self.whole = true;
                    found
                }
            };
            self.cursor = found.last()?.cursor;
            let mut text = String::new();
            for it in found.iter().filter(|it| it.is_of(self.group)) {
                let _ = write!(text, "id: {}\ndata: {}\n\n", view::write_cursor(it.cursor), it.json);
            }
            if !text.is_empty() {
                return Some(text);
            }
        }
    }

    /// Reads events that have left the ring from the database, with the cursor before which the history is gone. `None`
    /// if reading fails for now.
    async fn catch_up(&self) -> Option<(Cursor, Vec<Arc<RingEvent>>)> {
        let cursor = self.cursor;
        let read = move |tx: &store::ReadTx| Ok((event::oldest(tx)?, event::after(tx, cursor, BATCHES)?));
        match self.app.blocking(move |engine| engine.store().read(read)).await {
            Ok((oldest, found)) => {
                self.subscription.event_ring().count_missed("read", found.len() as i64);
                Some((oldest, found.into_iter().map(|(at, event)| Arc::new(RingEvent::new(at, event))).collect()))
            }
            Err(failure) => {
                tracing::debug!(%failure, "a subscriber has not caught up yet");
                None
            }
        }
    }

    /// A digest of the changes, if there are any and it is due.
    async fn digest(&mut self, every: Duration) -> Option<String> {
        if self.cursor >= self.subscription.event_ring().end() {
            return None;
        }
        let wait = every.saturating_sub(self.sent.elapsed());
        tokio::time::sleep(wait).await;
        let (mut groups, mut runs, mut kinds) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        let mut many = false;
        let mut any = false;
        loop {
            match self.subscription.event_ring().after(self.cursor, AT_ONCE) {
                Ahead::Events(found) if found.is_empty() => break,
                Ahead::Events(found) => {
                    self.cursor = found[found.len() - 1].cursor;
                    for it in found.iter().filter(|it| it.is_of(self.group)) {
                        any = true;
                        groups.extend(it.event.group);
                        runs.extend(it.event.run);
                        if !kinds.contains(&it.event.kind) {
                            kinds.push(it.event.kind);
                        }
                    }
                    many |= groups.len() > NAMED;
                }
                // A digest need not be complete; it reports that much has changed.
                Ahead::Behind => {
                    (many, any) = (true, true);
                    let end = self.subscription.event_ring().end();
                    // At least one for each transaction, whose events are not counted.
                    self.subscription.event_ring().count_missed("dropped", end.seq - self.cursor.seq);
                    self.cursor = end;
                }
            }
            if runs.len() > NAMED * AT_ONCE {
                break;
            }
        }
        let digest = Digest {
            cursor: view::write_cursor(self.cursor),
            groups: Some(groups).filter(|_| !many),
            runs: Some(runs).filter(|it| !many && it.len() <= NAMED),
            kinds,
        };
        let json = serde_json::to_string(&digest).unwrap_or_default();
        any.then(|| format!("id: {}\nevent: digest\ndata: {json}\n\n", digest.cursor))
    }
}
