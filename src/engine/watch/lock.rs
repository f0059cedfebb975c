//! The lock of a watch, which lets only one process watch a directory.

use crate::{
    engine::{
        Engine,
        error::{Error, Result},
    },
    os::{FileLock, LockState, private},
};
use std::path::PathBuf;

/// The lock file of a watch.
fn lock_file(engine: &Engine, watch: i64) -> PathBuf {
    engine.home().join("locks").join(format!("watch-{watch}.lock"))
}

/// Whether a process holds the lock.
pub fn is_held(engine: &Engine, watch: i64) -> bool {
    matches!(FileLock::probe(&lock_file(engine, watch)), Ok(LockState::Held))
}

/// Takes the lock of a watch. None: another process is watching.
pub fn try_lock(engine: &Engine, watch: i64) -> Result<Option<FileLock>> {
    let path = lock_file(engine, watch);
    let made = path.parent().map_or(Ok(()), private::create_dir_all);
    let lock = made.and_then(|()| FileLock::try_exclusive(&path));
    lock.map_err(|source| Error::Io { action: "lock", path, source })
}
