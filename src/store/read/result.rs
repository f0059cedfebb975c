//! The result of each run of a group, for many runs at once: statuses, values and reasons.
//!
//! SQLite only: JSON functions.

use super::run::{RunFilter, RunRow, runs};
use crate::{
    model::{GroupId, RunId, Status},
    store::{collect, error::Result, params::params, tx::ReadTx},
};
use std::collections::HashMap;

/// A run, with the status and the value of each of its steps in the order of the workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct RunResult {
    pub run: RunRow,
    pub steps: Vec<(Status, Option<serde_json::Value>)>,
}

/// The results of the next runs after `after`. Takes two statements for all of them, plus one for each failed run.
pub fn results(tx: &ReadTx, group: GroupId, after: Option<RunId>, limit: usize) -> Result<Vec<RunResult>> {
    let mut found = runs(tx, group, &RunFilter { status: None, after, limit })?;
    // The steps that follow all runs are no run of an item.
    let collect = collect::run_of(tx, group)?;
    found.retain(|it| Some(it.id) != collect);
    let (Some(first), Some(last)) = (found.first(), found.last()) else { return Ok(Vec::new()) };
    // The steps of a group's runs have the same order as the runs.
    let rows = tx.rows(
        "SELECT v.run_id, v.status, o.value FROM step_status v JOIN step s ON s.id = v.id
           LEFT JOIN output o ON o.id = s.output_id
          WHERE v.group_id = ?3
            AND v.id >= (SELECT first_step FROM run WHERE id = ?1)
            AND v.id < (SELECT r.first_step + json_array_length(w.shape, '$.steps') FROM run r
                          JOIN definition w ON w.id = r.definition_id WHERE r.id = ?2)
          ORDER BY v.id",
        params![first.id.0, last.id.0, group.0],
        |row| Ok((RunId(row.get(0)?), row.get::<String>(1)?, row.get::<Option<String>>(2)?)),
    )?;
    let mut steps: HashMap<RunId, Vec<(Status, Option<serde_json::Value>)>> = HashMap::new();
    for (run, status, value) in rows {
        let status = status.parse().unwrap_or(Status::Pending);
        let value = value.and_then(|it| serde_json::from_str(&it).ok());
        steps.entry(run).or_default().push((status, value));
    }
    Ok(found.into_iter().map(|run| RunResult { steps: steps.remove(&run.id).unwrap_or_default(), run }).collect())
}
