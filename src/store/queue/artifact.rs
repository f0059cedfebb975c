//! Table `artifact`: the rows of content-addressed files.

use crate::model::{ArtifactHash, ArtifactId, ArtifactRef};
use crate::store::{
    error::Result,
    params::params,
    tx::{ReadTx, WriteTx},
};

/// The row of an artifact. Its file must already exist, complete and fsynced.
pub(in crate::store) fn intern(tx: &WriteTx, file: &ArtifactRef) -> Result<ArtifactId> {
    let found = tx.row("SELECT id FROM artifact WHERE hash = ?1", [file.hash.0], |row| row.get(0).map(ArtifactId))?;
    if let Some(id) = found {
        return Ok(id);
    }
    let id = tx.insert(
        "INSERT INTO artifact(hash, size, stored, created) VALUES (?1, ?2, ?3, ?4) RETURNING id",
        params![file.hash.0, file.size as i64, file.stored as i64, tx.now().0],
    )?;
    Ok(ArtifactId(id))
}

/// The recorded sizes of an artifact. None if no committed row refers to it.
pub fn find(tx: &ReadTx, hash: &ArtifactHash) -> Result<Option<ArtifactRef>> {
    tx.row("SELECT size, stored FROM artifact WHERE hash = ?1", [hash.0], |row| {
        Ok(ArtifactRef { hash: *hash, size: row.get::<i64>(0)? as u64, stored: row.get::<i64>(1)? as u64 })
    })
}

/// Removes the row of an artifact that no output and no content refers to. The next sweep removes the file.
pub(in crate::store) fn forget_unused(tx: &WriteTx, id: ArtifactId) -> Result<()> {
    tx.execute(
        "DELETE FROM artifact WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM output_file WHERE artifact_id = ?1)
            AND NOT EXISTS (SELECT 1 FROM content WHERE artifact_id = ?1)",
        [id.0],
    )?;
    Ok(())
}

/// (number of artifacts, plain bytes, bytes on disk).
pub fn totals(tx: &ReadTx) -> Result<(i64, i64, i64)> {
    let found =
        tx.row("SELECT count(*), coalesce(sum(size), 0), coalesce(sum(stored), 0) FROM artifact", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    Ok(found.unwrap_or_default())
}
