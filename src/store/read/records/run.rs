//! Runs as flat records.
//!
//! SQLite only: JSON functions.

use crate::decide::status::{self, Facts};
use crate::model::code::{STEP_COMPLETED, STEP_FAILED};
use crate::{
    model::{ArtifactHash, GroupId, RunId, Status, StepId, Timestamp, number::keep_digits},
    store::{attempt, error::Result, params::params, row::Row, tx::ReadTx},
};
use const_format::formatcp;
use serde_json::Value;

/// A place in the order of runs. The following runs are older.
pub type Place = (GroupId, RunId);

#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    pub id: RunId,
    pub group: GroupId,
    /// The id of its workflow, as in the workflow file.
    pub definition: String,
    pub batch: Option<i64>,
    /// The id of the parameter set, for a run of a batch.
    pub params: Option<String>,
    pub item: String,
    /// The document that it works on, if the item names one.
    pub content: Option<ArtifactHash>,
    pub source: Option<String>,
    pub priority: i64,
    pub created: Timestamp,
    /// When its first step began.
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    pub status: Status,
    /// Why it failed or will be retried.
    pub message: Option<String>,
}

const COLUMNS: &str = formatcp!("r.id, r.group_id, w.name, l.batch_id, l.params, coalesce(i.item, ''), d.priority, d.created,
    coalesce((SELECT started FROM lease WHERE step_id = r.first_step), (SELECT started FROM step WHERE id = r.first_step)),
    r.ended, r.failed, r.cancelled,
    r.ended IS NULL AND EXISTS (SELECT 1 FROM lease x WHERE x.run_id = r.id),
    (SELECT max(s.id) FROM step s WHERE s.id >= r.first_step
        AND s.id < r.first_step + json_array_length(w.shape, '$.steps')
        AND (s.state = {STEP_FAILED} OR s.state < {STEP_COMPLETED} AND s.failures + s.crashes > 0))
   FROM run r JOIN group_detail d ON d.group_id = r.group_id JOIN definition w ON w.id = r.definition_id
   LEFT JOIN batch_group l ON l.group_id = r.group_id LEFT JOIN item i ON i.run_id = r.id");

fn read(row: &Row) -> Result<(RunRecord, Option<StepId>)> {
    let item: String = row.get(5)?;
    let fields = if item.starts_with('{') {
        serde_json::from_slice(&keep_digits(item.as_bytes())).unwrap_or(Value::Null)
    } else {
        Value::Null
    };
    let (failed, cancelled): (i64, i64) = (row.get(10)?, row.get(11)?);
    let ended = row.get::<Option<i64>>(9)?.map(Timestamp);
    let trouble = row.get::<Option<i64>>(13)?.map(StepId);
    let status = status::of(&Facts {
        ended: ended.is_some(),
        failed: failed > 0,
        cancelled: cancelled > 0,
        under_way: row.get(12)?,
        // The ingestion API has no such status.
        waiting: false,
        to_be_retried: trouble.is_some(),
    });
    let record = RunRecord {
        id: RunId(row.get(0)?),
        group: GroupId(row.get(1)?),
        definition: row.get(2)?,
        batch: row.get(3)?,
        params: row.get(4)?,
        content: fields["sha256"].as_str().and_then(|it| it.parse().ok()),
        source: fields["source"].as_str().map(str::to_string),
        item,
        priority: row.get(6)?,
        created: Timestamp(row.get(7)?),
        started: row.get::<Option<i64>>(8)?.map(Timestamp),
        ended,
        status,
        message: None,
    };
    Ok((record, trouble))
}

/// Returns `None` if there is no such run.
pub fn run(tx: &ReadTx, id: RunId) -> Result<Option<RunRecord>> {
    let Some((record, trouble)) = tx.row(&format!("SELECT {COLUMNS} WHERE r.id = ?1"), [id.0], read)? else {
        return Ok(None);
    };
    let message = match (record.status, trouble) {
        (Status::Completed | Status::Cancelled, _) | (_, None) => None,
        (_, Some(step)) => attempt::last_reason(tx, step)?,
    };
    Ok(Some(RunRecord { message, ..record }))
}

/// Some runs of the groups of a batch after (group, run), and where to continue, `None` at the end.
pub fn runs_of_batch(
    tx: &ReadTx,
    batch: i64,
    (group, run): Place,
    limit: usize,
) -> Result<(Vec<RunId>, Option<Place>)> {
    let ids = tx.rows(
        "SELECT r.id FROM batch_group l JOIN run r ON r.group_id = l.group_id
          WHERE l.batch_id = ?1 AND l.group_id = ?2 AND r.id > ?3 ORDER BY r.id LIMIT ?4",
        params![batch, group.0, run.0, limit as i64],
        |row| row.get(0).map(RunId),
    )?;
    if ids.len() == limit {
        let next = ids.last().map(|it| (group, *it));
        return Ok((ids, next));
    }
    let next = tx.row(
        "SELECT min(group_id) FROM batch_group WHERE batch_id = ?1 AND group_id > ?2",
        params![batch, group.0],
        |row| row.get::<Option<i64>>(0),
    )?;
    Ok((ids, next.flatten().map(|it| (GroupId(it), RunId(0)))))
}
