//! A turnstile of two lock files, for processes that take turns at writing one database.
//!
//! To write, a process takes the queue lock, then the write lock, and then releases the queue lock. Only the holder of
//! the queue lock waits for the write lock, so a process that has just written can't overtake the others. With a single
//! lock, the last writer would win again and again.

use super::{file_lock, unpoisoned::Unpoisoned};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Condvar, Mutex},
    time::{Duration, Instant},
};

/// The suffix of the queue lock's file name, after the stem of the database and a dot.
pub const QUEUE_LOCK: &str = "queue.lock";
/// The suffix of the write lock's file name. Its holder is writing; `process_stat::who_holds_lock` finds out who that
/// is.
pub const WRITE_LOCK: &str = "write.lock";

/// Both lock files, kept open: taking a turn needs no `open`, only system calls on descriptors.
#[derive(Debug)]
pub struct Turnstile {
    queue: File,
    write: File,
    paths: [PathBuf; 2],
    // The locks belong to the open files, so threads that share a turnstile need a flag as well.
    inside: Mutex<bool>,
    left: Condvar,
}

/// The right to write. Dropping it releases it.
#[derive(Debug)]
pub struct Turn<'a>(&'a Turnstile);

impl Turnstile {
    /// Opens `DIR/STEM.queue.lock` and `DIR/STEM.write.lock`, creating them with mode 0600.
    pub fn open(dir: &Path, stem: &str) -> io::Result<Turnstile> {
        Turnstile::at([dir.join(format!("{stem}.{QUEUE_LOCK}")), dir.join(format!("{stem}.{WRITE_LOCK}"))])
    }

    /// The turnstile of windlass with schema version 4 or older, if its files exist.
    pub fn of_older(dir: &Path, stem: &str) -> io::Result<Option<Turnstile>> {
        let paths = ["door", "room"].map(|ending| dir.join(format!("{stem}.{ending}")));
        paths.iter().any(|path| path.exists()).then(|| Turnstile::at(paths)).transpose()
    }

    /// Removes the files. Only call this when no process can be waiting on them.
    pub fn remove(&self) {
        for path in &self.paths {
            let _ = std::fs::remove_file(path);
        }
    }

    fn at(paths: [PathBuf; 2]) -> io::Result<Turnstile> {
        Ok(Turnstile {
            queue: file_lock::open(&paths[0])?,
            write: file_lock::open(&paths[1])?,
            paths,
            inside: Mutex::new(false),
            left: Condvar::new(),
        })
    }

    /// Waits for a turn until the deadline. Returns `None` if none came.
    pub fn enter(&self, deadline: Instant) -> io::Result<Option<Turn<'_>>> {
        if !self.enter_here(deadline) {
            return Ok(None);
        }
        match self.pass_the_queue(deadline) {
            Ok(true) => Ok(Some(Turn(self))),
            other => {
                self.leave_here();
                other.map(|_| None)
            }
        }
    }

    fn pass_the_queue(&self, deadline: Instant) -> io::Result<bool> {
        let queue = || file_lock::lock(&self.queue);
        if !file_lock::poll_until(deadline, Duration::from_millis(2), queue)? {
            return Ok(false);
        }
        // Only one process at a time waits here, so it can poll often: the lock is never free for long.
        let write = || file_lock::lock(&self.write);
        let got = file_lock::poll_until(deadline, Duration::from_micros(200), write);
        if let Err(error) = file_lock::release(&self.queue) {
            let _ = file_lock::release(&self.write);
            return Err(error);
        }
        got
    }

    fn enter_here(&self, deadline: Instant) -> bool {
        let mut inside = self.inside.lock().unpoisoned();
        while *inside {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            inside = self.left.wait_timeout(inside, left).unpoisoned().0;
        }
        *inside = true;
        true
    }

    fn leave_here(&self) {
        *self.inside.lock().unpoisoned() = false;
        self.left.notify_one();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let _ = file_lock::release(&self.0.write);
        self.0.leave_here();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicBool, AtomicU64, Ordering},
        thread,
    };

    fn in_seconds(count: u64) -> Instant {
        Instant::now() + Duration::from_secs(count)
    }

    #[test]
    fn a_turn_keeps_others_out_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let mine = Turnstile::open(dir.path(), "engine").unwrap();
        let yours = Turnstile::open(dir.path(), "engine").unwrap();
        let turn = mine.enter(in_seconds(5)).unwrap().unwrap();
        let short = || Instant::now() + Duration::from_millis(20);
        assert!(yours.enter(short()).unwrap().is_none());
        assert!(mine.enter(short()).unwrap().is_none());
        drop(turn);
        assert!(yours.enter(in_seconds(5)).unwrap().is_some());
        assert!(mine.enter(in_seconds(5)).unwrap().is_some());
    }

    #[test]
    fn writers_take_turns_and_nobody_starves() {
        let dir = tempfile::tempdir().unwrap();
        let writing = AtomicBool::new(false);
        let total = AtomicU64::new(0);
        let deadline = in_seconds(60);
        let turns: Vec<u64> = thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let turnstile = Turnstile::open(dir.path(), "engine").unwrap();
                        let mut mine = 0;
                        while total.load(Ordering::SeqCst) < 800 {
                            let turn = turnstile.enter(deadline).unwrap().unwrap();
                            assert!(!writing.swap(true, Ordering::SeqCst), "two writers at once");
                            let until = Instant::now() + Duration::from_micros(300);
                            while Instant::now() < until {
                                std::hint::spin_loop();
                            }
                            writing.store(false, Ordering::SeqCst);
                            drop(turn);
                            mine += 1;
                            total.fetch_add(1, Ordering::SeqCst);
                        }
                        mine
                    })
                })
                .collect();
            writers.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert!(turns.iter().all(|it| *it >= 40), "turns of four writers: {turns:?}");
    }
}
