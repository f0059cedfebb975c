//! `/source-status`: which documents of a source are new or changed, and which are gone.

use super::{
    form::Sent,
    object::{digits, parse_hash},
    turn::PATIENCE,
};
use crate::{
    engine::Engine,
    http::{App, Failure, Result},
    store::document_uri::{self, DocumentUri},
};
use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};
use utoipa::ToSchema;

/// Documents per read or write.
const SLICE: usize = 500;

/// The current documents of a source.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described.
pub struct SourceHashes {
    source: String,
    /// A JSON object: URI to the SHA-256 of the content, or to `{"sha256": ..., "etag": ...}`.
    hashes: String,
    /// Deletes the documents that the source no longer has. An empty `hashes` deletes nothing.
    delete_stale: Option<bool>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    New,
    Mismatch,
    Match,
    /// The source no longer has it.
    Deleted,
}

/// The result of a document. Hashes have no prefix.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum DocumentStatus {
    Mismatch { source_hash: Option<String>, stored_hash: String, status: Verdict },
    Other { hash: Option<String>, status: Verdict },
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum SourceStatus {
    /// With `delete_stale`.
    Cleaned { status: BTreeMap<String, DocumentStatus>, deleted_count: usize },
    /// By URI.
    Compared(BTreeMap<String, DocumentStatus>),
}

#[utoipa::path(post, path = "/api/v1/source-status", tag = "ingestion", summary = "What is new, changed or deleted in a source",
    request_body(content = SourceHashes, content_type = "multipart/form-data"),
    responses((status = 200, body = SourceStatus, description = "`{uri: {status}}`; with `delete_stale` \
        `{status: {uri: {status}}, deleted_count}`"), (status = 400)))]
pub async fn source_status(State(app): State<App>, Sent(form): Sent) -> Result<Json<SourceStatus>> {
    let source = form.text("source")?.to_string();
    let hashes: Map<String, Value> = serde_json::from_str(form.text("hashes")?)
        .map_err(|_| Failure::bad_request("`hashes` is not a JSON object of URIs"))?;
    let delete_stale = form.flag("delete_stale")?;
    let answer = app.blocking(move |engine| status_of(engine, &source, &hashes, delete_stale)).await?;
    Ok(Json(answer))
}

fn status_of(engine: &Engine, source: &str, hashes: &Map<String, Value>, delete_stale: bool) -> Result<SourceStatus> {
    let mut stored = stored(engine, source)?;
    let (mut answer, mut etags) = (BTreeMap::new(), Vec::new());
    for (uri, client) in hashes {
        let client = ClientVersion::of(uri, client)?;
        let known = stored.remove(uri);
        if let (Some(known), Some(etag)) = (&known, &client.etag)
            && client.is_same(known)
            && known.etag.as_ref() != Some(etag)
        {
            etags.push((uri.clone(), etag.clone()));
        }
        answer.insert(uri.clone(), client.verdict(known.as_ref()));
    }
    for slice in etags.chunks(SLICE) {
        let (slice, source) = (slice.to_vec(), source.to_string());
        engine.store().write(move |tx| document_uri::set_etags(tx, &source, &slice))?;
    }
    let mut gone: Vec<DocumentUri> = stored.into_values().collect();
    gone.sort_by(|one, other| one.uri.cmp(&other.uri));
    for it in &gone {
        let hash = Some(it.sha256.to_string());
        answer.insert(it.uri.clone(), DocumentStatus::Other { hash, status: Verdict::Deleted });
    }
    if !delete_stale {
        return Ok(SourceStatus::Compared(answer));
    }
    // A source that could not be read looks empty.
    let deleted_count = if hashes.is_empty() { 0 } else { delete(engine, source, &gone)? };
    Ok(SourceStatus::Cleaned { status: answer, deleted_count })
}

fn stored(engine: &Engine, source: &str) -> Result<HashMap<String, DocumentUri>> {
    let (mut all, mut after) = (HashMap::new(), String::new());
    loop {
        let page = engine.store().read(|tx| document_uri::of_source(tx, source, &after, SLICE))?;
        let Some(last) = page.last() else { return Ok(all) };
        after = last.uri.clone();
        all.extend(page.into_iter().map(|it| (it.uri.clone(), it)));
    }
}

fn delete(engine: &Engine, source: &str, gone: &[DocumentUri]) -> Result<usize> {
    let deadline = Instant::now() + PATIENCE;
    let mut deleted = 0;
    for it in gone {
        deleted += usize::from(engine.delete_document(source, &it.uri, deadline)?.is_some());
    }
    super::document::finish_removal(engine);
    Ok(deleted)
}

/// The source's version of one document.
struct ClientVersion {
    hash: Option<String>,
    etag: Option<String>,
}

impl ClientVersion {
    fn of(uri: &str, value: &Value) -> Result<ClientVersion> {
        let text = |value: &Value| value.as_str().filter(|it| !it.is_empty()).map(str::to_string);
        let client = match value {
            Value::String(_) => ClientVersion { hash: text(value), etag: None },
            Value::Object(it) => {
                ClientVersion { hash: it.get("sha256").and_then(text), etag: it.get("etag").and_then(text) }
            }
            _ => ClientVersion { hash: None, etag: None },
        };
        match client.hash.is_some() || client.etag.is_some() {
            true => Ok(client),
            false => {
                let uri: String = uri.chars().take(200).collect();
                Err(Failure::bad_request(format!("`hashes` has neither a SHA-256 nor an etag for `{uri}`")))
            }
        }
    }

    /// Compares the content if it is known, otherwise the etag.
    fn is_same(&self, known: &DocumentUri) -> bool {
        match &self.hash {
            Some(hash) => parse_hash(hash) == Some(known.sha256),
            None => self.etag.is_some() && self.etag == known.etag,
        }
    }

    fn verdict(&self, known: Option<&DocumentUri>) -> DocumentStatus {
        let source_hash = self.hash.as_deref().map(|it| digits(it).to_string());
        let Some(known) = known else { return DocumentStatus::Other { hash: source_hash, status: Verdict::New } };
        let stored_hash = known.sha256.to_string();
        match self.is_same(known) {
            true => DocumentStatus::Other { hash: Some(stored_hash), status: Verdict::Match },
            false => DocumentStatus::Mismatch { source_hash, stored_hash, status: Verdict::Mismatch },
        }
    }
}
