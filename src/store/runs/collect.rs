//! Table `collect`: the steps that run once all runs of a group have ended. They form a run of their own, the last of
//! the group, which opens when no other run is open.
//!
//! SQLite only: JSON functions.

use crate::decide::children::Counts;
use crate::model::code::{PHASE_LIVE, STEP_SKIPPED};
use crate::model::{DefinitionId, GroupId, RunId, StepId};
use crate::store::{
    error::{Error, Result},
    params::params,
    step,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;

/// How the runs of a group ended, without the collecting run.
pub fn counts(tx: &ReadTx, group: GroupId) -> Result<Counts> {
    let found = tx.row(
        formatcp!(
            "SELECT d.runs - (k.run_id IS NOT NULL), g.failed - coalesce(r.ended IS NOT NULL AND r.failed > 0, 0),
                g.cancelled - coalesce(r.ended IS NOT NULL AND r.failed = 0 AND r.cancelled > 0, 0),
                (SELECT count(*) FROM (SELECT 1 FROM step s WHERE s.group_id = g.id AND s.state = {STEP_SKIPPED}
                   AND s.run_id IS NOT k.run_id GROUP BY s.run_id HAVING count(*) = json_array_length(w.shape, '$.steps'))),
                coalesce(r.ended IS NOT NULL AND r.failed + r.cancelled > 0, 0)
           FROM run_group g JOIN group_detail d ON d.group_id = g.id JOIN definition w ON w.id = d.definition_id
           LEFT JOIN collect k ON k.group_id = g.id LEFT JOIN run r ON r.id = k.run_id
          WHERE g.id = ?1"
        ),
        [group.0],
        |row| {
            let number = |at: usize| Ok::<u64, Error>(row.get::<i64>(at)?.max(0) as u64);
            Ok(Counts {
                count: number(0)?,
                failed: number(1)?,
                cancelled: number(2)?,
                skipped: number(3)?,
                not_collected: row.get(4)?,
            })
        },
    )?;
    found.ok_or_else(|| Error::not_found(group))
}

/// Records that a group under construction will have such a run.
pub(in crate::store) fn insert(tx: &WriteTx, group: GroupId, definition: DefinitionId) -> Result<()> {
    tx.execute("INSERT INTO collect(group_id, definition_id) VALUES (?1, ?2)", params![group.0, definition.0])?;
    tx.memory().collects = true;
    Ok(())
}

/// Adds the run to a group that is about to be sealed, if the group has one.
pub(in crate::store) fn add_run(tx: &WriteTx, group: GroupId) -> Result<()> {
    if !tx.memory().collects {
        return Ok(());
    }
    let found = tx.row(
        "SELECT k.definition_id, d.priority, coalesce((SELECT s.scope FROM child_group c JOIN step s ON s.id = c.step_id
                WHERE c.group_id = g.id), g.scope)
           FROM collect k JOIN run_group g ON g.id = k.group_id JOIN group_detail d ON d.group_id = k.group_id
          WHERE k.group_id = ?1 AND k.run_id IS NULL",
        [group.0],
        |row| Ok((DefinitionId(row.get(0)?), row.get::<i64>(1)?, row.get::<i64>(2)?)),
    )?;
    let Some((definition, priority, scope)) = found else { return Ok(()) };
    let shape = tx.memory().shape(tx, definition)?;
    let run = RunId(tx.memory().counters.run.next());
    let steps: Vec<StepId> = shape.shape.steps.iter().map(|_| StepId(tx.memory().counters.step.next())).collect();
    let first = steps.first().map_or(0, |it| it.0);
    tx.execute(
        "INSERT INTO run(id, group_id, definition_id, first_step, unfinished) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![run.0, group.0, definition.0, first, steps.len() as i64],
    )?;
    tx.execute("INSERT INTO item(run_id, item) VALUES (?1, '')", [run.0])?;
    for (no, id) in steps.iter().enumerate() {
        let (step_type, unmet) = (shape.types[no], shape.shape.steps[no].needs.len());
        let new =
            step::NewStep { run, group, no, step_type, priority, due: tx.now(), unmet, key: None, scope, demand: None };
        step::insert(tx, *id, &new)?;
    }
    tx.execute("UPDATE run_group SET unfinished = unfinished + 1 WHERE id = ?1", [group.0])?;
    tx.execute("UPDATE group_detail SET runs = runs + 1 WHERE group_id = ?1", [group.0])?;
    tx.execute("UPDATE collect SET run_id = ?2 WHERE group_id = ?1", params![group.0, run.0])?;
    tx.memory().collecting.insert(group);
    Ok(())
}

/// The run that collects a group.
pub fn run_of(tx: &ReadTx, group: GroupId) -> Result<Option<RunId>> {
    tx.row("SELECT run_id FROM collect WHERE group_id = ?1 AND run_id IS NOT NULL", [group.0], |row| {
        row.get(0).map(RunId)
    })
}

/// Schedules the run to open with the next slice, if it is the only open run of its group. True if it is.
pub(in crate::store) fn begin(tx: &WriteTx, group: GroupId) -> Result<bool> {
    if !tx.memory().collecting.contains(&group) {
        return Ok(false);
    }
    let changed = tx.execute(
        formatcp!(
            "UPDATE group_detail SET open_until = k.run_id FROM collect k, run_group g, run r
              WHERE group_detail.group_id = ?1 AND k.group_id = ?1 AND g.id = ?1 AND r.id = k.run_id AND open_until < k.run_id
                AND g.unfinished = 1 AND g.phase = {PHASE_LIVE} AND g.ended IS NULL AND r.ended IS NULL"
        ),
        [group.0],
    )?;
    if changed == 1 {
        tx.memory().collecting.remove(&group);
    }
    Ok(changed == 1)
}

/// Makes the last run of a reopened group wait for the others again. `definition` is its definition from now on.
pub(in crate::store) fn hold(tx: &WriteTx, group: GroupId, definition: Option<DefinitionId>) -> Result<()> {
    let Some(run) = run_if_any(tx, group)? else { return Ok(()) };
    tx.execute(
        "UPDATE group_detail SET open_until = coalesce((SELECT max(id) FROM run WHERE group_id = ?1 AND id < ?2), 0),
                opened = min(opened, coalesce((SELECT max(id) FROM run WHERE group_id = ?1 AND id < ?2), 0))
          WHERE group_id = ?1",
        params![group.0, run.0],
    )?;
    if let Some(definition) = definition {
        tx.execute("UPDATE collect SET definition_id = ?2 WHERE group_id = ?1", params![group.0, definition.0])?;
    }
    tx.memory().collecting.insert(group);
    Ok(())
}

/// `run_of` for the writer; costs nothing if no group has such a run.
pub(in crate::store) fn run_if_any(tx: &WriteTx, group: GroupId) -> Result<Option<RunId>> {
    if !tx.memory().collects {
        return Ok(None);
    }
    run_of(tx, group)
}

/// What a retry does with the collecting run.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Collector {
    pub run: RunId,
    /// Its definition from now on.
    pub definition: DefinitionId,
    pub ended: bool,
    /// It failed or was cancelled.
    pub lost: bool,
    /// Another run of the group is open.
    pub others: bool,
}

/// `held` is the number of holds on the group besides its runs: 1 while it is being reopened.
pub(in crate::store) fn collector(tx: &WriteTx, group: GroupId, held: i64) -> Result<Option<Collector>> {
    if !tx.memory().collects {
        return Ok(None);
    }
    tx.row(
        "SELECT k.run_id, k.definition_id, r.ended IS NOT NULL, r.failed + r.cancelled > 0,
                g.unfinished - ?2 - (r.ended IS NULL) > 0
           FROM collect k JOIN run r ON r.id = k.run_id JOIN run_group g ON g.id = k.group_id WHERE k.group_id = ?1",
        params![group.0, held],
        |row| {
            Ok(Collector {
                run: RunId(row.get(0)?),
                definition: DefinitionId(row.get(1)?),
                ended: row.get(2)?,
                lost: row.get(3)?,
                others: row.get(4)?,
            })
        },
    )
}
