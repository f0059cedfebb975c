//! Repairs a database.

use super::{Epoch, Result, VectorDb, document};
use serde::Serialize;

/// What a repair removed; empty if the database was sound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RepairReport {
    /// (source, uri) of documents that had lost a vector or words, or had the wrong number of chunks. The next
    /// ingestion restores them.
    pub documents_removed: Vec<(String, String)>,
    /// Vectors, words and chunks that belonged to no document.
    pub orphans_removed: u64,
}

const NOT_WHOLE: &str = "
    SELECT d.id, d.source, d.uri FROM document d
    WHERE d.chunks <> (SELECT count(*) FROM chunk c WHERE c.document = d.id)
       OR EXISTS (
           SELECT 1 FROM chunk c, meta m LEFT JOIN vector v ON v.chunk = c.id
           WHERE c.document = d.id
             AND (v.chunk IS NULL OR length(v.value) <> 4 * m.dimension
                  OR c.id NOT IN (SELECT id FROM chunk_text_docsize)))
    ORDER BY d.source, d.uri";

/// Chunks without a document are removed first, since their own rows then become orphans.
const ORPHANS: &[&str] = &[
    "DELETE FROM version WHERE document NOT IN (SELECT id FROM document)",
    "DELETE FROM vector WHERE chunk IN (SELECT id FROM chunk WHERE document NOT IN (SELECT id FROM document))",
    "DELETE FROM linked WHERE chunk IN (SELECT id FROM chunk WHERE document NOT IN (SELECT id FROM document))",
    "DELETE FROM chunk WHERE document NOT IN (SELECT id FROM document)",
    "DELETE FROM linked WHERE chunk NOT IN (SELECT id FROM chunk)",
    "DELETE FROM vector WHERE chunk NOT IN (SELECT id FROM chunk)",
    "DELETE FROM chunk_text WHERE rowid IN (SELECT id FROM chunk_text_docsize WHERE id NOT IN (SELECT id FROM chunk))",
];

impl VectorDb {
    /// Removes what [`VectorDb::check`] counts, in one transaction: orphans, and every incomplete document. It can't
    /// repair a file that SQLite itself reports as damaged.
    pub fn repair(&mut self, epoch: Epoch) -> Result<RepairReport> {
        self.write(epoch, "repair", |tx| {
            let mut report = RepairReport::default();
            let mut statement = tx.prepare(NOT_WHOLE)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            for (id, source, uri) in rows.collect::<rusqlite::Result<Vec<(i64, String, String)>>>()? {
                document::remove_chunks(tx, id)?;
                document::remove_row(tx, id)?;
                report.documents_removed.push((source, uri));
            }
            for sql in ORPHANS {
                report.orphans_removed += tx.execute(sql, [])? as u64;
            }
            Ok(report)
        })
    }
}
