//! A whole group as one JSON document, sent as it is read.

use super::answer::{Refused, id};
use crate::{
    http::{App, Failure, Result},
    model::{GroupId, RunId},
    view::{self, Export, ExportedRun},
};
use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use std::io;

/// How many runs are read and sent at once.
const RUNS: usize = 100;

/// The position of an export.
enum Place {
    Runs { after: Option<RunId>, first: bool },
    Done,
}

/// A whole group: its definition, runs, steps and attempts
///
/// Streamed, so a group may have any size; the export of a running group is not a snapshot.
#[utoipa::path(get, path = "/api/v1/groups/{group}/export", tag = "groups", params(("group" = String, Path, description = "Such as 12 or g12", example = "g2")),
    responses((status = 200, body = Export), Refused))]
pub(super) async fn export(State(app): State<App>, Path(group): Path<String>) -> Result<Response> {
    let group: GroupId = id(&group)?;
    let head = app.blocking(move |engine| view::export_head(engine.store(), group)).await?;
    let mut head = serde_json::to_string(&head).map_err(|error| Failure::new(500, error.to_string()))?;
    // The runs are inserted into the object.
    head.pop();
    head.push_str(r#","runs":["#);
    let begin = (app, Place::Runs { after: None, first: true }, Some(head));
    let body = stream::unfold(begin, move |(app, place, head)| async move {
        if let Some(head) = head {
            return Some((Ok(Bytes::from(head)), (app, place, None)));
        }
        let Place::Runs { after, first } = place else { return None };
        // An error cuts the response off, so that a partial document does not look complete.
        let runs = match app.blocking(move |engine| view::export_runs(engine.store(), group, after, RUNS)).await {
            Ok(runs) => runs,
            Err(failure) => return Some((Err(io::Error::other(failure)), (app, Place::Done, None))),
        };
        let (text, place) = written(&runs, first);
        Some((text, (app, place, None)))
    });
    let name = format!("attachment; filename=\"{group}.json\"");
    let headers = [(header::CONTENT_TYPE, "application/json".to_string()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, Body::from_stream(body)).into_response())
}

fn written(runs: &[ExportedRun], first: bool) -> (io::Result<Bytes>, Place) {
    let mut text = String::new();
    for (at, run) in runs.iter().enumerate() {
        if at > 0 || !first {
            text.push(',');
        }
        match serde_json::to_string(run) {
            Ok(run) => text.push_str(&run),
            Err(error) => return (Err(io::Error::other(error)), Place::Done),
        }
    }
    let place = match runs.last().filter(|_| runs.len() == RUNS) {
        Some(last) => Place::Runs { after: Some(last.run.id), first: false },
        None => {
            text.push_str("]}");
            Place::Done
        }
    };
    (Ok(Bytes::from(text)), place)
}
