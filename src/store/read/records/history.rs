//! The history of one run, derived from its rows: its start, the attempts of its steps, its hooks and its end.
//!
//! SQLite only: JSON functions.

use super::{run, step};
use crate::model::code::STEP_COMPLETED;
use crate::{
    model::{EventKind, GroupId, RunId, Status, StepId, Timestamp},
    store::{
        attempt::{self, Attempt},
        error::{Error, Result},
        row::Row,
        tx::ReadTx,
    },
};
use const_format::formatcp;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRecord {
    pub event: EventKind,
    /// The hook that ran, or the name of the step.
    pub handler: Option<String>,
    pub group: GroupId,
    pub run: RunId,
    pub step: Option<StepId>,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    pub status: Status,
    pub message: Option<String>,
}

/// In the order of their starts; empty if there is no such run.
pub fn history(tx: &ReadTx, id: RunId) -> Result<Vec<HistoryRecord>> {
    let Some(run) = run::run(tx, id)? else { return Ok(Vec::new()) };
    let base = HistoryRecord {
        event: EventKind::ItemStart,
        handler: None,
        group: run.group,
        run: id,
        step: None,
        started: run.started.unwrap_or(run.created),
        ended: Some(run.started.unwrap_or(run.created)),
        status: Status::Completed,
        message: None,
    };
    let mut found = vec![base.clone()];
    for step in step::steps_of_run(tx, id)? {
        for attempt in attempt::of_step(tx, step.id)? {
            let of_step = HistoryRecord { step: Some(step.id), handler: Some(step.name.clone()), ..base.clone() };
            found.extend(of_attempt(&of_step, &attempt));
        }
    }
    if let Some(ended) = run.ended {
        let failed = run.status == Status::Failed;
        let event = if failed { EventKind::ItemFailed } else { EventKind::ItemEnd };
        let (status, message) = (run.status, run.message.clone());
        found.push(HistoryRecord { event, started: ended, ended: Some(ended), status, message, ..base.clone() });
    }
    found.extend(hooks(tx, &base)?);
    found.sort_by_key(|it| it.started);
    Ok(found)
}

/// The number of records in the histories of a group's runs, once it has ended, including the hooks of the group
/// itself.
pub fn history_size(tx: &ReadTx, group: GroupId) -> Result<i64> {
    let count = |sql| Ok::<i64, Error>(tx.row(sql, [group.0], |row| row.get(0))?.unwrap_or(0));
    let runs = count("SELECT count(*) FROM run WHERE group_id = ?1")?;
    let hooks = count("SELECT count(*) FROM hook WHERE group_id = ?1")?;
    Ok(2 * (runs + count(RECORDED)? + count(UNRECORDED)?) + hooks)
}

// One range of steps per run: with the view of all attempts, each run would scan every table.
/// The attempts of a group that have a row.
pub(crate) const RECORDED: &str = "SELECT count(*) FROM run r CROSS JOIN definition d ON d.id = r.definition_id
    CROSS JOIN attempt a ON a.step_id >= r.first_step AND a.step_id < r.first_step + json_array_length(d.shape, '$.steps')
    WHERE r.group_id = ?1";
/// The attempts that succeeded, which only the step records.
pub(crate) const UNRECORDED: &str = formatcp!(
    "SELECT count(*) FROM run r CROSS JOIN definition d ON d.id = r.definition_id
    CROSS JOIN step s ON s.id >= r.first_step AND s.id < r.first_step + json_array_length(d.shape, '$.steps')
    WHERE r.group_id = ?1 AND s.state = {STEP_COMPLETED} AND s.token IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.step_id = s.id AND a.token = s.token)"
);

/// The start of an attempt and, if it has ended, its end.
fn of_attempt(base: &HistoryRecord, attempt: &Attempt) -> Vec<HistoryRecord> {
    let running = if attempt.ended.is_some() { Status::Completed } else { Status::Running };
    let start = HistoryRecord {
        event: EventKind::StepStart,
        started: attempt.started,
        ended: attempt.ended,
        status: running,
        ..base.clone()
    };
    let Some(ended) = attempt.ended else { return vec![start] };
    let (event, status) = match attempt.outcome {
        Some("succeeded" | "cached") => (EventKind::StepEnd, Status::Completed),
        Some("skipped") => (EventKind::StepSkipped, Status::Skipped),
        Some("cancelled") => (EventKind::StepFailed, Status::Cancelled),
        _ => (EventKind::StepFailed, Status::Failed),
    };
    let message = match status {
        Status::Completed | Status::Skipped => None,
        _ => attempt.detail.as_ref().and_then(|it| attempt::reason(&it.to_string())),
    };
    let end = HistoryRecord { event, started: ended, ended: Some(ended), status, message, ..base.clone() };
    vec![start, end]
}

/// A hook that will be tried again is PENDING.
fn hooks(tx: &ReadTx, base: &HistoryRecord) -> Result<Vec<HistoryRecord>> {
    let read = |row: &Row| {
        let event: String = row.get(0)?;
        let status = match row.get::<String>(3)?.parse().unwrap_or(Status::Pending) {
            Status::Error => Status::Pending,
            Status::Cancelled => Status::Failed,
            status => status,
        };
        let record = HistoryRecord {
            event: event_of(&event),
            handler: Some(row.get(1)?),
            step: Some(row.get::<i64>(2)?).filter(|it| *it > 0).map(StepId),
            status,
            started: Timestamp(row.get(4)?),
            ended: row.get::<Option<i64>>(5)?.map(Timestamp),
            ..base.clone()
        };
        Ok((StepId(row.get(6)?), record))
    };
    let found = tx.rows(
        "SELECT h.event, h.name, h.step_id, v.status, coalesce(l.started, s.started, s.due), s.ended, h.id
           FROM hook h JOIN step s ON s.id = h.id JOIN step_status v ON v.id = h.id LEFT JOIN lease l ON l.step_id = h.id
          WHERE h.group_id = ?1 AND h.run_id = ?2 ORDER BY h.id",
        [base.group.0, base.run.0],
        read,
    )?;
    let with_reason = |(id, record): (StepId, HistoryRecord)| {
        let message = match record.status {
            Status::Completed => None,
            _ => attempt::last_reason(tx, id)?,
        };
        Ok(HistoryRecord { message, ..record })
    };
    found.into_iter().map(with_reason).collect()
}

fn event_of(name: &str) -> EventKind {
    EventKind::from_name(name).unwrap_or(EventKind::HookEnd)
}
