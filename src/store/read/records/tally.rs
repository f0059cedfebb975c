//! The number of a group's runs by status, from the group's own counters and the small tables of live steps.

use crate::model::code::{PHASE_BUILDING, PHASE_PRUNING, PHASE_REOPENING, STEP_COMPLETED};
use crate::{
    model::{GroupId, RunId, Status},
    store::{error::Result, row::Row, tx::ReadTx},
};
use const_format::formatcp;
use std::collections::{BTreeSet, HashMap};

/// Runs by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub pending: i64,
    pub running: i64,
    pub completed: i64,
    pub error: i64,
    pub failed: i64,
    pub cancelled: i64,
}

impl Tally {
    pub fn of(&self, status: Status) -> i64 {
        match status {
            Status::Pending => self.pending,
            Status::Running => self.running,
            Status::Completed => self.completed,
            Status::Error => self.error,
            Status::Failed => self.failed,
            Status::Cancelled => self.cancelled,
            // Only steps are ever SKIPPED; runs that are WAITING count as PENDING here.
            Status::Skipped | Status::Waiting => 0,
        }
    }

    pub fn runs(&self) -> i64 {
        Status::ALL.into_iter().map(|it| self.of(it)).sum()
    }

    fn add(&mut self, other: &Tally) {
        self.pending += other.pending;
        self.running += other.running;
        self.completed += other.completed;
        self.error += other.error;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
    }
}

/// The runs that are running or waiting for a retry, by group.
#[derive(Debug, Default)]
pub(super) struct Live {
    running: HashMap<GroupId, BTreeSet<RunId>>,
    error: HashMap<GroupId, BTreeSet<RunId>>,
}

impl Live {
    pub(super) fn read(tx: &ReadTx) -> Result<Live> {
        let pair = |row: &Row| Ok((GroupId(row.get(0)?), RunId(row.get(1)?)));
        let mut live = Live::default();
        for (group, run) in tx.rows("SELECT group_id, run_id FROM lease WHERE group_id > 0", [], pair)? {
            live.running.entry(group).or_default().insert(run);
        }
        let error = formatcp!(
            "SELECT DISTINCT group_id, run_id FROM step WHERE failures + crashes > 0
                AND state < {STEP_COMPLETED} AND group_id > 0"
        );
        for (group, run) in tx.rows(error, [], pair)? {
            if !live.running.get(&group).is_some_and(|it| it.contains(&run)) {
                live.error.entry(group).or_default().insert(run);
            }
        }
        Ok(live)
    }

    /// The runs of a group that are RUNNING or in ERROR.
    pub(super) fn of(&self, group: GroupId, status: Status) -> Option<&BTreeSet<RunId>> {
        match status {
            Status::Running => self.running.get(&group),
            Status::Error => self.error.get(&group),
            _ => None,
        }
    }

    fn counts(&self) -> (i64, i64) {
        let sum = |it: &HashMap<GroupId, BTreeSet<RunId>>| it.values().map(|runs| runs.len() as i64).sum();
        (sum(&self.running), sum(&self.error))
    }
}

/// The columns of a group that determine its tally: runs, open, failed, cancelled.
pub(super) const COUNTS: &str =
    formatcp!("d.runs, g.unfinished - (g.phase IN ({PHASE_BUILDING}, {PHASE_REOPENING})), g.failed, g.cancelled");

pub(super) fn tally(live: &Live, group: GroupId, counts: [i64; 4]) -> Tally {
    let count = |status| live.of(group, status).map_or(0, |it| it.len() as i64);
    of_counts(counts, count(Status::Running), count(Status::Error))
}

fn of_counts([runs, open, failed, cancelled]: [i64; 4], running: i64, error: i64) -> Tally {
    Tally {
        pending: (open - running - error).max(0),
        running,
        completed: runs - open - failed - cancelled,
        error,
        failed,
        cancelled,
    }
}

pub(super) fn counts(row: &Row, from: usize) -> Result<[i64; 4]> {
    Ok([row.get(from)?, row.get(from + 1)?, row.get(from + 2)?, row.get(from + 3)?])
}

/// The tally of all runs.
pub(super) fn tally_of_all(tx: &ReadTx, live: &Live) -> Result<Tally> {
    let counted = tx.row(
        formatcp!(
            "SELECT coalesce(sum(d.runs), 0), coalesce(sum(g.unfinished - (g.phase IN ({PHASE_BUILDING},
                  {PHASE_REOPENING}))), 0),
                coalesce(sum(g.failed), 0), coalesce(sum(g.cancelled), 0)
           FROM run_group g JOIN group_detail d ON d.group_id = g.id WHERE g.id > 0 AND g.phase < {PHASE_PRUNING}"
        ),
        [],
        |row| counts(row, 0),
    )?;
    let (running, error) = live.counts();
    Ok(of_counts(counted.unwrap_or_default(), running, error))
}

/// The runs of a group; `None` if there is no such group.
pub fn tally_of_group(tx: &ReadTx, group: GroupId) -> Result<Option<Tally>> {
    let sql = format!(
        "SELECT {COUNTS} FROM run_group g JOIN group_detail d ON d.group_id = g.id WHERE g.id = ?1
                  AND g.phase < {PHASE_PRUNING}"
    );
    match tx.row(&sql, [group.0], |row| counts(row, 0))? {
        Some(found) => Ok(Some(tally(&Live::read(tx)?, group, found))),
        None => Ok(None),
    }
}

/// The runs of all groups that work on a batch.
pub fn tally_of_batch(tx: &ReadTx, batch: i64) -> Result<Tally> {
    of_batch(tx, &Live::read(tx)?, batch)
}

pub(super) fn of_batch(tx: &ReadTx, live: &Live, batch: i64) -> Result<Tally> {
    let sql = format!(
        "SELECT g.id, {COUNTS} FROM batch_group l JOIN run_group g ON g.id = l.group_id
           JOIN group_detail d ON d.group_id = l.group_id WHERE l.batch_id = ?1 AND g.phase < {PHASE_PRUNING}"
    );
    let mut sum = Tally::default();
    for (group, found) in tx.rows(&sql, [batch], |row| Ok((GroupId(row.get(0)?), counts(row, 1)?)))? {
        sum.add(&tally(live, group, found));
    }
    Ok(sum)
}
