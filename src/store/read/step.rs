//! Steps in a list and in full.
//!
//! SQLite only: JSON functions.

use crate::model::code::OUTCOME_CACHED;
use crate::{
    model::{DefinitionId, GroupId, RunId, Status, StepId, Timestamp, WorkerId},
    store::{
        attempt::{self, Attempt},
        error::{Error, Result},
        hook, output,
        resource_lock::{self, LockRow},
        row::Row,
        run,
        tx::ReadTx,
    },
};
use const_format::formatcp;
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct StepRow {
    pub id: StepId,
    /// Its number and its name in the workflow.
    pub no: i64,
    pub name: String,
    pub step_type: String,
    pub status: Status,
    pub attempts: i64,
    pub failures: i64,
    pub crashes: i64,
    pub worker: Option<WorkerId>,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// Whether its result came from the cache.
    pub cached: bool,
    /// Why its newest attempt failed; null once it is COMPLETED.
    pub error: Option<String>,
}

/// The event behind a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OfHook {
    /// Such as `group_end`.
    pub event: String,
    /// The run and the step of the event, if any.
    pub run: Option<RunId>,
    pub step: Option<StepId>,
    /// Its place among the hooks of its definition.
    #[serde(skip)]
    pub no: usize,
}

/// A step that another step needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct StepNeed {
    pub step: StepId,
    pub name: String,
    pub status: Status,
}

#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct StepDetails {
    #[serde(flatten)]
    pub step: StepRow,
    pub run: RunId,
    pub group: GroupId,
    /// The event behind it, if it is a hook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<OfHook>,
    pub definition: String,
    pub definition_id: DefinitionId,
    pub item: String,
    pub params: serde_json::Value,
    pub priority: i64,
    pub due: Timestamp,
    /// Whether an engine crashed while it was running. Its next attempt runs in a separate process.
    pub suspect: bool,
    pub key: Option<String>,
    /// The current holder of the key, this step or another.
    pub lock: Option<LockRow>,
    pub needs: Vec<StepNeed>,
    pub attempts_all: Vec<Attempt>,
    pub output: Option<serde_json::Value>,
    /// (name, SHA-256) of the files that it produced.
    pub files: Vec<(String, String)>,
    /// (name, target) of the symbolic links among them.
    pub links: Vec<(String, String)>,
}

const COLUMNS: &str = formatcp!(
    "s.id, s.no,
    CASE WHEN s.group_id < 0 THEN (SELECT h.name FROM hook h WHERE h.id = s.id)
         ELSE coalesce(json_extract(w.body, '$.steps[' || s.no || '].name'), t.name) END, t.name, v.status,
    s.attempts + (l.step_id IS NOT NULL), s.failures, s.crashes, coalesce(l.worker, s.worker),
    coalesce(l.started, s.started, (SELECT x.started FROM waiting x WHERE x.step_id = s.id)), s.ended, s.outcome = {OUTCOME_CACHED}
   FROM step s JOIN step_status v ON v.id = s.id JOIN run r ON r.id = s.run_id
   JOIN definition w ON w.id = r.definition_id JOIN step_type t ON t.id = s.type_id
   LEFT JOIN lease l ON l.step_id = s.id"
);

fn read(row: &Row) -> Result<StepRow> {
    Ok(StepRow {
        id: StepId(row.get(0)?),
        no: row.get(1)?,
        name: row.get(2)?,
        step_type: row.get(3)?,
        status: row.get::<String>(4)?.parse().unwrap_or(Status::Pending),
        attempts: row.get(5)?,
        failures: row.get(6)?,
        crashes: row.get(7)?,
        worker: row.get::<Option<i64>>(8)?.map(WorkerId),
        started: row.get::<Option<i64>>(9)?.map(Timestamp),
        ended: row.get::<Option<i64>>(10)?.map(Timestamp),
        cached: row.get::<Option<bool>>(11)?.unwrap_or(false),
        error: None,
    })
}

fn with_error(tx: &ReadTx, step: StepRow) -> Result<StepRow> {
    let error = match step.status {
        Status::Completed | Status::Skipped => None,
        _ => attempt::last_reason(tx, step.id)?,
    };
    Ok(StepRow { error, ..step })
}

pub(super) fn steps_of_run(tx: &ReadTx, id: RunId) -> Result<Vec<StepRow>> {
    let (first, end) = run::step_range(tx, id)?.ok_or_else(|| Error::not_found(id))?;
    let sql = format!("SELECT {COLUMNS} WHERE s.id >= ?1 AND s.id < ?2 ORDER BY s.id");
    tx.rows(&sql, [first.0, end.0], read)?.into_iter().map(|step| with_error(tx, step)).collect()
}

/// The status of one step.
/// A running step: which one of which definition it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningStep {
    pub step: StepId,
    pub definition: DefinitionId,
    pub no: usize,
}

/// Steps that run now, the oldest first.
pub fn running_steps(tx: &ReadTx, limit: usize) -> Result<Vec<RunningStep>> {
    tx.rows(
        "SELECT l.step_id, r.definition_id, s.no FROM lease l JOIN step s ON s.id = l.step_id JOIN run r ON r.id = l.run_id
          ORDER BY l.started LIMIT ?1",
        [limit as i64],
        |row| {
            let no = row.get::<i64>(2)?.max(0) as usize;
            Ok(RunningStep { step: StepId(row.get(0)?), definition: DefinitionId(row.get(1)?), no })
        },
    )
}

pub fn status_of_step(tx: &ReadTx, id: StepId) -> Result<Status> {
    let status = tx.row("SELECT status FROM step_status WHERE id = ?1", [id.0], |row| row.get::<String>(0))?;
    let status = status.ok_or_else(|| Error::not_found(id))?;
    status.parse().map_err(|reason| Error::Sqlite { reason })
}

/// The run of a step.
pub fn run_of_step(tx: &ReadTx, id: StepId) -> Result<RunId> {
    let run = tx.row("SELECT run_id FROM step WHERE id = ?1", [id.0], |row| row.get(0).map(RunId))?;
    run.ok_or_else(|| Error::not_found(id))
}

/// The step whose result another step took from the cache. `None` if that step has been pruned, or if the result did
/// not come from the cache. Scans all steps.
pub fn cached_from(tx: &ReadTx, id: StepId) -> Result<Option<StepId>> {
    tx.row(
        formatcp!(
            "SELECT o.id FROM step s JOIN step o ON o.output_id = s.output_id AND o.outcome <> {OUTCOME_CACHED}
              WHERE s.id = ?1 AND s.outcome = {OUTCOME_CACHED} ORDER BY o.id LIMIT 1"
        ),
        [id.0],
        |row| row.get(0).map(StepId),
    )
}

/// A step by its id, without its attempts.
pub(super) fn find(tx: &ReadTx, id: StepId) -> Result<StepRow> {
    let sql = format!("SELECT {COLUMNS} WHERE s.id = ?1");
    let step = tx.row(&sql, [id.0], read)?.ok_or_else(|| Error::not_found(id))?;
    with_error(tx, step)
}

/// The direct needs of a step, with their status.
pub(super) fn needs(tx: &ReadTx, id: StepId) -> Result<Vec<StepNeed>> {
    let ids = tx.rows(
        "SELECT r.first_step + n.value FROM step s JOIN run r ON r.id = s.run_id
           JOIN definition d ON d.id = r.definition_id, json_each(d.shape, '$.steps[' || s.no || '].needs') n
          WHERE s.id = ?1 ORDER BY n.value",
        [id.0],
        |row| row.get(0).map(StepId),
    )?;
    ids.into_iter()
        .map(|id| {
            let step = find(tx, id)?;
            Ok(StepNeed { step: step.id, name: step.name, status: step.status })
        })
        .collect()
}

/// A step in full.
pub fn show_step(tx: &ReadTx, id: StepId) -> Result<StepDetails> {
    let step = find(tx, id)?;
    let found = tx.row(
        "SELECT s.run_id, s.group_id, w.name, w.id, coalesce(i.item, ''), d.params, s.priority, s.due, s.suspect > 0,
                k.name, s.key_id
           FROM step s JOIN run r ON r.id = s.run_id JOIN definition w ON w.id = r.definition_id
           JOIN group_detail d ON d.group_id = s.group_id LEFT JOIN item i ON i.run_id = s.run_id
           LEFT JOIN resource_key k ON k.id = s.key_id WHERE s.id = ?1",
        [id.0],
        |row| {
            Ok(StepDetails {
                step,
                run: RunId(row.get(0)?),
                group: GroupId(row.get::<i64>(1)?).owner(),
                definition: row.get(2)?,
                definition_id: DefinitionId(row.get(3)?),
                item: row.get(4)?,
                params: serde_json::from_str(&row.get::<String>(5)?).unwrap_or_default(),
                priority: row.get(6)?,
                due: Timestamp(row.get(7)?),
                suspect: row.get(8)?,
                key: row.get(9)?,
                lock: None,
                hook: None,
                needs: vec![],
                attempts_all: vec![],
                output: None,
                files: vec![],
                links: vec![],
            })
        },
    )?;
    let mut details = found.ok_or_else(|| Error::not_found(id))?;
    if let Some(hook) = hook::of_step(tx, id)? {
        let owner = "SELECT w.name, d.params, coalesce(i.item, '') FROM definition w, group_detail d
                       LEFT JOIN item i ON i.run_id = ?3 WHERE w.id = ?1 AND d.group_id = ?2";
        let run = hook.run.map_or(0, |it| it.0);
        let owner = tx.row(owner, [hook.definition.0, hook.group.0, run], |row| {
            Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<String>(2)?))
        })?;
        if let Some((definition, params, item)) = owner {
            details.definition = definition;
            details.definition_id = hook.definition;
            details.params = serde_json::from_str(&params).unwrap_or_default();
            details.item = item;
        }
        details.hook = Some(OfHook { event: hook.event, run: hook.run, step: hook.step, no: hook.no });
    }
    details.lock = match &details.key {
        Some(key) => resource_lock::holder_of(tx, key)?,
        None => None,
    };
    details.needs = needs(tx, id)?;
    details.attempts_all = attempt::of_step(tx, id)?;
    if let Some(output) = output::of_step(tx, id)? {
        details.output = output.value;
        details.links = output.links;
        details.files = output.files.into_iter().map(|(name, file)| (name, file.hash.to_string())).collect();
    }
    Ok(details)
}
