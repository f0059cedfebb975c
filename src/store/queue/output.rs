//! Tables `output` and `output_file`: what steps produced.

use crate::model::code::STEP_COMPLETED;
use crate::model::{ArtifactHash, ArtifactId, ArtifactRef, OutputId, StepId};
use crate::store::{
    artifact,
    budget::Budget,
    error::Result,
    params::params,
    row::Row,
    tx::{ReadTx, WriteTx},
};
use const_format::formatcp;
use serde::{Deserialize, Serialize};

/// An output to write. `value` is JSON. The files must exist, complete and fsynced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewOutput {
    pub value: Option<String>,
    pub files: Vec<(String, ArtifactRef)>,
    /// Names of the executable files.
    pub executable: Vec<String>,
    /// Symbolic links: name and target.
    pub links: Vec<(String, String)>,
}

/// The output of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Output {
    pub value: Option<serde_json::Value>,
    pub files: Vec<(String, ArtifactRef)>,
    /// Names of the executable files.
    #[serde(default)]
    pub executable: Vec<String>,
    /// Symbolic links: name and target.
    #[serde(default)]
    pub links: Vec<(String, String)>,
}

pub(in crate::store) fn insert(tx: &WriteTx, new: &NewOutput) -> Result<OutputId> {
    let id = OutputId(tx.memory().counters.output.next());
    let links = (!new.links.is_empty()).then(|| serde_json::json!(new.links).to_string());
    tx.execute("INSERT INTO output(id, value, links) VALUES (?1, ?2, ?3)", params![id.0, new.value, links])?;
    for (name, file) in &new.files {
        let artifact = artifact::intern(tx, file)?;
        tx.execute(
            "INSERT INTO output_file(output_id, name, artifact_id, executable) VALUES (?1, ?2, ?3, ?4)",
            params![id.0, name, artifact.0, new.executable.contains(name)],
        )?;
    }
    Ok(id)
}

pub fn get(tx: &ReadTx, id: OutputId) -> Result<Option<Output>> {
    let text = |row: &Row, at: usize| row.get::<Option<String>>(at);
    let found =
        tx.row("SELECT value, links FROM output WHERE id = ?1", [id.0], |row| Ok((text(row, 0)?, text(row, 1)?)))?;
    let Some((value, links)) = found else { return Ok(None) };
    let files = tx.rows(
        "SELECT f.name, a.hash, a.size, a.stored, f.executable FROM output_file f JOIN artifact a ON a.id = f.artifact_id
          WHERE f.output_id = ?1 ORDER BY f.name",
        [id.0],
        |row| {
            let file = ArtifactRef {
                hash: ArtifactHash(row.get(1)?),
                size: row.get::<i64>(2)? as u64,
                stored: row.get::<i64>(3)? as u64,
            };
            Ok(((row.get(0)?, file), row.get::<bool>(4)?))
        },
    )?;
    let executable = files.iter().filter(|it| it.1).map(|it: &((String, ArtifactRef), bool)| it.0.0.clone()).collect();
    let files = files.into_iter().map(|it| it.0).collect();
    let value = value.and_then(|it| serde_json::from_str(&it).ok());
    let links = links.and_then(|it| serde_json::from_str(&it).ok()).unwrap_or_default();
    Ok(Some(Output { value, files, executable, links }))
}

/// Adds a reference to an output. False: the output is gone and must not be referenced.
pub(in crate::store) fn share(tx: &WriteTx, id: OutputId) -> Result<bool> {
    Ok(tx.execute("UPDATE output SET users = users + 1 WHERE id = ?1", [id.0])? == 1)
}

/// The result of dropping one reference to an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Released {
    /// Other references remain.
    Shared,
    /// It was the last reference, and the rows of its files are gone. Delete the row that referred to it, then `remove`
    /// it.
    Last,
    /// The budget is used up. Keep the row and continue later.
    NotYet,
}

/// Drops one reference to an output. The last reference deletes the output, in as many slices as its files need.
pub(in crate::store) fn release(tx: &WriteTx, id: OutputId, budget: &mut Budget) -> Result<Released> {
    if tx.execute("UPDATE output SET users = users - 1 WHERE id = ?1 AND users > 1", [id.0])? == 1 {
        return Ok(Released::Shared);
    }
    loop {
        let files =
            tx.rows("SELECT name, artifact_id FROM output_file WHERE output_id = ?1 LIMIT 100", [id.0], |row| {
                Ok((row.get::<String>(0)?, row.get(1).map(ArtifactId)?))
            })?;
        if files.is_empty() {
            return Ok(Released::Last);
        }
        for (name, file) in files {
            if !budget.spend(2) {
                return Ok(Released::NotYet);
            }
            tx.execute("DELETE FROM output_file WHERE output_id = ?1 AND name = ?2", params![id.0, name])?;
            artifact::forget_unused(tx, file)?;
        }
    }
}

/// Removes an output after its last reference was released and deleted.
pub(in crate::store) fn remove(tx: &WriteTx, id: OutputId) -> Result<()> {
    tx.execute("DELETE FROM output WHERE id = ?1", [id.0])?;
    Ok(())
}

pub(in crate::store) fn has_files(tx: &ReadTx, id: OutputId) -> Result<bool> {
    Ok(tx.row("SELECT 1 FROM output_file WHERE output_id = ?1 LIMIT 1", [id.0], |_| Ok(()))?.is_some())
}

/// The output of a completed step. None if it produced none.
pub fn of_step(tx: &ReadTx, step: StepId) -> Result<Option<Output>> {
    let id =
        tx.row(formatcp!("SELECT output_id FROM step WHERE id = ?1 AND state = {STEP_COMPLETED}"), [step.0], |row| {
            row.get::<Option<i64>>(0)
        })?;
    match id.flatten() {
        Some(id) => get(tx, OutputId(id)),
        None => Ok(None),
    }
}
