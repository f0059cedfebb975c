//! Hooks that have failed permanently.

use crate::model::code::HOOK_FAILED;
use crate::{
    model::{GroupId, RunId, StepId, Timestamp},
    store::{error::Result, params::params, tx::ReadTx},
};
use const_format::formatcp;
use serde::Serialize;

/// A hook without attempts left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FailedHook {
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
    "SELECT id, event, name, run_id, step_id, attempts, ended, detail
    FROM hook WHERE group_id = ?1 AND state = {HOOK_FAILED} ORDER BY id DESC LIMIT ?2"
);

/// The newest failed hooks of a group, at most `limit`. The cost does not depend on the group's number of hooks.
pub fn failed_hooks(tx: &ReadTx, group: GroupId, limit: usize) -> Result<Vec<FailedHook>> {
    let some = |id: i64| Some(id).filter(|it| *it > 0);
    tx.rows(FAILED, params![group.0, limit as i64], |row| {
        Ok(FailedHook {
            id: row.get(0)?,
            event: row.get(1)?,
            name: row.get(2)?,
            run: some(row.get(3)?).map(RunId),
            step: some(row.get(4)?).map(StepId),
            attempts: row.get(5)?,
            ended: Timestamp(row.get(6)?),
            detail: row.get(7)?,
        })
    })
}
