//! The progress of a group, cheap enough to read five times a second.
//!
//! SQLite only: JSON functions.

use crate::model::code::{PHASE_LIVE, STEP_COMPLETED, STEP_FAILED, STEP_SKIPPED};
use crate::{
    model::{EventKind, GroupId, RunId, Timestamp},
    store::{
        collect,
        error::{Error, Result},
        event::{self, Cursor},
        group,
        params::params,
        tx::ReadTx,
    },
};
use const_format::formatcp;
use serde::Serialize;
use std::collections::HashMap;

/// The counters that the engine maintains for each group. Reads two rows and the leases, whatever the size of the
/// group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Progress {
    pub runs: i64,
    /// Runs that have ended, with any status.
    pub ended: i64,
    pub failed: i64,
    pub cancelled: i64,
    /// Running steps, with those of the groups that its steps started.
    pub running: i64,
    pub ended_at: Option<Timestamp>,
}

pub fn progress(tx: &ReadTx, id: GroupId) -> Result<Progress> {
    tx.row(
        formatcp!(
            "SELECT d.runs, d.runs - (g.unfinished - (g.phase > {PHASE_LIVE})), g.failed, g.cancelled,
                (WITH RECURSIVE up(id) AS (SELECT group_id FROM lease
                   UNION ALL SELECT c.parent FROM up u JOIN child_group c ON c.group_id = u.id)
                 SELECT count(*) FROM up WHERE id = ?1), g.ended
           FROM run_group g JOIN group_detail d ON d.group_id = g.id WHERE g.id = ?1"
        ),
        [id.0],
        |row| {
            Ok(Progress {
                runs: row.get(0)?,
                ended: row.get(1)?,
                failed: row.get(2)?,
                cancelled: row.get(3)?,
                running: row.get(4)?,
                ended_at: row.get::<Option<i64>>(5)?.map(Timestamp),
            })
        },
    )?
    .ok_or_else(|| Error::not_found(id))
}

/// The names of the steps of a group, in the order of its workflow.
pub fn step_names(tx: &ReadTx, id: GroupId) -> Result<Vec<String>> {
    let definition = group::detail(tx, id)?.definition;
    tx.rows(
        "SELECT coalesce(json_extract(d.body, '$.steps[' || s.key || '].name'), json_extract(s.value, '$.type'))
           FROM definition d, json_each(d.shape, '$.steps') s WHERE d.id = ?1 ORDER BY s.key",
        [definition.0],
        |row| row.get(0),
    )
}

/// How the steps with one number in the workflow ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct StepTally {
    pub name: String,
    pub completed: i64,
    pub failed: i64,
    pub skipped: i64,
}

/// Counts per step of the workflow. `begin` counts them once; after that, only new events are read.
#[derive(Debug, Clone)]
pub struct Tally {
    group: GroupId,
    /// The run of the steps that follow all runs: it is not counted.
    collect: Option<RunId>,
    cursor: Cursor,
    pub steps: Vec<StepTally>,
}

const BATCHES: usize = 10_000;

impl Tally {
    /// Counts the group's steps once.
    pub fn begin(tx: &ReadTx, id: GroupId) -> Result<Tally> {
        let names = step_names(tx, id)?;
        let mut steps: Vec<StepTally> =
            names.into_iter().map(|name| StepTally { name, ..StepTally::default() }).collect();
        let counts = tx.rows(
            formatcp!(
                "SELECT s.no, sum(s.state = {STEP_COMPLETED}), sum(s.state = {STEP_FAILED}), sum(s.state = {STEP_SKIPPED})
                      FROM run r CROSS JOIN step s
              WHERE r.group_id = ?1 AND r.id IS NOT (SELECT run_id FROM collect WHERE group_id = ?1)
                AND s.id >= r.first_step AND s.id < r.first_step + ?2 GROUP BY s.no"
            ),
            params![id.0, steps.len() as i64],
            |row| Ok((row.get::<i64>(0)? as usize, row.get::<i64>(1)?, row.get::<i64>(2)?, row.get::<i64>(3)?)),
        )?;
        for (no, completed, failed, skipped) in counts {
            if let Some(step) = steps.get_mut(no) {
                step.completed = completed;
                step.failed = failed;
                step.skipped = skipped;
            }
        }
        Ok(Tally { group: id, collect: collect::run_of(tx, id)?, cursor: event::newest(tx)?, steps })
    }

    /// Reads the events since the last call.
    pub fn advance(&mut self, tx: &ReadTx) -> Result<()> {
        let mut number = HashMap::new();
        loop {
            let events = event::after(tx, self.cursor, BATCHES)?;
            let Some((last, _)) = events.last() else { return Ok(()) };
            let last = *last;
            for (_, event) in events.into_iter().filter(|(_, it)| it.group == Some(self.group)) {
                if event.kind == EventKind::Retry {
                    // Failed steps were retried, so count again.
                    *self = Tally::begin(tx, self.group)?;
                    return Ok(());
                }
                let (Some(run), Some(step)) = (event.run.filter(|it| Some(*it) != self.collect), event.step) else {
                    continue;
                };
                let count: fn(&mut StepTally) -> &mut i64 = match event.kind {
                    EventKind::StepEnd => |it| &mut it.completed,
                    EventKind::StepFailed => |it| &mut it.failed,
                    EventKind::StepSkipped => |it| &mut it.skipped,
                    _ => continue,
                };
                let first = match number.get(&run) {
                    Some(first) => *first,
                    None => {
                        let found = tx.row("SELECT first_step FROM run WHERE id = ?1", [run.0], |row| row.get(0))?;
                        *number.entry(run).or_insert(found.unwrap_or(step.0))
                    }
                };
                if let Some(tally) = self.steps.get_mut((step.0 - first) as usize) {
                    *count(tally) += 1;
                }
            }
            self.cursor = last;
        }
    }
}
