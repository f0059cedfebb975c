//! Whether a step with all its needs met is held back because its group is paused or being cancelled.

use crate::model::{GroupId, RunId, StepId};
use crate::store::{error::Result, step, tx::WriteTx};

/// Whether a step may not be claimed because its group is paused or being cancelled. Steps that run because of a cancel
/// are not held back.
pub(in crate::store) fn holds_back(tx: &WriteTx, group: GroupId, run: RunId, step: StepId) -> Result<bool> {
    let (paused, cancelling) = {
        let memory = tx.memory();
        (memory.paused_groups.contains(&group), memory.cancelling_groups.contains(&group))
    };
    match cancelling {
        true => Ok(!outlives_cancel(tx, run, step)?),
        false => Ok(paused),
    }
}

/// Whether a cancel starts this step, so that the cancel of its group does not hold it back.
fn outlives_cancel(tx: &WriteTx, run: RunId, step: StepId) -> Result<bool> {
    let Some((definition, first)) = step::definition_of_run(tx, run)? else { return Ok(false) };
    let shape = tx.memory().shape(tx, definition)?;
    Ok(shape.shape.steps.get((step.0 - first.0) as usize).is_some_and(|it| it.on_cancel_run))
}
