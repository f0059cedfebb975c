//! Table `document`: what `ingest` knows about each document in each vector database.
//!
//! SQLite only: JSON functions.

use crate::model::code::{DOCUMENT_EMPTY, DOCUMENT_PENDING, DOCUMENT_STORED, DOCUMENT_UNUSABLE, PHASE_BUILDING};
use crate::model::{ArtifactHash, DocumentState, GroupId, RunId, StepId, StepState, Timestamp};
use crate::store::{
    error::Result,
    params::params,
    row::Row,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

fn state(code: i64) -> DocumentState {
    DocumentState::from_code(code).unwrap_or(DocumentState::AskRun)
}

/// A document as last submitted. The caller knows the vector database and the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRow {
    pub uri: String,
    pub sha256: ArtifactHash,
    /// In bytes.
    pub size: u64,
    /// Nanoseconds since the Unix epoch; 0 if size and time are not enough to detect a change.
    pub mtime: i64,
    /// The hash of the parameters with which it was submitted.
    pub params: [u8; 32],
    pub run: Option<RunId>,
    pub state: DocumentState,
    /// Why it is unusable or empty, or the warnings of its reader.
    pub reason: String,
}

/// A document submitted with a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    pub uri: String,
    pub sha256: ArtifactHash,
    /// In bytes.
    pub size: u64,
    /// See [`DocumentRow`].
    pub mtime: i64,
    pub params: [u8; 32],
}

/// The documents of a run. They are recorded as the run's when the run can begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDocuments {
    pub database: String,
    pub source: String,
    pub documents: Vec<Submitted>,
}

/// A row, and the current state of its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub row: DocumentRow,
    /// Whether its run exists and has not ended.
    pub running: bool,
    pub updated: Timestamp,
}

/// How the run of a document ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunEnd {
    pub failed: bool,
    pub cancelled: bool,
    /// The detail of the failed step's last attempt: `{"outcome": .., "message": .., "certificate": ..}`.
    pub failure: Option<serde_json::Value>,
    /// The values of the completed steps that have one, in order.
    pub values: Vec<serde_json::Value>,
}

/// A run of a group, with its item; `end` is `None` while the run is open.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRun {
    pub run: RunId,
    pub item: String,
    pub end: Option<RunEnd>,
}

/// All documents of one source, by URI.
pub fn of_source(tx: &ReadTx, database: &str, source: &str) -> Result<BTreeMap<String, Known>> {
    let rows = tx.rows(
        "SELECT d.uri, d.sha256, d.size, d.mtime, d.params, d.run_id, d.state, d.reason,
                r.id IS NOT NULL AND r.ended IS NULL, d.updated
           FROM document d LEFT JOIN run r ON r.id = d.run_id WHERE d.database = ?1 AND d.source = ?2",
        [database, source],
        |row| Ok(Known { row: document(row)?, running: row.get(8)?, updated: Timestamp(row.get(9)?) }),
    )?;
    Ok(rows.into_iter().map(|it| (it.row.uri.clone(), it)).collect())
}

/// Whether a document has been submitted for a vector database.
pub fn is_known(tx: &ReadTx, database: &str, source: &str, uri: &str) -> Result<bool> {
    let found = tx.row(
        "SELECT 1 FROM document WHERE database = ?1 AND source = ?2 AND uri = ?3",
        [database, source, uri],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

fn document(row: &Row) -> Result<DocumentRow> {
    Ok(DocumentRow {
        uri: row.get(0)?,
        sha256: ArtifactHash(row.get(1)?),
        size: row.get::<i64>(2)? as u64,
        mtime: row.get(3)?,
        params: row.get(4)?,
        run: row.get::<Option<i64>>(5)?.map(RunId),
        state: state(row.get(6)?),
        reason: row.get(7)?,
    })
}

/// Writes documents, at most 1,000 per call. Keeps rows of newer runs, and skips documents that were deleted after the
/// run was submitted.
pub fn upsert(tx: &WriteTx, database: &str, source: &str, rows: &[DocumentRow]) -> Result<()> {
    for row in rows {
        let run = row.run.map(|it| it.0);
        tx.execute(
            UPSERT,
            params![
                database,
                source,
                row.uri,
                row.sha256.0,
                row.size as i64,
                row.mtime,
                row.params,
                run,
                row.state.code(),
                row.reason,
                tx.now().0
            ],
        )?;
    }
    Ok(())
}

const UPSERT: &str = "
    INSERT INTO document(database, source, uri, sha256, size, mtime, params, run_id, state, reason, updated, version)
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, coalesce(?8, 0)
     WHERE NOT EXISTS (SELECT 1 FROM document_removal
                        WHERE database = ?1 AND source = ?2 AND uri = ?3 AND version >= coalesce(?8, 0))
    ON CONFLICT(database, source, uri) DO UPDATE SET sha256 = excluded.sha256, size = excluded.size,
       mtime = excluded.mtime, params = excluded.params, run_id = excluded.run_id, state = excluded.state,
       reason = excluded.reason, updated = excluded.updated, version = excluded.version
     WHERE excluded.version >= document.version";

/// Records the size and time of files that turned out to be unchanged, at most 1,000 per call.
pub fn refresh(tx: &WriteTx, database: &str, source: &str, rows: &[DocumentRow]) -> Result<()> {
    for row in rows {
        tx.execute(
            "UPDATE document SET size = ?5, mtime = ?6
              WHERE database = ?1 AND source = ?2 AND uri = ?3 AND sha256 = ?4",
            params![database, source, row.uri, row.sha256.0, row.size as i64, row.mtime],
        )?;
    }
    Ok(())
}

/// Stores the documents of a new run until the run begins.
pub(in crate::store) fn keep(tx: &WriteTx, run: RunId, of_run: &RunDocuments) -> Result<()> {
    let documents = serde_json::to_string(&of_run.documents).unwrap_or_default();
    tx.execute(
        "INSERT INTO run_document(run_id, database, source, documents) VALUES (?1, ?2, ?3, ?4)",
        params![run.0, of_run.database, of_run.source, documents],
    )?;
    Ok(())
}

/// Records the documents of a run that can now begin. Returns how many there are.
pub(in crate::store) fn begin(tx: &WriteTx, run: RunId) -> Result<usize> {
    let kept = tx.row("SELECT database, source, documents FROM run_document WHERE run_id = ?1", [run.0], |row| {
        Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<String>(2)?))
    })?;
    let Some((database, source, text)) = kept else { return Ok(0) };
    let documents: Vec<Submitted> = serde_json::from_str(&text).unwrap_or_default();
    let rows: Vec<DocumentRow> = documents
        .into_iter()
        .map(|it| DocumentRow {
            uri: it.uri,
            sha256: it.sha256,
            size: it.size,
            mtime: it.mtime,
            params: it.params,
            run: Some(run),
            state: DocumentState::AskRun,
            reason: String::new(),
        })
        .collect();
    upsert(tx, &database, &source, &rows)?;
    tx.execute("DELETE FROM run_document WHERE run_id = ?1", [run.0])?;
    Ok(rows.len())
}

/// Why a run may no longer store a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Superseded {
    By(RunId),
    /// It was deleted after the run was submitted.
    Deleted,
}

impl std::fmt::Display for Superseded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Superseded::By(run) => write!(f, "superseded by {run}"),
            Superseded::Deleted => f.write_str("superseded by a deletion"),
        }
    }
}

/// Whether a newer version of the document was submitted after this run, or the document was deleted. `None` if the
/// run's version is the current one, or if versions of this document are not recorded.
pub fn superseded(tx: &ReadTx, database: &str, source: &str, uri: &str, run: RunId) -> Result<Option<Superseded>> {
    let newer = tx.row(
        "SELECT version FROM document WHERE database = ?1 AND source = ?2 AND uri = ?3 AND version > ?4",
        params![database, source, uri, run.0],
        |row| row.get(0).map(RunId),
    )?;
    if let Some(run) = newer {
        return Ok(Some(Superseded::By(run)));
    }
    let deleted = tx.row(
        "SELECT 1 FROM document_removal WHERE database = ?1 AND source = ?2 AND uri = ?3 AND version >= ?4",
        params![database, source, uri, run.0],
        |_| Ok(()),
    )?;
    Ok(deleted.map(|()| Superseded::Deleted))
}

/// The content and the parameters with which a document was last submitted.
pub fn submitted_as(tx: &ReadTx, database: &str, source: &str, uri: &str) -> Result<Option<(ArtifactHash, [u8; 32])>> {
    tx.row(
        "SELECT sha256, params FROM document WHERE database = ?1 AND source = ?2 AND uri = ?3",
        params![database, source, uri],
        |row| Ok((ArtifactHash(row.get(0)?), row.get(1)?)),
    )
}

/// The groups of these runs. Runs that no longer exist are skipped.
pub fn groups_of(tx: &ReadTx, runs: &[RunId]) -> Result<Vec<GroupId>> {
    let mut groups = BTreeSet::new();
    for run in runs {
        groups.extend(tx.row("SELECT group_id FROM run WHERE id = ?1", [run.0], |row| row.get::<i64>(0))?);
    }
    Ok(groups.into_iter().map(GroupId).collect())
}

/// A document whose run has ended since the document was submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Unsettled {
    pub row: i64,
    pub uri: String,
    pub run: RunId,
    pub end: RunEnd,
}

/// Documents whose run has ended since they were submitted, after a given row.
///
/// A retry of a run makes its documents pending again (`reopen`), so only pending documents are scanned.
pub fn unsettled(tx: &ReadTx, database: &str, after: i64, limit: usize) -> Result<Vec<Unsettled>> {
    let rows = tx.rows(UNSETTLED, params![database, after, limit as i64], |row| {
        Ok((row.get(0)?, RunId(row.get(1)?), row.get(2)?))
    })?;
    rows.into_iter().map(|(row, run, uri)| Ok(Unsettled { row, uri, run, end: run_end(tx, run)? })).collect()
}

pub(in crate::store) const UNSETTLED: &str = formatcp!(
    "SELECT d.id, r.id, d.uri FROM document d CROSS JOIN run r ON r.id = d.run_id
      WHERE d.database = ?1 AND d.state = {DOCUMENT_PENDING} AND d.id > ?2 AND r.ended IS NOT NULL
      ORDER BY d.id LIMIT ?3"
);

/// The outcome of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    pub row: i64,
    pub uri: String,
    pub run: RunId,
    pub state: DocumentState,
    pub reason: String,
    /// The content that was actually read, and its size, if it differs from the submitted content.
    pub content: Option<(ArtifactHash, u64)>,
}

/// Records the outcomes of documents. A row that was submitted again in the meantime does not change.
pub fn settle(tx: &WriteTx, ends: &[Settled]) -> Result<()> {
    for it in ends {
        tx.execute(
            "UPDATE document SET state = ?3, reason = ?4, updated = ?5
              WHERE id = ?1 AND run_id = ?2 AND (state <> ?3 OR reason <> ?4)",
            params![it.row, it.run.0, it.state.code(), it.reason, tx.now().0],
        )?;
        if let Some((sha256, size)) = &it.content {
            tx.execute(
                "UPDATE document SET sha256 = ?3, size = ?4, mtime = 0 WHERE id = ?1 AND run_id = ?2 AND sha256 <> ?3",
                params![it.row, it.run.0, sha256.0, *size as i64],
            )?;
        }
    }
    Ok(())
}

/// Sealed groups of the workflow `name` that have not ended and write to this database, oldest first.
pub fn unfinished_groups(tx: &ReadTx, name: &str, database: &str) -> Result<Vec<GroupId>> {
    tx.rows(
        formatcp!("SELECT g.id FROM run_group g JOIN group_detail d ON d.group_id = g.id JOIN definition f ON f.id = d.definition_id
          WHERE g.ended IS NULL AND g.phase <> {PHASE_BUILDING} AND f.name = ?1
          AND json_extract(d.params, '$.store.path') = ?2
          ORDER BY g.id"),
        [name, database],
        |row| row.get(0).map(GroupId),
    )
}

/// Runs of a group and their items, after the given run.
#[cfg(any(test, feature = "internals"))]
pub fn items_of_group(tx: &ReadTx, group: GroupId, after: RunId, limit: usize) -> Result<Vec<(RunId, String)>> {
    tx.rows(
        "SELECT r.id, i.item FROM run r JOIN item i ON i.run_id = r.id
          WHERE r.group_id = ?1 AND r.id > ?2 ORDER BY r.id LIMIT ?3",
        params![group.0, after.0, limit as i64],
        |row| Ok((RunId(row.get(0)?), row.get(1)?)),
    )
}

/// The runs of a group in the order of its items, after the given run.
pub fn runs_of_group(tx: &ReadTx, group: GroupId, after: RunId, limit: usize) -> Result<Vec<GroupRun>> {
    let runs = tx.rows(
        "SELECT r.id, i.item, r.ended IS NOT NULL FROM run r JOIN item i ON i.run_id = r.id
          WHERE r.group_id = ?1 AND r.id > ?2 ORDER BY r.id LIMIT ?3",
        params![group.0, after.0, limit as i64],
        |row| Ok((RunId(row.get(0)?), row.get(1)?, row.get::<bool>(2)?)),
    )?;
    let with_end = |(run, item, ended)| {
        let end = if ended { Some(run_end(tx, run)?) } else { None };
        Ok(GroupRun { run, item, end })
    };
    runs.into_iter().map(with_end).collect()
}

fn run_end(tx: &ReadTx, run: RunId) -> Result<RunEnd> {
    let steps = tx.rows(
        "SELECT s.id, s.state, o.value FROM run r JOIN definition d ON d.id = r.definition_id
           JOIN step s ON s.id >= r.first_step AND s.id < r.first_step + json_array_length(d.shape, '$.steps')
           LEFT JOIN output o ON o.id = s.output_id WHERE r.id = ?1 ORDER BY s.id",
        [run.0],
        |row| Ok((StepId(row.get(0)?), row.get::<i64>(1)?, row.get::<Option<String>>(2)?)),
    )?;
    let mut end = RunEnd::default();
    for (step, state, value) in steps {
        match StepState::from_code(state) {
            Some(StepState::Completed) => end.values.extend(value.and_then(|it| serde_json::from_str(&it).ok())),
            Some(StepState::Failed) => {
                end.failed = true;
                let detail = tx.row(
                    "SELECT detail FROM attempt WHERE step_id = ?1 ORDER BY token DESC LIMIT 1",
                    [step.0],
                    |row| row.get::<String>(0),
                )?;
                end.failure = end.failure.or(detail.and_then(|it| serde_json::from_str(&it).ok()));
            }
            _ => end.cancelled = true,
        }
    }
    end.cancelled &= !end.failed;
    Ok(end)
}

/// A retried run decides again about its documents. `stored`: including the documents that it has stored.
pub(in crate::store) fn reopen(tx: &WriteTx, run: RunId, stored: bool) -> Result<()> {
    tx.execute(
        formatcp!(
            "UPDATE document SET state = {DOCUMENT_PENDING}, reason = '' WHERE run_id = ?1
              AND (state IN ({DOCUMENT_EMPTY}, {DOCUMENT_UNUSABLE}) OR (?2 AND state = {DOCUMENT_STORED}))"
        ),
        params![run.0, stored],
    )?;
    Ok(())
}

/// Open groups whose parameters name this vector database.
pub fn writers(tx: &ReadTx, database: &str) -> Result<Vec<GroupId>> {
    tx.rows(
        "SELECT g.id FROM run_group g JOIN group_detail d ON d.group_id = g.id
          WHERE g.ended IS NULL AND json_extract(d.params, '$.store.path') = ?1 ORDER BY g.id",
        [database],
        |row| row.get(0).map(GroupId),
    )
}

/// (source, URI) of documents of a vector database.
pub fn names(tx: &ReadTx, database: &str, limit: usize) -> Result<Vec<(String, String)>> {
    tx.rows(
        "SELECT source, uri FROM document WHERE database = ?1 ORDER BY source, uri LIMIT ?2",
        params![database, limit as i64],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}
