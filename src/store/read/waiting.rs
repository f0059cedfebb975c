//! Lists steps that wait without a worker.
//!
//! SQLite only: JSON functions.

use crate::{
    model::{GroupId, StepId, WaitKind},
    store::{
        error::Result,
        params::params,
        tx::ReadTx,
        waiting::{self, Waiting},
    },
};
use serde::Serialize;

/// Which waiting steps to list, sorted by id. `after` is the end of the last page.
#[derive(Debug, Clone, Default)]
pub struct WaitingFilter {
    pub kind: Option<WaitKind>,
    pub group: Option<GroupId>,
    pub after: Option<StepId>,
    pub limit: usize,
}

/// A waiting step with its name in the workflow and its item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct WaitingStep {
    #[serde(flatten)]
    pub wait: Waiting,
    pub name: String,
    pub item: String,
}

/// Waiting steps, sorted by id.
pub fn waiting(tx: &ReadTx, filter: &WaitingFilter) -> Result<Vec<WaitingStep>> {
    let (kind, group) = (filter.kind.map_or(0, WaitKind::code), filter.group.map_or(0, |it| it.0));
    let steps = tx.rows(
        "SELECT step_id FROM waiting WHERE step_id > ?1 AND (?2 = 0 OR kind = ?2) AND (?3 = 0 OR group_id = ?3)
          ORDER BY step_id LIMIT ?4",
        params![filter.after.map_or(0, |it| it.0), kind, group, filter.limit as i64],
        |row| row.get(0).map(StepId),
    )?;
    let mut found = Vec::with_capacity(steps.len());
    for step in steps {
        let Some(wait) = waiting::get(tx, step)? else { continue };
        let named = tx.row(
            "SELECT coalesce(json_extract(w.body, '$.steps[' || s.no || '].name'), ''), coalesce(i.item, '')
               FROM step s JOIN run r ON r.id = s.run_id JOIN definition w ON w.id = r.definition_id
               LEFT JOIN item i ON i.run_id = s.run_id WHERE s.id = ?1",
            [step.0],
            |row| Ok((row.get::<String>(0)?, row.get::<String>(1)?)),
        )?;
        let (name, item) = named.unwrap_or_default();
        found.push(WaitingStep { wait, name, item });
    }
    Ok(found)
}
