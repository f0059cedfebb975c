//! Hooks that have failed permanently.

use crate::model::code::STEP_FAILED;
use crate::{
    model::{GroupId, RunId, StepId, Timestamp},
    store::{attempt, error::Result, params::params, tx::ReadTx},
};
use const_format::formatcp;
use serde::Serialize;

/// A hook without attempts left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FailedHook {
    /// The number of the step that it is: `windlass logs` and `why` take it.
    pub id: i64,
    /// The event that it subscribes to, such as `group_end`.
    pub event: String,
    pub name: String,
    /// The run and the step of its event, if any.
    pub run: Option<RunId>,
    pub step: Option<StepId>,
    pub attempts: i64,
    pub ended: Timestamp,
    /// Why its last attempt failed.
    pub detail: String,
}

/// The maximum number shown for a group.
pub const FAILED_HOOKS: usize = 20;

pub(in crate::store) const FAILED: &str = formatcp!(
    "SELECT s.id, h.event, h.name, h.run_id, h.step_id, s.attempts, s.ended
       FROM run r CROSS JOIN hook h ON h.id = r.first_step CROSS JOIN step s ON s.id = h.id
      WHERE r.group_id = ?1 AND r.failed + r.cancelled > 0 AND s.state = {STEP_FAILED} ORDER BY r.id DESC LIMIT ?2"
);

/// The newest failed hooks of a group, at most `limit`. The cost does not depend on the group's number of hooks.
pub fn failed_hooks(tx: &ReadTx, group: GroupId, limit: usize) -> Result<Vec<FailedHook>> {
    let some = |id: i64| Some(id).filter(|it| *it > 0);
    let found = tx.rows(FAILED, params![group.hooks().0, limit as i64], |row| {
        Ok(FailedHook {
            id: row.get(0)?,
            event: row.get(1)?,
            name: row.get(2)?,
            run: some(row.get(3)?).map(RunId),
            step: some(row.get(4)?).map(StepId),
            attempts: row.get(5)?,
            ended: Timestamp(row.get(6)?),
            detail: String::new(),
        })
    })?;
    let reason = |hook: FailedHook| {
        let detail = attempt::last_reason(tx, StepId(hook.id))?.unwrap_or_default();
        Ok(FailedHook { detail, ..hook })
    };
    found.into_iter().map(reason).collect()
}
