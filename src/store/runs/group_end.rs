//! The end of a group: when its last run ends, or when the builder of an unsealed group has died.
//!
//! SQLite only: JSON functions.

use crate::failpoint::probe::{self, Window};
use crate::model::GroupId;
use crate::model::code::{PHASE_BUILDING, PHASE_LIVE};
use crate::store::{
    child_end, child_group, collect, concurrency, error::Result, event, group::open_slice, memory::Sums,
    params::params, tx::WriteTx,
};
use const_format::formatcp;
use std::collections::HashMap;

/// The most runs that one transaction opens as a side effect.
const OPEN_AT_ONCE: usize = 50;

/// Removes up to `limit` runs of an unsealed group, and finally the group with its key. True while more is left.
///
/// The caller has checked that its builder is dead. The group was never acknowledged.
pub fn sweep_unsealed(tx: &WriteTx, group: GroupId, limit: usize) -> Result<bool> {
    let open =
        tx.row(formatcp!("SELECT 1 FROM run_group WHERE id = ?1 AND phase = {PHASE_BUILDING}"), [group.0], |_| Ok(()))?;
    if open.is_none() {
        return Ok(false);
    }
    let runs = tx.rows(
        "SELECT r.id, r.first_step, json_array_length(d.shape, '$.steps') FROM run r
           JOIN definition d ON d.id = r.definition_id WHERE r.group_id = ?1 ORDER BY r.id LIMIT ?2",
        params![group.0, limit as i64],
        |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<i64>(2)?)),
    )?;
    for (run, first, count) in &runs {
        tx.execute("DELETE FROM step WHERE id >= ?1 AND id < ?2", params![first, first + count])?;
        tx.execute("DELETE FROM item WHERE run_id = ?1", [run])?;
        tx.execute("DELETE FROM run WHERE id = ?1", [run])?;
    }
    if runs.len() == limit {
        return Ok(true);
    }
    tx.execute("DELETE FROM submit_key WHERE group_id = ?1", [group.0])?;
    tx.execute("DELETE FROM collect WHERE group_id = ?1", [group.0])?;
    tx.execute("DELETE FROM child_group WHERE group_id = ?1", [group.0])?;
    tx.memory().limited.remove(&group);
    give_turn(tx, group)?;
    tx.execute("DELETE FROM group_detail WHERE group_id = ?1", [group.0])?;
    tx.execute("DELETE FROM run_group WHERE id = ?1", [group.0])?;
    Ok(false)
}

/// Writes the counts of ended runs, once per group and transaction. This one UPDATE (`try_complete_group`) also ends
/// the group: once per epoch, with the last run.
pub(in crate::store) fn apply_sums(tx: &WriteTx) -> Result<()> {
    open_next(tx)?;
    loop {
        let sums = std::mem::take(&mut tx.memory().sums);
        if sums.is_empty() {
            return Ok(());
        }
        // The end of a group can end its parent step, and with it that step's run and group.
        apply(tx, sums)?;
    }
}

fn apply(tx: &WriteTx, sums: HashMap<GroupId, Sums>) -> Result<()> {
    for (group, sums) in sums {
        tx.execute(
            "UPDATE run_group SET unfinished = unfinished - ?2, failed = failed + ?3, cancelled = cancelled + ?4
              WHERE id = ?1",
            params![group.0, sums.ended, sums.failed, sums.cancelled],
        )?;
        let ended = tx.execute(
            formatcp!(
                "UPDATE run_group SET ended = ?2, cancelling = 0, paused = 0
              WHERE id = ?1 AND unfinished = 0 AND phase = {PHASE_LIVE} AND ended IS NULL"
            ),
            params![group.0, tx.now().0],
        )?;
        if ended == 1 {
            tx.memory().group_end.get_or_insert_with(|| probe::inside(Window::GroupEnd));
            group_ended(tx, group)?;
        } else if sums.freed > 0 {
            child_group::count_active(tx, group, -sums.freed)?;
            tx.memory().opening.push(group);
            open_next(tx)?;
        }
        if ended == 0 && collect::begin(tx, group)? {
            tx.memory().opening.push(group);
            open_next(tx)?;
        }
    }
    Ok(())
}

fn group_ended(tx: &WriteTx, group: GroupId) -> Result<()> {
    tx.memory().cancelling_groups.remove(&group);
    tx.memory().paused_groups.remove(&group);
    tx.memory().collecting.remove(&group);
    event::group_ended(tx, group)?;
    child_end::ended(tx, group)?;
    give_turn(tx, group)
}

/// Starts the next group of a name in this transaction, because the one ahead of it has ended or was deleted. If it is
/// large, later transactions open the rest of it; after a crash, `unopened` finds it.
fn give_turn(tx: &WriteTx, group: GroupId) -> Result<()> {
    let Some(next) = concurrency::leave(tx, group)? else { return Ok(()) };
    tx.memory().opening.push(next);
    open_next(tx)
}

fn open_next(tx: &WriteTx) -> Result<()> {
    let opening = std::mem::take(&mut tx.memory().opening);
    for group in opening {
        if open_slice(tx, group, OPEN_AT_ONCE)? {
            tx.memory().opening.push(group);
        }
    }
    Ok(())
}
