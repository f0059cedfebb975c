//! Runs in a list and in full.
//!
//! SQLite only: JSON functions.

use super::step::{StepRow, steps_of_run};
use crate::decide::status::{self, Facts};
use crate::model::code::{STEP_CANCELLED, STEP_COMPLETED, STEP_FAILED, STEP_SKIPPED};
use crate::{
    model::{After, GroupId, RunId, ShapeStep, Status, StepId, Timestamp},
    store::{
        attempt,
        error::{Error, Result},
        output,
        params::params,
        row::Row,
        tx::ReadTx,
    },
};
use const_format::formatcp;
use serde::Serialize;

/// Which runs of a group to list, in the order of submission. `after` is the end of the last page.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    pub status: Option<Status>,
    pub after: Option<RunId>,
    pub limit: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RunRow {
    pub id: RunId,
    pub group: GroupId,
    pub item: String,
    pub status: Status,
    pub ended: Option<Timestamp>,
    /// The remark of its last step, such as `superseded by r12`.
    pub remark: Option<String>,
    /// How many steps it has, and how many of them are COMPLETED or SKIPPED. The latter is counted while the run is
    /// open.
    pub step_count: i64,
    pub steps_done: Option<i64>,
    /// FAILED steps with `allow_failure`, which do not fail the run.
    pub allowed_failures: i64,
    /// Why the run FAILED or, in ERROR, why its newest attempt failed.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RunDetails {
    #[serde(flatten)]
    pub run: RunRow,
    pub definition: String,
    pub steps: Vec<StepRow>,
    /// For each step, by number, the numbers of the steps that it needs.
    pub needs: Vec<Vec<i64>>,
    /// For each step, by number, which ends of those steps start it: `success`, `failure` or `always`.
    pub after: Vec<After>,
    /// The output of its last step.
    pub output: Option<serde_json::Value>,
}

const COLUMNS: &str = formatcp!(
    "r.id, r.group_id, coalesce(i.item, ''), r.ended, r.failed, r.cancelled,
    r.ended IS NULL AND EXISTS (SELECT 1 FROM lease l WHERE l.run_id = r.id),
    r.ended IS NULL AND EXISTS (SELECT 1 FROM step s WHERE s.id >= r.first_step
        AND s.id < r.first_step + json_array_length(w.shape, '$.steps') AND s.state < {STEP_COMPLETED}
        AND s.failures + s.crashes > 0),
    CASE WHEN r.ended IS NOT NULL THEN (SELECT o.value ->> '$.remark' FROM step s JOIN output o ON o.id = s.output_id
        WHERE s.id = r.first_step + json_array_length(w.shape, '$.steps') - 1) END,
    json_array_length(w.shape, '$.steps'),
    CASE WHEN r.ended IS NULL THEN (SELECT count(*) FROM step s WHERE s.id >= r.first_step
        AND s.id < r.first_step + json_array_length(w.shape, '$.steps') AND s.state IN ({STEP_COMPLETED}, {STEP_SKIPPED})) END,
    CASE WHEN w.shape LIKE '%\"allow_failure\"%' THEN (SELECT count(*) FROM step s WHERE s.id >= r.first_step
        AND s.id < r.first_step + json_array_length(w.shape, '$.steps') AND s.state = {STEP_FAILED}
        AND json_extract(w.shape, '$.steps[' || s.no || '].allow_failure')) ELSE 0 END,
    r.ended IS NULL AND EXISTS (SELECT 1 FROM waiting x WHERE x.step_id >= r.first_step
        AND x.step_id < r.first_step + json_array_length(w.shape, '$.steps'))
   FROM run r JOIN definition w ON w.id = r.definition_id LEFT JOIN item i ON i.run_id = r.id"
);

fn read(row: &Row) -> Result<RunRow> {
    let ended = row.get::<Option<i64>>(3)?.map(Timestamp);
    let (failed, cancelled): (i64, i64) = (row.get(4)?, row.get(5)?);
    let status = status::of(&Facts {
        ended: ended.is_some(),
        failed: failed > 0,
        cancelled: cancelled > 0,
        under_way: row.get(6)?,
        to_be_retried: row.get(7)?,
        waiting: row.get(12)?,
    });
    Ok(RunRow {
        id: RunId(row.get(0)?),
        group: GroupId(row.get::<i64>(1)?).owner(),
        item: row.get(2)?,
        status,
        ended,
        remark: row.get(8)?,
        step_count: row.get(9)?,
        steps_done: row.get(10)?,
        allowed_failures: row.get(11)?,
        reason: None,
    })
}

/// Adds the reason to a run that needs one: that of its first failed step without `allow_failure`, otherwise that of
/// the first step that will be retried.
fn with_reason(tx: &ReadTx, run: RunRow) -> Result<RunRow> {
    if !matches!(run.status, Status::Failed | Status::Error) {
        return Ok(run);
    }
    let step = tx.row(
        formatcp!(
            "SELECT s.id FROM run r JOIN definition w ON w.id = r.definition_id
           JOIN step s ON s.id >= r.first_step AND s.id < r.first_step + json_array_length(w.shape, '$.steps')
          WHERE r.id = ?1 AND NOT coalesce(json_extract(w.shape, '$.steps[' || s.no || '].allow_failure'), 0)
            AND (s.state = {STEP_FAILED} OR (s.state < {STEP_COMPLETED} AND s.failures + s.crashes > 0))
          ORDER BY s.state = {STEP_FAILED} DESC, s.id LIMIT 1"
        ),
        [run.id.0],
        |row| row.get(0).map(StepId),
    )?;
    let reason = step.map(|it| attempt::last_reason(tx, it)).transpose()?.flatten();
    Ok(RunRow { reason, ..run })
}

/// Runs of a group. The SQL conditions select candidates, and `decide::status::of` confirms them below. Both must agree
/// on when a run is RUNNING (it has a lease). If few runs have the status, this scans over the others.
pub fn runs(tx: &ReadTx, group: GroupId, filter: &RunFilter) -> Result<Vec<RunRow>> {
    let wanted = match filter.status {
        None => "1",
        Some(Status::Completed) => "r.ended IS NOT NULL AND r.failed = 0 AND r.cancelled = 0",
        Some(Status::Failed) => "r.ended IS NOT NULL AND r.failed > 0",
        Some(Status::Cancelled) => "r.ended IS NOT NULL AND r.failed = 0 AND r.cancelled > 0",
        // Only steps can be SKIPPED.
        Some(Status::Skipped) => "0",
        Some(Status::Running) => "r.ended IS NULL AND r.id IN (SELECT run_id FROM lease)",
        Some(Status::Waiting) => {
            "r.ended IS NULL AND r.id IN (SELECT run_id FROM waiting WHERE group_id = r.group_id)
                AND r.id NOT IN (SELECT run_id FROM lease)"
        }
        Some(Status::Pending | Status::Error) => "r.ended IS NULL AND r.id NOT IN (SELECT run_id FROM lease)",
    };
    let sql = format!("SELECT {COLUMNS} WHERE r.group_id = ?1 AND r.id > ?2 AND {wanted} ORDER BY r.id LIMIT ?3");
    let mut found: Vec<RunRow> = Vec::new();
    let mut after = filter.after.map_or(0, |it| it.0);
    loop {
        let page = tx.rows(&sql, params![group.0, after, filter.limit as i64], read)?;
        let more = page.len() == filter.limit;
        after = page.last().map_or(after, |it| it.id.0);
        // The steps of a waiting run decide whether it is PENDING or in ERROR.
        found.extend(page.into_iter().filter(|it| filter.status.is_none_or(|wanted| wanted == it.status)));
        if !more || found.len() >= filter.limit {
            found.truncate(filter.limit);
            return found.into_iter().map(|it| with_reason(tx, it)).collect();
        }
    }
}

/// Runs of a group after `after` that have a step with a status that is rare in large groups. `None` for other
/// statuses, since any run may have a step with those. The cost grows with the result, not with the group.
pub fn runs_with_steps(
    tx: &ReadTx,
    group: GroupId,
    status: Status,
    after: Option<RunId>,
    limit: usize,
) -> Result<Option<Vec<RunRow>>> {
    let sql = match status {
        Status::Failed => WITH_FAILED,
        Status::Cancelled => WITH_CANCELLED,
        Status::Skipped => WITH_SKIPPED,
        Status::Error => WITH_ERROR,
        Status::Running => WITH_RUNNING,
        Status::Waiting => WITH_WAITING,
        Status::Pending | Status::Completed => return Ok(None),
    };
    let after = after.map_or(0, |it| it.0);
    let ids = tx.rows(sql, params![group.0, after, limit as i64], |row| row.get::<i64>(0))?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(tx.row(&format!("SELECT {COLUMNS} WHERE r.id = ?1"), [id], read)?);
    }
    let found: Result<Vec<RunRow>> = found.into_iter().map(|it| with_reason(tx, it)).collect();
    found.map(Some)
}

pub(in crate::store) const WITH_FAILED: &str = formatcp!(
    "SELECT DISTINCT run_id FROM step
      WHERE group_id = ?1 AND state = {STEP_FAILED} AND state IN ({STEP_FAILED}, {STEP_CANCELLED}) AND run_id > ?2
      ORDER BY run_id LIMIT ?3"
);
pub(in crate::store) const WITH_CANCELLED: &str = formatcp!(
    "SELECT DISTINCT run_id FROM step
      WHERE group_id = ?1 AND state = {STEP_CANCELLED} AND state IN ({STEP_FAILED}, {STEP_CANCELLED}) AND run_id > ?2
      ORDER BY run_id LIMIT ?3"
);
pub(in crate::store) const WITH_ERROR: &str = formatcp!(
    "SELECT DISTINCT run_id FROM step
      WHERE group_id = ?1 AND state < {STEP_COMPLETED} AND failures + crashes > 0 AND run_id > ?2
      ORDER BY run_id LIMIT ?3"
);
pub(in crate::store) const WITH_SKIPPED: &str = formatcp!(
    "SELECT DISTINCT run_id FROM step WHERE group_id = ?1 AND state = {STEP_SKIPPED} AND run_id > ?2
      ORDER BY run_id LIMIT ?3"
);
const WITH_RUNNING: &str =
    "SELECT DISTINCT run_id FROM lease WHERE group_id = ?1 AND run_id > ?2 ORDER BY run_id LIMIT ?3";

pub(in crate::store) const WITH_WAITING: &str =
    "SELECT DISTINCT run_id FROM waiting WHERE group_id = ?1 AND run_id > ?2 ORDER BY run_id LIMIT ?3";

/// A run with its steps.
pub fn show_run(tx: &ReadTx, id: RunId) -> Result<RunDetails> {
    let sql = format!("SELECT {COLUMNS} WHERE r.id = ?1");
    let run = with_reason(tx, tx.row(&sql, [id.0], read)?.ok_or_else(|| Error::not_found(id))?)?;
    let definition = tx.row(
        "SELECT w.name, json_extract(w.shape, '$.steps') FROM run r JOIN definition w ON w.id = r.definition_id
          WHERE r.id = ?1",
        [id.0],
        |row| Ok((row.get::<String>(0)?, row.get::<String>(1)?)),
    )?;
    let (definition, shape) = definition.unwrap_or_default();
    let shape: Vec<ShapeStep> = serde_json::from_str(&shape).unwrap_or_default();
    let after = shape.iter().map(|it| it.after).collect();
    let needs = shape.into_iter().map(|it| it.needs.into_iter().map(|no| no as i64).collect()).collect();
    let steps = steps_of_run(tx, id)?;
    let output = match steps.last() {
        Some(last) => output::of_step(tx, last.id)?.and_then(|it| it.value),
        None => None,
    };
    Ok(RunDetails { run, definition, steps, needs, after, output })
}
