//! Retention: deletes ended groups with everything that belongs to them, in slices that hold the writer for
//! milliseconds.
//!
//! `begin` marks a group (phase 3), which hides it. After a crash between two slices, no incomplete group is visible,
//! and `unfinished` finds it again. Its submission key stays, and so do the files of commands and the files behind
//! current documents (`kept_output`).
//!
//! SQLite only: JSON functions.

use crate::decide::status;
use crate::model::code::{HOLDER_STEP, PHASE_LIVE, PHASE_PRUNING};
use crate::model::{GroupId, KeepReason, OutputId, Status, Timestamp};
use crate::store::{
    budget::Budget,
    child_group,
    error::{Error, Result},
    kept_output::{self, Origin},
    output::{self, Released},
    params::params,
    row::Row,
    submit_key,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;
use serde::Serialize;
use std::ops::AddAssign;

/// A group that can be pruned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prunable {
    pub id: GroupId,
    pub name: String,
    pub status: Status,
    pub runs: i64,
    pub steps: i64,
    pub ended: Timestamp,
}

/// The numbers of deleted rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Removed {
    pub runs: u64,
    pub steps: u64,
    pub attempts: u64,
    pub logs: u64,
    pub hooks: u64,
    /// Outputs whose files are kept.
    pub kept: u64,
}

impl AddAssign for Removed {
    fn add_assign(&mut self, other: Removed) {
        self.runs += other.runs;
        self.steps += other.steps;
        self.attempts += other.attempts;
        self.logs += other.logs;
        self.hooks += other.hooks;
        self.kept += other.kept;
    }
}

/// Groups that can be pruned once they are old enough. A hook that is due or running, or a lock of one of its steps,
/// prevents this. A child group is pruned together with its parent's group.
const FREE: &str = formatcp!(
    "g.ended IS NOT NULL AND g.phase = {PHASE_LIVE} AND g.id > 0
    AND NOT EXISTS (SELECT 1 FROM run_group h WHERE h.id = -g.id AND h.ended IS NULL)
    AND NOT EXISTS (SELECT 1 FROM child_group c JOIN step s ON s.id = c.step_id WHERE c.group_id = g.id)
    AND NOT EXISTS (WITH RECURSIVE below(id) AS (SELECT c.group_id FROM child_group c WHERE c.parent = g.id
           UNION ALL SELECT c.group_id FROM below b JOIN child_group c ON c.parent = b.id)
         SELECT 1 FROM below b JOIN run_group k ON k.id = b.id WHERE k.ended IS NULL OR k.phase NOT IN ({PHASE_LIVE}, {PHASE_PRUNING})
             OR EXISTS (SELECT 1 FROM run_group h WHERE h.id = -b.id AND h.ended IS NULL))
    AND NOT EXISTS (SELECT 1 FROM resource_lock l JOIN step s ON s.id = l.holder
                     WHERE l.holder_kind = {HOLDER_STEP} AND s.group_id IN (g.id, -g.id))"
);

const PRUNABLE: &str = "SELECT g.id, d.name, g.failed, g.cancelled, d.runs,
        d.runs * json_array_length(w.shape, '$.steps'), g.ended
   FROM run_group g JOIN group_detail d ON d.group_id = g.id JOIN definition w ON w.id = d.definition_id";

fn read(row: &Row) -> Result<Prunable> {
    Ok(Prunable {
        id: GroupId(row.get(0)?),
        name: row.get(1)?,
        status: status(row.get(2)?, row.get(3)?),
        runs: row.get(4)?,
        steps: row.get(5)?,
        ended: Timestamp(row.get(6)?),
    })
}

fn status(failed: i64, cancelled: i64) -> Status {
    status::ended(failed > 0, cancelled > 0)
}

/// Groups that ended by then, oldest end first.
pub fn ended_before(tx: &ReadTx, before: Timestamp, limit: usize) -> Result<Vec<Prunable>> {
    let sql = format!("{PRUNABLE} WHERE g.ended <= ?1 AND {FREE} ORDER BY g.ended, g.id LIMIT ?2");
    tx.rows(&sql, params![before.0, limit as i64], read)
}

/// A group by id, if it can be pruned; otherwise the error says why not.
pub fn one(tx: &ReadTx, id: GroupId) -> Result<Prunable> {
    let sql = format!("{PRUNABLE} WHERE g.id = ?1 AND {FREE}");
    if let Some(found) = tx.row(&sql, [id.0], read)? {
        return Ok(found);
    }
    let ended = tx.row(
        formatcp!("SELECT ended IS NOT NULL FROM run_group WHERE id = ?1 AND phase < {PHASE_PRUNING}"),
        [id.0],
        |row| row.get::<bool>(0),
    )?;
    if let Some(child) = child_group::of_group(tx, id)? {
        let (step, parent) = (child.step, child.parent);
        return Err(Error::conflict(format!(
            "{id} belongs to {step} of {parent}: prune {parent}, which removes it, too"
        )));
    }
    match ended {
        None => Err(Error::not_found(id)),
        Some(false) => Err(Error::conflict(format!("{id} has not ended yet: wait for it, or cancel it first"))),
        Some(true) => Err(Error::conflict(format!(
            "{id} still has due hooks, a locked key, or a group below it that has not ended"
        ))),
    }
}

/// Groups whose deletion is not finished.
pub fn unfinished(tx: &ReadTx) -> Result<Vec<GroupId>> {
    tx.rows(
        formatcp!(
            "SELECT id FROM run_group WHERE phase > {PHASE_LIVE} AND phase = {PHASE_PRUNING} AND id > 0 ORDER BY id"
        ),
        [],
        |row| row.get(0).map(GroupId),
    )
}

/// Hides a group. False: it does not exist, was reopened, or still has work to do.
pub fn begin(tx: &WriteTx, id: GroupId) -> Result<bool> {
    let sql = format!("UPDATE run_group AS g SET phase = {PHASE_PRUNING} WHERE g.id = ?1 AND {FREE}");
    if tx.execute(&sql, [id.0])? == 0 {
        return Ok(false);
    }
    tx.execute(formatcp!("UPDATE run_group SET phase = {PHASE_PRUNING} WHERE id = ?1"), [id.hooks().0])?;
    let (failed, cancelled) = tx
        .row("SELECT failed, cancelled FROM run_group WHERE id = ?1", [id.0], |row| Ok((row.get(0)?, row.get(1)?)))?
        .unwrap_or((0, 0));
    submit_key::group_gone(tx, id, status(failed, cancelled))?;
    Ok(true)
}

/// Whether to keep the files of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    Keep,
    Remove,
}

/// Removes about `limit` rows of a group that `begin` has marked. True while more are left.
pub fn slice(tx: &WriteTx, id: GroupId, outputs: Outputs, limit: usize, removed: &mut Removed) -> Result<bool> {
    let taken =
        tx.row(formatcp!("SELECT 1 FROM run_group WHERE id = ?1 AND phase = {PHASE_PRUNING}"), [id.0], |_| Ok(()))?;
    if taken.is_none() {
        return Ok(false);
    }
    slice_within(tx, id, outputs, limit, &mut Budget::of(limit), removed)
}

/// Child groups are removed first.
fn slice_within(
    tx: &WriteTx,
    id: GroupId,
    outputs: Outputs,
    limit: usize,
    budget: &mut Budget,
    removed: &mut Removed,
) -> Result<bool> {
    while let Some(child) = child_group::below(tx, id, GroupId(0), 1)?.first() {
        let hide = formatcp!("UPDATE run_group SET phase = {PHASE_PRUNING} WHERE id = ?1 AND phase = {PHASE_LIVE}");
        tx.execute(hide, [child.0])?;
        tx.execute(hide, [child.hooks().0])?;
        if slice_within(tx, *child, outputs, limit, budget, removed)? {
            return Ok(true);
        }
    }
    if !remove_runs(tx, id, outputs, budget, removed)? {
        return Ok(true);
    }
    let mut hooks = Removed::default();
    let all = remove_runs(tx, id.hooks(), Outputs::Remove, budget, &mut hooks)?;
    removed.hooks += hooks.runs;
    removed.logs += hooks.logs;
    if !all {
        return Ok(true);
    }
    let signals =
        tx.rows("SELECT run_id, name FROM signal WHERE group_id = ?1 LIMIT ?2", params![id.0, limit as i64], |row| {
            Ok((row.get::<i64>(0)?, row.get::<String>(1)?))
        })?;
    for (run, name) in signals {
        if !budget.spend(1) {
            return Ok(true);
        }
        tx.execute("DELETE FROM signal WHERE group_id = ?1 AND run_id = ?2 AND name = ?3", params![id.0, run, name])?;
    }
    if !budget.spend(4) {
        return Ok(true);
    }
    tx.execute("DELETE FROM collect WHERE group_id = ?1", [id.0])?;
    if tx.execute("DELETE FROM child_group WHERE group_id = ?1", [id.0])? > 0 {
        // The number is never used for another step.
        tx.execute("DELETE FROM submit_key WHERE group_id = ?1", [id.0])?;
    }
    for id in [id, id.hooks()] {
        tx.execute("DELETE FROM group_detail WHERE group_id = ?1", [id.0])?;
        tx.execute("DELETE FROM run_group WHERE id = ?1", [id.0])?;
    }
    Ok(false)
}

/// Returns false if the budget is used up and some are left.
fn remove_runs(
    tx: &WriteTx,
    group: GroupId,
    outputs: Outputs,
    budget: &mut Budget,
    removed: &mut Removed,
) -> Result<bool> {
    while let Some(run) = next_run(tx, group)? {
        if !remove_run(tx, &run, outputs, budget, removed)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A run to delete. Its steps are deleted first.
struct RunOf {
    id: i64,
    group: i64,
    definition: i64,
    first: i64,
    end: i64,
}

fn next_run(tx: &WriteTx, group: GroupId) -> Result<Option<RunOf>> {
    tx.row(
        "SELECT r.id, r.definition_id, r.first_step, r.first_step + json_array_length(d.shape, '$.steps')
           FROM run r JOIN definition d ON d.id = r.definition_id WHERE r.group_id = ?1 ORDER BY r.id LIMIT 1",
        [group.0],
        |row| {
            Ok(RunOf { id: row.get(0)?, group: group.0, definition: row.get(1)?, first: row.get(2)?, end: row.get(3)? })
        },
    )
}

fn remove_run(tx: &WriteTx, run: &RunOf, outputs: Outputs, budget: &mut Budget, removed: &mut Removed) -> Result<bool> {
    let steps = tx.rows(
        "SELECT id, no, output_id, ended FROM step WHERE id >= ?1 AND id < ?2 ORDER BY id",
        params![run.first, run.end],
        |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<Option<i64>>(2)?, row.get::<Option<i64>>(3)?)),
    )?;
    for (step, no, output, ended) in steps {
        if !remove_attempts(tx, step, budget, removed)? || !budget.spend(2) {
            return Ok(false);
        }
        let mut last = None;
        if let Some(output) = output.map(OutputId) {
            let why = if outputs == Outputs::Keep { why_kept(tx, run, no, output)? } else { None };
            match why {
                Some(why) => {
                    let origin = origin(tx, run, step, no, ended.unwrap_or(0))?;
                    kept_output::insert(tx, output, why, &origin)?;
                    removed.kept += 1;
                }
                None => match output::release(tx, output, budget)? {
                    Released::NotYet => return Ok(false),
                    Released::Shared => {}
                    Released::Last => last = Some(output),
                },
            }
        }
        tx.execute("DELETE FROM step WHERE id = ?1", [step])?;
        if let Some(output) = last {
            output::remove(tx, output)?;
        }
        removed.steps += 1;
    }
    if !budget.spend(2) {
        return Ok(false);
    }
    if run.group < 0 {
        tx.execute("DELETE FROM hook WHERE id = ?1", [run.first])?;
    }
    tx.execute("DELETE FROM item WHERE run_id = ?1", [run.id])?;
    tx.execute("DELETE FROM run WHERE id = ?1", [run.id])?;
    removed.runs += 1;
    Ok(true)
}

/// Why the files of an output are kept when its step is deleted.
fn why_kept(tx: &WriteTx, run: &RunOf, no: i64, output: OutputId) -> Result<Option<KeepReason>> {
    if !output::has_files(tx, output)? {
        return Ok(None);
    }
    let built_in = tx.row(
        "SELECT json_type(body, '$.steps[' || ?2 || '].action.uses') IS NOT NULL FROM definition WHERE id = ?1",
        params![run.definition, no],
        |row| row.get::<bool>(0),
    )?;
    if built_in != Some(true) {
        return Ok(Some(KeepReason::Command));
    }
    let current = tx.row(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM document WHERE run_id = ?1)
             OR EXISTS (SELECT 1 FROM content_run WHERE run_id = ?1)",
        [run.id],
        |_| Ok(()),
    )?;
    Ok(current.map(|()| KeepReason::Document))
}

fn origin(tx: &WriteTx, run: &RunOf, step: i64, no: i64, ended: i64) -> Result<Origin> {
    let name = tx.row(
        "SELECT coalesce(json_extract(body, '$.steps[' || ?2 || '].name'), '') FROM definition WHERE id = ?1",
        params![run.definition, no],
        |row| row.get(0),
    )?;
    let item = tx.row("SELECT item FROM item WHERE run_id = ?1", [run.id], |row| row.get(0))?;
    let (name, item) = (name.unwrap_or_default(), item.unwrap_or_default());
    Ok(Origin { step, run: run.id, group: run.group, name, item, ended })
}

/// One row at a time, because the output of an attempt can be large.
fn remove_attempts(tx: &WriteTx, step: i64, budget: &mut Budget, removed: &mut Removed) -> Result<bool> {
    const PAGE: i64 = 200;
    loop {
        let logs =
            tx.rows("SELECT token, stream FROM attempt_log WHERE step_id = ?1 LIMIT ?2", [step, PAGE], |row| {
                Ok((row.get::<i64>(0)?, row.get::<i64>(1)?))
            })?;
        for (token, stream) in &logs {
            if !budget.spend(1) {
                return Ok(false);
            }
            let which = params![step, token, stream];
            tx.execute("DELETE FROM attempt_log WHERE step_id = ?1 AND token = ?2 AND stream = ?3", which)?;
            removed.logs += 1;
        }
        if logs.is_empty() {
            break;
        }
    }
    loop {
        let attempts =
            tx.rows("SELECT token FROM attempt WHERE step_id = ?1 LIMIT ?2", [step, PAGE], |row| row.get::<i64>(0))?;
        for token in &attempts {
            if !budget.spend(1) {
                return Ok(false);
            }
            tx.execute("DELETE FROM attempt WHERE step_id = ?1 AND token = ?2", params![step, token])?;
            removed.attempts += 1;
        }
        if attempts.is_empty() {
            return Ok(true);
        }
    }
}

/// Deletes rows from the beginning of the history that are older than this. Returns the number; 0 means that none are
/// left.
pub fn events_slice(tx: &WriteTx, before: Timestamp, limit: usize) -> Result<usize> {
    let mut budget = Budget::of(limit);
    let rows = tx.rows("SELECT seq, at FROM event_batch ORDER BY seq LIMIT ?1", [limit as i64], |row| {
        Ok((row.get::<i64>(0)?, row.get::<i64>(1)?))
    })?;
    let mut gone = 0;
    for (seq, at) in rows {
        if at > before.0 || !budget.spend(1) {
            break;
        }
        tx.execute("DELETE FROM event_batch WHERE seq = ?1", [seq])?;
        gone += 1;
    }
    Ok(gone)
}
