//! Table `run`: one item through the workflow.
//!
//! SQLite only: JSON functions.

use crate::model::code::{PHASE_REOPENING, STEP_CANCELLED, STEP_COMPLETED, STEP_FAILED};
use crate::model::{EventKind, GroupId, RunId, StepId};
use crate::store::{
    child_group,
    error::Result,
    event::{self, About},
    memory::KnownShape,
    params::params,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;

/// Steps of a run that just ended, and how they ended.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Ended {
    pub steps: i64,
    pub failed: bool,
    pub cancelled: bool,
}

/// Counts ended steps of a run, and ends the run with its last step.
///
/// A chain is not counted: it ends with its last step, its first failure, or its cancellation. `no` is the step that
/// ended.
pub(in crate::store) fn steps_ended(
    tx: &WriteTx,
    run: RunId,
    group: GroupId,
    shape: &KnownShape,
    no: usize,
    ended: Ended,
) -> Result<()> {
    let (failed, cancelled) = (i64::from(ended.failed), i64::from(ended.cancelled));
    if shape.chain {
        let last = no + 1 == shape.shape.steps.len();
        if !last && !ended.failed && !ended.cancelled {
            return Ok(());
        }
        let changed = tx.execute(END_CHAIN, params![run.0, failed, cancelled, tx.now().0])?;
        return match changed {
            0 => Ok(()),
            _ => run_ended(tx, run, group, ended.failed, ended.cancelled),
        };
    }
    tx.execute(
        "UPDATE run SET unfinished = unfinished - ?2, failed = failed + ?3, cancelled = cancelled + ?4,
                ended = CASE WHEN unfinished = ?2 THEN ?5 END WHERE id = ?1",
        params![run.0, ended.steps, failed, cancelled, tx.now().0],
    )?;
    let end = tx.row("SELECT failed, cancelled FROM run WHERE id = ?1 AND ended IS NOT NULL", [run.0], |row| {
        Ok((row.get::<i64>(0)? > 0, row.get::<i64>(1)? > 0))
    })?;
    match end {
        Some((failed, cancelled)) => run_ended(tx, run, group, failed, cancelled),
        None => Ok(()),
    }
}

/// S4 for a chain.
pub(in crate::store) const END_CHAIN: &str =
    "UPDATE run SET unfinished = 0, failed = ?2, cancelled = ?3, ended = ?4 WHERE id = ?1 AND ended IS NULL";

/// Ends a chain without open steps. Its steps determine its status. Idempotent.
pub(in crate::store) fn end_chain(tx: &WriteTx, run: RunId, group: GroupId) -> Result<()> {
    let (failed, cancelled) = counts(tx, run)?;
    let changed = tx.execute(END_CHAIN, params![run.0, failed, cancelled, tx.now().0])?;
    match changed {
        0 => Ok(()),
        _ => run_ended(tx, run, group, failed > 0, cancelled > 0),
    }
}

fn run_ended(tx: &WriteTx, run: RunId, group: GroupId, failed: bool, cancelled: bool) -> Result<()> {
    let kind = if failed { EventKind::ItemFailed } else { EventKind::ItemEnd };
    event::note(tx, kind, About::run(group, run))?;
    let frees = child_group::frees(tx, group, run)?;
    tx.sum(group, |sums| {
        sums.ended += 1;
        sums.freed += i64::from(frees);
        sums.failed += i64::from(failed);
        sums.cancelled += i64::from(cancelled && !failed);
    });
    Ok(())
}

/// A completed step of a run was reopened. Only for DAGs, because chains are not counted.
pub(in crate::store) fn one_more(tx: &WriteTx, run: RunId) -> Result<()> {
    tx.execute("UPDATE run SET unfinished = unfinished + 1 WHERE id = ?1", [run.0])?;
    Ok(())
}

/// The numbers of failed and cancelled steps of a run.
pub(in crate::store) fn counts(tx: &ReadTx, run: RunId) -> Result<(i64, i64)> {
    let found = tx.row(
        formatcp!(
            "SELECT count(*) FILTER (WHERE s.state = {STEP_FAILED}), count(*) FILTER (WHERE s.state = {STEP_CANCELLED})
           FROM run r JOIN definition d ON d.id = r.definition_id
           JOIN step s ON s.id >= r.first_step AND s.id < r.first_step + json_array_length(d.shape, '$.steps')
          WHERE r.id = ?1"
        ),
        [run.0],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(found.unwrap_or((0, 0)))
}

/// The first step of a run, and the id after its last one.
pub(in crate::store) fn step_range(tx: &ReadTx, run: RunId) -> Result<Option<(StepId, StepId)>> {
    tx.row(
        "SELECT r.first_step, r.first_step + json_array_length(d.shape, '$.steps') FROM run r
           JOIN definition d ON d.id = r.definition_id WHERE r.id = ?1",
        [run.0],
        |row| Ok((StepId(row.get(0)?), StepId(row.get(1)?))),
    )
}

/// Whether the group has placed the first steps of a run.
pub(in crate::store) fn is_opened(tx: &ReadTx, run: RunId) -> Result<bool> {
    let opened = tx.row(
        formatcp!(
            "SELECT d.opened >= r.id OR g.phase = {PHASE_REOPENING} FROM run r JOIN run_group g ON g.id = r.group_id
               JOIN group_detail d ON d.group_id = g.id WHERE r.id = ?1"
        ),
        [run.0],
        |row| row.get(0),
    )?;
    Ok(opened.unwrap_or(false))
}

/// The steps of a run that have not ended.
pub(in crate::store) fn open_steps(tx: &ReadTx, first: StepId, count: usize) -> Result<Vec<StepId>> {
    tx.rows(
        formatcp!("SELECT id FROM step WHERE id >= ?1 AND id < ?2 AND state < {STEP_COMPLETED}"),
        params![first.0, first.0 + count as i64],
        |row| row.get(0).map(StepId),
    )
}

/// Runs of a group that failed or were cancelled, after a run.
pub fn lost(tx: &ReadTx, group: GroupId, after: RunId, limit: usize) -> Result<Vec<RunId>> {
    tx.rows(
        "SELECT id FROM run WHERE group_id = ?1 AND id > ?2 AND failed + cancelled > 0 AND ended IS NOT NULL
          ORDER BY id LIMIT ?3",
        params![group.0, after.0, limit as i64],
        |row| row.get(0).map(RunId),
    )
}

/// The item of a run.
pub fn item(tx: &ReadTx, run: RunId) -> Result<Option<String>> {
    tx.row("SELECT item FROM item WHERE run_id = ?1", [run.0], |row| row.get(0))
}

/// The group of a run.
pub fn group_of(tx: &ReadTx, run: RunId) -> Result<Option<GroupId>> {
    tx.row("SELECT group_id FROM run WHERE id = ?1", [run.0], |row| row.get(0).map(GroupId))
}
