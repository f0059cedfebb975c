//! Table `step_cache`: results that may be taken again.

use super::{
    error::Result,
    tx::{ReadTx, WriteTx},
};
use crate::model::OutputId;
use rusqlite::params;

pub(super) fn remember(tx: &WriteTx, key: &[u8; 32], output: OutputId) -> Result<()> {
    tx.execute(
        "INSERT INTO step_cache(key, output_id, used) VALUES (?1, ?2, ?3)
         ON CONFLICT(key) DO UPDATE SET output_id = excluded.output_id, used = excluded.used",
        params![key, output.0, tx.now().0],
    )?;
    Ok(())
}

pub fn find(tx: &ReadTx, key: &[u8; 32]) -> Result<Option<OutputId>> {
    tx.row("SELECT output_id FROM step_cache WHERE key = ?1", [key], |row| row.get(0).map(OutputId))
}

/// Forgets a result whose artifact turned out to be missing or corrupt.
pub fn forget(tx: &WriteTx, key: &[u8; 32]) -> Result<()> {
    tx.execute("DELETE FROM step_cache WHERE key = ?1", [key])?;
    Ok(())
}
