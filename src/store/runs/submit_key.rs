//! Table `submit_key`: idempotency keys of submissions. They outlive their groups.

use crate::model::{GroupId, Status};
use crate::store::{
    error::Result,
    params::params,
    tx::{ReadTx, WriteTx},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub group: GroupId,
    pub content: [u8; 32],
    /// How the group had ended when it was pruned. None while it exists.
    pub ended_as: Option<Status>,
}

pub fn find(tx: &ReadTx, key: &str) -> Result<Option<Found>> {
    tx.row("SELECT group_id, content, ended_as FROM submit_key WHERE key = ?1", [key], |row| {
        let ended_as = row.get::<Option<String>>(2)?.and_then(|it| it.parse().ok());
        Ok(Found { group: GroupId(row.get(0)?), content: row.get(1)?, ended_as })
    })
}

pub(in crate::store) fn insert(tx: &WriteTx, key: &str, content: &[u8; 32], group: GroupId) -> Result<()> {
    tx.execute(
        "INSERT INTO submit_key(key, content, group_id, created) VALUES (?1, ?2, ?3, ?4)",
        params![key, content, group.0, tx.now().0],
    )?;
    Ok(())
}

/// Records how the group of a key ended. The group is deleted; the key stays.
pub(in crate::store) fn group_gone(tx: &WriteTx, group: GroupId, ended_as: Status) -> Result<()> {
    tx.execute("UPDATE submit_key SET ended_as = ?2 WHERE group_id = ?1", params![group.0, ended_as.name()])?;
    Ok(())
}
