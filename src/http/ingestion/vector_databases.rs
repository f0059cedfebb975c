//! `/lancedb`: the vector databases, under the name by which existing clients know them.

use super::{
    form::{Queried, Sent},
    object::{date, human},
};
use crate::{
    engine::{Engine, LockWait},
    http::{App, Failure, Result},
    ingest::{kept_database_path, removal},
    model::ResourceKey,
    store::document_removal,
    vector::{self, Document, DocumentQuery, Filter, OpenOptions, VectorDb},
};
use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{fs, io, path::PathBuf};
use utoipa::ToSchema;

/// The directory of a home's vector databases.
const DIRECTORY: &str = "vectors";
/// The most documents in one response.
const DOCUMENTS_MAX: u64 = 10_000;

#[derive(Debug, Serialize, ToSchema)]
pub struct VectorDatabases {
    status: &'static str,
    lancedb_dir: String,
    database_count: usize,
    databases: Vec<ListedDatabase>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ListedDatabase {
    name: String,
    /// Within `lancedb_dir`.
    path: String,
    size_bytes: u64,
    size_human: String,
}

#[utoipa::path(get, path = "/api/v1/lancedb/list", tag = "ingestion", summary = "Vector databases",
    responses((status = 200, body = VectorDatabases)))]
pub async fn list(State(app): State<App>) -> Result<Json<VectorDatabases>> {
    let answer = app
        .blocking(|engine| {
            let dir = engine.home().join(DIRECTORY);
            let databases: Vec<ListedDatabase> = names(engine)?
                .into_iter()
                .map(|name| {
                    let path = format!("{name}.db");
                    let size_bytes = size_of(&dir.join(&path));
                    ListedDatabase { name, path, size_bytes, size_human: human(size_bytes) }
                })
                .collect();
            Ok::<_, Failure>(VectorDatabases {
                status: "ok",
                lancedb_dir: dir.to_string_lossy().into_owned(),
                database_count: databases.len(),
                databases,
            })
        })
        .await?;
    Ok(Json(answer))
}

fn names(engine: &Engine) -> Result<Vec<String>> {
    let dir = engine.home().join(DIRECTORY);
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::new(500, format!("failed to list {}: {error}", dir.display()))),
    };
    let name = |it: fs::DirEntry| it.file_name().to_str()?.strip_suffix(".db").map(str::to_string);
    let mut names: Vec<String> = entries.flatten().filter_map(name).collect();
    names.sort();
    Ok(names)
}

/// The size of the file and its write-ahead log. Only SQLite opens the files.
fn size_of(path: &std::path::Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    [path.as_os_str().to_owned(), log].iter().map(|it| fs::metadata(it).map_or(0, |it| it.len())).sum()
}

/// The file of a database: one in the home by name, or one elsewhere by path if the engine has written to it. No other
/// file is accepted.
fn find(engine: &Engine, name: &str) -> Result<PathBuf> {
    let missing = || Failure::not_found(format!("Database not found: {name}"));
    let plain = name.strip_suffix(".db").unwrap_or(name);
    let is_plain = !plain.is_empty() && !plain.starts_with('.') && !plain.contains(['/', '\\', '\0']);
    let path = match is_plain {
        true => kept_database_path(engine.home(), plain),
        false => kept_database_path(engine.home(), name),
    };
    let path = path.map_err(|_| missing())?;
    let known =
        is_plain || engine.store().read(|tx| document_removal::is_known_database(tx, &path.to_string_lossy()))?;
    if known && path.is_file() { Ok(path) } else { Err(missing()) }
}

fn open(engine: &Engine, name: &str) -> Result<VectorDb> {
    let path = find(engine, name)?;
    let mut db = VectorDb::open(&path, &OpenOptions::default()).map_err(|error| of_vector(name, error))?;
    let deleted = engine.store().read(|tx| removal::deleted(tx, &path))?;
    deleted.hide_in(&mut db).map_err(|error| of_vector(name, error))?;
    Ok(db)
}

fn of_vector(name: &str, error: vector::Error) -> Failure {
    match &error {
        vector::Error::NotFound { .. } | vector::Error::NotAVectorDatabase { .. } => {
            Failure::not_found(format!("Database not found: {name}"))
        }
        vector::Error::Filter(it) => {
            let failure = Failure::bad_request(it.to_string());
            it.hint().map_or(failure.clone(), |hint| failure.hint(hint))
        }
        vector::Error::Busy { .. } | vector::Error::Fenced { .. } => Failure::conflict(error.to_string()),
        _ => error.into(),
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct VectorDatabaseInfo {
    status: &'static str,
    path: String,
    versions: Versions,
    embeddings: Embeddings,
    documents: Table,
    chunks: Table,
    vector_index: VectorIndex,
    tables: [&'static str; 3],
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Versions {
    windlass: &'static str,
    schema: i64,
    stored_version: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Embeddings {
    provider: String,
    model: String,
    vector_dim: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Table {
    count: u64,
    size_bytes: u64,
    size_human: String,
    versions: u64,
}

impl Table {
    fn new(count: u64, size_bytes: u64) -> Table {
        Table { count, size_bytes, size_human: human(size_bytes), versions: 1 }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct VectorIndex {
    exists: bool,
    indexed_rows: u64,
    unindexed_rows: u64,
}

#[utoipa::path(get, path = "/api/v1/lancedb/info", tag = "ingestion", summary = "What is in a vector database",
    params(("db" = String, Query)), responses((status = 200, body = VectorDatabaseInfo), (status = 404)))]
pub async fn info(State(app): State<App>, Queried(query): Queried) -> Result<Json<VectorDatabaseInfo>> {
    let name = query.text("db")?.to_string();
    let info = app.blocking(move |engine| open(engine, &name)?.info().map_err(|it| of_vector(&name, it))).await?;
    let (provider, _) = info.embedder.split_once(':').unwrap_or(("windlass", ""));
    let text = 4 * info.tokens;
    let vectors = info.chunks * info.dimension as u64 * 4;
    Ok(Json(VectorDatabaseInfo {
        status: "ok",
        path: info.path.to_string_lossy().into_owned(),
        versions: Versions {
            windlass: env!("CARGO_PKG_VERSION"),
            schema: info.schema_version,
            stored_version: info.schema_version.to_string(),
        },
        embeddings: Embeddings {
            provider: provider.to_string(),
            model: info.embedder.clone(),
            vector_dim: info.dimension,
        },
        documents: Table::new(info.documents, info.bytes),
        chunks: Table::new(info.chunks, text + vectors),
        // Search compares the query with every vector, so no vector is unindexed.
        vector_index: VectorIndex { exists: false, indexed_rows: info.chunks, unindexed_rows: 0 },
        tables: ["documents", "chunks", "vectors"],
    }))
}

/// The database to vacuum, if the query does not name it.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described.
pub struct WhichDatabase {
    db: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Vacuumed {
    status: &'static str,
    bytes_before: u64,
    bytes_after: u64,
}

#[utoipa::path(get, path = "/api/v1/lancedb/vacuum", tag = "ingestion",
    summary = "Free the unused space of a vector database; never waits", params(("db" = String, Query)),
    responses((status = 200, body = Vacuumed), (status = 404), (status = 409, description = "Another program writes to it."), (status = 500)))]
pub async fn vacuum(State(app): State<App>, Queried(query): Queried) -> Result<Json<Vacuumed>> {
    let name = query.text("db")?.to_string();
    app.blocking(move |engine| vacuumed(engine, &name)).await.map(Json)
}

#[utoipa::path(post, path = "/api/v1/lancedb/vacuum", tag = "ingestion",
    summary = "Free the unused space of a vector database; never waits", params(("db" = Option<String>, Query, description = "Here or in a form")),
    request_body(content = Option<WhichDatabase>, content_type = "multipart/form-data"),
    responses((status = 200, body = Vacuumed), (status = 404), (status = 409, description = "Another program writes to it."), (status = 500)))]
pub async fn post_vacuum(State(app): State<App>, Sent(form): Sent) -> Result<Json<Vacuumed>> {
    let name = form.text("db")?.to_string();
    app.blocking(move |engine| vacuumed(engine, &name)).await.map(Json)
}

fn vacuumed(engine: &Engine, name: &str) -> Result<Vacuumed> {
    let path = find(engine, name)?;
    let key = ResourceKey(format!("vec:{}", path.display()));
    let guard = engine.hold_key(&key, super::turn::holder(), LockWait::No)?;
    let mut db = VectorDb::open_for_writing(&path, &OpenOptions::default()).map_err(|it| of_vector(name, it))?;
    let epoch = db.raise_epoch().map_err(|it| of_vector(name, it))?;
    let report = db.vacuum(epoch).map_err(|it| of_vector(name, it))?;
    drop(guard);
    Ok(Vacuumed { status: "ok", bytes_before: report.bytes_before, bytes_after: report.bytes_after })
}

#[derive(Debug, Serialize, ToSchema)]
pub struct VectorDocuments {
    status: &'static str,
    path: String,
    document_count: usize,
    documents: Vec<VectorDocument>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct VectorDocument {
    /// Constant while the document has its source and its URI.
    id: String,
    uri: String,
    title: Option<String>,
    created_at: String,
    updated_at: String,
    chunk_count: u64,
    #[schema(value_type = Object)]
    metadata: Value,
}

#[utoipa::path(get, path = "/api/v1/lancedb/documents", tag = "ingestion", summary = "Documents in a vector database",
    params(("db" = String, Query), ("limit" = Option<u64>, Query), ("offset" = Option<u64>, Query),
        ("filter" = Option<String>, Query, description = "Such as `source = 'manuals' AND title LIKE '%rope%'`")),
    responses((status = 200, body = VectorDocuments), (status = 400), (status = 404)))]
pub async fn documents(State(app): State<App>, Queried(query): Queried) -> Result<Json<VectorDocuments>> {
    let name = query.text("db")?.to_string();
    let limit = query.parse::<u64>("limit", "a number from 0")?.unwrap_or(DOCUMENTS_MAX).min(DOCUMENTS_MAX);
    let offset = query.parse::<u64>("offset", "a number from 0")?.unwrap_or(0);
    let filter = query.get("filter").map(str::parse::<Filter>).transpose();
    let filter = filter.map_err(|it| of_vector(&name, it.into()))?;
    let (path, documents) = app
        .blocking(move |engine| {
            let db = open(engine, &name)?;
            let page_query = DocumentQuery { filter: filter.as_ref(), limit, offset };
            let page = db.documents(&page_query).map_err(|it| of_vector(&name, it))?;
            Ok::<_, Failure>((db.path().to_path_buf(), page.documents))
        })
        .await?;
    Ok(Json(VectorDocuments {
        status: "ok",
        path: path.to_string_lossy().into_owned(),
        document_count: documents.len(),
        documents: documents.into_iter().map(VectorDocument::from).collect(),
    }))
}

impl From<Document> for VectorDocument {
    fn from(it: Document) -> VectorDocument {
        VectorDocument {
            id: id_of(&it),
            uri: it.uri,
            title: it.title,
            created_at: date(it.created),
            updated_at: date(it.updated),
            chunk_count: it.chunks,
            metadata: it.metadata,
        }
    }
}

fn id_of(it: &Document) -> String {
    let digest = Sha256::digest(format!("{}\0{}", it.source, it.uri));
    hex::encode(&digest[..16])
}
