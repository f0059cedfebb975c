//! Removes documents from vector databases, and deletes whole databases.

use super::{
    context::Context,
    database,
    failure::{Exit, Failure, Result},
    ingest::holder,
    locks, output,
    wording::{count, plain, quoted},
};
use crate::{
    engine::{Engine, LockWait},
    ingest::{
        database_path,
        file_uri::{self, path_of},
        removal, sync,
    },
    model::Millis,
    store::{document, document_uri},
    vector::{OpenOptions, VectorDb},
    view::Named,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// The longest wait for a lock.
const WAIT: Millis = Millis::minutes(10);
/// How long to wait for runs of a document to stop.
const PATIENCE: Duration = Duration::from_secs(15);

/// Deletes documents by their URIs or paths.
pub fn documents(cx: &Context, named: &[String], db: Option<&str>, source: &str) -> Result<()> {
    let engine = cx.engine()?;
    let place = database::named(cx, db)?;
    let path = database_path(&cx.settings()?.home, &place.path.to_string_lossy())?;
    let mut gone = Vec::new();
    for name in named {
        let uri = uri_of(name)?;
        let known = [&uri, name].into_iter().find_map(|it| match is_known(engine, &path, source, it) {
            Ok(false) => None,
            Ok(true) => Some(Ok(it.clone())),
            Err(error) => Some(Err(error)),
        });
        gone.push(known.unwrap_or_else(|| Err(unknown(cx, &place, named, name, db)?))?);
    }
    for uri in &gone {
        remove_one(engine, &path, source, uri)?;
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

/// The URI of a document: `name` itself if it is a URI, otherwise the URI of the file.
fn uri_of(name: &str) -> Result<String> {
    if name.contains("://") || name.starts_with("stdin:") {
        return Ok(name.to_string());
    }
    let absolute = std::path::absolute(name).map_err(|source| Failure::io("find", Path::new(name), source))?;
    Ok(file_uri::of(&std::fs::canonicalize(&absolute).unwrap_or(absolute)))
}

/// Whether the engine has this document, or the database contains it or will receive it.
fn is_known(engine: &Engine, path: &Path, source: &str, uri: &str) -> Result<bool> {
    let database = path.to_string_lossy();
    let recorded = engine.store().read(|tx| {
        Ok(document_uri::find(tx, source, uri)?.is_some() || document::is_known(tx, &database, source, uri)?)
    })?;
    let stored = |it: VectorDb| it.document(source, uri).ok().flatten().is_some();
    Ok(recorded || VectorDb::open(path, &OpenOptions::default()).is_ok_and(stored))
}

/// The error for a name without a document, with a suggestion.
fn unknown(cx: &Context, place: &Named, all: &[String], name: &str, db: Option<&str>) -> Result<Failure> {
    if !place.path.exists() {
        return database::unknown(cx, place);
    }
    let failure = Failure::not_found(format!("no document `{}` in `{}`", plain(name), place.name));
    let is_database = database::all(cx)?.iter().any(|it| it.name == name);
    let others = all.iter().filter(|it| *it != name).map(|it| quoted(it)).collect::<Vec<_>>().join(" ");
    let of_database = db.map(|it| format!(" {}", quoted(it))).unwrap_or_default();
    Ok(failure.hint(match Path::new(name) {
        _ if is_database && others.is_empty() => {
            format!("`{name}` is a vector database: delete all of it with `windlass db delete {name}`")
        }
        _ if is_database => {
            format!("`{name}` is a vector database: write `windlass db remove --db {name} {others}`")
        }
        path if path.is_dir() => format!(
            "it is a directory: name its documents; `windlass db documents{of_database} --filter {}` lists them",
            quoted(&format!("uri like \"{}/%\"", uri_of(name)?.trim_end_matches('/')))
        ),
        _ => format!("see `windlass db documents{of_database}`, and check `--source` and `--db`; nothing was removed"),
    }))
}

fn remove_one(engine: &Engine, path: &Path, source: &str, uri: &str) -> Result<()> {
    // A document that was uploaded to the engine is removed completely: its content, and from every database.
    if engine.store().read(|tx| document_uri::find(tx, source, uri))?.is_some() {
        engine.delete_document(source, uri, Instant::now() + PATIENCE)?;
        return Ok(());
    }
    sync::remove(engine, path, source, &[uri.to_string()], holder(), LockWait::No)?;
    Ok(())
}

/// Refuses document names where a whole database is deleted.
pub fn not_whole(db: &str, documents: &[String]) -> Failure {
    let documents: Vec<_> = documents.iter().map(|it| quoted(it)).collect();
    Failure::usage(format!("`db delete` deletes all of `{}`, not single documents", plain(db))).hint(format!(
        "remove documents with `windlass db remove --db {} {}`",
        quoted(db),
        documents.join(" ")
    ))
}

/// Deletes a vector database. At a terminal it asks for confirmation first, unless `yes`.
pub fn whole(cx: &Context, db: &str, yes: bool) -> Result<()> {
    let named = database::named(cx, Some(db))?;
    let path = database_path(&cx.settings()?.home, &named.path.to_string_lossy())?;
    if !path.exists() {
        return Err(database::unknown(cx, &named)?);
    }
    // Any other kind of file is not ours to delete.
    let info = VectorDb::open(&path, &OpenOptions::default())?.info()?;
    let question =
        format!("Delete `{}` with {} for good?", plain(&named.name), count(info.documents as u64, "document"));
    if !yes && output::can_ask() && !output::ask(&question) {
        return Err(Failure::new(Exit::Cancelled, "nothing was deleted"));
    }
    let by = locks::this_user();
    let documents = removal::delete_database(cx.engine()?, &path, &by, holder(), LockWait::AtMost(WAIT))?;
    if cx.output.json {
        return cx.output.document(&serde_json::json!({"deleted": named.name, "documents": documents}));
    }
    cx.output.line(format!("`{}` is deleted ({})", named.name, count(documents, "document")))
}
