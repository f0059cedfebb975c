//! `/lancedb`: the vector databases, under the name by which existing clients know them.

use super::{
    form::{Queried, Sent},
    object::{date, human},
};
use crate::{
    engine::{Engine, LockWait},
    http::{App, Failure, Result},
    ingest::database_path,
    model::{Holder, HolderKind, ResourceKey},
    store::document_removal,
    vector::{self, Document, DocumentQuery, Filter, OpenOptions, VectorDb},
};
use axum::{Json, extract::State};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{fs, io, path::PathBuf};

/// Where the vector databases of a home are.
const DIRECTORY: &str = "vectors";
/// Documents that one answer has at most.
const DOCUMENTS_MAX: u64 = 10_000;

#[utoipa::path(get, path = "/api/v1/lancedb/list", tag = "ingestion", summary = "Vector databases",
    responses((status = 200, description = "`{status, lancedb_dir, database_count, databases}`")))]
pub async fn list(State(app): State<App>) -> Result<Json<Value>> {
    let answer = app
        .blocking(|engine| {
            let dir = engine.home().join(DIRECTORY);
            let databases: Vec<Value> = names(engine)?
                .into_iter()
                .map(|name| {
                    let file = format!("{name}.db");
                    let size = size_of(&dir.join(&file));
                    json!({"name": name, "path": file, "size_bytes": size, "size_human": human(size)})
                })
                .collect();
            Ok::<_, Failure>(json!({
                "status": "ok",
                "lancedb_dir": dir,
                "database_count": databases.len(),
                "databases": databases,
            }))
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

/// The file with its log. Nobody but SQLite opens them.
fn size_of(path: &std::path::Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    [path.as_os_str().to_owned(), log].iter().map(|it| fs::metadata(it).map_or(0, |it| it.len())).sum()
}

/// The file of a database: one of the home by its name, or one elsewhere that the engine has written into by its path.
/// Nothing else is looked for.
fn find(engine: &Engine, name: &str) -> Result<PathBuf> {
    let missing = || Failure::not_found(format!("Database not found: {name}"));
    let plain = name.strip_suffix(".db").unwrap_or(name);
    let is_plain = !plain.is_empty() && !plain.starts_with('.') && !plain.contains(['/', '\\', '\0']);
    let path = match is_plain {
        true => database_path(engine.home(), plain),
        false => database_path(engine.home(), name),
    };
    let path = path.map_err(|_| missing())?;
    let known =
        is_plain || engine.store().read(|tx| document_removal::is_known_database(tx, &path.to_string_lossy()))?;
    if known && path.is_file() { Ok(path) } else { Err(missing()) }
}

fn open(engine: &Engine, name: &str) -> Result<VectorDb> {
    let path = find(engine, name)?;
    VectorDb::open(&path, &OpenOptions::default()).map_err(|error| of_vector(name, error))
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

#[utoipa::path(get, path = "/api/v1/lancedb/info", tag = "ingestion", summary = "What is in a vector database",
    params(("db" = String, Query)), responses((status = 200), (status = 404)))]
pub async fn info(State(app): State<App>, Queried(query): Queried) -> Result<Json<Value>> {
    let name = query.text("db")?.to_string();
    let info = app.blocking(move |engine| open(engine, &name)?.info().map_err(|it| of_vector(&name, it))).await?;
    let (provider, _) = info.embedder.split_once(':').unwrap_or(("windlass", ""));
    let text = 4 * info.tokens;
    let vectors = info.chunks * info.dimension as u64 * 4;
    Ok(Json(json!({
        "status": "ok",
        "path": info.path,
        "versions": {
            "windlass": env!("CARGO_PKG_VERSION"),
            "schema": info.schema_version,
            "stored_version": info.schema_version.to_string(),
        },
        "embeddings": {"provider": provider, "model": info.embedder, "vector_dim": info.dimension},
        "documents": {
            "count": info.documents,
            "size_bytes": info.bytes,
            "size_human": human(info.bytes),
            "versions": 1,
        },
        "chunks": {
            "count": info.chunks,
            "size_bytes": text + vectors,
            "size_human": human(text + vectors),
            "versions": 1,
        },
        // Every vector is compared with every query: exact, and so there is nothing that is not indexed.
        "vector_index": {"exists": false, "indexed_rows": info.chunks, "unindexed_rows": 0},
        "tables": ["documents", "chunks", "vectors"],
    })))
}

#[utoipa::path(get, path = "/api/v1/lancedb/vacuum", tag = "ingestion",
    summary = "Give back the space that a vector database does not need; never waits", params(("db" = String, Query)),
    responses((status = 200), (status = 404), (status = 409, description = "Somebody else writes to it."), (status = 500)))]
pub async fn vacuum(State(app): State<App>, Queried(query): Queried) -> Result<Json<Value>> {
    let name = query.text("db")?.to_string();
    app.blocking(move |engine| vacuumed(engine, &name)).await.map(Json)
}

#[utoipa::path(post, path = "/api/v1/lancedb/vacuum", tag = "ingestion",
    summary = "Give back the space that a vector database does not need; never waits", params(("db" = String, Query)),
    responses((status = 200), (status = 404), (status = 409, description = "Somebody else writes to it."), (status = 500)))]
pub async fn post_vacuum(State(app): State<App>, Sent(form): Sent) -> Result<Json<Value>> {
    let name = form.text("db")?.to_string();
    app.blocking(move |engine| vacuumed(engine, &name)).await.map(Json)
}

fn vacuumed(engine: &Engine, name: &str) -> Result<Value> {
    let path = find(engine, name)?;
    let key = ResourceKey(format!("vec:{}", path.display()));
    let holder = Holder { kind: HolderKind::Web, id: i64::from(std::process::id()) };
    let guard = engine.hold_key(&key, holder, LockWait::No)?;
    let mut db = VectorDb::open_for_writing(&path, &OpenOptions::default()).map_err(|it| of_vector(name, it))?;
    let epoch = db.raise_epoch().map_err(|it| of_vector(name, it))?;
    let report = db.vacuum(epoch).map_err(|it| of_vector(name, it))?;
    drop(guard);
    Ok(json!({"status": "ok", "bytes_before": report.bytes_before, "bytes_after": report.bytes_after}))
}

#[utoipa::path(get, path = "/api/v1/lancedb/documents", tag = "ingestion", summary = "Documents in a vector database",
    params(("db" = String, Query), ("limit" = Option<u64>, Query), ("offset" = Option<u64>, Query),
        ("filter" = Option<String>, Query, description = "Such as `source = 'manuals' AND title LIKE '%rope%'`")),
    responses((status = 200, description = "`{status, path, document_count, documents}`"), (status = 400), (status = 404)))]
pub async fn documents(State(app): State<App>, Queried(query): Queried) -> Result<Json<Value>> {
    let name = query.text("db")?.to_string();
    let limit = query.parse::<u64>("limit", "a number from 0")?.unwrap_or(DOCUMENTS_MAX).min(DOCUMENTS_MAX);
    let offset = query.parse::<u64>("offset", "a number from 0")?.unwrap_or(0);
    let filter = query.get("filter").map(str::parse::<Filter>).transpose();
    let filter = filter.map_err(|it| of_vector(&name, it.into()))?;
    let (path, documents) = app
        .blocking(move |engine| {
            let db = open(engine, &name)?;
            let asked = DocumentQuery { filter: filter.as_ref(), limit, offset };
            let page = db.documents(&asked).map_err(|it| of_vector(&name, it))?;
            Ok::<_, Failure>((db.path().to_path_buf(), page.documents))
        })
        .await?;
    Ok(Json(json!({
        "status": "ok",
        "path": path,
        "document_count": documents.len(),
        "documents": documents.iter().map(object).collect::<Vec<Value>>(),
    })))
}

fn object(it: &Document) -> Value {
    json!({
        "id": id_of(it),
        "uri": it.uri,
        "title": it.title,
        "created_at": date(it.created),
        "updated_at": date(it.updated),
        "chunk_count": it.chunks,
        "metadata": it.metadata,
    })
}

/// The same as long as the document has its source and its URI.
fn id_of(it: &Document) -> String {
    let digest = Sha256::digest(format!("{}\0{}", it.source, it.uri));
    hex::encode(&digest[..16])
}
