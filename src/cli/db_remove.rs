//! Taking away from vector databases: documents by name, and whole databases.

use super::{
    context::Context,
    database,
    failure::{Failure, Result},
    ingest::holder,
    locks, output,
    wording::{count, plain},
};
use crate::{
    engine::{Engine, LockWait},
    ingest::{
        database_path,
        file_uri::{self, path_of},
        removal, sync,
    },
    model::Millis,
    store::document_uri,
    vector::{OpenOptions, VectorDb},
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// How long a lock is waited for.
const WAIT: Millis = Millis::minutes(10);
/// How long runs of a document may take to stop.
const PATIENCE: Duration = Duration::from_secs(15);

/// Deletes documents by their URIs or paths.
pub fn documents(cx: &Context, named: &[String], db: Option<&str>, source: &str) -> Result<()> {
    let engine = cx.engine()?;
    let place = database::named(cx, db)?;
    let path = database_path(&cx.settings()?.home, &place.path.to_string_lossy())?;
    let mut gone = Vec::new();
    for name in named {
        let uri = uri_of(name)?;
        let deleted =
            remove_one(engine, &path, source, &uri)? || (uri != *name && remove_one(engine, &path, source, name)?);
        if !deleted {
            return Err(Failure::not_found(format!("no document `{}` of `{source}` in `{}`", plain(name), place.name))
                .hint("see `windlass db documents`, and check `--source` and `--db`"));
        }
        gone.push(uri);
    }
    let all = removal::finish(engine, holder(), LockWait::AtMost(WAIT))?;
    if cx.output.json {
        return cx.output.document(&serde_json::json!({"removed": gone.len(), "database": place.name, "done": all}));
    }
    cx.output.line(format!("{} removed from `{}`", count(gone.len() as u64, "document"), place.name))?;
    if gone.iter().any(|it| path_of(it).is_some_and(|it| it.exists())) {
        cx.output.note("the file still exists: the next `windlass ingest` of its directory adds it again");
    }
    Ok(())
}

/// A URI as it is; the URI of a file for a path.
fn uri_of(name: &str) -> Result<String> {
    if name.contains("://") || name.starts_with("stdin:") {
        return Ok(name.to_string());
    }
    let absolute = std::path::absolute(name).map_err(|source| Failure::io("find", Path::new(name), source))?;
    Ok(file_uri::of(&std::fs::canonicalize(&absolute).unwrap_or(absolute)))
}

fn remove_one(engine: &Engine, path: &Path, source: &str, uri: &str) -> Result<bool> {
    // What was given to the engine goes as a whole: its content, and from every database.
    if engine.store().read(|tx| document_uri::find(tx, source, uri))?.is_some() {
        return Ok(engine.delete_document(source, uri, Instant::now() + PATIENCE)?.is_some());
    }
    let opened = VectorDb::open(path, &OpenOptions::default());
    let stored = opened.ok().and_then(|it| it.document(source, uri).ok().flatten()).is_some();
    let (known, _) = sync::remove(engine, path, source, &[uri.to_string()], holder(), LockWait::No)?;
    Ok(stored || known > 0)
}

/// Deletes a vector database. A person at a terminal is asked first, unless `yes`.
pub fn whole(cx: &Context, db: &str, yes: bool) -> Result<()> {
    let named = database::named(cx, Some(db))?;
    let path = database_path(&cx.settings()?.home, &named.path.to_string_lossy())?;
    if !path.exists() {
        return Err(database::unknown(cx, &named)?);
    }
    // Whatever else the file is, it is not ours to delete.
    let info = VectorDb::open(&path, &OpenOptions::default())?.info()?;
    let question =
        format!("Delete `{}` with {} for good?", plain(&named.name), count(info.documents as u64, "document"));
    if !yes && output::can_ask() && !output::ask(&question) {
        return Err(Failure::usage("nothing was deleted"));
    }
    let by = locks::this_user();
    let documents = removal::delete_database(cx.engine()?, &path, &by, holder(), LockWait::AtMost(WAIT))?;
    if cx.output.json {
        return cx.output.document(&serde_json::json!({"deleted": named.name, "documents": documents}));
    }
    cx.output.line(format!("`{}` is deleted ({})", named.name, count(documents, "document")))
}
