//! Steps that wait until they are due, and waits that have ended.

use crate::model::code::STEP_DELAYED;
use crate::model::{StepId, StepState};
use crate::store::{
    error::Result,
    memory, place, resource,
    step::{StepRow, get, set_state},
    tx::WriteTx,
    wait_end,
};
use const_format::formatcp;

/// The most due steps that one transaction promotes.
const PROMOTE: usize = 256;

/// Makes steps claimable whose due time has come. Runs at the start of a transaction, and costs nothing while nothing
/// is due.
pub(in crate::store) fn promote(tx: &WriteTx) -> Result<()> {
    if tx.memory().next_due.is_none_or(|due| due > tx.now()) {
        return Ok(());
    }
    let due = tx.rows(DUE, [tx.now().0, PROMOTE as i64], |row| row.get(0).map(StepId))?;
    for id in due {
        if let Some(step) = get(tx, id)? {
            set_state(tx, id, StepState::Open)?;
            place::place(tx, &StepRow { state: StepState::Open, ..step })?;
        }
    }
    wait_end::expire(tx, PROMOTE)?;
    resource::look_at_due(tx)?;
    let next = memory::earliest_due(tx)?;
    let mut memory = tx.memory();
    memory.next_due = next;
    // More steps are due than one transaction promotes; request another one.
    memory.woke |= memory.next_due.is_some_and(|due| due <= tx.now());
    Ok(())
}

/// D1.
pub(in crate::store) const DUE: &str =
    formatcp!("SELECT id FROM step WHERE state = {STEP_DELAYED} AND due <= ?1 ORDER BY due LIMIT ?2");
