//! Returns unused space to the file system.

use super::{Epoch, Result, VectorDb};
use serde::Serialize;

/// Sizes of the file including its write-ahead log, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct VacuumReport {
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// False if a reader prevented the log from being emptied. The log shrinks once that reader is done.
    pub log_emptied: bool,
}

impl VectorDb {
    /// Merges the word index into one segment, rewrites the file without its free pages, and empties the log.
    ///
    /// Readers continue. This needs free space for a second copy of the file; without it, nothing changes.
    pub fn vacuum(&mut self, epoch: Epoch) -> Result<VacuumReport> {
        let bytes_before = self.bytes()?;
        self.write(epoch, "merge the word index of", |tx| {
            tx.execute("INSERT INTO chunk_text (chunk_text) VALUES ('optimize')", []).map(drop)
        })?;
        self.db.execute_batch("VACUUM").map_err(|source| self.failed("vacuum", source))?;
        let busy: i64 = self
            .db
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(|source| self.failed("empty the log of", source))?;
        Ok(VacuumReport { bytes_before, bytes_after: self.bytes()?, log_emptied: busy == 0 })
    }
}
