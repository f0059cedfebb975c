//! Steps that are blocked by a resource key. Of each type and scope, at most one step with a key is claimable or holds
//! the key; the others are blocked behind it.

use crate::model::code::STEP_BLOCKED;
use crate::model::{KeyId, StepId, StepState, TypeId};
use crate::store::{
    error::Result,
    params::params,
    ready::{self, ReadyRow},
    resource_key,
    row::Row,
    step::{get, set_state},
    tx::WriteTx,
};
use const_format::formatcp;

/// Makes a step claimable. The caller has checked that its key, if any, is free and has no claimable step.
pub(in crate::store) fn make_ready(tx: &WriteTx, state: StepState, row: &ReadyRow) -> Result<()> {
    if state != StepState::Open {
        set_state(tx, row.step, StepState::Open)?;
    }
    ready::insert(tx, row)?;
    tx.memory().woke = true;
    Ok(())
}

/// Blocks a claimable step, because its key is taken or a better step replaces it.
pub(in crate::store) fn block(tx: &WriteTx, head: &ReadyRow) -> Result<()> {
    ready::delete(tx, head)?;
    set_state(tx, head.step, StepState::Blocked)
}

/// Called when a key becomes free. The first blocked step of each type and scope becomes claimable.
pub(in crate::store) fn unblock(tx: &WriteTx, key: KeyId) -> Result<()> {
    let mut after = None;
    while let Some((step_type, scope)) = next_blocked(tx, key, after)? {
        unblock_next(tx, key, TypeId(step_type), scope)?;
        after = Some((step_type, scope));
    }
    Ok(())
}

/// The next type and scope with steps blocked by a key. Two probes, because a single comparison of (type, scope) pairs
/// would scan all steps of the last pair.
fn next_blocked(tx: &WriteTx, key: KeyId, after: Option<(i64, i64)>) -> Result<Option<(i64, i64)>> {
    let pair = |row: &Row| Ok((row.get(0)?, row.get(1)?));
    let (step_type, scope) = after.unwrap_or((i64::MIN, i64::MIN));
    let same_type = tx.row(NEXT_SCOPE, params![key.0, step_type, scope], pair)?;
    match same_type {
        Some(found) => Ok(Some(found)),
        None => tx.row(NEXT_TYPE, params![key.0, step_type], pair),
    }
}

/// L1, the probes.
pub(in crate::store) const NEXT_SCOPE: &str = formatcp!(
    "SELECT type_id, scope FROM step WHERE state = {STEP_BLOCKED} AND key_id = ?1 AND type_id = ?2 AND scope > ?3
      ORDER BY scope LIMIT 1"
);
pub(in crate::store) const NEXT_TYPE: &str = formatcp!(
    "SELECT type_id, scope FROM step WHERE state = {STEP_BLOCKED} AND key_id = ?1 AND type_id > ?2
      ORDER BY type_id, scope LIMIT 1"
);
pub(in crate::store) const NEXT_STEP: &str = formatcp!(
    "SELECT id FROM step WHERE state = {STEP_BLOCKED} AND key_id = ?1 AND type_id = ?2 AND scope = ?3
      ORDER BY priority DESC, due, id LIMIT 1"
);

/// Makes the next step of a key, type and scope claimable, if the key is free and none of these steps is claimable.
///
/// This includes steps of a paused group: the claim that meets such a step pauses it and unblocks the next. Searching
/// for a better step here could scan many steps, and stopping would leave the others blocked for ever.
pub(in crate::store) fn unblock_next(tx: &WriteTx, key: KeyId, step_type: TypeId, scope: i64) -> Result<()> {
    if ready::head(tx, key, step_type, scope)?.is_some() || resource_key::is_held(tx, key)? {
        return Ok(());
    }
    let next = tx.row(NEXT_STEP, params![key.0, step_type.0, scope], |row| row.get(0).map(StepId))?;
    match next.map(|id| get(tx, id)).transpose()?.flatten() {
        Some(step) => make_ready(tx, step.state, &ReadyRow::of(tx, &step)?),
        None => Ok(()),
    }
}
