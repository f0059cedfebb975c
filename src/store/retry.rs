//! Retry of a group or a run: what FAILED or was CANCELLED is PENDING again, with its attempts given back. What is
//! COMPLETED stays so.
//!
//! A group is re-opened in slices: phase 2 holds it open, and `group_detail.opened` is the cursor, written with each
//! slice, so that a crash between two of them re-opens nothing twice.

use super::{
    document,
    error::{Error, Result},
    group,
    memory::KnownShape,
    step,
    tx::{ReadTx, WriteTx},
};
use crate::model::{EventKind, GroupId, RunId, StepId};
use rusqlite::params;

/// Runs that one slice walks over at most.
const SCAN: usize = 5_000;

/// Re-opens a group that has ended; its epoch grows, and it can end once more. `group_slice` re-opens its runs.
///
/// False: no run of it failed or was cancelled. A group that is being re-opened already is left as it is.
pub fn group(tx: &WriteTx, id: GroupId) -> Result<bool> {
    let found = tx.row(
        "SELECT phase, ended IS NOT NULL, failed + cancelled FROM run_group WHERE id = ?1 AND phase < 3",
        [id.0],
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?, row.get::<_, i64>(2)?)),
    )?;
    let (phase, ended, lost) = found.ok_or_else(|| Error::not_found(id))?;
    if phase == 2 {
        return Ok(true);
    }
    if !ended {
        let reason = format!("{id} has not ended yet: wait for it, cancel it, or retry one of its runs that has ended");
        return Err(Error::conflict(reason));
    }
    if lost == 0 {
        return Ok(false);
    }
    tx.execute(
        "UPDATE run_group SET phase = 2, unfinished = 1, ended = NULL, epoch = epoch + 1 WHERE id = ?1 AND phase = 0",
        [id.0],
    )?;
    tx.execute("UPDATE group_detail SET opened = 0 WHERE group_id = ?1", [id.0])?;
    tx.event(EventKind::Retry, Some(id), None, None);
    Ok(true)
}

/// Re-opens runs of a group that is being re-opened, until some `limit` rows are written. True while more are left.
pub fn group_slice(tx: &WriteTx, id: GroupId, limit: usize) -> Result<bool> {
    let opened = tx.row(
        "SELECT d.opened FROM run_group g JOIN group_detail d ON d.group_id = g.id WHERE g.id = ?1 AND g.phase = 2",
        [id.0],
        |row| row.get::<_, i64>(0),
    )?;
    let Some(opened) = opened else { return Ok(false) };
    let runs = tx.rows(
        "SELECT id, ended IS NOT NULL AND failed + cancelled > 0 FROM run WHERE group_id = ?1 AND id > ?2
          ORDER BY id LIMIT ?3",
        params![id.0, opened, SCAN as i64],
        |row| Ok((RunId(row.get(0)?), row.get::<_, bool>(1)?)),
    )?;
    let mut written = 0;
    let mut more = runs.len() == SCAN;
    let mut reached = runs.last().map(|it| it.0);
    for (run, lost) in &runs {
        if *lost {
            written += reopen(tx, *run, id, true)? + 3;
        }
        if written >= limit {
            more = true;
            reached = Some(*run);
            break;
        }
    }
    match reached.filter(|_| more) {
        Some(run) => {
            tx.execute("UPDATE group_detail SET opened = ?2 WHERE group_id = ?1", params![id.0, run.0])?;
            Ok(true)
        }
        None => stop(tx, id).map(|()| false),
    }
}

/// Ends the re-opening of a group, if it is under way.
pub(super) fn stop(tx: &WriteTx, id: GroupId) -> Result<()> {
    if group::leave_phase(tx, id, 2)? {
        tx.execute("UPDATE group_detail SET opened = open_until WHERE group_id = ?1", [id.0])?;
    }
    Ok(())
}

/// Groups that are being re-opened.
pub fn unfinished(tx: &ReadTx) -> Result<Vec<GroupId>> {
    tx.rows("SELECT id FROM run_group WHERE phase > 0 AND phase = 2 ORDER BY id", [], |row| row.get(0).map(GroupId))
}

/// Re-opens one run that FAILED or was CANCELLED, and its group when that has ended. Returns how many steps are PENDING
/// again; 0: it is COMPLETED. Refused while the run is live, or its group is being cancelled, built or re-opened.
pub fn run(tx: &WriteTx, id: RunId) -> Result<usize> {
    let found = tx.row(
        "SELECT r.group_id, r.ended IS NOT NULL, r.failed + r.cancelled, g.phase, g.cancelling, g.ended IS NOT NULL,
                d.opened >= r.id
           FROM run r JOIN run_group g ON g.id = r.group_id JOIN group_detail d ON d.group_id = g.id
          WHERE r.id = ?1 AND g.phase < 3",
        [id.0],
        |row| {
            let run: (bool, i64) = (row.get(1)?, row.get(2)?);
            let group: (i64, bool, bool) = (row.get(3)?, row.get(4)?, row.get(5)?);
            Ok((GroupId(row.get(0)?), run, group, row.get::<_, bool>(6)?))
        },
    )?;
    let (group, (ended, lost), (phase, cancelling, group_ended), opened) = found.ok_or_else(|| Error::not_found(id))?;
    if !ended {
        return Err(Error::conflict(format!("{id} has not ended yet: wait for it or cancel it first")));
    }
    if cancelling {
        return Err(Error::conflict(format!("{group} is being cancelled: wait until it has ended")));
    }
    if phase != 0 {
        return Err(Error::conflict(format!("{group} is being submitted or retried: try again in a moment")));
    }
    if lost == 0 {
        return Ok(0);
    }
    // Hooks and group ends are told apart by the epoch: what ends again may be told again.
    tx.execute("UPDATE run_group SET epoch = epoch + 1, ended = NULL WHERE id = ?1", [group.0])?;
    if group_ended {
        tx.execute("UPDATE group_detail SET opened = open_until WHERE group_id = ?1", [group.0])?;
    }
    tx.event(EventKind::Retry, Some(group), Some(id), None);
    reopen(tx, id, group, group_ended || opened)
}

/// Steps of a run that are not COMPLETED become PENDING, and those that wait for nothing claimable.
///
/// `opened`: false when the run's group has not started it yet, and will.
fn reopen(tx: &WriteTx, run: RunId, group: GroupId, opened: bool) -> Result<usize> {
    let (definition, first) = step::definition_of_run(tx, run)?.ok_or_else(|| Error::not_found(run))?;
    let shape = tx.memory().shape(tx.conn(), definition)?;
    let completed = completed(tx, &shape, first)?;
    tx.execute(
        "UPDATE run_group SET unfinished = unfinished + 1,
                failed = failed - (SELECT failed > 0 FROM run WHERE id = ?2),
                cancelled = cancelled - (SELECT failed = 0 AND cancelled > 0 FROM run WHERE id = ?2) WHERE id = ?1",
        params![group.0, run.0],
    )?;
    let open: Vec<usize> = (0..completed.len()).filter(|&no| !completed[no]).collect();
    let unfinished = if shape.chain { completed.len() } else { open.len() };
    tx.execute(
        "UPDATE run SET unfinished = ?2, failed = 0, cancelled = 0, ended = NULL WHERE id = ?1",
        params![run.0, unfinished as i64],
    )?;
    for &no in &open {
        let unmet = shape.shape.steps[no].needs.iter().filter(|&&need| !completed[need]).count();
        tx.execute(
            "UPDATE step SET state = 0, due = ?2, unmet = ?3, attempts = 0, failures = 0, crashes = 0, suspect = 0,
                    token = NULL, worker = NULL, started = NULL, ended = NULL, outcome = NULL, output_id = NULL
              WHERE id = ?1 AND state IN (6, 7)",
            params![first.0 + no as i64, tx.now().0, unmet as i64],
        )?;
        if unmet == 0 && opened {
            step::enter(tx, StepId(first.0 + no as i64), shape.types[no])?;
        }
    }
    document::reopen(tx, run)?;
    Ok(open.len())
}

/// Which steps of a run are COMPLETED, by number.
fn completed(tx: &ReadTx, shape: &KnownShape, first: StepId) -> Result<Vec<bool>> {
    let count = shape.shape.steps.len() as i64;
    tx.rows(
        "SELECT state = 5 FROM step WHERE id >= ?1 AND id < ?2 ORDER BY id",
        params![first.0, first.0 + count],
        |row| row.get(0),
    )
}
