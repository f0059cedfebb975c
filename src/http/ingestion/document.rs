//! `/document`: uploading, fetching and deleting documents.

use super::{
    form::{Queried, Sent, Upload, UploadForm},
    listing::{self, PAGE},
    object::{DocumentUriObject, hash},
    turn::PATIENCE,
};
use crate::{
    artifact::Put,
    engine::{Engine, LockWait},
    http::{App, Caller, Failure, Result},
    ingest::{
        fetch::{self, FetchLimits, NotPublic, Reach},
        file_uri, removal,
        upload::{self, UploadedDocument},
    },
    model::ArtifactHash,
    os::regular_file,
    store::{document_batch, document_removal::Removed, document_uri},
};
use axum::{Extension, Json, extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use serde_json::Value;
use std::time::Instant;
use utoipa::ToSchema;

#[utoipa::path(get, path = "/api/v1/document/", tag = "ingestion", summary = "Documents of a source or a batch",
    params(("source" = Option<String>, Query, example = "manuals"), ("batch_id" = Option<i64>, Query)),
    responses((status = 200, body = [DocumentUriObject]), (status = 400, description = "Neither was given.")))]
pub async fn list(State(app): State<App>, Queried(query): Queried) -> Result<Response> {
    let objects = |found: Vec<_>| found.into_iter().map(DocumentUriObject::from).collect();
    if let Some(source) = query.get("source").map(str::to_string) {
        return listing::array(app, String::new(), String::new(), String::new(), move |engine, after: String| {
            let found = engine.store().read(|tx| document_uri::of_source(tx, &source, &after, PAGE))?;
            let next = found.last().filter(|_| found.len() == PAGE).map(|it| it.uri.clone());
            Ok((objects(found), next))
        })
        .await;
    }
    let Some(batch) = query.number("batch_id")? else {
        return Err(Failure::bad_request("No source or batch_id provided"));
    };
    listing::array(app, String::new(), String::new(), None, move |engine, after: Option<(ArtifactHash, i64)>| {
        let found = engine.store().read(|tx| document_uri::of_batch(tx, batch, after, PAGE))?;
        let next = found.last().filter(|_| found.len() == PAGE).map(|it| Some((it.sha256, it.id)));
        Ok((objects(found), next))
    })
    .await
}

/// A document.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described.
pub struct NewDocument {
    /// The bytes; otherwise set `input_uri`.
    #[schema(value_type = Option<String>, format = Binary, example = "@winch.md")]
    file: Option<Vec<u8>>,
    /// Where to get the bytes: `http://` (without the token only at public addresses), or with the token `file://` on this machine.
    input_uri: Option<String>,
    /// The name of the document in its source; (source, source_uri) identifies it.
    source_uri: String,
    source: String,
    batch_id: i64,
    mime_type: Option<String>,
    /// A JSON object.
    doc_meta: Option<String>,
    /// Ignored: set the priority where the workflows are started.
    priority: Option<i64>,
}

/// The result of a document.
#[derive(Debug, Serialize, ToSchema)]
pub struct TakenDocument {
    batch_id: Option<i64>,
    document_uri: String,
    /// `sha256-<hex>`
    document_hash: String,
    source: String,
    uri_id: i64,
}

#[utoipa::path(post, path = "/api/v1/document/ingest-document", tag = "ingestion", summary = "Add a document to a batch",
    request_body(content = NewDocument, content_type = "multipart/form-data"),
    responses((status = 201, body = TakenDocument),
        (status = 203, body = TakenDocument, description = "The document is already in another batch, and stays there."),
        (status = 400), (status = 404, description = "There is no such batch.")))]
pub async fn ingest(
    State(app): State<App>,
    caller: Extension<Caller>,
    UploadForm(form, upload): UploadForm,
) -> Result<(StatusCode, Json<TakenDocument>)> {
    let batch = form.needed_number("batch_id")?;
    form.number("priority")?;
    // Clients without metadata send `{}`.
    let metadata = form.object("doc_meta")?.filter(|it| !it.is_empty());
    let uploaded = UploadedDocument {
        source: form.text("source")?.to_string(),
        uri: form.text("source_uri")?.to_string(),
        file_name: upload.as_ref().and_then(|it| it.file_name.clone()),
        media_type: form.get("mime_type").map(str::to_string),
        etag: metadata.as_ref().and_then(|it| it.get("etag")).and_then(Value::as_str).map(str::to_string),
        metadata: metadata.map_or(Value::Null, Value::Object),
        batch: Some(batch),
    };
    let input = form.get("input_uri").map(str::to_string);
    let may_read = caller.may_reach_out();
    let document = app
        .blocking(move |engine| {
            if !engine.store().read(|tx| document_batch::exists(tx, batch))? {
                return Err(Failure::not_found(format!("Batch {batch} not found")));
            }
            let (put, uploaded) = bytes_of(engine, upload, input.as_deref(), uploaded, may_read)?;
            upload::take(engine, put, uploaded).map_err(super::turn::of_ingest)
        })
        .await?;
    let status =
        if document.batch == Some(batch) { StatusCode::CREATED } else { StatusCode::NON_AUTHORITATIVE_INFORMATION };
    let taken = TakenDocument {
        batch_id: document.batch,
        document_uri: document.uri,
        document_hash: hash(&document.sha256),
        source: document.source,
        uri_id: document.id,
    };
    Ok((status, Json(taken)))
}

/// The bytes of a document, from the body, a form or a URL.
fn bytes_of(
    engine: &Engine,
    upload: Option<Upload>,
    input: Option<&str>,
    uploaded: UploadedDocument,
    may_read: bool,
) -> Result<(Put, UploadedDocument)> {
    if let Some(Upload { incoming, content_type, .. }) = upload {
        let put = incoming.finish()?;
        // Clients send this type for every file, so it carries no information.
        let said = content_type.filter(|it| !it.ends_with("/octet-stream"));
        return Ok((put, UploadedDocument { media_type: uploaded.media_type.or(said), ..uploaded }));
    }
    let input = input.ok_or_else(|| Failure::bad_request("neither `file` nor `input_uri` was given"))?;
    let reach = if may_read { Reach::Anywhere } else { Reach::Public };
    let limits = FetchLimits { reach, ..FetchLimits::default() };
    if fetch::is_url(input) {
        let fetched = fetch::fetch(engine.artifacts(), input, &limits).map_err(as_bad_request)?;
        let media_type = uploaded.media_type.or(fetched.media_type);
        let etag = uploaded.etag.or(fetched.etag);
        return Ok((fetched.put, UploadedDocument { media_type, etag, ..uploaded }));
    }
    let Some(path) = file_uri::path_of(input) else {
        return Err(Failure::bad_request("`input_uri` is neither http:// nor file://"));
    };
    if !may_read {
        return Err(Failure::new(403, "reading files of this machine requires the token"));
    }
    let failed = |error: std::io::Error| Failure::bad_request(format!("failed to read {}: {error}", path.display()));
    let file = regular_file::open(&path).map_err(failed)?;
    let put = upload::receive_all(engine.artifacts(), file, limits.size, input).map_err(as_bad_request)?;
    Ok((put, uploaded))
}

/// A document that can't be fetched from the client's URL is a client error, unless our disk failed.
fn as_bad_request(error: crate::ingest::Error) -> Failure {
    match &error {
        crate::ingest::Error::Io { source, .. } if NotPublic::behind(&error) => {
            Failure::new(403, format!("{error}: {source}")).hint("without the token only public addresses are fetched")
        }
        crate::ingest::Error::Io { source, .. } => Failure::bad_request(format!("{error}: {source}")),
        _ => super::turn::of_ingest(error),
    }
}

/// The document to delete, if the query does not name it.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described.
pub struct WhichDocument {
    uri: String,
    source: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DeletedDocument {
    message: &'static str,
    uri: String,
    source: String,
    statistics: DeletedRows,
}

/// The rows deleted with a document.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeletedRows {
    deleted_document_uris: i64,
    deleted_uri_history: i64,
    deleted_documents: i64,
    deleted_workflow_runs: i64,
    deleted_run_steps: i64,
    deleted_lifecycle_history: i64,
    total_deleted: i64,
}

#[utoipa::path(delete, path = "/api/v1/document/by-uri", tag = "ingestion",
    summary = "Delete a document; if no other document has its content, also that content, its runs and their output",
    params(("uri" = Option<String>, Query, description = "Here or in a form"),
        ("source" = Option<String>, Query, description = "Here or in a form")),
    request_body(content = Option<WhichDocument>, content_type = "multipart/form-data"),
    responses((status = 200, body = DeletedDocument), (status = 404),
        (status = 409, description = "One of its runs is still running.")))]
pub async fn delete_by_uri(State(app): State<App>, Sent(form): Sent) -> Result<Json<DeletedDocument>> {
    let (uri, source) = (form.text("uri")?.to_string(), form.text("source")?.to_string());
    let (requested_uri, requested_source) = (uri.clone(), source.clone());
    let deadline = Instant::now() + PATIENCE;
    let removed = app
        .blocking(move |engine| {
            let removed = engine.delete_document(&requested_source, &requested_uri, deadline)?;
            if removed.is_some() {
                finish_removal(engine);
            }
            Ok::<_, Failure>(removed)
        })
        .await?;
    let Some(removed) = removed else {
        return Err(Failure::not_found(format!("DocumentURI not found for uri={uri}, source={source}")));
    };
    let statistics = DeletedRows::from(&removed);
    Ok(Json(DeletedDocument { message: "DocumentURI deleted successfully", uri, source, statistics }))
}

impl From<&Removed> for DeletedRows {
    fn from(it: &Removed) -> DeletedRows {
        DeletedRows {
            deleted_document_uris: it.document_uris,
            deleted_uri_history: it.uri_history,
            deleted_documents: it.documents,
            deleted_workflow_runs: it.runs,
            deleted_run_steps: it.steps,
            deleted_lifecycle_history: it.history,
            total_deleted: it.total(),
        }
    }
}

/// Removes deleted documents from the vector databases. Does not wait for a locked one: searches no longer find the documents,
/// and the daemon removes them when the lock is free.
pub fn finish_removal(engine: &Engine) {
    match removal::finish(engine, super::turn::holder(), LockWait::No) {
        Ok(true) => {}
        Ok(false) => tracing::info!("a vector database is locked: deleted documents are removed from it later"),
        Err(error) => tracing::warn!(%error, "failed to remove deleted documents from a vector database"),
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DeletedOrphans {
    message: &'static str,
    statistics: OrphanRows,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct OrphanRows {
    deleted_documents: i64,
    deleted_history: i64,
}

#[utoipa::path(post, path = "/api/v1/document/cleanup-orphans", tag = "ingestion",
    summary = "Delete contents without documents", responses((status = 200, body = DeletedOrphans)))]
pub async fn cleanup_orphans(State(app): State<App>) -> Result<Json<DeletedOrphans>> {
    let deadline = Instant::now() + PATIENCE;
    let removed = app
        .blocking(move |engine| {
            let removed = engine.delete_orphans(deadline)?;
            finish_removal(engine);
            Ok::<_, Failure>(removed)
        })
        .await?;
    let statistics = OrphanRows { deleted_documents: removed.documents, deleted_history: removed.uri_history };
    Ok(Json(DeletedOrphans { message: "Orphaned documents cleaned up", statistics }))
}
