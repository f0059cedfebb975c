//! Places a step that has not ended: claimable in `ready`, delayed until due, blocked by a key, or paused with its
//! group.

use crate::model::code::STEP_OPEN;
use crate::model::{GroupId, StepId, StepState, Timestamp, TypeId};
use crate::store::{
    blocked,
    error::Result,
    hold,
    memory::KnownShape,
    params::params,
    ready::{self, ReadyRow},
    resource_key,
    step::{StepRow, get, set_state},
    tx::WriteTx,
};
use const_format::formatcp;

/// Records that one need of step `no` of a run is met. When the last need is met, the step becomes claimable. False:
/// the step has already ended.
pub(in crate::store) fn need_met(tx: &WriteTx, shape: &KnownShape, first: StepId, no: usize) -> Result<bool> {
    let id = StepId(first.0 + no as i64);
    if shape.shape.steps[no].needs.len() > 1 {
        tx.execute(
            formatcp!("UPDATE step SET unmet = unmet - 1 WHERE id = ?1 AND state = {STEP_OPEN} AND unmet > 0"),
            [id.0],
        )?;
        let unmet = tx.row("SELECT unmet FROM step WHERE id = ?1", [id.0], |row| row.get::<i64>(0))?;
        if unmet != Some(0) {
            return Ok(true);
        }
    }
    enter(tx, id, shape.types[no])
}

/// Places an open step with all its needs met. The usual case takes one statement. False: it has ended.
pub(in crate::store) fn enter(tx: &WriteTx, id: StepId, step_type: TypeId) -> Result<bool> {
    let (queue, flagged) = {
        let memory = tx.memory();
        (memory.queue(step_type), !memory.paused_groups.is_empty() || !memory.cancelling_groups.is_empty())
    };
    if !flagged {
        let entered = ready::enter(tx, id, queue)?;
        if entered {
            tx.memory().woke = true;
            return Ok(true);
        }
    }
    match get(tx, id)? {
        Some(step) if step.state.is_terminal() => Ok(false),
        Some(step) => place_due(tx, &step).map(|()| true),
        None => Ok(false),
    }
}

/// Decides where an open step with all its needs met waits: delayed, paused, blocked, or claimable.
///
/// The step must be in neither `ready` nor `lease`. A step of a group that is being cancelled is left for the cancel.
pub(in crate::store) fn place(tx: &WriteTx, step: &StepRow) -> Result<()> {
    if !step.state.is_terminal() && step.due > tx.now().0 {
        set_state(tx, step.id, StepState::Delayed)?;
        tx.memory().due_at(Timestamp(step.due));
        return Ok(());
    }
    place_due(tx, step)
}

/// The same for a step that was already due, whatever the wall clock says.
pub(in crate::store) fn place_due(tx: &WriteTx, step: &StepRow) -> Result<()> {
    // A wait ends on its own, paused or not; only a cancel ends it early.
    if step.state.is_terminal() || step.state == StepState::Waiting {
        return Ok(());
    }
    if hold::holds_back(tx, step.group, step.run, step.id)? {
        return set_state(tx, step.id, StepState::Paused);
    }
    let row = ReadyRow::of(tx, step)?;
    let Some(key) = step.key else { return blocked::make_ready(tx, step.state, &row) };
    match ready::head(tx, key, step.step_type, step.scope)? {
        Some(head) if !row.outranks(&head) => set_state(tx, step.id, StepState::Blocked),
        Some(head) => {
            blocked::block(tx, &head)?;
            blocked::make_ready(tx, step.state, &row)
        }
        None if resource_key::is_held(tx, key)? => set_state(tx, step.id, StepState::Blocked),
        None => blocked::make_ready(tx, step.state, &row),
    }
}

/// Places a waiting step again, because the reason that held it back may be gone. A step that is not due yet stays.
pub(in crate::store) fn again(tx: &WriteTx, id: StepId) -> Result<()> {
    let Some(step) = get(tx, id)?.filter(|it| it.state != StepState::Delayed) else { return Ok(()) };
    let ready = ready::leave(tx, &step)?;
    place_due(tx, &step)?;
    match step.key {
        Some(key) if ready => blocked::unblock_next(tx, key, step.step_type, step.scope),
        _ => Ok(()),
    }
}

/// Gives an open step the scope of its group, wherever it waits.
pub(in crate::store) fn adopt(tx: &WriteTx, id: StepId, group: GroupId) -> Result<()> {
    let Some(before) = get(tx, id)? else { return Ok(()) };
    let ready = ready::leave(tx, &before)?;
    tx.execute("UPDATE step SET scope = ?2 WHERE id = ?1", params![id.0, group.0])?;
    let after = StepRow { scope: group.0, ..before };
    if ready || before.state == StepState::Blocked {
        place_due(tx, &after)?;
    }
    match before.key {
        Some(key) if ready => blocked::unblock_next(tx, key, before.step_type, before.scope),
        _ => Ok(()),
    }
}
