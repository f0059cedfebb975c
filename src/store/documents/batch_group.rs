//! Tables `batch_group` and `content_run`: the groups that work on a batch, and their runs by content.

use crate::model::code::{PHASE_LIVE, PHASE_REOPENING};
use crate::model::{ArtifactHash, GroupId, RunId};
use crate::store::{
    error::Result,
    params::params,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;

/// The batch that a group works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfBatch {
    pub batch: i64,
    /// The id of the parameter set.
    pub params: String,
}

pub(in crate::store) fn insert(tx: &WriteTx, group: GroupId, of: &OfBatch) -> Result<()> {
    tx.execute(
        "INSERT INTO batch_group(group_id, batch_id, params) VALUES (?1, ?2, ?3)",
        params![group.0, of.batch, of.params],
    )?;
    Ok(())
}

pub(in crate::store) fn insert_run(tx: &WriteTx, run: RunId, content: &ArtifactHash) -> Result<()> {
    tx.execute("INSERT INTO content_run(sha256, run_id) VALUES (?1, ?2)", params![content.0, run.0])?;
    Ok(())
}

/// Groups of a batch with this workflow and these parameters, newest first.
pub fn alike(tx: &ReadTx, batch: i64, definition: &str, params: &str) -> Result<Vec<GroupId>> {
    tx.rows(
        formatcp!(
            "SELECT l.group_id FROM batch_group l JOIN group_detail d ON d.group_id = l.group_id
           JOIN definition f ON f.id = d.definition_id JOIN run_group g ON g.id = l.group_id
          WHERE l.batch_id = ?1 AND f.name = ?2 AND l.params = ?3
          AND g.phase IN ({PHASE_LIVE}, {PHASE_REOPENING}) ORDER BY l.group_id DESC"
        ),
        params![batch, definition, params],
        |row| row.get(0).map(GroupId),
    )
}

/// Whether one of these groups has a run for the content.
pub fn has_run(tx: &ReadTx, groups: &[GroupId], content: &ArtifactHash) -> Result<bool> {
    let found = tx.rows(
        "SELECT r.group_id FROM content_run c JOIN run r ON r.id = c.run_id WHERE c.sha256 = ?1",
        [content.0],
        |row| row.get(0).map(GroupId),
    )?;
    Ok(found.iter().any(|it| groups.contains(it)))
}
