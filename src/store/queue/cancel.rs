//! Cancelling a step, a run or a group. Waiting steps are cancelled immediately. Running steps are asked to stop and
//! settled by their workers; whichever comes first, cancel or completion, wins.

use crate::model::code::PHASE_BUILDING;
use crate::model::{EventKind, GroupId, RunId, StepId};
use crate::store::{
    cancel_step,
    error::{Error, Result},
    event::{self, About},
    follow::Graph,
    memory::KnownShape,
    params::params,
    recompute, retry, run, settle, step,
    step::StepRow,
    tx::{ReadTx, WriteTx},
};
use serde::Serialize;

/// The most ended runs that one slice skips. Skipping costs a read, not a write.
const SCAN: usize = 5_000;

/// The result of a cancel. Both are 0 if everything had already ended or been asked to stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Cancelled {
    /// Waiting steps that are now CANCELLED.
    pub out: i64,
    /// Running steps that were asked to stop.
    #[serde(rename = "asked")]
    pub cancel_requested: i64,
}

/// Cancels a step and its dependents, except those with `on_cancel: run`. Idempotent.
pub fn step(tx: &WriteTx, id: StepId) -> Result<Cancelled> {
    let row = step::get(tx, id)?.ok_or_else(|| Error::not_found(id))?;
    if row.state.is_terminal() {
        return Ok(Cancelled::default());
    }
    if let Some(cancel_requested) = cancel_step::ask(tx, id)? {
        if cancel_requested {
            event::note_with(tx, EventKind::Cancel, About::step(row.group, row.run, id), "asked".into())?;
        }
        return Ok(Cancelled { out: 0, cancel_requested: cancel_requested.into() });
    }
    let (shape, first) = shape_of(tx, row.run)?;
    cancel_step::end_waiting(tx, &row)?;
    if !shape.plain {
        let opened = run::is_opened(tx, row.run)?;
        let graph = Graph { group: row.group, run: row.run, first, shape: &shape, opened };
        let followed = graph.ended(tx, row.no, false, true)?;
        event::note(tx, EventKind::Cancel, About::step(row.group, row.run, id))?;
        return Ok(Cancelled { out: 1 + followed.cancelled, cancel_requested: followed.cancel_requested });
    }
    let count = 1 + settle::cancel_dependents(tx, &shape, first, row.no)?;
    recompute::over(tx, id, first, shape.shape.steps.len())?;
    event::note(tx, EventKind::Cancel, About::step(row.group, row.run, id))?;
    steps_out(tx, &row, &shape, first, count)?;
    Ok(Cancelled { out: count, cancel_requested: 0 })
}

/// Cancels a run: waiting steps end, and running steps are asked to stop. Idempotent.
pub fn run(tx: &WriteTx, id: RunId) -> Result<Cancelled> {
    let cancelled = cancel_run(tx, id)?;
    if cancelled != Cancelled::default() {
        let group = run::group_of(tx, id)?;
        event::note(tx, EventKind::Cancel, About { group, run: Some(id), ..About::default() })?;
    }
    Ok(cancelled)
}

/// Cancels a group. From now on, none of its steps is claimed, and completed steps start only successors with
/// `on_cancel: run`. `group_slice` cancels its steps. False: it has ended or is already being cancelled.
pub fn group(tx: &WriteTx, id: GroupId) -> Result<bool> {
    let found = tx.row("SELECT phase, ended IS NOT NULL FROM run_group WHERE id = ?1", [id.0], |row| {
        Ok((row.get::<i64>(0)?, row.get::<bool>(1)?))
    })?;
    let (phase, ended) = found.ok_or_else(|| Error::not_found(id))?;
    if ended {
        return Ok(false);
    }
    if phase == PHASE_BUILDING {
        return Err(Error::conflict(format!("{id} is still being submitted")));
    }
    let changed = tx.execute("UPDATE run_group SET cancelling = 1 WHERE id = ?1 AND cancelling = 0", [id.0])?;
    if changed == 1 {
        tx.memory().cancelling_groups.insert(id);
        event::note(tx, EventKind::Cancel, About::group(id))?;
    }
    // Runs that a retry has not reopened yet stay unchanged.
    retry::stop(tx, id)?;
    Ok(changed == 1)
}

/// Cancels the groups started by steps that were asked to stop in this transaction. A group that is still being
/// submitted is cancelled after its submission.
pub(in crate::store) fn below(tx: &WriteTx) -> Result<()> {
    let groups = std::mem::take(&mut tx.memory().cancel_below);
    for id in groups {
        match group(tx, id) {
            Err(Error::Conflict { .. }) => {}
            done => drop(done?),
        }
    }
    Ok(())
}

/// Cancels the waiting steps of a group that is being cancelled, until about `limit` rows are written. Start with run 0
/// and continue from the returned id; None at the end. Starting over is harmless.
pub fn group_slice(tx: &WriteTx, id: GroupId, after: RunId, limit: usize) -> Result<Option<RunId>> {
    if !tx.memory().cancelling_groups.contains(&id) {
        return Ok(None);
    }
    let runs =
        tx.rows(RUNS, params![id.0, after.0, SCAN as i64], |row| Ok((RunId(row.get(0)?), row.get::<bool>(1)?)))?;
    let mut written = 0;
    for (run, open) in &runs {
        if *open {
            let cancelled = cancel_run(tx, *run)?;
            written += (cancelled.out + cancelled.cancel_requested) as usize + 1;
        }
        if written >= limit {
            return Ok(Some(*run));
        }
    }
    Ok(runs.last().filter(|_| runs.len() == SCAN).map(|it| it.0))
}

pub(in crate::store) const RUNS: &str =
    "SELECT id, ended IS NULL FROM run WHERE group_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3";

/// Groups that are being cancelled: either slices remain, or the last steps are still running.
pub fn unfinished(tx: &ReadTx) -> Result<Vec<GroupId>> {
    tx.rows("SELECT id FROM run_group WHERE paused + cancelling > 0 AND cancelling = 1 ORDER BY id", [], |row| {
        row.get(0).map(GroupId)
    })
}

fn shape_of(tx: &WriteTx, run: RunId) -> Result<(std::sync::Arc<KnownShape>, StepId)> {
    let (definition, first) = step::definition_of_run(tx, run)?.ok_or_else(|| Error::not_found(run))?;
    Ok((tx.memory().shape(tx, definition)?, first))
}

fn cancel_run(tx: &WriteTx, id: RunId) -> Result<Cancelled> {
    let (shape, first) = shape_of(tx, id)?;
    if !shape.plain {
        let Some(group) = run::group_of(tx, id)? else { return Ok(Cancelled::default()) };
        let followed = Graph { group, run: id, first, shape: &shape, opened: true }.cancel(tx)?;
        return Ok(Cancelled { out: followed.cancelled, cancel_requested: followed.cancel_requested });
    }
    let mut cancelled = Cancelled::default();
    let mut last = None;
    for open in run::open_steps(tx, first, shape.shape.steps.len())? {
        match cancel_step::ask(tx, open)? {
            Some(cancel_requested) => cancelled.cancel_requested += i64::from(cancel_requested),
            None => {
                let Some(row) = step::get(tx, open)? else { continue };
                cancel_step::end_waiting(tx, &row)?;
                tx.memory().recomputing.remove(&open);
                cancelled.out += 1;
                last = Some(row);
            }
        }
    }
    if let Some(row) = last {
        steps_out(tx, &row, &shape, first, cancelled.out)?;
    }
    Ok(cancelled)
}

/// Records in the run that `count` of its waiting steps ended.
fn steps_out(tx: &WriteTx, row: &StepRow, shape: &KnownShape, first: StepId, count: i64) -> Result<()> {
    if shape.chain {
        let open = run::open_steps(tx, first, shape.shape.steps.len())?;
        return match open.is_empty() {
            true => run::end_chain(tx, row.run, row.group),
            false => Ok(()),
        };
    }
    let ended = run::Ended { steps: count, failed: false, cancelled: true };
    run::steps_ended(tx, row.run, row.group, shape, row.no, ended)
}
