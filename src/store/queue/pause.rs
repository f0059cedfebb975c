//! Pausing and resuming a group or a type: one flag, effective immediately. A claim that meets a step of a paused group
//! pauses the step; resuming moves such steps back in slices.

use crate::model::code::STEP_PAUSED;
use crate::model::{EventKind, GroupId, StepId, StepState};
use crate::store::{
    blocked,
    child_group::{self, Inherits},
    error::{Error, Result},
    event::{self, About},
    group,
    params::params,
    place,
    ready::{self, ReadyRow},
    step, step_type,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;

/// Pauses a group: none of its steps is claimed; running steps continue. False: it is already paused.
pub fn group(tx: &WriteTx, id: GroupId) -> Result<bool> {
    if group::end(tx, id)?.ended.is_some() {
        return Err(Error::conflict(format!("{id} has ended; there is nothing to pause")));
    }
    tx.execute("UPDATE group_detail SET paused_for = '' WHERE group_id = ?1", [id.0])?;
    set(tx, id, String::new())
}

/// Pauses a group until something that it needs is available again; `reason` names it for people. False: it is already
/// paused or has ended.
pub fn group_for(tx: &WriteTx, id: GroupId, reason: &str) -> Result<bool> {
    if group::end(tx, id)?.ended.is_some() || !set(tx, id, reason.to_string())? {
        return Ok(false);
    }
    tx.execute("UPDATE group_detail SET paused_for = ?2 WHERE group_id = ?1", params![id.0, reason])?;
    Ok(true)
}

fn set(tx: &WriteTx, id: GroupId, detail: String) -> Result<bool> {
    let changed = tx.execute("UPDATE run_group SET paused = 1 WHERE id = ?1 AND paused = 0", [id.0])?;
    if changed == 1 {
        tx.memory().paused_groups.insert(id);
        event::note_with(tx, EventKind::Pause, About::group(id), detail)?;
    }
    Ok(changed == 1)
}

/// Groups that are paused until something is available again, with its name.
pub fn waiting(tx: &ReadTx) -> Result<Vec<(GroupId, String)>> {
    tx.rows(
        "SELECT g.id, d.paused_for FROM run_group g JOIN group_detail d ON d.group_id = g.id
          WHERE g.paused + g.cancelling > 0 AND g.paused = 1 AND d.paused_for <> '' ORDER BY g.id",
        [],
        |row| Ok((GroupId(row.get(0)?), row.get(1)?)),
    )
}

/// What a paused group waits for. None: it is not paused, or a user paused it.
pub fn waits_for(tx: &ReadTx, id: GroupId) -> Result<Option<String>> {
    tx.row(
        "SELECT d.paused_for FROM run_group g JOIN group_detail d ON d.group_id = g.id
          WHERE g.id = ?1 AND g.paused = 1 AND d.paused_for <> ''",
        [id.0],
        |row| row.get(0),
    )
}

/// Copies the pause state of its parent to a group that a step started. True if it changed, so groups below must
/// follow. After a resume, `resume_slice` moves the paused steps back.
pub fn inherit(tx: &WriteTx, id: GroupId) -> Result<bool> {
    match child_group::inherits(tx, id)? {
        Inherits::Pause => {
            set(tx, id, "with its parent".into())?;
            child_group::set_held(tx, id, true)?;
            Ok(true)
        }
        Inherits::Resume => {
            resume(tx, id, "with its parent".into())?;
            child_group::set_held(tx, id, false)?;
            Ok(true)
        }
        Inherits::Nothing => Ok(false),
    }
}

/// Resumes a group; `resume_slice` then moves the paused steps back. False: it was not paused. Refused while the group
/// of its parent step is paused.
pub fn resume_group(tx: &WriteTx, id: GroupId) -> Result<bool> {
    if let Some(parent) = child_group::is_held(tx, id)? {
        let reason = format!("{id} is paused because {parent} is: resume that, with `windlass resume {parent}`");
        return Err(Error::conflict(reason));
    }
    child_group::let_go(tx, id)?;
    resume(tx, id, String::new())
}

/// Resumes a group that waited for something that is available again, and records this in the history. False: it was
/// not waiting.
pub fn go_on(tx: &WriteTx, id: GroupId) -> Result<bool> {
    match waits_for(tx, id)? {
        Some(what) => resume(tx, id, format!("over: {what}")),
        None => Ok(false),
    }
}

fn resume(tx: &WriteTx, id: GroupId, detail: String) -> Result<bool> {
    group::end(tx, id)?;
    let changed = tx.execute("UPDATE run_group SET paused = 0 WHERE id = ?1 AND paused = 1", [id.0])?;
    if changed == 1 {
        tx.execute("UPDATE group_detail SET paused_for = '' WHERE group_id = ?1", [id.0])?;
        tx.memory().paused_groups.remove(&id);
        tx.memory().woke = true;
        event::note_with(tx, EventKind::Resume, About::group(id), detail)?;
    }
    Ok(changed == 1)
}

/// Moves up to `limit` paused steps of a resumed group back to where they belong. True while more are left.
pub fn resume_slice(tx: &WriteTx, id: GroupId, limit: usize) -> Result<bool> {
    {
        let memory = tx.memory();
        if memory.paused_groups.contains(&id) || memory.cancelling_groups.contains(&id) {
            return Ok(false);
        }
    }
    let paused = tx.rows(PAUSED, params![id.0, limit as i64], |row| row.get(0).map(StepId))?;
    for id in &paused {
        if let Some(step) = step::get(tx, *id)? {
            place::place_due(tx, &step)?;
        }
    }
    Ok(paused.len() == limit)
}

pub(in crate::store) const PAUSED: &str =
    formatcp!("SELECT id FROM step WHERE state = {STEP_PAUSED} AND group_id = ?1 LIMIT ?2");

/// Groups with paused steps that are neither paused nor being cancelled, because of a crash between slices.
pub fn unfinished(tx: &ReadTx) -> Result<Vec<GroupId>> {
    let mut found = Vec::new();
    let mut after = 0;
    while let Some(group) = tx.row(NEXT_PAUSED_GROUP, [after], |row| row.get::<i64>(0))? {
        after = group;
        let free =
            tx.row("SELECT 1 FROM run_group WHERE id = ?1 AND paused = 0 AND cancelling = 0", [group], |_| Ok(()))?;
        found.extend(free.map(|()| GroupId(group)));
    }
    Ok(found)
}

pub(in crate::store) const NEXT_PAUSED_GROUP: &str =
    formatcp!("SELECT group_id FROM step WHERE state = {STEP_PAUSED} AND group_id > ?1 ORDER BY group_id LIMIT 1");

/// Pauses a step that a claim met, because its group is paused or being cancelled.
pub(in crate::store) fn pause_step(tx: &WriteTx, row: &ReadyRow) -> Result<()> {
    ready::delete(tx, row)?;
    step::set_state(tx, row.step, StepState::Paused)?;
    match row.key {
        Some(key) => blocked::unblock_next(tx, key, row.step_type, row.scope),
        None => Ok(()),
    }
}

/// Pauses or resumes all steps of a type. False: nothing changed.
pub fn step_type(tx: &WriteTx, name: &str, paused: bool) -> Result<bool> {
    let id = step_type::find(tx, name)?.ok_or_else(|| Error::not_found(format!("step type `{name}`")))?;
    if tx.memory().types.get(&id).is_some_and(|it| it.paused == paused) {
        return Ok(false);
    }
    step_type::set_paused(tx, id, paused)?;
    let kind = if paused { EventKind::Pause } else { EventKind::Resume };
    event::note_with(tx, kind, About::default(), format!("type {name}"))?;
    Ok(true)
}
