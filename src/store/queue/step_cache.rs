//! Table `step_cache`: results that can be reused.

use crate::model::{KeepReason, OutputId, Timestamp};
use crate::store::{
    error::Result,
    kept_output::{self, Origin},
    output,
    params::params,
    tx::{ReadTx, WriteTx},
};

/// SHA-256 of everything that a result depends on.
pub type Key = [u8; 32];

pub(in crate::store) fn remember(tx: &WriteTx, key: &[u8; 32], id: OutputId) -> Result<()> {
    forget(tx, key)?;
    output::share(tx, id)?;
    tx.execute("INSERT INTO step_cache(key, output_id, used) VALUES (?1, ?2, ?3)", params![key, id.0, tx.now().0])?;
    Ok(())
}

pub fn find(tx: &ReadTx, key: &[u8; 32]) -> Result<Option<OutputId>> {
    tx.row("SELECT output_id FROM step_cache WHERE key = ?1", [key], |row| row.get(0).map(OutputId))
}

/// Deletes a cached result, because another replaces it, or its artifact is missing or corrupt.
pub fn forget(tx: &WriteTx, key: &[u8; 32]) -> Result<()> {
    let Some(id) = find(tx, key)? else { return Ok(()) };
    tx.execute("DELETE FROM step_cache WHERE key = ?1", [key])?;
    kept_output::insert(tx, id, KeepReason::Nothing, &Origin::default())
}

/// Deletes every entry with this output, because its files are damaged.
pub(in crate::store) fn forget_output(tx: &WriteTx, id: OutputId) -> Result<()> {
    let keys = tx.rows("SELECT key FROM step_cache WHERE output_id = ?1", [id.0], |row| row.get::<[u8; 32]>(0))?;
    keys.iter().try_for_each(|key| forget(tx, key))
}

/// One page of keys after `after` that were stored by then and whose results no step and no kept output uses, and where
/// the page ended; None at the end.
pub fn stale(tx: &ReadTx, before: Timestamp, after: &[u8], page: usize) -> Result<(Vec<Key>, Option<Key>)> {
    let rows = tx.rows(
        "SELECT c.key, c.used <= ?2 AND o.users = 1 FROM step_cache c JOIN output o ON o.id = c.output_id
          WHERE c.key > ?1 ORDER BY c.key LIMIT ?3",
        params![after, before.0, page as i64],
        |row| Ok((row.get::<[u8; 32]>(0)?, row.get::<bool>(1)?)),
    )?;
    let last = rows.last().map(|it| it.0).filter(|_| rows.len() == page);
    Ok((rows.into_iter().filter(|it| it.1).map(|it| it.0).collect(), last))
}

/// Deletes those of the keys that are still unused. Returns the number.
pub fn drop_slice(tx: &WriteTx, keys: &[[u8; 32]], before: Timestamp) -> Result<usize> {
    let mut dropped = 0;
    for key in keys {
        let stale = tx.row(
            "SELECT 1 FROM step_cache c JOIN output o ON o.id = c.output_id
              WHERE c.key = ?1 AND c.used <= ?2 AND o.users = 1",
            params![key, before.0],
            |_| Ok(()),
        )?;
        if stale.is_some() {
            forget(tx, key)?;
            dropped += 1;
        }
    }
    Ok(dropped)
}
