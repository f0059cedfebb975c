//! Deleting runs that have ended, with all that hangs on them: steps, attempts, what they printed, hooks, and outputs that
//! nobody else uses.

use super::{
    error::{Error, Result},
    tx::WriteTx,
};
use crate::model::{ArtifactHash, GroupId, RunId};
use rusqlite::params;

/// Rows that went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gone {
    pub runs: i64,
    pub steps: i64,
    pub attempts: i64,
    pub hooks: i64,
}

/// Deletes a run and takes it out of its group's counts. `files` gets the artifacts that nothing refers to any more.
pub(super) fn remove(tx: &WriteTx, run: RunId, files: &mut Vec<ArtifactHash>) -> Result<Gone> {
    let found = tx.row(
        "SELECT r.group_id, r.first_step, r.first_step + json_array_length(d.shape, '$.steps'), r.failed > 0,
                r.failed = 0 AND r.cancelled > 0
           FROM run r JOIN definition d ON d.id = r.definition_id WHERE r.id = ?1 AND r.ended IS NOT NULL",
        [run.0],
        |row| {
            let steps: (i64, i64) = (row.get(1)?, row.get(2)?);
            let lost: (bool, bool) = (row.get(3)?, row.get(4)?);
            Ok((GroupId(row.get(0)?), steps, lost))
        },
    )?;
    let Some((group, (first, end), (failed, cancelled))) = found else {
        return Err(Error::conflict(format!("{run} has not ended: wait for it or cancel it first")));
    };
    let content = content_of(tx, run)?;
    let mut gone = Gone { runs: 1, ..Gone::default() };
    for step in first..end {
        gone.attempts += tx.execute("DELETE FROM attempt WHERE step_id = ?1", [step])? as i64;
        tx.execute("DELETE FROM attempt_log WHERE step_id = ?1", [step])?;
        let output = tx.row("SELECT output_id FROM step WHERE id = ?1", [step], |row| row.get::<_, Option<i64>>(0))?;
        gone.steps += tx.execute("DELETE FROM step WHERE id = ?1", [step])? as i64;
        if let Some(output) = output.flatten() {
            release_output(tx, output, content, files)?;
        }
    }
    gone.hooks += tx.execute("DELETE FROM hook WHERE group_id = ?1 AND run_id = ?2", [group.0, run.0])? as i64;
    tx.execute("DELETE FROM item WHERE run_id = ?1", [run.0])?;
    tx.execute("UPDATE document SET run_id = NULL WHERE run_id = ?1", [run.0])?;
    tx.execute("DELETE FROM run WHERE id = ?1", [run.0])?;
    tx.execute(
        "UPDATE run_group SET failed = failed - ?2, cancelled = cancelled - ?3 WHERE id = ?1",
        params![group.0, failed, cancelled],
    )?;
    tx.execute("UPDATE group_detail SET runs = runs - 1 WHERE group_id = ?1", [group.0])?;
    Ok(gone)
}

/// Whether the results of a run that went may be taken up again through the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// It worked on no content of ours.
    None,
    /// Its content is there only for this run.
    Own,
    /// Other runs, or documents that are files of this machine, have the same content.
    Shared,
}

fn content_of(tx: &WriteTx, run: RunId) -> Result<Content> {
    let shared = tx.row(
        "SELECT EXISTS (SELECT 1 FROM content_run o WHERE o.sha256 = c.sha256 AND o.run_id <> c.run_id)
             OR EXISTS (SELECT 1 FROM document_uri u WHERE u.sha256 = c.sha256)
             OR EXISTS (SELECT 1 FROM document d WHERE d.sha256 = c.sha256)
           FROM content_run c WHERE c.run_id = ?1",
        [run.0],
        |row| row.get::<_, bool>(0),
    )?;
    Ok(match shared {
        None => Content::None,
        Some(false) => Content::Own,
        Some(true) => Content::Shared,
    })
}

/// Deletes an output whose step is gone, unless the cache may hand it to another.
fn release_output(tx: &WriteTx, output: i64, content: Content, files: &mut Vec<ArtifactHash>) -> Result<()> {
    let cached = tx.row("SELECT 1 FROM step_cache WHERE output_id = ?1 LIMIT 1", [output], |_| Ok(()))?.is_some();
    if cached && content != Content::Own {
        return Ok(());
    }
    tx.execute("DELETE FROM step_cache WHERE output_id = ?1", [output])?;
    let artifacts = tx.rows("SELECT artifact_id FROM output_file WHERE output_id = ?1", [output], |row| row.get(0))?;
    tx.execute("DELETE FROM output_file WHERE output_id = ?1", [output])?;
    tx.execute("DELETE FROM output WHERE id = ?1", [output])?;
    artifacts.into_iter().try_for_each(|it| forget_artifact(tx, it, files))
}

/// Deletes the row of an artifact to which nothing refers any more.
pub(super) fn forget_artifact(tx: &WriteTx, artifact: i64, files: &mut Vec<ArtifactHash>) -> Result<()> {
    let gone = tx.rows(
        "DELETE FROM artifact WHERE id = ?1
            AND NOT EXISTS (SELECT 1 FROM output_file WHERE artifact_id = ?1)
            AND NOT EXISTS (SELECT 1 FROM content WHERE artifact_id = ?1) RETURNING hash",
        [artifact],
        |row| row.get(0).map(ArtifactHash),
    )?;
    files.extend(gone);
    Ok(())
}

/// Deletes up to `limit` runs of a group that has ended, and at last the group. True while more are left.
pub fn group_slice(
    tx: &WriteTx,
    group: GroupId,
    limit: usize,
    gone: &mut Gone,
    files: &mut Vec<ArtifactHash>,
) -> Result<bool> {
    let ended = tx.row("SELECT ended IS NOT NULL FROM run_group WHERE id = ?1", [group.0], |row| row.get(0))?;
    match ended {
        None => return Err(Error::not_found(group)),
        Some(false) => return Err(Error::conflict(format!("{group} has not ended: wait for it or cancel it first"))),
        Some(true) => {}
    }
    let runs = tx.rows(
        "SELECT id FROM run WHERE group_id = ?1 ORDER BY id LIMIT ?2",
        params![group.0, limit as i64],
        |row| row.get(0).map(RunId),
    )?;
    for run in &runs {
        let it = remove(tx, *run, files)?;
        gone.runs += it.runs;
        gone.steps += it.steps;
        gone.attempts += it.attempts;
        gone.hooks += it.hooks;
    }
    if runs.len() == limit {
        return Ok(true);
    }
    gone.hooks += tx.execute("DELETE FROM hook WHERE group_id = ?1", [group.0])? as i64;
    tx.execute("DELETE FROM group_detail WHERE group_id = ?1", [group.0])?;
    tx.execute("DELETE FROM run_group WHERE id = ?1", [group.0])?;
    Ok(false)
}
