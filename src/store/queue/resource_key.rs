//! Table `resource_key`: interned resource keys.

use crate::model::{KeyId, ResourceKey};
use crate::store::{
    error::Result,
    tx::{ReadTx, WriteTx},
};

pub fn intern(tx: &WriteTx, name: &str) -> Result<KeyId> {
    if let Some(id) = find(tx, name)? {
        return Ok(id);
    }
    tx.insert("INSERT INTO resource_key(name) VALUES (?1) RETURNING id", [name]).map(KeyId)
}

pub fn find(tx: &ReadTx, name: &str) -> Result<Option<KeyId>> {
    tx.row("SELECT id FROM resource_key WHERE name = ?1", [name], |row| row.get(0).map(KeyId))
}

pub fn name(tx: &ReadTx, id: KeyId) -> Result<Option<ResourceKey>> {
    tx.row("SELECT name FROM resource_key WHERE id = ?1", [id.0], |row| row.get(0).map(ResourceKey))
}

/// Whether a step, hook or command holds the key.
pub(in crate::store) fn is_held(tx: &ReadTx, key: KeyId) -> Result<bool> {
    Ok(tx.row("SELECT 1 FROM resource_lock WHERE key_id = ?1", [key.0], |_| Ok(()))?.is_some())
}
