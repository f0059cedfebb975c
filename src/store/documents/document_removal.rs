//! Deletes documents whose bytes the engine stores: their rows and, with the last document of a content, that content,
//! its runs and their output. Table `document_removal`: removals from vector databases that are still pending.
//!
//! SQLite only: JSON functions.

use crate::decide::inside::is_inside;
use crate::model::{ArtifactHash, ArtifactId, EventKind, RunId};
use crate::store::{
    error::{Error, Result},
    event::{self, About},
    params::params,
    run_removal,
    tx::{ReadTx, WriteTx},
};
use serde::Serialize;
use std::collections::BTreeSet;

/// The number of deleted rows, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    pub document_uris: i64,
    pub uri_history: i64,
    pub documents: i64,
    pub runs: i64,
    pub steps: i64,
    /// Attempts and hooks.
    pub history: i64,
}

impl Removed {
    pub fn add(&mut self, other: &Removed) {
        self.document_uris += other.document_uris;
        self.uri_history += other.uri_history;
        self.documents += other.documents;
        self.runs += other.runs;
        self.steps += other.steps;
        self.history += other.history;
    }

    pub fn total(&self) -> i64 {
        self.document_uris + self.uri_history + self.documents + self.runs + self.steps + self.history
    }
}

/// A document to remove from a vector database, unless a run after `version` has stored it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub source: String,
    pub uri: String,
    pub version: RunId,
    at: i64,
}

/// Deletes a document, and its content if no other document has it. Returns the deleted rows, and the files that
/// nothing refers to any more; `None` if there is no such document. Returns a conflict while a run of the content is
/// open. `home` is the canonical path of the home directory.
pub fn delete(tx: &WriteTx, home: &str, source: &str, uri: &str) -> Result<Option<(Removed, Vec<ArtifactHash>)>> {
    let found = tx.row("SELECT id, sha256 FROM document_uri WHERE source = ?1 AND uri = ?2", [source, uri], |row| {
        Ok((row.get::<i64>(0)?, ArtifactHash(row.get(1)?)))
    })?;
    let Some((id, sha256)) = found else { return Ok(None) };
    for database in databases_with(tx, home, source, uri, &sha256)? {
        tx.execute(
            "INSERT INTO document_removal(database, source, uri, at, version) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET at = excluded.at, version = excluded.version, done = 0",
            params![database, source, uri, tx.now().0, submitted_last(tx)],
        )?;
    }
    tx.execute("DELETE FROM document WHERE source = ?1 AND uri = ?2", [source, uri])?;
    let history = tx.execute("DELETE FROM uri_history WHERE uri_id = ?1", [id])? as i64;
    tx.execute("DELETE FROM document_uri WHERE id = ?1", [id])?;
    let mut removed = Removed { document_uris: 1, uri_history: history, ..Removed::default() };
    let mut files = Vec::new();
    if !is_used(tx, &sha256)? {
        files = remove_content(tx, &sha256, &mut removed)?;
    }
    Ok(Some((removed, files)))
}

/// Vector databases that may contain a document: those where it is known, and those that are written by groups which
/// have worked on its content.
///
/// If a group was restored from another home, its database counts only after one of its steps has run here. Until then,
/// no authorised user has agreed to write to that database.
fn databases_with(tx: &ReadTx, home: &str, source: &str, uri: &str, sha256: &ArtifactHash) -> Result<BTreeSet<String>> {
    let known = tx.rows(
        "SELECT database FROM document WHERE source = ?1 AND uri = ?2 UNION SELECT database FROM run_document",
        [source, uri],
        |row| row.get::<String>(0),
    )?;
    // The last token that was used before this home was restored.
    let restored = tx.row("SELECT value FROM counter WHERE id = 6", [], |row| row.get::<i64>(0))?;
    let named = tx.rows(
        "SELECT json_extract(d.params, '$.store.path'),
                EXISTS (SELECT 1 FROM step s WHERE s.id >= r.first_step AND s.id < r.first_step + 1000
                           AND s.run_id = r.id AND s.token > ?2)
           FROM content_run c JOIN run r ON r.id = c.run_id JOIN group_detail d ON d.group_id = r.group_id
          WHERE c.sha256 = ?1 AND json_type(d.params, '$.store.path') = 'text'",
        params![sha256.0, restored.unwrap_or(0)],
        |row| Ok((row.get::<String>(0)?, row.get::<bool>(1)?)),
    )?;
    let counts = |(path, ran_here): &(String, bool)| restored.is_none() || *ran_here || is_inside(path, home);
    Ok(known.into_iter().chain(named.into_iter().filter(counts).map(|it| it.0)).collect())
}

fn submitted_last(tx: &WriteTx) -> i64 {
    tx.memory().counters.run.current()
}

/// Deletes documents of one vector database. Runs submitted before this can no longer store them. Returns how many were
/// known. At most 1,000 per call.
pub fn note(tx: &WriteTx, database: &str, source: &str, uris: &[String]) -> Result<usize> {
    let mut known = 0;
    for uri in uris {
        tx.execute(
            "INSERT INTO document_removal(database, source, uri, at, version) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET at = excluded.at, version = excluded.version, done = 0",
            params![database, source, uri, tx.now().0, submitted_last(tx)],
        )?;
        known += tx.execute(
            "DELETE FROM document WHERE database = ?1 AND source = ?2 AND uri = ?3",
            params![database, source, uri],
        )?;
    }
    Ok(known)
}

/// Whether any document has this content.
pub(in crate::store) fn is_used(tx: &ReadTx, sha256: &ArtifactHash) -> Result<bool> {
    Ok(tx.row("SELECT 1 FROM document_uri WHERE sha256 = ?1 LIMIT 1", [sha256.0], |_| Ok(()))?.is_some())
}

/// Contents after `after` that no document refers to any more.
pub fn orphans(tx: &ReadTx, after: Option<ArtifactHash>, limit: usize) -> Result<Vec<ArtifactHash>> {
    let after = after.map_or(Vec::new(), |it| it.0.to_vec());
    tx.rows(
        "SELECT c.sha256 FROM content c WHERE c.sha256 > ?1
            AND NOT EXISTS (SELECT 1 FROM document_uri u WHERE u.sha256 = c.sha256) ORDER BY c.sha256 LIMIT ?2",
        params![after, limit as i64],
        |row| row.get(0).map(ArtifactHash),
    )
}

/// Deletes a content without documents, and its history. Returns `None` if it is in use or does not exist.
pub fn delete_orphan(tx: &WriteTx, sha256: &ArtifactHash) -> Result<Option<(Removed, Vec<ArtifactHash>)>> {
    let there = tx.row("SELECT 1 FROM content WHERE sha256 = ?1", [sha256.0], |_| Ok(()))?;
    if there.is_none() || is_used(tx, sha256)? {
        return Ok(None);
    }
    let history = tx.execute("DELETE FROM uri_history WHERE sha256 = ?1", [sha256.0])? as i64;
    let mut removed = Removed { uri_history: history, ..Removed::default() };
    let files = remove_content(tx, sha256, &mut removed)?;
    Ok(Some((removed, files)))
}

/// The open runs of a content.
pub fn open_runs(tx: &ReadTx, sha256: &ArtifactHash) -> Result<Vec<RunId>> {
    tx.rows(
        "SELECT c.run_id FROM content_run c JOIN run r ON r.id = c.run_id WHERE c.sha256 = ?1 AND r.ended IS NULL",
        [sha256.0],
        |row| row.get(0).map(RunId),
    )
}

fn remove_content(tx: &WriteTx, sha256: &ArtifactHash, removed: &mut Removed) -> Result<Vec<ArtifactHash>> {
    if let Some(run) = open_runs(tx, sha256)?.first() {
        return Err(Error::conflict(format!("{run} is processing the document: wait for it or cancel it first")));
    }
    let runs = tx.rows("SELECT run_id FROM content_run WHERE sha256 = ?1", [sha256.0], |row| row.get(0).map(RunId))?;
    // A local file with the same content may reuse the results.
    let elsewhere = tx.row(
        "SELECT 1 FROM document d WHERE d.sha256 = ?1
            AND NOT EXISTS (SELECT 1 FROM document_uri u WHERE u.source = d.source AND u.uri = d.uri) LIMIT 1",
        [sha256.0],
        |_| Ok(()),
    )?;
    let elsewhere = elsewhere.is_some();
    let mut files = Vec::new();
    for run in runs {
        let gone = run_removal::remove(tx, run, !elsewhere, &mut files)?;
        removed.runs += 1;
        removed.steps += gone.steps;
        removed.history += gone.history;
    }
    let artifact =
        tx.row("SELECT artifact_id FROM content WHERE sha256 = ?1", [sha256.0], |row| row.get(0).map(ArtifactId))?;
    removed.documents += tx.execute("DELETE FROM content WHERE sha256 = ?1", [sha256.0])? as i64;
    if let Some(artifact) = artifact {
        run_removal::forget_artifact(tx, artifact, &mut files)?;
    }
    Ok(files)
}

/// Vector databases with pending removals.
pub fn databases(tx: &ReadTx) -> Result<Vec<String>> {
    tx.rows("SELECT DISTINCT database FROM document_removal WHERE done = 0 ORDER BY database", [], |row| row.get(0))
}

/// Documents still to be removed from a vector database.
pub fn pending(tx: &ReadTx, database: &str, limit: usize) -> Result<Vec<Pending>> {
    tx.rows(
        "SELECT source, uri, version, at FROM document_removal WHERE database = ?1 AND done = 0
          ORDER BY source, uri LIMIT ?2",
        params![database, limit as i64],
        |row| Ok(Pending { source: row.get(0)?, uri: row.get(1)?, version: RunId(row.get(2)?), at: row.get(3)? }),
    )
}

/// The newest run that had been submitted when a document of this source was last removed.
pub fn mark(tx: &ReadTx, database: &str, source: &str) -> Result<Option<RunId>> {
    let newest = tx.row(
        "SELECT max(version) FROM document_removal WHERE database = ?1 AND source = ?2",
        [database, source],
        |row| row.get::<Option<i64>>(0),
    )?;
    Ok(newest.flatten().map(RunId))
}

/// Records that the documents have been removed from the vector database. A removal recorded after the caller's stays
/// pending.
pub fn done(tx: &WriteTx, database: &str, documents: &[Pending]) -> Result<()> {
    for it in documents {
        tx.execute(
            "UPDATE document_removal SET done = 1
              WHERE database = ?1 AND source = ?2 AND uri = ?3 AND at = ?4 AND version = ?5",
            params![database, it.source, it.uri, it.at, it.version.0],
        )?;
    }
    Ok(())
}

/// Records in the history who deleted a whole vector database.
pub fn database_deleted(tx: &WriteTx, database: &str, documents: u64, by: &str) -> Result<()> {
    let noun = if documents == 1 { "document" } else { "documents" };
    let detail = format!("{database}: {documents} {noun} (by {by})");
    event::note_with(tx, EventKind::DatabaseDeleted, About::default(), detail)
}

/// Deletes the records of finished deletions that no run needs, because all remaining runs were submitted later.
/// Returns how many, at most `limit` per call.
pub fn forget(tx: &WriteTx, limit: usize) -> Result<usize> {
    tx.execute(
        "DELETE FROM document_removal WHERE (database, source, uri) IN (SELECT database, source, uri FROM document_removal
            WHERE done = 1 AND version < coalesce((SELECT min(id) FROM run), ?1 + 1) LIMIT ?2)",
        params![submitted_last(tx), limit as i64],
    )
}

/// Whether the engine knows about documents in this vector database.
pub fn is_known_database(tx: &ReadTx, database: &str) -> Result<bool> {
    Ok(tx.row("SELECT 1 FROM document WHERE database = ?1 LIMIT 1", [database], |_| Ok(()))?.is_some())
}
