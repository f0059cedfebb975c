//! Deletes one ended run with everything that belongs to it: steps, attempts, logs, hooks, and outputs that no other
//! run uses. `prune` removes whole groups.
//!
//! SQLite only: JSON functions.

use crate::model::{ArtifactHash, ArtifactId, GroupId, OutputId, RunId};
use crate::store::{
    artifact,
    budget::Budget,
    cancel_step,
    error::{Error, Result},
    hook,
    output::{self, Released},
    params::params,
    records, step,
    tx::WriteTx,
};

/// The numbers of deleted rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store) struct Gone {
    pub steps: i64,
    /// Records of its history.
    pub history: i64,
}

/// Deletes a run and subtracts it from its group's counts. `uncached` also deletes its cached results. `files` receives
/// the artifacts that are no longer referenced.
pub(in crate::store) fn remove(
    tx: &WriteTx,
    run: RunId,
    uncached: bool,
    files: &mut Vec<ArtifactHash>,
) -> Result<Gone> {
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
    remove_hooks(tx, group, run)?;
    let mut gone = Gone { steps: 0, history: records::history(tx, run)?.len() as i64 };
    for step in first..end {
        tx.execute("DELETE FROM attempt WHERE step_id = ?1", [step])?;
        tx.execute("DELETE FROM attempt_log WHERE step_id = ?1", [step])?;
        let output = tx.row("SELECT output_id FROM step WHERE id = ?1", [step], |row| row.get::<Option<i64>>(0))?;
        gone.steps += tx.execute("DELETE FROM step WHERE id = ?1", [step])? as i64;
        if let Some(output) = output.flatten().map(OutputId) {
            give_up(tx, output, files)?;
            if uncached && tx.execute("DELETE FROM step_cache WHERE output_id = ?1", [output.0])? > 0 {
                give_up(tx, output, files)?;
            }
        }
    }
    tx.execute("DELETE FROM signal WHERE group_id = ?1 AND run_id = ?2", [group.0, run.0])?;
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

/// Deletes the hooks of a run. A running hook is a conflict.
fn remove_hooks(tx: &WriteTx, group: GroupId, run: RunId) -> Result<()> {
    for hook in hook::of_run(tx, group, run)? {
        if hook.runs {
            let what = format!("a hook of {run} runs: wait for it, or cancel it with `windlass cancel {}`", hook.step);
            return Err(Error::conflict(what));
        }
        if let Some(row) = step::get(tx, hook.step)? {
            cancel_step::end_waiting(tx, &row)?;
        }
        hook::remove(tx, group, hook.run, hook.step)?;
    }
    Ok(())
}

/// Drops one reference to an output, and deletes the output with the last one.
fn give_up(tx: &WriteTx, output: OutputId, files: &mut Vec<ArtifactHash>) -> Result<()> {
    let artifacts = tx.rows(
        "SELECT a.id, a.hash FROM output_file f JOIN artifact a ON a.id = f.artifact_id WHERE f.output_id = ?1",
        [output.0],
        |row| Ok((ArtifactId(row.get(0)?), ArtifactHash(row.get(1)?))),
    )?;
    if output::release(tx, output, &mut Budget::whole())? == Released::Last {
        output::remove(tx, output)?;
        collect(tx, artifacts, files)?;
    }
    Ok(())
}

/// Deletes the row of an artifact that is no longer referenced.
pub(in crate::store) fn forget_artifact(tx: &WriteTx, id: ArtifactId, files: &mut Vec<ArtifactHash>) -> Result<()> {
    let hash = tx.row("SELECT hash FROM artifact WHERE id = ?1", [id.0], |row| row.get(0).map(ArtifactHash))?;
    artifact::forget_unused(tx, id)?;
    collect(tx, hash.map(|it| (id, it)).into_iter().collect(), files)
}

/// Adds the artifacts whose rows were deleted.
fn collect(tx: &WriteTx, artifacts: Vec<(ArtifactId, ArtifactHash)>, files: &mut Vec<ArtifactHash>) -> Result<()> {
    for (id, hash) in artifacts {
        if tx.row("SELECT 1 FROM artifact WHERE id = ?1", [id.0], |_| Ok(()))?.is_none() {
            files.push(hash);
        }
    }
    Ok(())
}
