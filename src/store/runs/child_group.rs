//! Table `child_group`: the groups that steps started, and the group that each step waits for.

use crate::decide::{
    children::{self, Counts},
    wait::End,
};
use crate::model::code::{PHASE_BUILDING, PHASE_LIVE};
use crate::model::{DefinitionId, GroupId, GroupPhase, ProcessIdentity, RunId, StepId, StepState, Tolerate};
use crate::store::{
    collect,
    error::{Error, Result},
    params::params,
    row::Row,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;
use serde_json::Value;

/// The group of a step before its submission.
#[derive(Debug, Clone)]
pub struct NewChild {
    /// The parent step.
    pub step: StepId,
    /// The hash of the list from which its runs are made.
    pub list: [u8; 32],
    /// How many runs may fail before the step fails.
    pub tolerate: Tolerate,
    /// How many runs may be open at the same time. None: all of them.
    pub at_most: Option<u32>,
}

/// A group that a step started.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    pub group: GroupId,
    pub step: StepId,
    /// The group of that step.
    pub parent: GroupId,
    /// The hash of the list from which its runs are made.
    pub list: Vec<u8>,
    /// The step was retried, so failed runs of the group must run again.
    pub again: bool,
    /// The step was asked to stop.
    pub cancel_requested: bool,
    pub phase: GroupPhase,
    pub ended: bool,
    pub definition: DefinitionId,
    /// The process that builds it, while it is unsealed.
    pub builder: Option<ProcessIdentity>,
}

const COLUMNS: &str = formatcp!(
    "c.group_id, c.step_id, c.parent, c.list, c.again, c.asked, g.phase, g.ended IS NOT NULL, d.definition_id,
     CASE g.phase WHEN {PHASE_BUILDING} THEN d.builder END
   FROM child_group c JOIN run_group g ON g.id = c.group_id JOIN group_detail d ON d.group_id = c.group_id"
);

fn read(row: &Row) -> Result<Child> {
    let builder = row.get::<Option<String>>(9)?;
    Ok(Child {
        group: GroupId(row.get(0)?),
        step: StepId(row.get(1)?),
        parent: GroupId(row.get(2)?),
        list: row.get(3)?,
        again: row.get(4)?,
        cancel_requested: row.get(5)?,
        phase: GroupPhase::from_code(row.get(6)?).unwrap_or(GroupPhase::Live),
        ended: row.get(7)?,
        definition: DefinitionId(row.get(8)?),
        builder: builder.and_then(|it| serde_json::from_str(&it).ok()),
    })
}

/// Records that a step starts a group. Refused if the step has ended. If the parent's group is paused, the group starts
/// paused.
pub(in crate::store) fn insert(tx: &WriteTx, group: GroupId, new: &NewChild) -> Result<()> {
    let found = tx.row("SELECT group_id, state FROM step WHERE id = ?1", [new.step.0], |row| {
        Ok((GroupId(row.get(0)?), StepState::from_code(row.get(1)?).unwrap_or(StepState::Open)))
    })?;
    let (parent, state) = found.ok_or_else(|| Error::not_found(new.step))?;
    if state.is_terminal() {
        return Err(Error::refused(format!("{} has ended: it starts nothing more", new.step)));
    }
    let paused = tx.memory().paused_groups.contains(&parent);
    tx.execute(
        "INSERT INTO child_group(group_id, step_id, parent, list, tolerate, at_most, held)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![group.0, new.step.0, parent.0, new.list, new.tolerate.to_string(), new.at_most.map(i64::from), paused],
    )?;
    if paused {
        tx.execute("UPDATE run_group SET paused = 1 WHERE id = ?1", [group.0])?;
    }
    let mut memory = tx.memory();
    memory.families = true;
    if paused {
        memory.paused_groups.insert(group);
    }
    if new.at_most.is_some() {
        memory.limited.insert(group);
    }
    Ok(())
}

/// The group that a step waits for, or waited for when it ended.
pub fn of_step(tx: &ReadTx, step: StepId) -> Result<Option<Child>> {
    tx.row(&format!("SELECT {COLUMNS} WHERE c.step_id = ?1 AND c.past = 0"), [step.0], read)
}

/// The parent of a group. None if no step started it.
pub fn of_group(tx: &ReadTx, group: GroupId) -> Result<Option<Child>> {
    tx.row(&format!("SELECT {COLUMNS} WHERE c.group_id = ?1"), [group.0], read)
}

/// The step that started a group. None: no step did.
pub(in crate::store) fn step_of(tx: &ReadTx, group: GroupId) -> Result<Option<StepId>> {
    tx.row("SELECT step_id FROM child_group WHERE group_id = ?1", [group.0], |row| row.get(0).map(StepId))
}

/// The step at the top of the tree that a group is in. None: no step started the group.
pub fn highest(tx: &ReadTx, group: GroupId) -> Result<Option<StepId>> {
    tx.row(
        "WITH RECURSIVE up(id, step, height) AS (SELECT parent, step_id, 1 FROM child_group WHERE group_id = ?1
            UNION ALL SELECT c.parent, c.step_id, u.height + 1 FROM up u JOIN child_group c ON c.group_id = u.id)
         SELECT step FROM up ORDER BY height DESC LIMIT 1",
        [group.0],
        |row| row.get(0).map(StepId),
    )
}

/// The groups that the steps of a group started, after the group `after`, in order. Includes those of earlier lists.
pub fn below(tx: &ReadTx, parent: GroupId, after: GroupId, limit: usize) -> Result<Vec<GroupId>> {
    tx.rows(
        "SELECT group_id FROM child_group WHERE parent = ?1 AND group_id > ?2 ORDER BY group_id LIMIT ?3",
        params![parent.0, after.0, limit as i64],
        |row| row.get(0).map(GroupId),
    )
}

/// The groups that steps of a group started and that are being cancelled.
pub fn cancelling(tx: &ReadTx, parent: GroupId) -> Result<Vec<GroupId>> {
    tx.rows(
        "SELECT g.id FROM run_group g JOIN child_group c ON c.group_id = g.id
          WHERE g.paused + g.cancelling > 0 AND g.cancelling = 1 AND c.parent = ?1 ORDER BY g.id",
        [parent.0],
        |row| row.get(0).map(GroupId),
    )
}

/// The submission key of the next group of a step. It changes only when the step runs with another list.
pub fn key_of(tx: &ReadTx, step: StepId) -> Result<String> {
    let before =
        tx.row("SELECT count(*) FROM child_group WHERE step_id = ?1 AND past = 1", [step.0], |row| row.get::<i64>(0))?;
    Ok(match before.unwrap_or(0) {
        0 => format!("step:{step}"),
        before => format!("step:{step}.{}", before + 1),
    })
}

/// Detaches the group of a step, because the step runs with another list or reruns the whole list. Runs that are still
/// open are cancelled.
pub fn put_aside(tx: &WriteTx, step: StepId) -> Result<()> {
    if !tx.memory().families {
        return Ok(());
    }
    let group = tx.change(
        "UPDATE child_group SET past = 1, asked = 1, again = 0 WHERE step_id = ?1 AND past = 0 RETURNING group_id",
        [step.0],
        |row| row.get(0).map(GroupId),
    )?;
    tx.memory().cancel_below.extend(group);
    Ok(())
}

/// Records that the parent step was reopened: when it starts, failed runs of its group run again.
pub(in crate::store) fn reopen(tx: &WriteTx, step: StepId) -> Result<()> {
    if tx.memory().families {
        tx.execute("UPDATE child_group SET again = 1, asked = 0 WHERE step_id = ?1 AND past = 0", [step.0])?;
    }
    Ok(())
}

/// Marks that failed runs of a step's group are being rerun. `tolerate` and `at_most` may have changed with the
/// workflow.
pub fn reopened(tx: &WriteTx, new: &NewChild) -> Result<()> {
    let limited = tx.change(
        "UPDATE child_group SET again = 0, tolerate = ?2, at_most = ?3, active = 0, held = 0 WHERE step_id = ?1 AND past = 0
         RETURNING group_id, at_most IS NOT NULL",
        params![new.step.0, new.tolerate.to_string(), new.at_most.map(i64::from)],
        |row| Ok((GroupId(row.get(0)?), row.get::<bool>(1)?)),
    )?;
    match limited {
        Some((group, true)) => drop(tx.memory().limited.insert(group)),
        Some((group, false)) => drop(tx.memory().limited.remove(&group)),
        None => {}
    }
    Ok(())
}

/// Asks a step that waits for its group to stop. The group is cancelled, and the step ends with it. None: the step does
/// not wait for a group; false: it was already asked.
pub(in crate::store) fn ask(tx: &WriteTx, step: StepId) -> Result<Option<bool>> {
    if !tx.memory().families {
        return Ok(None);
    }
    let group =
        tx.row("SELECT children FROM waiting WHERE step_id = ?1 AND children IS NOT NULL", [step.0], |row| {
            row.get(0).map(GroupId)
        })?;
    group.map(|group| cancel(tx, group)).transpose()
}

/// Cancels the open runs of a step's group, because the step ended without it.
pub(in crate::store) fn abandon(tx: &WriteTx, step: StepId) -> Result<()> {
    if !tx.memory().families {
        return Ok(());
    }
    match of_step(tx, step)? {
        Some(child) if !child.ended => cancel(tx, child.group).map(|_| ()),
        _ => Ok(()),
    }
}

/// Requests that a group is cancelled at the end of the transaction. False: this was already requested.
pub(in crate::store) fn cancel(tx: &WriteTx, group: GroupId) -> Result<bool> {
    let changed = tx.execute("UPDATE child_group SET asked = 1 WHERE group_id = ?1 AND asked = 0", [group.0])?;
    if changed == 1 {
        tx.memory().cancel_below.push(group);
    }
    Ok(changed == 1)
}

/// Whether no step needs the group: its step has ended, was asked to stop, or has another group.
pub fn is_unwanted(tx: &WriteTx, group: GroupId) -> Result<bool> {
    if !tx.memory().families {
        return Ok(false);
    }
    let found = tx.row(
        "SELECT c.asked = 1 OR c.past = 1 OR s.ended IS NOT NULL FROM child_group c JOIN step s ON s.id = c.step_id
          WHERE c.group_id = ?1",
        [group.0],
        |row| row.get::<bool>(0),
    )?;
    Ok(found.unwrap_or(false))
}

/// Refuses to reopen a group, or part of it, if its step has ended, because no step would wait for it.
pub(in crate::store) fn refuse_alone(tx: &WriteTx, group: GroupId) -> Result<()> {
    if !tx.memory().families {
        return Ok(());
    }
    match of_group(tx, group)? {
        Some(child) if child.ended => {
            let Child { step, parent, .. } = child;
            Err(Error::conflict(format!(
                "{group} belongs to {step} of {parent}: retry that, with `windlass retry {step}`"
            )))
        }
        _ => Ok(()),
    }
}

/// How the runs of a group ended, and how many of them may fail. None: they have not all ended.
fn counts(tx: &ReadTx, group: GroupId) -> Result<Option<(Counts, Tolerate)>> {
    let tolerate = tx.row(
        "SELECT c.tolerate FROM child_group c JOIN run_group g ON g.id = c.group_id WHERE c.group_id = ?1 AND g.ended IS NOT NULL",
        [group.0],
        |row| row.get::<String>(0),
    )?;
    let Some(tolerate) = tolerate else { return Ok(None) };
    Ok(Some((collect::counts(tx, group)?, tolerate.parse().unwrap_or_default())))
}

/// What happens to a step when its group ends.
pub(in crate::store) enum Ending {
    /// The group has not ended.
    NotYet,
    /// The step was retried but its group was not, so the step starts again.
    Again,
    /// The step and its group were asked to stop.
    Cancelled,
    /// The end of the step, and what its attempt records about the group.
    Ends(End, Value),
}

pub(in crate::store) fn ending(tx: &ReadTx, group: GroupId) -> Result<Ending> {
    let Some((counts, tolerate)) = counts(tx, group)? else { return Ok(Ending::NotYet) };
    let flags = "SELECT again, asked FROM child_group WHERE group_id = ?1";
    let flags = tx.row(flags, [group.0], |row| Ok((row.get::<bool>(0)?, row.get::<bool>(1)?)))?;
    Ok(match flags {
        Some((true, _)) => Ending::Again,
        Some((_, true)) if counts.cancelled > 0 => Ending::Cancelled,
        _ => {
            let answer = serde_json::json!({"children": counts.value(), "group": group});
            Ending::Ends(children::verdict(group, &counts, tolerate), answer)
        }
    })
}

/// How many runs of a group may be opened now, at most `limit`.
pub(in crate::store) fn room(tx: &WriteTx, group: GroupId, limit: usize) -> Result<usize> {
    if !tx.memory().limited.contains(&group) {
        return Ok(limit);
    }
    let room = tx.row("SELECT at_most - active FROM child_group WHERE group_id = ?1", [group.0], |row| {
        row.get::<Option<i64>>(0)
    })?;
    Ok(room.flatten().map_or(limit, |it| (it.max(0) as usize).min(limit)))
}

/// Adds to the number of open runs of a group. Negative when runs have ended.
pub(in crate::store) fn count_active(tx: &WriteTx, group: GroupId, runs: i64) -> Result<()> {
    if runs != 0 && tx.memory().limited.contains(&group) {
        tx.execute("UPDATE child_group SET active = max(active + ?2, 0) WHERE group_id = ?1", params![group.0, runs])?;
    }
    Ok(())
}

/// Whether a run that has just ended allows another one to open.
pub(in crate::store) fn frees(tx: &WriteTx, group: GroupId, run: RunId) -> Result<bool> {
    if !tx.memory().limited.contains(&group) {
        return Ok(false);
    }
    let opened =
        tx.row("SELECT opened >= ?2 FROM group_detail WHERE group_id = ?1", params![group.0, run.0], |row| {
            row.get::<bool>(0)
        })?;
    Ok(opened.unwrap_or(false))
}

/// Groups whose pause state does not match that of their parent, because of a crash in between.
pub fn half_paused(tx: &ReadTx) -> Result<Vec<GroupId>> {
    tx.rows(
        formatcp!(
            "SELECT c.group_id FROM run_group p JOIN child_group c ON c.parent = p.id JOIN run_group g ON g.id = c.group_id
          WHERE p.paused + p.cancelling > 0 AND p.paused = 1 AND g.paused = 0 AND g.ended IS NULL
            AND g.phase = {PHASE_LIVE}
         UNION SELECT c.group_id FROM run_group g JOIN child_group c ON c.group_id = g.id JOIN run_group p ON p.id = c.parent
          WHERE g.paused + g.cancelling > 0 AND g.paused = 1 AND c.held = 1 AND p.paused = 0 ORDER BY 1"
        ),
        [],
        |row| row.get(0).map(GroupId),
    )
}

/// Whether a group is paused because its parent's group is.
pub(in crate::store) fn is_held(tx: &ReadTx, group: GroupId) -> Result<Option<GroupId>> {
    tx.row(
        "SELECT c.parent FROM child_group c JOIN run_group p ON p.id = c.parent JOIN run_group g ON g.id = c.group_id
          WHERE c.group_id = ?1 AND c.held = 1 AND p.paused = 1 AND g.paused = 1",
        [group.0],
        |row| row.get(0).map(GroupId),
    )
}

/// A user resumed the group: from here on its pause is its own.
pub(in crate::store) fn let_go(tx: &WriteTx, group: GroupId) -> Result<()> {
    if tx.memory().families {
        tx.execute("UPDATE child_group SET held = 0 WHERE group_id = ?1 AND held = 1", [group.0])?;
    }
    Ok(())
}

/// How a group changes because of its parent's pause state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Inherits {
    Pause,
    Resume,
    Nothing,
}

pub(in crate::store) fn inherits(tx: &ReadTx, group: GroupId) -> Result<Inherits> {
    let found = tx.row(
        "SELECT p.paused, g.paused, c.held FROM child_group c JOIN run_group g ON g.id = c.group_id
           JOIN run_group p ON p.id = c.parent WHERE c.group_id = ?1 AND g.ended IS NULL",
        [group.0],
        |row| Ok((row.get::<bool>(0)?, row.get::<bool>(1)?, row.get::<bool>(2)?)),
    )?;
    Ok(match found {
        Some((true, false, _)) => Inherits::Pause,
        Some((false, true, true)) => Inherits::Resume,
        _ => Inherits::Nothing,
    })
}

pub(in crate::store) fn set_held(tx: &WriteTx, group: GroupId, held: bool) -> Result<()> {
    tx.execute("UPDATE child_group SET held = ?2 WHERE group_id = ?1", params![group.0, held])?;
    Ok(())
}
