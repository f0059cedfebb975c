//! Table `cancel_request`, and cancelling one step. A running step is asked to stop; a waiting step ends immediately.

use crate::model::code::{OUTCOME_CANCELLED, STEP_CANCELLED, STEP_COMPLETED};
use crate::model::{StepId, StepState};
use crate::store::{blocked, child_group, error::Result, params::params, ready, step::StepRow, tx::WriteTx, waiting};
use const_format::formatcp;

/// Asks a running step to stop, or the child runs that a step waits for. None: it neither runs nor waits for children;
/// false: it was already asked.
pub(in crate::store) fn ask(tx: &WriteTx, id: StepId) -> Result<Option<bool>> {
    let token = tx.row("SELECT token FROM lease WHERE step_id = ?1", [id.0], |row| row.get::<i64>(0))?;
    let Some(token) = token else { return child_group::ask(tx, id) };
    let changed = tx.execute(
        "INSERT INTO cancel_request(step_id, token, at) VALUES (?1, ?2, ?3)
         ON CONFLICT(step_id) DO UPDATE SET token = excluded.token, at = excluded.at WHERE token <> excluded.token",
        params![id.0, token, tx.now().0],
    )?;
    let mut memory = tx.memory();
    memory.cancel_requests.insert(id);
    memory.woke |= changed == 1;
    Ok(Some(changed == 1))
}

/// Cancels a waiting step immediately. If it was claimable, the next step blocked by its key becomes claimable.
pub(in crate::store) fn end_waiting(tx: &WriteTx, row: &StepRow) -> Result<()> {
    waiting::withdraw(tx, row)?;
    child_group::abandon(tx, row.id)?;
    let was_ready = row.state == StepState::Open && ready::leave(tx, row)?;
    tx.execute(
        formatcp!(
            "UPDATE step SET state = {STEP_CANCELLED}, ended = ?2, outcome = {OUTCOME_CANCELLED}
                  WHERE id = ?1 AND state < {STEP_COMPLETED}"
        ),
        params![row.id.0, tx.now().0],
    )?;
    match row.key {
        Some(key) if was_ready => blocked::unblock_next(tx, key, row.step_type, row.scope),
        _ => Ok(()),
    }
}
