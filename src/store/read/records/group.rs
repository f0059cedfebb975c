//! Groups as flat records.

use super::tally::{self, COUNTS, Live};
use crate::decide::status::{self, Facts};
use crate::model::code::PHASE_PRUNING;
use crate::{
    model::{GroupId, Status, Timestamp},
    store::{error::Result, params::Params, params::params, tx::ReadTx},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRecord {
    pub id: GroupId,
    pub name: String,
    /// The id of its workflow, as in the workflow file.
    pub definition: String,
    /// The id of the parameter set, for a group of a batch.
    pub params: Option<String>,
    pub batch: Option<i64>,
    pub created: Timestamp,
    pub ended: Option<Timestamp>,
    pub status: Status,
    pub failed: i64,
    pub runs: i64,
}

fn select(tx: &ReadTx, condition: &str, params: impl Params) -> Result<Vec<GroupRecord>> {
    let live = Live::read(tx)?;
    let sql = format!(
        "SELECT g.id, d.name, w.name, l.params, l.batch_id, d.created, g.ended, {COUNTS}
           FROM run_group g JOIN group_detail d ON d.group_id = g.id JOIN definition w ON w.id = d.definition_id
           LEFT JOIN batch_group l ON l.group_id = g.id WHERE g.id > 0 AND g.phase < {PHASE_PRUNING} AND {condition}"
    );
    tx.rows(&sql, params, |row| {
        let id = GroupId(row.get(0)?);
        let tally = tally::tally(&live, id, tally::counts(row, 7)?);
        let ended = row.get::<Option<i64>>(6)?.map(Timestamp);
        let status = status::of(&Facts {
            ended: ended.is_some(),
            failed: tally.failed > 0,
            cancelled: tally.cancelled > 0,
            under_way: tally.pending < tally.runs(),
            // The ingestion API has no such status.
            waiting: false,
            to_be_retried: false,
        });
        Ok(GroupRecord {
            id,
            name: row.get(1)?,
            definition: row.get(2)?,
            params: row.get(3)?,
            batch: row.get(4)?,
            created: Timestamp(row.get(5)?),
            ended,
            status,
            failed: tally.failed,
            runs: tally.runs(),
        })
    })
}

/// Returns `None` if there is no such group.
pub fn group(tx: &ReadTx, id: GroupId) -> Result<Option<GroupRecord>> {
    Ok(select(tx, "g.id = ?1", [id.0])?.pop())
}

/// Groups before the group `before`, newest first: of a batch, or all.
pub fn groups(tx: &ReadTx, batch: Option<i64>, before: GroupId, limit: usize) -> Result<Vec<GroupRecord>> {
    let order = "ORDER BY g.id DESC LIMIT ?2";
    match batch {
        Some(batch) => {
            let condition = format!("g.id < ?1 AND l.batch_id = ?3 {order}");
            select(tx, &condition, params![before.0, limit as i64, batch])
        }
        None => select(tx, &format!("g.id < ?1 {order}"), params![before.0, limit as i64]),
    }
}
