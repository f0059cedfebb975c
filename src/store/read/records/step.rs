//! Steps as flat records.
//!
//! SQLite only: JSON functions.

use crate::{
    model::{RunId, Status, StepId, Timestamp, WorkerId},
    store::{attempt, error::Result, params::Params, params::params, row::Row, run, tx::ReadTx},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    pub id: StepId,
    pub run: RunId,
    /// Its number in the workflow, from 0.
    pub no: i64,
    pub name: String,
    pub step_type: String,
    /// The version of its workflow.
    pub definition: i64,
    pub last: bool,
    pub created: Timestamp,
    pub priority: i64,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// How many attempts failed or crashed.
    pub failures: i64,
    /// How many retries it may have.
    pub retries: i64,
    pub status: Status,
    /// Why its newest attempt failed; null once it is COMPLETED.
    pub message: Option<String>,
    pub worker: Option<WorkerId>,
}

const COLUMNS: &str = "s.id, s.run_id, s.no, coalesce(json_extract(w.body, '$.steps[' || s.no || '].name'), t.name),
    t.name, w.id, s.no + 1 = json_array_length(w.shape, '$.steps'), d.created, s.priority,
    coalesce(l.started, s.started), s.ended, s.failures + s.crashes,
    coalesce(json_extract(w.body, '$.steps[' || s.no || '].retries'), 0), v.status, coalesce(l.worker, s.worker)
   FROM step s JOIN step_status v ON v.id = s.id JOIN run r ON r.id = s.run_id
   JOIN definition w ON w.id = r.definition_id JOIN step_type t ON t.id = s.type_id
   JOIN group_detail d ON d.group_id = s.group_id LEFT JOIN lease l ON l.step_id = s.id";

fn read(row: &Row) -> Result<StepRecord> {
    Ok(StepRecord {
        id: StepId(row.get(0)?),
        run: RunId(row.get(1)?),
        no: row.get(2)?,
        name: row.get(3)?,
        step_type: row.get(4)?,
        definition: row.get(5)?,
        last: row.get(6)?,
        created: Timestamp(row.get(7)?),
        priority: row.get(8)?,
        started: row.get::<Option<i64>>(9)?.map(Timestamp),
        ended: row.get::<Option<i64>>(10)?.map(Timestamp),
        failures: row.get(11)?,
        retries: row.get(12)?,
        status: row.get::<String>(13)?.parse().unwrap_or(Status::Pending),
        message: None,
        worker: row.get::<Option<i64>>(14)?.map(WorkerId),
    })
}

fn select(tx: &ReadTx, condition: &str, params: impl Params) -> Result<Vec<StepRecord>> {
    let steps = tx.rows(&format!("SELECT {COLUMNS} WHERE {condition}"), params, read)?;
    let with_message = |step: StepRecord| {
        let message = match step.status {
            Status::Completed | Status::Pending => None,
            _ => attempt::last_reason(tx, step.id)?,
        };
        Ok(StepRecord { message, ..step })
    };
    steps.into_iter().map(with_message).collect()
}

/// The steps of a run, in order; empty if there is no such run.
pub fn steps_of_run(tx: &ReadTx, id: RunId) -> Result<Vec<StepRecord>> {
    match run::step_range(tx, id)? {
        Some((first, end)) => select(tx, "s.id >= ?1 AND s.id < ?2 ORDER BY s.id", [first.0, end.0]),
        None => Ok(Vec::new()),
    }
}

/// How many ids one call of `steps_with_status` examines.
const WINDOW: i64 = 5_000;

/// Steps with a status, among the next ids after `after`, sorted by id. Also returns where to continue, `None` at the
/// end.
pub fn steps_with_status(tx: &ReadTx, status: Status, after: StepId) -> Result<(Vec<StepRecord>, Option<StepId>)> {
    let next = tx.row("SELECT min(id) FROM step WHERE id > ?1", [after.0], |row| row.get::<Option<i64>>(0))?;
    let Some(first) = next.flatten() else { return Ok((Vec::new(), None)) };
    let end = first + WINDOW;
    let condition = "s.id >= ?1 AND s.id < ?2 AND v.status = ?3 ORDER BY s.id";
    Ok((select(tx, condition, params![first, end, status.name()])?, Some(StepId(end - 1))))
}
