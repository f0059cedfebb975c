//! Tables `attempt` and `attempt_log`: the record of each attempt.
//!
//! SQLite only: JSON functions, `OR IGNORE`.

use crate::model::code::{OUTCOME_INTERRUPTED, OUTCOME_SKIPPED, STEP_COMPLETED};
use crate::model::{Answer, AttemptOutcome, Outcome, StepId, Timestamp, Token, WorkerId};
use crate::store::{
    error::Result,
    lease::Live,
    params::params,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;
use serde::Serialize;

/// The record of an attempt: the outcome, `{"outcome": .., "certificate": ..}`, and its output.
#[derive(Debug, Clone)]
pub struct Record {
    pub outcome: AttemptOutcome,
    pub detail: String,
    pub logs: Vec<Log>,
}

impl Record {
    /// The record of a cancelled attempt without any other data.
    pub fn cancelled() -> Record {
        let detail = serde_json::json!({"outcome": Outcome::Cancelled, "certificate": {}}).to_string();
        Record { outcome: AttemptOutcome::Cancelled, detail, logs: Vec::new() }
    }
}

impl Record {
    /// The record of a step that waited. `answer` is merged into its detail.
    pub(in crate::store) fn answered(outcome: &Outcome, answer: Option<&serde_json::Value>) -> Record {
        let words = outcome.to_string();
        let mut detail = serde_json::json!({"outcome": outcome, "message": words, "certificate": {}});
        for (name, value) in answer.and_then(|it| it.as_object()).into_iter().flatten() {
            detail[name] = value.clone();
        }
        if *outcome != Outcome::Succeeded {
            detail["reason"] = words.into();
        }
        Record { outcome: outcome_of(outcome), detail: detail.to_string(), logs: Vec::new() }
    }
}

/// The newest part of a stream, zstd-compressed. `stream` is 1 for stdout and 2 for stderr; `total` counts all bytes
/// printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub stream: i64,
    pub total: u64,
    pub body: Vec<u8>,
}

/// One attempt, as `show` presents it. `outcome` is None while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Attempt {
    /// Its position among all attempts of the step, from 1.
    pub no: i64,
    /// The number that the step sees. It starts from 1 again after a `retry`, and an attempt that was given back keeps
    /// its number.
    pub n: i64,
    pub token: Token,
    pub worker: WorkerId,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    pub outcome: Option<&'static str>,
    pub detail: Option<serde_json::Value>,
}

fn outcome_name(code: i64) -> &'static str {
    AttemptOutcome::from_code(code).map_or("unknown", AttemptOutcome::name)
}

/// The code of an outcome in the column `outcome`.
pub fn outcome_of(outcome: &Outcome) -> AttemptOutcome {
    match outcome {
        Outcome::Succeeded => AttemptOutcome::Succeeded,
        Outcome::Failed { retryable: true, .. } => AttemptOutcome::Retryable,
        Outcome::Failed { retryable: false, .. } => AttemptOutcome::Failed,
        Outcome::Cancelled => AttemptOutcome::Cancelled,
        Outcome::TimedOut { .. } => AttemptOutcome::TimedOut,
        Outcome::ResourceLimit { .. } => AttemptOutcome::ResourceLimit,
        Outcome::Interrupted { .. } | Outcome::NoRoom { .. } => AttemptOutcome::Interrupted,
        Outcome::Crashed { .. } => AttemptOutcome::Crashed,
    }
}

pub(in crate::store) fn record(tx: &WriteTx, live: &Live, record: Option<&Record>) -> Result<()> {
    let Some(record) = record else { return Ok(()) };
    tx.execute(
        "INSERT INTO attempt(step_id, n, token, worker, started, ended, outcome, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            live.lease.step.0,
            live.attempts + 1,
            live.lease.token.0,
            live.worker.0,
            live.started.0,
            tx.now().0,
            record.outcome.code(),
            record.detail
        ],
    )?;
    for log in &record.logs {
        tx.execute(
            "INSERT INTO attempt_log(step_id, token, stream, total, body) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![live.lease.step.0, live.lease.token.0, log.stream, log.total as i64, log.body],
        )?;
    }
    Ok(())
}

/// Writes an attempt that was given back, or that failed after being given back. An attempt that counts its tries
/// replaces the earlier ones, so a step that waits for space for a day leaves one row.
pub(in crate::store) fn put_off(tx: &WriteTx, live: &Live, new: Option<&Record>) -> Result<()> {
    let Some(new) = new else { return Ok(()) };
    let earlier = tx.rows(
        formatcp!(
            "SELECT token FROM attempt WHERE step_id = ?1 AND n = ?2 AND outcome = {OUTCOME_INTERRUPTED}
            AND json_extract(detail, '$.tries') > 0 AND json_extract(?3, '$.tries') > 0"
        ),
        params![live.lease.step.0, live.attempts + 1, new.detail],
        |row| row.get::<i64>(0),
    )?;
    for token in earlier {
        tx.execute("DELETE FROM attempt_log WHERE step_id = ?1 AND token = ?2", params![live.lease.step.0, token])?;
        tx.execute("DELETE FROM attempt WHERE step_id = ?1 AND token = ?2", params![live.lease.step.0, token])?;
    }
    record(tx, live, Some(new))
}

/// How many times in a row the newest attempt of a step was given back, and how many times its work was lost. The next
/// attempt continues these counts.
pub fn tries(tx: &ReadTx, step: StepId, n: u32) -> Result<(u32, u32)> {
    let newest = tx.row(
        formatcp!(
            "SELECT coalesce(json_extract(detail, '$.tries'), 0), coalesce(json_extract(detail, '$.in_vain'), 0)
           FROM (SELECT n, outcome, detail FROM attempt WHERE step_id = ?1 ORDER BY token DESC LIMIT 1)
          WHERE n = ?2 AND outcome = {OUTCOME_INTERRUPTED}"
        ),
        params![step.0, n],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(newest.unwrap_or_default())
}

/// All attempts of a step, in the order in which they started.
pub fn of_step(tx: &ReadTx, step: StepId) -> Result<Vec<Attempt>> {
    tx.rows(
        "SELECT n, token, worker, started, ended, outcome, detail, row_number() OVER (ORDER BY token)
           FROM attempt_all WHERE step_id = ?1 ORDER BY token",
        [step.0],
        |row| {
            let detail: Option<String> = row.get(6)?;
            Ok(Attempt {
                no: row.get(7)?,
                n: row.get(0)?,
                token: Token(row.get(1)?),
                worker: WorkerId(row.get(2)?),
                started: Timestamp(row.get(3)?),
                ended: row.get::<Option<i64>>(4)?.map(Timestamp),
                outcome: row.get::<Option<i64>>(5)?.map(outcome_name),
                detail: detail.and_then(|it| serde_json::from_str(&it).ok()),
            })
        },
    )
}

/// The captured streams of a step's attempts from this token on, oldest attempt first.
pub fn logs(tx: &ReadTx, step: StepId, from: Token) -> Result<Vec<(Token, Log)>> {
    tx.rows(
        "SELECT token, stream, total, body FROM attempt_log WHERE step_id = ?1 AND token >= ?2 ORDER BY token, stream",
        [step.0, from.0],
        |row| {
            let log = Log { stream: row.get(1)?, total: row.get::<i64>(2)? as u64, body: row.get(3)? };
            Ok((Token(row.get(0)?), log))
        },
    )
}

/// For people: why the newest attempt with a recorded reason did not succeed.
pub fn last_reason(tx: &ReadTx, step: StepId) -> Result<Option<String>> {
    let detail = tx.row(
        "SELECT detail FROM attempt WHERE step_id = ?1 AND outcome NOT IN (1, 9, 10) ORDER BY token DESC LIMIT 1",
        [step.0],
        |row| row.get::<String>(0),
    )?;
    Ok(detail.as_deref().and_then(reason))
}

/// Why a step was skipped.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Skip {
    /// The condition, as written in the workflow.
    pub when: String,
    /// The values of the names in it.
    pub values: serde_json::Map<String, serde_json::Value>,
}

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`", self.when)?;
        for (no, (name, value)) in self.values.iter().enumerate() {
            write!(f, "{} {name} = {value}", if no == 0 { " with" } else { "," })?;
        }
        Ok(())
    }
}

/// The condition that skipped a step. None if it had no condition or was not skipped.
pub fn skip_of(tx: &ReadTx, step: StepId) -> Result<Option<Skip>> {
    let detail = tx.row(
        formatcp!(
            "SELECT detail FROM attempt WHERE step_id = ?1 AND outcome = {OUTCOME_SKIPPED} ORDER BY token DESC LIMIT 1"
        ),
        [step.0],
        |row| row.get::<String>(0),
    )?;
    let detail = detail.and_then(|it| serde_json::from_str::<serde_json::Value>(&it).ok());
    Ok(detail.and_then(|it| serde_json::from_value(it["condition"].clone()).ok()))
}

/// The answer that ended the newest attempt of a step, if a person gave one.
pub fn answer_of(tx: &ReadTx, step: StepId) -> Result<Option<Answer>> {
    let detail = tx.row(
        "SELECT json_extract(detail, '$.answer') FROM (SELECT detail FROM attempt WHERE step_id = ?1 ORDER BY token DESC LIMIT 1)",
        [step.0],
        |row| row.get::<Option<String>>(0),
    )?;
    Ok(detail.flatten().and_then(|it| serde_json::from_str(&it).ok()))
}

/// Copies the success stored in the columns of a step into an attempt of its own, because the step runs again.
pub(in crate::store) fn keep_success(tx: &WriteTx, step: StepId, remark: &str) -> Result<()> {
    let detail = serde_json::json!({"outcome": Outcome::Succeeded, "certificate": {"remarks": [remark]}});
    tx.execute(
        formatcp!(
            "INSERT OR IGNORE INTO attempt(step_id, n, token, worker, started, ended, outcome, detail)
             SELECT id, max(attempts, 1), token, worker, started, ended, outcome, ?2 FROM step
              WHERE id = ?1 AND state = {STEP_COMPLETED}"
        ),
        params![step.0, detail.to_string()],
    )?;
    Ok(())
}

/// The outcome of an attempt in words: for `{"outcome": {"outcome": "failed", "message": ..}, ..}`, the message; for the crash
/// that quarantined its step, that it did.
pub fn reason(detail: &str) -> Option<String> {
    let detail: serde_json::Value = serde_json::from_str(detail).ok()?;
    let outcome = detail.get("outcome")?;
    match serde_json::from_value::<Outcome>(outcome.clone()) {
        Ok(outcome @ Outcome::Crashed { .. }) => {
            Some(detail["reason"].as_str().map_or_else(|| outcome.to_string(), str::to_string))
        }
        Ok(outcome) => Some(outcome.to_string()),
        Err(_) => Some(outcome.get("message").or(outcome.get("reason"))?.as_str()?.to_string()),
    }
}
