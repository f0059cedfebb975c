//! Tables `output` and `output_file`: what steps produced.

use super::{
    artifact,
    error::Result,
    tx::{ReadTx, WriteTx},
};
use crate::model::{ArtifactHash, ArtifactRef, OutputId, StepId};
use rusqlite::params;

/// An output to write. `value` is JSON; the files exist, whole and fsynced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewOutput {
    pub value: Option<String>,
    pub files: Vec<(String, ArtifactRef)>,
}

/// What a step produced.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Output {
    pub value: Option<serde_json::Value>,
    pub files: Vec<(String, ArtifactRef)>,
}

pub(super) fn insert(tx: &WriteTx, new: &NewOutput) -> Result<OutputId> {
    let id = OutputId(tx.memory().counters.output.next());
    tx.execute("INSERT INTO output(id, value) VALUES (?1, ?2)", params![id.0, new.value])?;
    for (name, file) in &new.files {
        let artifact = artifact::intern(tx, file)?;
        tx.execute(
            "INSERT INTO output_file(output_id, name, artifact_id) VALUES (?1, ?2, ?3)",
            params![id.0, name, artifact.0],
        )?;
    }
    Ok(id)
}

pub fn get(tx: &ReadTx, id: OutputId) -> Result<Option<Output>> {
    let value = tx.row("SELECT value FROM output WHERE id = ?1", [id.0], |row| row.get::<_, Option<String>>(0))?;
    let Some(value) = value else { return Ok(None) };
    let files = tx.rows(
        "SELECT f.name, a.hash, a.size, a.stored FROM output_file f JOIN artifact a ON a.id = f.artifact_id
          WHERE f.output_id = ?1 ORDER BY f.name",
        [id.0],
        |row| {
            let file = ArtifactRef {
                hash: ArtifactHash(row.get(1)?),
                size: row.get::<_, i64>(2)? as u64,
                stored: row.get::<_, i64>(3)? as u64,
            };
            Ok((row.get(0)?, file))
        },
    )?;
    Ok(Some(Output { value: value.and_then(|it| serde_json::from_str(&it).ok()), files }))
}

/// The output of a completed step; None when it produced none.
pub fn of_step(tx: &ReadTx, step: StepId) -> Result<Option<Output>> {
    let id =
        tx.row("SELECT output_id FROM step WHERE id = ?1 AND state = 5", [step.0], |row| row.get::<_, Option<i64>>(0))?;
    match id.flatten() {
        Some(id) => get(tx, OutputId(id)),
        None => Ok(None),
    }
}
