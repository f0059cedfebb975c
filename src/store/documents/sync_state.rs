//! Table `sync_state`: how far a client has synchronised a source.

use crate::model::Timestamp;
use crate::store::{
    error::{Error, Result},
    params::params,
    tx::{ReadTx, WriteTx},
};
use serde_json::{Map, Value};

#[derive(Debug, Clone, PartialEq)]
pub struct SyncState {
    pub source: String,
    pub commit_sha: String,
    pub branch: String,
    pub metadata: Map<String, Value>,
    pub synced: Timestamp,
}

pub fn get(tx: &ReadTx, source: &str) -> Result<Option<SyncState>> {
    tx.row("SELECT commit_sha, branch, metadata, synced FROM sync_state WHERE source = ?1", [source], |row| {
        Ok(SyncState {
            source: source.to_string(),
            commit_sha: row.get(0)?,
            branch: row.get(1)?,
            metadata: serde_json::from_str(&row.get::<String>(2)?).unwrap_or_default(),
            synced: Timestamp(row.get(3)?),
        })
    })
}

/// Stores the sync state of the source. Keys that `metadata` does not mention keep their values.
pub fn put(
    tx: &WriteTx,
    source: &str,
    commit_sha: &str,
    branch: &str,
    metadata: &Map<String, Value>,
) -> Result<SyncState> {
    let mut merged = get(tx, source)?.map(|it| it.metadata).unwrap_or_default();
    merged.extend(metadata.clone());
    tx.execute(
        "INSERT INTO sync_state(source, commit_sha, branch, metadata, synced) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT(source) DO UPDATE SET commit_sha = excluded.commit_sha, branch = excluded.branch,
                metadata = excluded.metadata, synced = excluded.synced",
        params![source, commit_sha, branch, Value::Object(merged).to_string(), tx.now().0],
    )?;
    get(tx, source)?.ok_or_else(|| Error::not_found(format!("the sync state of {source}")))
}

/// Removes the sync state. Returns false if there was none.
pub fn remove(tx: &WriteTx, source: &str) -> Result<bool> {
    Ok(tx.execute("DELETE FROM sync_state WHERE source = ?1", [source])? == 1)
}
