//! The failures of a group: step by step, and with equal ones counted together.
//!
//! SQLite only: JSON functions, columns beside `min`.

use super::step::steps_of_run;
use crate::model::code::{STEP_CANCELLED, STEP_FAILED};
use crate::{
    model::{GroupId, RunId, Status, StepId, Timestamp},
    store::{attempt, error::Result, params::params, tx::ReadTx},
};
use const_format::formatcp;
use serde::Serialize;

/// A failed step and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Failure {
    pub run: RunId,
    pub step: StepId,
    /// The step's name in its workflow.
    pub name: String,
    pub item: String,
    pub ended: Option<Timestamp>,
    pub attempts: i64,
    pub reason: String,
}

const NO_WORD: &str = "failed without a message";

/// The failed steps of a group in the order of submission, after the run `after`: up to `limit` failed runs, each with
/// all of its failed steps.
pub fn failures(tx: &ReadTx, group: GroupId, after: Option<RunId>, limit: usize) -> Result<Vec<Failure>> {
    let runs = tx.rows(
        "SELECT id FROM run WHERE group_id = ?1 AND id > ?2 AND failed > 0 ORDER BY id LIMIT ?3",
        params![group.0, after.map_or(0, |it| it.0), limit as i64],
        |row| row.get(0).map(RunId),
    )?;
    let allowed = may_fail(tx, group)?;
    let mut found = Vec::new();
    for run in runs {
        let item = tx.row("SELECT item FROM item WHERE run_id = ?1", [run.0], |row| row.get::<String>(0))?;
        for step in steps_of_run(tx, run)? {
            if step.status != Status::Failed || allowed.contains(&step.no) {
                continue;
            }
            found.push(Failure {
                run,
                step: step.id,
                name: step.name,
                item: item.clone().unwrap_or_default(),
                ended: step.ended,
                attempts: step.attempts,
                reason: attempt::last_reason(tx, step.id)?.unwrap_or_else(|| NO_WORD.into()),
            });
        }
    }
    Ok(found)
}

/// Steps of one name that failed for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FailureKind {
    /// The steps' name in their workflow.
    pub name: String,
    pub reason: String,
    /// How many runs failed with this reason.
    pub runs: i64,
    /// The first of these steps.
    pub step: StepId,
    pub run: RunId,
    pub item: String,
}

/// The kinds of failures in a group, the most frequent first, at most `limit`. Reads only the group's failed steps.
pub fn failure_kinds(tx: &ReadTx, group: GroupId, limit: usize) -> Result<Vec<FailureKind>> {
    let allowed = serde_json::json!(may_fail(tx, group)?).to_string();
    // With `min(s.id)`, SQLite takes the other columns from the row of the first step.
    let kinds = tx.rows(
        formatcp!(
            "SELECT min(s.id), s.run_id, count(*), a.detail
           FROM step s LEFT JOIN attempt a ON a.step_id = s.id AND a.token = s.token
          WHERE s.group_id = ?1 AND s.state = {STEP_FAILED} AND s.state IN ({STEP_FAILED}, {STEP_CANCELLED})
            AND s.no NOT IN (SELECT value FROM json_each(?3))
          GROUP BY s.no, json_extract(a.detail, '$.outcome') ORDER BY count(*) DESC, min(s.id) LIMIT ?2"
        ),
        params![group.0, limit as i64, allowed],
        |row| Ok((StepId(row.get(0)?), RunId(row.get(1)?), row.get::<i64>(2)?, row.get::<Option<String>>(3)?)),
    )?;
    let whole = |(step, run, runs, detail): (StepId, RunId, i64, Option<String>)| {
        let item = tx.row("SELECT item FROM item WHERE run_id = ?1", [run.0], |row| row.get::<String>(0))?;
        Ok(FailureKind {
            name: super::step::find(tx, step)?.name,
            reason: detail.as_deref().and_then(attempt::reason).unwrap_or_else(|| NO_WORD.into()),
            runs,
            step,
            run,
            item: item.unwrap_or_default(),
        })
    };
    kinds.into_iter().map(whole).collect()
}

/// The numbers of the steps of a group with `allow_failure`.
fn may_fail(tx: &ReadTx, group: GroupId) -> Result<Vec<i64>> {
    tx.rows(
        "SELECT s.key FROM group_detail d JOIN definition w ON w.id = d.definition_id, json_each(w.shape, '$.steps') s
          WHERE d.group_id = ?1 AND json_extract(s.value, '$.allow_failure')",
        [group.0],
        |row| row.get(0),
    )
}

/// The number of FAILED steps of a group with `allow_failure`.
pub(super) fn allowed_failures(tx: &ReadTx, id: GroupId) -> Result<i64> {
    let count = tx.row(
        formatcp!(
            "SELECT count(*) FROM step s CROSS JOIN run r ON r.id = s.run_id CROSS JOIN definition w ON w.id = r.definition_id
              WHERE s.group_id = ?1 AND s.state = {STEP_FAILED} AND s.state IN ({STEP_FAILED}, {STEP_CANCELLED})
                AND w.shape LIKE '%\"allow_failure\"%'
                AND json_extract(w.shape, '$.steps[' || s.no || '].allow_failure')"
        ),
        [id.0],
        |row| row.get(0),
    )?;
    Ok(count.unwrap_or(0))
}
