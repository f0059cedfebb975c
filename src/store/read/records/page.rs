//! Pages of runs, newest first.

use super::{
    run::{self, Place, RunRecord},
    tally::{self, COUNTS, Live, Tally},
};
use crate::model::code::{PHASE_PRUNING, STEP_COMPLETED};
use crate::{
    model::{GroupId, RunId, Status},
    store::{error::Result, params::params, tx::ReadTx},
};
use const_format::formatcp;

/// Which runs to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Runs of the groups that work on this batch; `None`: all runs.
    pub batch: Option<i64>,
    pub status: Option<Status>,
}

impl Wanted {
    fn of(&self, tally: &Tally) -> i64 {
        self.status.map_or(tally.runs(), |it| tally.of(it))
    }
}

/// The number of runs, from counters.
pub fn total(tx: &ReadTx, wanted: &Wanted) -> Result<i64> {
    let live = Live::read(tx)?;
    let tally = match wanted.batch {
        Some(batch) => tally::of_batch(tx, &live, batch)?,
        None => tally::tally_of_all(tx, &live)?,
    };
    Ok(wanted.of(&tally))
}

/// Up to `limit` runs after the first `offset`.
pub fn page(tx: &ReadTx, wanted: &Wanted, offset: i64, limit: i64) -> Result<Vec<RunRecord>> {
    let live = Live::read(tx)?;
    let (mut offset, mut found) = (offset, Vec::new());
    let mut before = i64::MAX;
    while (found.len() as i64) < limit {
        let groups = groups(tx, wanted.batch, before)?;
        let Some((last, _)) = groups.last() else { break };
        before = last.0;
        for (group, counts) in groups {
            let tally = tally::tally(&live, group, counts);
            let count = wanted.of(&tally);
            if offset >= count {
                offset -= count;
                continue;
            }
            let missing = limit - found.len() as i64;
            if missing == 0 {
                break;
            }
            let part = Part { group, count, offset, limit: missing };
            found.extend(part.ids(tx, &live, wanted.status)?);
            offset = 0;
        }
    }
    found.into_iter().filter_map(|id| run::run(tx, id).transpose()).collect()
}

const GROUPS: i64 = 500;

fn groups(tx: &ReadTx, batch: Option<i64>, before: i64) -> Result<Vec<(GroupId, [i64; 4])>> {
    let from = match batch {
        Some(_) => "batch_group l JOIN run_group g ON g.id = l.group_id AND l.batch_id = ?3",
        None => "run_group g",
    };
    let sql = format!(
        "SELECT g.id, {COUNTS} FROM {from} JOIN group_detail d ON d.group_id = g.id
          WHERE g.id < ?1 AND g.id > 0 AND g.phase < {PHASE_PRUNING} AND ?3 IS ?3 ORDER BY g.id DESC LIMIT ?2"
    );
    tx.rows(&sql, params![before, GROUPS, batch], |row| Ok((GroupId(row.get(0)?), tally::counts(row, 1)?)))
}

/// A slice of the runs of one group with a status. There are `count` such runs.
struct Part {
    group: GroupId,
    count: i64,
    offset: i64,
    limit: i64,
}

impl Part {
    fn ids(&self, tx: &ReadTx, live: &Live, status: Option<Status>) -> Result<Vec<RunId>> {
        let condition = match condition(status) {
            Some(condition) => condition,
            None => {
                let runs = live.of(self.group, status.unwrap_or(Status::Running)).into_iter().flatten().rev().copied();
                return Ok(runs.skip(self.offset as usize).take(self.limit as usize).collect());
            }
        };
        // Read from the nearer end: otherwise a late page of a large group would scan most of it.
        let rest = self.count - self.offset - self.limit;
        let (order, offset, limit) = match rest < self.offset {
            false => ("DESC", self.offset, self.limit),
            true => ("ASC", rest.max(0), self.limit + rest.min(0)),
        };
        let sql =
            format!("SELECT id FROM run WHERE group_id = ?1 AND {condition} ORDER BY id {order} LIMIT ?2 OFFSET ?3");
        let mut ids = tx.rows(&sql, params![self.group.0, limit, offset], |row| row.get(0).map(RunId))?;
        if order == "ASC" {
            ids.reverse();
        }
        Ok(ids)
    }
}

/// Returns `None` if the small tables identify such runs.
fn condition(status: Option<Status>) -> Option<&'static str> {
    Some(match status {
        None => "1",
        Some(Status::Completed) => "ended IS NOT NULL AND failed = 0 AND cancelled = 0",
        Some(Status::Failed) => "failed + cancelled > 0 AND failed > 0 AND ended IS NOT NULL",
        Some(Status::Cancelled) => "failed + cancelled > 0 AND failed = 0 AND ended IS NOT NULL",
        // Only steps can be SKIPPED. WAITING runs count as PENDING here.
        Some(Status::Skipped | Status::Waiting) => "0",
        Some(Status::Pending) => {
            formatcp!(
                "ended IS NULL AND id NOT IN (SELECT run_id FROM lease)
             AND id NOT IN (SELECT run_id FROM step WHERE failures + crashes > 0 AND state < {STEP_COMPLETED})"
            )
        }
        Some(Status::Running | Status::Error) => return None,
    })
}

/// The place before the newest run.
pub const NEWEST: Place = (GroupId(i64::MAX - 1), RunId(i64::MAX));

/// Up to `limit` runs after a place, and where to continue, `None` at the end. New runs don't shift the pages.
pub fn older(tx: &ReadTx, wanted: &Wanted, from: Place, limit: usize) -> Result<(Vec<RunRecord>, Option<Place>)> {
    let live = Live::read(tx)?;
    let mut found: Vec<RunRecord> = Vec::new();
    let (mut group_before, run_before) = (from.0.0 + 1, from.1);
    loop {
        let groups = groups(tx, wanted.batch, group_before)?;
        let Some((last, _)) = groups.last() else { return Ok((found, None)) };
        group_before = last.0;
        for (group, counts) in groups {
            if wanted.of(&tally::tally(&live, group, counts)) == 0 {
                continue;
            }
            let before = if group == from.0 { run_before } else { RunId(i64::MAX) };
            let missing = limit - found.len();
            let ids = match condition(wanted.status) {
                Some(condition) => tx.rows(
                    &format!(
                        "SELECT id FROM run WHERE group_id = ?1 AND id < ?2 AND {condition} ORDER BY id DESC LIMIT ?3"
                    ),
                    params![group.0, before.0, missing as i64],
                    |row| row.get(0).map(RunId),
                )?,
                None => {
                    let runs = live.of(group, wanted.status.unwrap_or(Status::Running)).into_iter().flatten().rev();
                    runs.copied().filter(|it| *it < before).take(missing).collect()
                }
            };
            for id in ids {
                found.extend(run::run(tx, id)?);
            }
            if found.len() >= limit {
                let place = found.last().map(|it| (it.group, it.id));
                return Ok((found, place));
            }
        }
    }
}
