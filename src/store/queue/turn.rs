//! Table `turn`: the groups that wait in a queue, and whose turn it is. `decide::fairness` has the rule.
//!
//! A group gets a row with its first claimable step. The row stays when its last step is claimed, and is deleted when
//! its turn comes, because only then is it safe. So no row is written while steps come and go.

use crate::decide::fairness::{self, Turn};
use crate::model::GroupId;
use crate::store::{
    error::{Error, Result},
    params::params,
    row::Row,
    tx::WriteTx,
};

/// Records that a group has a claimable step in a queue.
#[inline]
pub(in crate::store) fn enter(tx: &WriteTx, queue: i64, priority: i64, group: GroupId) -> Result<()> {
    let present = tx.memory().turns.present.contains(&(queue, priority, group));
    if present { Ok(()) } else { begin(tx, queue, priority, group) }
}

fn begin(tx: &WriteTx, queue: i64, priority: i64, group: GroupId) -> Result<()> {
    if tx.row(PRESENT, [queue, priority, group.0], |_| Ok(()))?.is_none() {
        let lowest = tx.row(LOWEST, [queue, priority], |row| row.get::<i64>(0))?;
        let weight = tx.row("SELECT weight FROM group_detail WHERE group_id = ?1", [group.0], |row| row.get(0))?;
        let weight: i64 = weight.ok_or_else(|| Error::not_found(group))?;
        tx.execute(
            "INSERT INTO turn(queue, priority, group_id, tag, weight) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![queue, priority, group.0, fairness::entering(lowest), weight],
        )?;
        tx.memory().turns.alone.remove(&queue);
    }
    tx.memory().turns.present.insert((queue, priority, group));
    Ok(())
}

pub(in crate::store) const PRESENT: &str = "SELECT 1 FROM turn WHERE queue = ?1 AND priority = ?2 AND group_id = ?3";
pub(in crate::store) const LOWEST: &str =
    "SELECT tag FROM turn WHERE queue = ?1 AND priority = ?2 ORDER BY tag LIMIT 1";

/// The groups that are served next in a queue, and whether these are all that wait in it.
pub(in crate::store) fn next(tx: &WriteTx, queue: i64, limit: usize) -> Result<(Vec<Turn>, bool)> {
    let alone = tx.memory().turns.alone.get(&queue).copied();
    if let Some(alone) = alone {
        return Ok((vec![alone], true));
    }
    // One more than needed, to detect whether a group is alone.
    let wanted = limit + 1;
    let turns = tx.rows(NEXT, [queue, wanted as i64], read)?;
    if let [only] = turns[..] {
        tx.memory().turns.alone.insert(queue, only);
    }
    let all = turns.len() < wanted;
    Ok((turns, all))
}

/// C1.
pub(in crate::store) const NEXT: &str =
    "SELECT priority, tag, group_id, weight FROM turn WHERE queue = ?1 ORDER BY priority DESC, tag, group_id LIMIT ?2";

fn read(row: &Row) -> Result<Turn> {
    Ok(Turn { priority: row.get(0)?, tag: row.get(1)?, group: row.get(2)?, weight: row.get(3)? })
}

/// Charges a group for claimed steps. Writes nothing if no other group waits, because the next group to enter starts
/// level with it.
pub(in crate::store) fn charge(tx: &WriteTx, queue: i64, priority: i64, group: GroupId, claims: i64) -> Result<()> {
    if tx.memory().turns.alone.contains_key(&queue) {
        return Ok(());
    }
    let turn = tx.row(
        "SELECT priority, tag, group_id, weight FROM turn WHERE queue = ?1 AND priority = ?2 AND group_id = ?3",
        [queue, priority, group.0],
        read,
    )?;
    let Some(turn) = turn else { return Ok(()) };
    let tag = fairness::served(turn.tag, claims, turn.weight);
    tx.execute(CHARGE, [queue, priority, group.0, tag])?;
    Ok(())
}

pub(in crate::store) const CHARGE: &str =
    "UPDATE turn SET tag = ?4 WHERE queue = ?1 AND priority = ?2 AND group_id = ?3";

/// Removes a group whose turn came and that has no claimable step.
pub(in crate::store) fn forget(tx: &WriteTx, queue: i64, turn: &Turn) -> Result<()> {
    tx.execute(
        "DELETE FROM turn WHERE queue = ?1 AND priority = ?2 AND group_id = ?3",
        [queue, turn.priority, turn.group],
    )?;
    let mut memory = tx.memory();
    memory.turns.alone.remove(&queue);
    memory.turns.present.remove(&(queue, turn.priority, GroupId(turn.group)));
    Ok(())
}

/// The priority of a group's steps. None if the group does not exist.
pub(in crate::store) fn priority_of(tx: &WriteTx, group: GroupId) -> Result<Option<i64>> {
    let known = tx.memory().turns.priorities.get(&group).copied();
    if known.is_some() {
        return Ok(known);
    }
    let found = tx.row("SELECT priority FROM group_detail WHERE group_id = ?1", [group.0], |row| row.get(0))?;
    if let Some(priority) = found {
        tx.memory().turns.priorities.insert(group, priority);
    }
    Ok(found)
}
