//! Table `document_batch`: batches of documents, created by clients of the ingestion API.

use crate::model::Timestamp;
use crate::model::code::{DOCUMENT_EMPTY, DOCUMENT_STORED};
use crate::store::{
    error::{Error, Result},
    params::params,
    row::Row,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;

/// A batch. It is complete when every group that works on it has ended and no document has arrived since.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    pub id: i64,
    pub name: String,
    pub source: String,
    pub created: Timestamp,
    pub completed: Option<Timestamp>,
    pub params: serde_json::Value,
}

/// Creates a batch and returns its id.
pub fn insert(tx: &WriteTx, source: &str, name: &str) -> Result<i64> {
    tx.insert(
        "INSERT INTO document_batch(source, name, created, changed) VALUES (?1, ?2, ?3, ?3) RETURNING id",
        params![source, name, tx.now().0],
    )
}

/// Records that a document of the batch arrived or changed.
pub(in crate::store) fn touch(tx: &WriteTx, id: i64) -> Result<()> {
    tx.execute("UPDATE document_batch SET changed = ?2 WHERE id = ?1", params![id, tx.now().0])?;
    Ok(())
}

/// When a document of the batch last arrived or changed.
pub fn changed(tx: &ReadTx, id: i64) -> Result<Timestamp> {
    tx.row("SELECT changed FROM document_batch WHERE id = ?1", [id], |row| row.get(0).map(Timestamp))?
        .ok_or_else(|| Error::not_found(format!("batch {id}")))
}

/// Records that the batch's groups cover all of its documents as of `changed`, because these changed and then changed
/// back. Does nothing if a document has arrived or changed since.
pub fn nothing_new(tx: &WriteTx, id: i64, changed: Timestamp) -> Result<()> {
    tx.execute(
        "UPDATE document_batch SET changed = min(changed, (SELECT max(d.created) FROM batch_group l
                JOIN group_detail d ON d.group_id = l.group_id WHERE l.batch_id = ?1)) WHERE id = ?1 AND changed = ?2",
        params![id, changed.0],
    )?;
    Ok(())
}

pub fn exists(tx: &ReadTx, id: i64) -> Result<bool> {
    Ok(tx.row("SELECT 1 FROM document_batch WHERE id = ?1", [id], |_| Ok(()))?.is_some())
}

const COLUMNS: &str = "b.id, b.name, b.source, b.created, b.params,
    (SELECT CASE WHEN min(g.ended IS NOT NULL) AND max(d.created) >= b.changed THEN max(g.ended) END
       FROM batch_group l JOIN run_group g ON g.id = l.group_id JOIN group_detail d ON d.group_id = l.group_id
      WHERE l.batch_id = b.id)
   FROM document_batch b";

fn read(row: &Row) -> Result<Batch> {
    Ok(Batch {
        id: row.get(0)?,
        name: row.get(1)?,
        source: row.get(2)?,
        created: Timestamp(row.get(3)?),
        params: serde_json::from_str(&row.get::<String>(4)?).unwrap_or_default(),
        completed: row.get::<Option<i64>>(5)?.map(Timestamp),
    })
}

pub fn get(tx: &ReadTx, id: i64) -> Result<Batch> {
    tx.row(&format!("SELECT {COLUMNS} WHERE b.id = ?1"), [id], read)?
        .ok_or_else(|| Error::not_found(format!("batch {id}")))
}

/// Batches in order of creation, after the batch `after`.
pub fn list(tx: &ReadTx, after: i64, limit: usize) -> Result<Vec<Batch>> {
    tx.rows(&format!("SELECT {COLUMNS} WHERE b.id > ?1 ORDER BY b.id LIMIT ?2"), params![after, limit as i64], read)
}

/// The number of contents in a batch, and how many of them some run has completed, even if that run has been pruned.
/// Scans the batch's documents.
pub fn progress(tx: &ReadTx, id: i64) -> Result<(i64, i64)> {
    let found = tx.row(
        formatcp!(
            "SELECT count(*), coalesce(sum(EXISTS (SELECT 1 FROM content_run c JOIN run r ON r.id = c.run_id
                    WHERE c.sha256 = u.sha256 AND r.ended IS NOT NULL AND r.failed = 0 AND r.cancelled = 0)
                    OR EXISTS (SELECT 1 FROM document d WHERE d.sha256 = u.sha256
                    AND d.state IN ({DOCUMENT_EMPTY}, {DOCUMENT_STORED}))), 0)
           FROM (SELECT DISTINCT sha256 FROM document_uri WHERE batch_id = ?1) u"
        ),
        [id],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(found.unwrap_or((0, 0)))
}
