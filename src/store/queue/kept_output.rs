//! Table `kept_output`: outputs that outlive their steps, and outputs that are waiting to be deleted.
//!
//! SQLite only: JSON functions, `unhex`.

use crate::model::code::{KEEP_DOCUMENT, KEEP_NOTHING};
use crate::model::{GroupId, KeepReason, OutputId, RunId, StepId, Timestamp};
use crate::store::{
    budget::Budget,
    error::Result,
    output::{self, Output, Released},
    params::params,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;
use serde::Serialize;

/// The origin of an output.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Origin {
    pub step: i64,
    pub run: i64,
    pub group: i64,
    pub name: String,
    pub item: String,
    pub ended: i64,
}

/// Takes over the reference that a step or cache entry held.
pub(in crate::store) fn insert(tx: &WriteTx, output: OutputId, why: KeepReason, origin: &Origin) -> Result<()> {
    tx.execute(
        "INSERT INTO kept_output(output_id, why, step_id, run_id, group_id, name, item, ended)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![output.0, why.code(), origin.step, origin.run, origin.group, origin.name, origin.item, origin.ended],
    )?;
    Ok(())
}

/// An output whose step was pruned.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kept {
    pub step: StepId,
    pub run: RunId,
    pub group: GroupId,
    /// The name of the step in its workflow.
    pub name: String,
    pub item: String,
    pub ended: Timestamp,
    #[serde(skip)]
    pub output: Output,
}

/// What is left of a pruned step.
pub fn of_step(tx: &ReadTx, step: StepId) -> Result<Option<Kept>> {
    let found = tx.row(
        "SELECT run_id, group_id, name, item, ended, output_id FROM kept_output WHERE step_id = ?1 AND step_id > 0",
        [step.0],
        |row| {
            let kept = Kept {
                step,
                run: RunId(row.get(0)?),
                group: GroupId(row.get(1)?),
                name: row.get(2)?,
                item: row.get(3)?,
                ended: Timestamp(row.get(4)?),
                output: Output::default(),
            };
            Ok((kept, row.get(5).map(OutputId)?))
        },
    )?;
    let Some((kept, id)) = found else { return Ok(None) };
    Ok(Some(Kept { output: output::get(tx, id)?.unwrap_or_default(), ..kept }))
}

/// Which rows to read after the row `after`.
#[derive(Debug, Clone, Copy)]
pub struct Stale {
    /// Include outputs kept for their own sake, if their steps ended by then.
    pub all_before: Option<Timestamp>,
    /// Include outputs of this group that are kept for their own sake.
    pub all_of: Option<GroupId>,
}

/// The rows of one page that nothing keeps, and the last row that was read; None at the end.
pub fn stale(tx: &ReadTx, which: Stale, after: i64, page: usize) -> Result<(Vec<i64>, Option<i64>)> {
    let rows = tx.rows(
        formatcp!(
            "SELECT k.id, k.why = {KEEP_NOTHING} OR k.ended <= ?2 OR k.group_id = ?3
                OR (k.why = {KEEP_DOCUMENT} AND NOT EXISTS (SELECT 1 FROM document d WHERE d.run_id = k.run_id)
                    AND NOT EXISTS (SELECT 1 FROM content c WHERE c.sha256 = unhex(
                          CASE WHEN json_valid(k.item) THEN json_extract(k.item, '$.sha256') END)))
           FROM kept_output k WHERE k.id > ?1 ORDER BY k.id LIMIT ?4"
        ),
        params![
            after,
            which.all_before.map_or(i64::MIN, |it| it.0),
            which.all_of.map_or(i64::MIN, |it| it.0),
            page as i64
        ],
        |row| Ok((row.get::<i64>(0)?, row.get::<bool>(1)?)),
    )?;
    let last = rows.last().map(|it| it.0).filter(|_| rows.len() == page);
    Ok((rows.into_iter().filter(|it| it.1).map(|it| it.0).collect(), last))
}

/// Deletes stale rows. Returns the number; fewer than given if the slice is full.
pub fn drop_slice(tx: &WriteTx, ids: &[i64], limit: usize) -> Result<usize> {
    let mut budget = Budget::of(limit);
    for (done, id) in ids.iter().enumerate() {
        if !budget.spend(2) {
            return Ok(done);
        }
        let found = tx.row("SELECT output_id FROM kept_output WHERE id = ?1", [id], |row| row.get(0).map(OutputId))?;
        let Some(output) = found else { continue };
        let released = output::release(tx, output, &mut budget)?;
        if released == Released::NotYet {
            // A half-removed output must not be found any more.
            tx.execute(formatcp!("UPDATE kept_output SET why = {KEEP_NOTHING}, step_id = 0 WHERE id = ?1"), [id])?;
            return Ok(done);
        }
        tx.execute("DELETE FROM kept_output WHERE id = ?1", [id])?;
        if released == Released::Last {
            output::remove(tx, output)?;
        }
    }
    Ok(ids.len())
}
