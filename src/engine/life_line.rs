//! A worker's life line: a file that it holds locked for as long as it lives, and into which it writes its heartbeat.
//!
//! The kernel frees the lock when the process is gone, however it went; so nobody has to guess.

use crate::{
    model::{Monotonic, WorkerId},
    os::file_lock::{FileLock, LockState},
};
use std::{
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

pub(super) fn path(home: &Path, worker: WorkerId) -> PathBuf {
    home.join("workers").join(format!("{worker}.life"))
}

#[derive(Debug)]
pub(super) struct LifeLine {
    lock: FileLock,
    path: PathBuf,
}

impl LifeLine {
    pub(super) fn take(home: &Path, worker: WorkerId) -> io::Result<LifeLine> {
        let path = path(home, worker);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        match FileLock::try_exclusive(&path)? {
            Some(lock) => Ok(LifeLine { lock, path }),
            None => Err(io::Error::other(format!("{} is held by another process", path.display()))),
        }
    }

    /// Writes the time of this heartbeat, without fsync: it must be seen by the living only.
    pub(super) fn beat(&self, now: Monotonic) -> io::Result<()> {
        let text = format!("{:020}\n", now.0);
        self.lock.file().write_all_at(text.as_bytes(), 0)
    }

    /// Lets go. The worker's row is gone, and its id is never given out again, so nobody looks for the file any more.
    pub(super) fn leave(self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// What others see of a worker: whether it holds its line, and its last heartbeat.
pub(super) fn look(home: &Path, worker: WorkerId) -> io::Result<(LockState, Option<Monotonic>)> {
    let path = path(home, worker);
    let state = FileLock::probe(&path)?;
    let beat = fs::read_to_string(&path).ok().and_then(|it| it.trim().parse().ok()).map(Monotonic);
    Ok((state, beat))
}
