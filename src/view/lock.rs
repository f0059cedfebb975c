//! Resource locks: who holds what, and taking a key away.

use super::error::{Error, Result};
use crate::{
    engine::Engine,
    model::ResourceKey,
    os::{
        file_lock::{FileLock, LockState},
        process_stat,
    },
    store::resource_lock::{self, Forced, LockRow},
};
use serde::Serialize;

/// A held key.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Lock {
    #[serde(flatten)]
    pub row: LockRow,
    /// Whether a process holds the lock of the key's file: it excludes others even when the row is gone.
    pub file_locked: bool,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Locks {
    pub locks: Vec<Lock>,
}

/// The keys that are held.
pub fn locks(engine: &Engine) -> Result<Locks> {
    let rows = engine.store().read(resource_lock::list)?;
    let locks = rows.into_iter().map(|row| Lock { file_locked: is_file_locked(engine, &row.key), row });
    Ok(Locks { locks: locks.collect() })
}

/// Whether a process holds the file lock of a key.
pub fn is_file_locked(engine: &Engine, key: &ResourceKey) -> bool {
    let path = engine.lock_file(key);
    path.exists() && matches!(FileLock::probe(&path), Ok(LockState::Held))
}

/// Clears the row; the history says who did it and why. False: it was not held.
///
/// A process that still holds the file lock is named: it continues to exclude others.
pub fn force_release(engine: &Engine, forced: Forced) -> Result<bool> {
    let key = &forced.key.clone();
    let released = engine.store().write(move |tx| resource_lock::force_release(tx, &forced))?;
    let path = engine.lock_file(key);
    if is_file_locked(engine, key) {
        let who = match process_stat::who_holds_lock(&path) {
            Some(pid) if pid == std::process::id() => "a step or request of this process".to_string(),
            Some(pid) => format!("process {pid}"),
            None => "a process".to_string(),
        };
        return Err(Error::StillLocked { key: key.to_string(), who, path });
    }
    Ok(released)
}
