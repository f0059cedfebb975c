//! Removes deleted documents from the vector databases that hold them.
//!
//! A deletion is a row of the engine database (`document_removal`), committed before it is acknowledged. From then on
//! no search finds the document, and no earlier run stores it. Its rows in the vector database are deleted under that
//! database's lock: immediately if the lock is free, otherwise when a worker finds it free.

use super::error::{Error, Result};
use crate::{
    engine::{self, Chore, Engine, LockWait},
    model::{Holder, HolderKind, Millis, ResourceKey},
    store::{self, ReadTx, backup::engine_id, document, document_removal},
    vector::{self, OpenOptions, Origin, Removal, VectorDb},
};
use std::{fs, path::Path};

/// How many documents one transaction removes.
const SLICE: usize = 200;
/// How many deleted documents a search excludes by name.
const HIDDEN_MAX: usize = 10_000;

/// Carries out the recorded removals, under the lock of each vector database. Returns false if another holder keeps one
/// of them locked for longer than `wait`; the rest is removed when the lock is free.
pub fn finish(engine: &Engine, holder: Holder, wait: LockWait) -> Result<bool> {
    let mut all = true;
    for database in engine.store().read(document_removal::databases)? {
        all &= finish_one(engine, &database, holder, wait)?;
    }
    Ok(all)
}

/// Like `finish`, for one vector database.
pub fn finish_one(engine: &Engine, database: &str, holder: Holder, wait: LockWait) -> Result<bool> {
    let guard = match engine.hold_key(&ResourceKey(format!("vec:{database}")), holder, wait) {
        Ok(guard) => guard,
        Err(engine::Error::Locked { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let mut db = match VectorDb::open_for_writing(Path::new(database), &OpenOptions::default()) {
        Ok(db) => Some(db),
        // The database does not exist, and no run older than the deletion will store the document there.
        Err(vector::Error::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let own = engine.store().read(engine_id)?;
    let epoch = db.as_mut().map(VectorDb::raise_epoch).transpose()?;
    loop {
        let pending = engine.store().read(|tx| document_removal::pending(tx, database, SLICE))?;
        if pending.is_empty() {
            return Ok(true);
        }
        if !guard.refresh()? {
            return Ok(false);
        }
        if let (Some(db), Some(epoch)) = (&mut db, epoch) {
            db.remove_documents(epoch, &removals(&pending, &own))?;
        }
        let database = database.to_string();
        engine.store().write(move |tx| document_removal::done(tx, &database, &pending))?;
    }
}

fn removals<'a>(pending: &'a [document_removal::Pending], engine: &'a str) -> Vec<Removal<'a>> {
    let removal = |it: &'a document_removal::Pending| Removal {
        source: &it.source,
        uri: &it.uri,
        until: Some(Origin { engine, run: it.version.0 }),
    };
    pending.iter().map(removal).collect()
}

/// Deletes a vector database: everything that the engine knows about its documents, then its files. The lock file
/// stays, since others may be waiting on it. Refused while a group is running that would create the database again. The
/// history records `by` as the one who deleted it.
pub fn delete_database(engine: &Engine, path: &Path, by: &str, holder: Holder, wait: LockWait) -> Result<u64> {
    let database = path.to_string_lossy().into_owned();
    let guard = engine.hold_key(&ResourceKey(format!("vec:{database}")), holder, wait)?;
    if let Some(group) = engine.store().read(|tx| document::writers(tx, &database))?.first() {
        let what = format!("{group} has not ended and writes to {database}");
        return Err(Error::conflict(what, "wait for it, or cancel it with `windlass cancel`"));
    }
    let mut documents = 0;
    loop {
        let names = engine.store().read(|tx| document::names(tx, &database, SLICE))?;
        let Some((source, _)) = names.first().cloned() else { break };
        let uris: Vec<String> = names.into_iter().filter(|it| it.0 == source).map(|it| it.1).collect();
        documents += uris.len() as u64;
        let database = database.clone();
        engine.store().write(move |tx| document_removal::note(tx, &database, &source, &uris))?;
    }
    for ending in ["-shm", "-wal", ""] {
        let mut file = path.as_os_str().to_owned();
        file.push(ending);
        match fs::remove_file(&file) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::Io { action: "remove", path: file.into(), source });
            }
            _ => {}
        }
    }
    let (gone, by) = (database.clone(), by.to_string());
    engine.store().write(move |tx| document_removal::database_deleted(tx, &gone, documents, &by))?;
    loop {
        let pending = engine.store().read(|tx| document_removal::pending(tx, &database, SLICE))?;
        if pending.is_empty() {
            drop(guard);
            return Ok(documents);
        }
        let database = database.clone();
        engine.store().write(move |tx| document_removal::done(tx, &database, &pending))?;
    }
}

/// Documents that are deleted but not yet removed from a vector database.
#[derive(Debug)]
pub struct Deleted {
    pending: Vec<document_removal::Pending>,
    /// The engine that numbers the versions.
    engine: String,
}

pub fn deleted(tx: &ReadTx, database: &Path) -> store::Result<Deleted> {
    let path = fs::canonicalize(database).unwrap_or_else(|_| database.to_path_buf());
    let pending = document_removal::pending(tx, &path.to_string_lossy(), HIDDEN_MAX)?;
    Ok(Deleted { pending, engine: engine_id(tx)? })
}

impl Deleted {
    /// Hides them from everything that this connection reads.
    pub fn hide_in(&self, db: &mut VectorDb) -> vector::Result<()> {
        if !self.pending.is_empty() {
            db.hide(&removals(&self.pending, &self.engine))?;
        }
        Ok(())
    }
}

/// Retries removals that could not be done at the time of the deletion.
pub(super) struct Removals;

impl Chore for Removals {
    fn look(&self, engine: &Engine) -> Option<Millis> {
        let holder = Holder { kind: HolderKind::Cli, id: i64::from(std::process::id()) };
        match finish(engine, holder, LockWait::No) {
            Ok(true) => None,
            Ok(false) => Some(Millis::seconds(1)),
            Err(error) => {
                tracing::warn!(%error, "failed to remove deleted documents from a vector database");
                Some(Millis::seconds(30))
            }
        }
    }
}
