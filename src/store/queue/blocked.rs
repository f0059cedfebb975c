//! Steps that wait for a resource key: blocked behind the one step of their type and scope that is claimable or holds it.

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

/// Makes a step claimable. The caller has seen that its key, if it has one, is free and has no claimable step.
pub(in crate::store) fn make_ready(tx: &WriteTx, state: StepState, row: &ReadyRow) -> Result<()> {
    if state != StepState::Open {
        set_state(tx, row.step, StepState::Open)?;
    }
    ready::insert(tx, row)?;
    tx.memory().woke = true;
    Ok(())
}

/// A head whose key is taken, or that a better step replaces, is blocked.
pub(in crate::store) fn block(tx: &WriteTx, head: &ReadyRow) -> Result<()> {
    ready::delete(tx, head)?;
    set_state(tx, head.step, StepState::Blocked)
}

/// A key became free: the first blocked step of each type and scope becomes claimable.
pub(in crate::store) fn unblock(tx: &WriteTx, key: KeyId) -> Result<()> {
    let mut after = None;
    while let Some((step_type, scope)) = next_blocked(tx, key, after)? {
        unblock_next(tx, key, TypeId(step_type), scope)?;
        after = Some((step_type, scope));
    }
    Ok(())
}

/// The next type and scope of which steps are blocked by a key. Two probes: one comparison of (type, scope) pairs would walk
/// over all steps of the last pair.
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

/// The next step of a key, a type and a scope becomes claimable, if none of these is and the key is free.
///
/// A paused group's step becomes claimable too: the claim that meets it pauses it and unblocks the next. To look for a
/// better one here could walk over many steps, and to stop at it would leave the others blocked for good.
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
