//! Arrays of any length as a response. They are read page by page while they are sent, so neither memory nor the time
//! of one read depends on their length.

use crate::{
    engine::Engine,
    http::{App, Failure, Result},
};
use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::Serialize;

/// One page, and where the next one begins; None at the end.
pub type Page<T, C> = (Vec<T>, Option<C>);

/// The records in one page.
pub const PAGE: usize = 500;

/// An array between `before` and `after`, which make it part of an object. The first page decides the status. If a
/// later page can't be read, the response is cut off.
pub async fn array<T, C, F>(app: App, before: String, after: String, start: C, fetch: F) -> Result<Response>
where
    T: Serialize + Send + 'static,
    C: Send + 'static,
    F: Fn(&Engine, C) -> Result<Page<T, C>> + Clone + Send + 'static,
{
    let (items, next) = page(&app, start, fetch.clone()).await?;
    let is_empty = items.is_empty();
    let head = [before.as_bytes(), b"[", &items].concat();
    let tail = Bytes::from(format!("]{after}"));
    let json = [(header::CONTENT_TYPE, "application/json")];
    let Some(next) = next else {
        return Ok((json, [head, tail.to_vec()].concat()).into_response());
    };
    let state = Sending { app, fetch, next: Some(next), tail: Some(tail), is_empty, head: Some(Bytes::from(head)) };
    let body = stream::unfold(state, |mut state| async move {
        if let Some(head) = state.head.take() {
            return Some((Ok(head), state));
        }
        let Some(cursor) = state.next.take() else {
            return state.tail.take().map(|tail| (Ok::<Bytes, Failure>(tail), state));
        };
        match page(&state.app, cursor, state.fetch.clone()).await {
            Ok((items, next)) => {
                let comma: &[u8] = if state.is_empty || items.is_empty() { b"" } else { b"," };
                state.is_empty &= items.is_empty();
                state.next = next;
                Some((Ok(Bytes::from([comma, &items].concat())), state))
            }
            Err(failure) => {
                state.tail = None;
                Some((Err(failure), state))
            }
        }
    });
    Ok((json, Body::from_stream(body)).into_response())
}

struct Sending<C, F> {
    app: App,
    fetch: F,
    next: Option<C>,
    head: Option<Bytes>,
    tail: Option<Bytes>,
    is_empty: bool,
}

/// The records of a page as JSON, with commas between them.
async fn page<T, C, F>(app: &App, cursor: C, fetch: F) -> Result<(Vec<u8>, Option<C>)>
where
    T: Serialize + Send + 'static,
    C: Send + 'static,
    F: Fn(&Engine, C) -> Result<Page<T, C>> + Send + 'static,
{
    app.blocking(move |engine| {
        let (records, next) = fetch(engine, cursor)?;
        let mut text = Vec::new();
        for (at, record) in records.iter().enumerate() {
            if at > 0 {
                text.push(b',');
            }
            serde_json::to_writer(&mut text, record).map_err(|error| Failure::new(500, error.to_string()))?;
        }
        Ok::<_, Failure>((text, next))
    })
    .await
}
