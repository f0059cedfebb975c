//! Table `submit_key`: idempotency keys of submissions. They outlive their groups.

use super::{
    error::Result,
    tx::{ReadTx, WriteTx},
};
use crate::model::GroupId;
use rusqlite::params;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub group: GroupId,
    pub content: [u8; 32],
}

pub fn find(tx: &ReadTx, key: &str) -> Result<Option<Found>> {
    tx.row("SELECT group_id, content FROM submit_key WHERE key = ?1", [key], |row| {
        Ok(Found { group: GroupId(row.get(0)?), content: row.get(1)? })
    })
}

pub(super) fn insert(tx: &WriteTx, key: &str, content: &[u8; 32], group: GroupId) -> Result<()> {
    tx.execute(
        "INSERT INTO submit_key(key, content, group_id, created) VALUES (?1, ?2, ?3, ?4)",
        params![key, content, group.0, tx.now().0],
    )?;
    Ok(())
}
