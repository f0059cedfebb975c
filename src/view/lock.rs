//! Resource locks: who holds what, and forced release.

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
    /// Whether a process holds the lock of the key's file, which excludes others even without the row.
    pub file_locked: bool,
    /// The process that holds that file if it is not the key's holder, in words. The holder waits for it.
    pub file_holder: Option<String>,
    /// The process's id, if known.
    pub file_pid: Option<u32>,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Locks {
    pub locks: Vec<Lock>,
}

/// All held keys.
pub fn locks(engine: &Engine) -> Result<Locks> {
    let rows = engine.store().read(resource_lock::list)?;
    let waiting = waiting(engine)?;
    let lock = |row: LockRow| {
        let file_locked = is_file_locked(engine, &row.key);
        let pid = process_stat::who_holds_lock(&engine.lock_file(&row.key)).filter(|_| file_locked);
        let own = row.identity.as_ref().map(|it| it.pid);
        let other = pid.is_some_and(|it| Some(it) != own) || waiting.iter().any(|it| it.token == row.token);
        let file_holder = (file_locked && other).then(|| engine.file_holder(&row.key));
        Lock { file_pid: pid.filter(|_| file_holder.is_some()), row, file_locked, file_holder }
    };
    Ok(Locks { locks: rows.into_iter().map(lock).collect() })
}

/// Rows of steps that no longer run, because another process keeps the file of their key locked.
fn waiting(engine: &Engine) -> Result<Vec<LockRow>> {
    Ok(engine.store().read(resource_lock::left_behind)?)
}

/// Keys with files that other programs have locked, with the program: `` `k` is locked by process 7 (rsync); s9 waits
/// ``.
pub fn strangers(engine: &Engine) -> Result<Vec<String>> {
    let held = waiting(engine)?.into_iter().filter(|it| is_file_locked(engine, &it.key));
    let words =
        |it: LockRow| format!("`{}` is locked by {}; s{} waits", it.key, engine.file_holder(&it.key), it.holder.id);
    Ok(held.map(words).collect())
}

/// Whether a process holds the file lock of a key.
pub fn is_file_locked(engine: &Engine, key: &ResourceKey) -> bool {
    let path = engine.lock_file(key);
    path.exists() && matches!(FileLock::probe(&path), Ok(LockState::Held))
}

/// Clears the row, and records in the history who did so and why. Returns false if the key was not held.
///
/// Fails if a process still holds the file lock, and names it, because that process continues to exclude others.
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
