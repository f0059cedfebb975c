//! Table `document`: what `ingest` knows of each document of each vector database.

use super::{
    attempt,
    error::{Error, Result},
    handle::Store,
    tx::{ReadTx, WriteTx},
};
use crate::model::{RunId, StepId, Timestamp};
use rusqlite::{Row, params};
use serde::Serialize;
use std::collections::HashMap;

/// Rows of one `upsert` at most.
pub const SLICE: usize = 500;
const PAGE: usize = 10_000;

/// The numbers of the column `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentState {
    /// Ask the run.
    Waiting = 0,
    /// Nothing in it to index.
    Empty = 4,
    Stored = 5,
    /// Not tried again until it changes.
    Unusable = 6,
}

impl DocumentState {
    fn from_number(number: i64) -> DocumentState {
        match number {
            4 => DocumentState::Empty,
            5 => DocumentState::Stored,
            6 => DocumentState::Unusable,
            _ => DocumentState::Waiting,
        }
    }
}

/// A document as it is remembered. `mtime`: nanoseconds since the epoch; `params`: hash of the parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDocument {
    pub database: String,
    pub source: String,
    pub uri: String,
    pub sha256: [u8; 32],
    pub size: u64,
    pub mtime: i64,
    pub params: [u8; 32],
    pub run: Option<RunId>,
    pub state: DocumentState,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DocumentRow {
    pub id: i64,
    pub source: String,
    pub uri: String,
    #[serde(serialize_with = "as_hex")]
    pub sha256: [u8; 32],
    pub size: u64,
    pub mtime: i64,
    #[serde(skip)]
    pub params: [u8; 32],
    pub run: Option<RunId>,
    pub state: DocumentState,
    pub reason: String,
    pub updated: Timestamp,
}

fn as_hex<S: serde::Serializer>(hash: &[u8; 32], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(hash))
}

/// All documents of one source of a vector database by their URI. Reads in pages, each a transaction of its own.
pub fn of_source(store: &Store, database: &str, source: &str) -> Result<HashMap<String, DocumentRow>> {
    let mut found: HashMap<String, DocumentRow> = HashMap::new();
    let mut after = String::new();
    loop {
        let rows = store.read(|tx| page(tx, database, source, &after, PAGE))?;
        let Some(last) = rows.last() else { return Ok(found) };
        after = last.uri.clone();
        found.extend(rows.into_iter().map(|row| (row.uri.clone(), row)));
    }
}

/// Up to `limit` documents of a source in the order of their URIs, behind `after` (empty: from the first).
pub fn page(tx: &ReadTx, database: &str, source: &str, after: &str, limit: usize) -> Result<Vec<DocumentRow>> {
    tx.rows(
        "SELECT id, source, uri, sha256, size, mtime, params, run_id, state, reason, updated FROM document
          WHERE database = ?1 AND source = ?2 AND uri > ?3 ORDER BY uri LIMIT ?4",
        params![database, source, after, limit as i64],
        read,
    )
}

fn read(row: &Row) -> rusqlite::Result<DocumentRow> {
    Ok(DocumentRow {
        id: row.get(0)?,
        source: row.get(1)?,
        uri: row.get(2)?,
        sha256: row.get(3)?,
        size: row.get::<_, i64>(4)? as u64,
        mtime: row.get(5)?,
        params: row.get(6)?,
        run: row.get::<_, Option<i64>>(7)?.map(RunId),
        state: DocumentState::from_number(row.get(8)?),
        reason: row.get(9)?,
        updated: Timestamp(row.get(10)?),
    })
}

/// Writes documents, new or known by (database, source, uri); at most `SLICE` a call.
pub fn upsert(tx: &WriteTx, rows: &[NewDocument]) -> Result<()> {
    if rows.len() > SLICE {
        return Err(Error::refused(format!("{} documents in one call, at most {SLICE} are allowed", rows.len())));
    }
    for row in rows {
        tx.execute(
            "INSERT INTO document(database, source, uri, sha256, size, mtime, params, run_id, state, reason, updated)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT(database, source, uri) DO UPDATE SET sha256 = excluded.sha256, size = excluded.size,
                mtime = excluded.mtime, params = excluded.params, run_id = excluded.run_id, state = excluded.state,
                reason = excluded.reason, updated = excluded.updated",
            params![
                row.database,
                row.source,
                row.uri,
                row.sha256,
                row.size as i64,
                row.mtime,
                row.params,
                row.run.map(|it| it.0),
                row.state as i64,
                row.reason,
                tx.now().0
            ],
        )?;
    }
    Ok(())
}

/// Forgets documents; at most 1,000 a call. Returns how many there were.
pub fn remove(tx: &WriteTx, ids: &[i64]) -> Result<usize> {
    if ids.len() > 1000 {
        return Err(Error::refused(format!("{} documents in one call, at most 1000 are allowed", ids.len())));
    }
    let mut removed = 0;
    for id in ids {
        removed += tx.execute("DELETE FROM document WHERE id = ?1", [id])?;
    }
    Ok(removed)
}

/// Writes down what became of the documents whose run has ended, slice by slice. Returns how many were written.
pub fn settle(store: &Store, database: &str) -> Result<usize> {
    let mut settled = 0;
    let mut after = 0;
    loop {
        let database = database.to_string();
        let (count, last) = store.write(move |tx| settle_slice(tx, &database, after))?;
        settled += count;
        match last {
            Some(last) => after = last,
            None => return Ok(settled),
        }
    }
}

/// Settles up to `SLICE` waiting documents behind `after`: (how many were written, where to go on; None at the end).
///
/// A run that COMPLETED stored its document, or found nothing to index when its last step says `{"chunks": 0}`. A run that
/// FAILED makes it unusable, with the reason of the failed step. A cancelled or unknown run leaves the document waiting.
pub fn settle_slice(tx: &WriteTx, database: &str, after: i64) -> Result<(usize, Option<i64>)> {
    let waiting = tx.rows(WAITING, params![database, after, SLICE as i64], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?.map(RunId)))
    })?;
    let mut written = 0;
    for (id, run) in &waiting {
        let Some(run) = run else { continue };
        let Some((state, reason)) = verdict(tx, *run)? else { continue };
        written += tx.execute(
            "UPDATE document SET state = ?2, reason = ?3, updated = ?4 WHERE id = ?1 AND state = 0",
            params![id, state as i64, reason, tx.now().0],
        )?;
    }
    Ok((written, waiting.last().filter(|_| waiting.len() == SLICE).map(|it| it.0)))
}

pub(super) const WAITING: &str =
    "SELECT id, run_id FROM document WHERE state = 0 AND database = ?1 AND id > ?2 ORDER BY id LIMIT ?3";

/// What an ended run says of its documents; None: nothing yet.
fn verdict(tx: &ReadTx, run: RunId) -> Result<Option<(DocumentState, String)>> {
    let found = tx.row(
        "SELECT r.failed, r.cancelled, r.first_step, json_array_length(d.shape, '$.steps')
           FROM run r JOIN definition d ON d.id = r.definition_id WHERE r.id = ?1 AND r.ended IS NOT NULL",
        [run.0],
        |row| Ok((row.get::<_, i64>(0)? > 0, row.get::<_, i64>(1)? > 0, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?)),
    )?;
    let Some((failed, cancelled, first, count)) = found else { return Ok(None) };
    if failed {
        let step = tx.row(
            "SELECT id FROM step WHERE id >= ?1 AND id < ?2 AND state = 6 ORDER BY ended, id LIMIT 1",
            params![first, first + count],
            |row| row.get(0).map(StepId),
        )?;
        let reason = step.map(|it| attempt::last_reason(tx, it)).transpose()?.flatten();
        return Ok(Some((DocumentState::Unusable, reason.unwrap_or_else(|| "failed".into()))));
    }
    if cancelled {
        return Ok(None);
    }
    let chunks = tx.row(
        "SELECT json_extract(o.value, '$.chunks') FROM step s JOIN output o ON o.id = s.output_id WHERE s.id = ?1",
        [first + count - 1],
        |row| row.get::<_, rusqlite::types::Value>(0),
    )?;
    let nothing = chunks == Some(rusqlite::types::Value::Integer(0));
    Ok(Some((if nothing { DocumentState::Empty } else { DocumentState::Stored }, String::new())))
}

/// A run that is retried decides anew about its documents.
pub(super) fn reopen(tx: &WriteTx, run: RunId) -> Result<()> {
    tx.execute("UPDATE document SET state = 0, reason = '' WHERE run_id = ?1 AND state IN (4, 6)", [run.0])?;
    Ok(())
}

/// How many documents of a vector database are in each state.
pub fn counts(tx: &ReadTx, database: &str) -> Result<Vec<(DocumentState, i64)>> {
    tx.rows(
        "SELECT state, count(*) FROM document WHERE database = ?1 GROUP BY state ORDER BY state",
        [database],
        |row| Ok((DocumentState::from_number(row.get(0)?), row.get(1)?)),
    )
}
