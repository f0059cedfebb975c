//! Table `concurrency`: groups with the same name do not overlap. The first group of a name has the turn. The groups
//! behind it are held: they are not opened, so none of their steps are in `ready`.

use crate::model::{Concurrency, GroupId};
use crate::store::{
    error::Result,
    params::params,
    tx::{ReadTx, WriteTx},
};

/// The concurrency group of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    pub name: String,
    pub policy: Concurrency,
}

/// The group that has the turn for a name.
pub fn first(tx: &ReadTx, name: &str) -> Result<Option<GroupId>> {
    tx.row("SELECT group_id FROM concurrency WHERE name = ?1 ORDER BY no LIMIT 1", [name], |row| {
        row.get(0).map(GroupId)
    })
}

/// The groups ahead of this one, in order.
pub fn before(tx: &ReadTx, group: GroupId) -> Result<Vec<GroupId>> {
    tx.rows(
        "SELECT b.group_id FROM concurrency c JOIN concurrency b ON b.name = c.name AND b.no < c.no
          WHERE c.group_id = ?1 ORDER BY b.no",
        [group.0],
        |row| row.get(0).map(GroupId),
    )
}

/// Whether the group waits for another group with its name.
pub fn is_held(tx: &WriteTx, group: GroupId) -> Result<bool> {
    Ok(tx.memory().concurrency && !before(tx, group)?.is_empty())
}

/// Whether a later group with its name replaces this one.
pub fn is_replaced(tx: &WriteTx, group: GroupId) -> Result<bool> {
    if !tx.memory().concurrency {
        return Ok(false);
    }
    let found = tx.row(
        "SELECT 1 FROM concurrency c JOIN concurrency b ON b.name = c.name AND b.no > c.no AND b.replaces = 1
          WHERE c.group_id = ?1 LIMIT 1",
        [group.0],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Queues a group behind the others with its name. Does nothing if it is already queued.
pub(in crate::store) fn enter(tx: &WriteTx, group: GroupId, turn: &Turn) -> Result<()> {
    let replaces = turn.policy == Concurrency::Replace;
    tx.execute(
        "INSERT INTO concurrency(name, group_id, replaces) VALUES (?1, ?2, ?3) ON CONFLICT(group_id) DO NOTHING",
        params![turn.name, group.0, replaces],
    )?;
    tx.memory().concurrency = true;
    Ok(())
}

/// Queues a reopened group behind the others with its name. Returns true if it has to wait.
pub(in crate::store) fn enter_again(tx: &WriteTx, group: GroupId) -> Result<bool> {
    let found = "SELECT concurrency FROM group_detail WHERE group_id = ?1 AND concurrency <> ''";
    let Some(name) = tx.row(found, [group.0], |row| row.get(0))? else { return Ok(false) };
    enter(tx, group, &Turn { name, policy: Concurrency::Queue })?;
    is_held(tx, group)
}

/// Removes a group that has ended or was deleted. Returns the group that now has the turn.
pub(in crate::store) fn leave(tx: &WriteTx, group: GroupId) -> Result<Option<GroupId>> {
    if !tx.memory().concurrency {
        return Ok(None);
    }
    let name =
        tx.change("DELETE FROM concurrency WHERE group_id = ?1 RETURNING name", [group.0], |row| row.get::<String>(0))?;
    match name {
        Some(name) => first(tx, &name),
        None => Ok(None),
    }
}
