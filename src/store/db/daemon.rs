//! Table `engine`, column `daemon_epoch`: which daemon is the current one.

use crate::store::{
    error::{Error, Result},
    tx::{ReadTx, WriteTx},
};

/// The epoch of the newest daemon; 0 before the first one.
pub fn epoch(tx: &ReadTx) -> Result<i64> {
    tx.row("SELECT daemon_epoch FROM engine", [], |row| row.get(0))?.ok_or_else(|| Error::not_found("the engine's row"))
}

/// Begins a new epoch. From now on, every write of an earlier daemon is refused.
pub(in crate::store) fn begin_epoch(tx: &WriteTx) -> Result<i64> {
    tx.execute("UPDATE engine SET daemon_epoch = daemon_epoch + 1", [])?;
    epoch(tx)
}
