//! A worker's liveness lock: a file that it locks while it lives, and in which it writes its heartbeat.
//!
//! The kernel releases the lock when the process ends in whatever way, so nothing has to be guessed.

use crate::{
    failpoint::{Failpoint, is_active},
    model::{Millis, Monotonic, Timestamp, WorkerId},
    os::{
        Clock,
        file_lock::{FileLock, LockState},
        ownership, private,
    },
};
use std::{
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// A liveness lock file that has not changed for this long does not belong to a starting worker.
const OLD: Millis = Millis::minutes(10);

/// The worker of a lock file in `workers/`. Up to schema version 4 such a file was called `w7.life`.
pub(super) fn worker_of(name: &str) -> Option<WorkerId> {
    name.strip_suffix(".lock").or_else(|| name.strip_suffix(".life"))?.parse().ok()
}

pub(super) fn path(home: &Path, worker: WorkerId) -> PathBuf {
    home.join("workers").join(format!("{worker}.lock"))
}

#[derive(Debug)]
pub(super) struct LivenessLock {
    lock: FileLock,
    path: PathBuf,
}

impl LivenessLock {
    pub(super) fn take(home: &Path, worker: WorkerId) -> io::Result<LivenessLock> {
        let path = path(home, worker);
        if let Some(dir) = path.parent() {
            private::create_dir_all(dir)?;
        }
        match FileLock::try_exclusive(&path)? {
            Some(lock) => Ok(LivenessLock { lock, path }),
            None => Err(io::Error::other(format!("{} is held by another process", path.display()))),
        }
    }

    /// Writes the time of this heartbeat and the id of the heartbeat thread, without fsync, because only live processes
    /// need to see it.
    pub(super) fn beat(&self, now: Monotonic, thread: u32) -> io::Result<()> {
        let text = format!("{:020} {thread:010}\n", now.0);
        self.lock.file().write_all_at(text.as_bytes(), 0)
    }

    /// The worker's row is deleted and its id never reused, so the file is no longer needed.
    pub(super) fn leave(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes old files of unregistered workers that no process holds. A worker that was declared dead while alive leaves
/// its file when it dies; a worker that is just starting has a recent file.
pub(super) fn sweep(home: &Path, registered: &[WorkerId], now: Timestamp) -> usize {
    let mut gone = 0;
    for entry in fs::read_dir(home.join("workers")).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if worker_of(&name).is_none_or(|id| registered.contains(&id)) {
            continue;
        }
        let modified = entry.metadata().and_then(|it| it.modified()).ok();
        let written =
            modified.and_then(|it| it.duration_since(UNIX_EPOCH).ok()).map_or(i64::MAX, |it| it.as_millis() as i64);
        let old = now.0.saturating_sub(written) > OLD.0 as i64;
        if old && matches!(FileLock::probe(&path), Ok(LockState::Free)) && fs::remove_file(path).is_ok() {
            gone += 1;
        }
    }
    gone
}

/// A heartbeat: its time and its thread; 0 if unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beat {
    pub at: Monotonic,
    pub thread: u32,
}

/// What other processes see of a worker: whether it holds its lock, and its last heartbeat.
pub(super) fn look(home: &Path, worker: WorkerId) -> io::Result<(LockState, Option<Beat>)> {
    Ok((FileLock::probe(&path(home, worker))?, last_beat(home, worker)))
}

/// None: no heartbeat yet, or an unreadable one.
pub(super) fn last_beat(home: &Path, worker: WorkerId) -> Option<Beat> {
    let text = ownership::read_to_string(&path(home, worker)).ok()?;
    let mut words = text.split_ascii_whitespace();
    let at = Monotonic(words.next()?.parse().ok()?);
    // Older versions of windlass did not write the thread.
    Some(Beat { at, thread: words.next().and_then(|it| it.parse().ok()).unwrap_or(0) })
}

/// The clock of heartbeats. Not the wall clock, which can be set.
pub(super) fn heart_time(clock: &dyn Clock) -> Monotonic {
    match is_active(Failpoint::WallClockReaper) {
        true => Monotonic(clock.wall().0),
        false => clock.monotonic(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_says_when_and_which_thread() {
        let home = tempfile::tempdir().unwrap();
        let line = LivenessLock::take(home.path(), WorkerId(1)).unwrap();
        assert_eq!(look(home.path(), WorkerId(1)).unwrap(), (LockState::Held, None), "it has not beaten yet");
        line.beat(Monotonic(12), 34).unwrap();
        let beat = Beat { at: Monotonic(12), thread: 34 };
        assert_eq!(look(home.path(), WorkerId(1)).unwrap(), (LockState::Held, Some(beat)));
        drop(line);
        fs::write(path(home.path(), WorkerId(1)), format!("{:020}\n", 56)).unwrap();
        let beat = Beat { at: Monotonic(56), thread: 0 };
        assert_eq!(look(home.path(), WorkerId(1)).unwrap(), (LockState::Free, Some(beat)), "of an older windlass");
    }

    #[test]
    fn what_a_reaped_worker_left_is_swept_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let lives = LivenessLock::take(home.path(), WorkerId(1)).unwrap();
        for id in 2..=4 {
            drop(LivenessLock::take(home.path(), WorkerId(id)).unwrap());
        }
        let written = fs::metadata(path(home.path(), WorkerId(4))).unwrap().modified().unwrap();
        let now = Timestamp(written.duration_since(UNIX_EPOCH).unwrap().as_millis() as i64);
        assert_eq!(sweep(home.path(), &[], now), 0, "they may just be starting");
        let later = now + Millis::minutes(11);
        assert_eq!(sweep(home.path(), &[WorkerId(2)], later), 2);
        let left = |id| path(home.path(), WorkerId(id)).exists();
        assert_eq!([1, 2, 3, 4].map(left), [true, true, false, false]);
        drop(lives);
    }
}
