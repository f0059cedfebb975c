//! The facts about a run and its group that a retry needs, and its changes to the group.

use crate::model::code::{PHASE_LIVE, PHASE_PRUNING};
use crate::model::{GroupId, RunId};
use crate::store::{
    concurrency,
    error::{Error, Result},
    params::params,
    tx::WriteTx,
};
use const_format::formatcp;

/// Whether all runs of an ended group are placed immediately. If groups must not overlap, or the number of open runs is
/// limited, runs are placed when their turn comes.
pub(in crate::store) const OPENED: &str =
    "UPDATE group_detail SET opened = CASE WHEN concurrency = '' AND NOT EXISTS (SELECT 1 FROM child_group c
    WHERE c.group_id = group_detail.group_id AND c.at_most IS NOT NULL) THEN open_until ELSE 0 END WHERE group_id = ?1";

/// The state of a run and its group.
pub(in crate::store) struct Facts {
    pub group: GroupId,
    pub run: RunId,
    pub ended: bool,
    pub lost: i64,
    pub phase: i64,
    pub cancelling: bool,
    pub group_ended: bool,
    pub opened: bool,
    /// Whether its group must not overlap with others.
    pub concurrency: bool,
}

pub(in crate::store) fn facts(tx: &WriteTx, run: RunId) -> Result<Facts> {
    tx.row(
        formatcp!("SELECT r.group_id, r.ended IS NOT NULL, r.failed + r.cancelled, g.phase, g.cancelling, g.ended IS NOT NULL,
                d.opened >= r.id, d.concurrency <> ''
           FROM run r JOIN run_group g ON g.id = r.group_id JOIN group_detail d ON d.group_id = g.id
          WHERE r.id = ?1 AND g.phase < {PHASE_PRUNING}"),
        [run.0],
        |row| {
            Ok(Facts {
                group: GroupId(row.get(0)?),
                run,
                ended: row.get(1)?,
                lost: row.get(2)?,
                phase: row.get(3)?,
                cancelling: row.get(4)?,
                group_ended: row.get(5)?,
                opened: row.get(6)?,
                concurrency: row.get(7)?,
            })
        },
    )?
    .ok_or_else(|| Error::not_found(run))
}

impl Facts {
    /// Whether ready steps are placed immediately. Otherwise the opening of the group does it.
    pub(in crate::store) fn places(&self) -> bool {
        if self.group_ended { !self.concurrency } else { self.opened }
    }

    pub(in crate::store) fn refuse_unless_still(&self) -> Result<()> {
        let group = self.group;
        if self.cancelling {
            return Err(Error::conflict(format!("{group} is being cancelled: wait until it has ended")));
        }
        if self.phase != PHASE_LIVE {
            return Err(Error::conflict(format!("{group} is being submitted or retried: try again in a moment")));
        }
        Ok(())
    }
}

/// Starts a new epoch. It distinguishes hooks and group ends, so that a second end is reported again.
pub(in crate::store) fn begin_epoch(tx: &WriteTx, facts: &Facts) -> Result<()> {
    tx.execute("UPDATE run_group SET epoch = epoch + 1, ended = NULL WHERE id = ?1", [facts.group.0])?;
    if facts.group_ended {
        tx.execute(OPENED, [facts.group.0])?;
        concurrency::enter_again(tx, facts.group)?;
        tx.memory().opening.push(facts.group);
    }
    Ok(())
}

/// Counts one more open run in the group. Must be called while the row of the run still says how it ended.
pub(in crate::store) fn count_reopened(tx: &WriteTx, run: RunId, group: GroupId) -> Result<()> {
    tx.execute(
        "UPDATE run_group SET unfinished = unfinished + 1,
                failed = failed - (SELECT failed > 0 FROM run WHERE id = ?2),
                cancelled = cancelled - (SELECT failed = 0 AND cancelled > 0 FROM run WHERE id = ?2) WHERE id = ?1",
        params![group.0, run.0],
    )?;
    Ok(())
}
