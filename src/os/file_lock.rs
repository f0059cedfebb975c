//! Exclusive and shared locks on whole files (flock), and who holds them.
//!
//! A lock belongs to the open file, not to the process: two `FileLock`s in one process exclude each other, and a child
//! that inherits the descriptor also holds the lock. Lock files are created with mode 0600 and never unlinked.

pub use super::file_system::refuse_network_file_system;
use super::{interrupted::retried, ownership};
use fs2::FileExt;
use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    Free,
    /// Some process holds it exclusively.
    Held,
}

/// A held lock. Dropping it unlocks the file, unless a child inherited the descriptor. Then the lock lasts until the
/// last holder closes it.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    lent: AtomicBool,
}

impl FileLock {
    /// Takes the lock, or returns `None` immediately if another process holds it.
    pub fn try_exclusive(path: &Path) -> io::Result<Option<FileLock>> {
        let file = open(path)?;
        Ok(take_exclusive(&file)?.then(|| FileLock::of(file)))
    }

    /// Takes the lock shared, or returns `None` immediately if a process holds it exclusively.
    #[cfg(any(test, feature = "internals"))]
    pub fn try_shared(path: &Path) -> io::Result<Option<FileLock>> {
        let file = open(path)?;
        Ok(taken(|| FileExt::try_lock_shared(&file))?.then(|| FileLock::of(file)))
    }

    /// Waits for the lock until the deadline. Returns `None` if it was not free by then.
    pub fn exclusive_until(path: &Path, deadline: Instant) -> io::Result<Option<FileLock>> {
        let file = open(path)?;
        let got = poll_until(deadline, Duration::from_millis(20), || take_exclusive(&file))?;
        Ok(got.then(|| FileLock::of(file)))
    }

    /// Waits for a shared lock until the deadline. Returns `None` if it was not free by then.
    pub fn shared_until(path: &Path, deadline: Instant) -> io::Result<Option<FileLock>> {
        let file = open(path)?;
        let got = poll_until(deadline, Duration::from_millis(20), || taken(|| FileExt::try_lock_shared(&file)))?;
        Ok(got.then(|| FileLock::of(file)))
    }

    /// Whether a process holds the lock exclusively. A missing file counts as free. Probes don't disturb each other.
    pub fn probe(path: &Path) -> io::Result<LockState> {
        let file = match ownership::open(path, OpenOptions::new().read(true)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LockState::Free),
            Err(error) => return Err(error),
        };
        let free = taken(|| FileExt::try_lock_shared(&file))?;
        if free {
            release(&file)?;
        }
        Ok(if free { LockState::Free } else { LockState::Held })
    }

    /// The locked file. A liveness lock also stores its heartbeat there.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The descriptor, for a child to inherit. After this call, dropping the value closes the descriptor without
    /// unlocking, so the lock also lasts as long as the child.
    #[cfg(any(test, feature = "internals"))]
    pub fn lend(&self) -> BorrowedFd<'_> {
        self.lent.store(true, Ordering::Relaxed);
        self.file.as_fd()
    }

    fn of(file: File) -> FileLock {
        FileLock { file, lent: AtomicBool::new(false) }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Unlock explicitly: another thread may be forking right now, and the child's copy of the descriptor would keep
        // the lock until exec.
        if !self.lent.load(Ordering::Relaxed) {
            let _ = release(&self.file);
        }
    }
}

/// Opens one of our lock files, creating it with mode 0600.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    ownership::open_to_write(path, options.read(true).create(true).truncate(false).mode(0o600))
}

/// Whether an attempt to lock succeeded; false if another process holds the lock.
fn taken(attempt: impl FnMut() -> io::Result<()>) -> io::Result<bool> {
    match retried(attempt) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Locks an open file exclusively. Returns false if another process holds the lock.
pub(super) fn lock(file: &File) -> io::Result<bool> {
    taken(|| FileExt::try_lock_exclusive(file))
}

/// Releases a lock.
pub(super) fn release(file: &File) -> io::Result<()> {
    retried(|| FileExt::unlock(file))
}

/// Takes the lock exclusively. A probe holds the file shared for some microseconds; that must not look like a holder.
fn take_exclusive(file: &File) -> io::Result<bool> {
    for _ in 0..8 {
        if lock(file)? {
            return Ok(true);
        }
        if !taken(|| FileExt::try_lock_shared(file))? {
            return Ok(false);
        }
        release(file)?;
        thread::sleep(Duration::from_micros(50));
    }
    Ok(false)
}

/// Calls `attempt` at growing, jittered intervals until it returns true or the deadline passes.
pub(super) fn poll_until(
    deadline: Instant,
    longest: Duration,
    mut ask: impl FnMut() -> io::Result<bool>,
) -> io::Result<bool> {
    let mut wait = Duration::from_micros(100);
    loop {
        if ask()? {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        thread::sleep(jittered(wait).min(left));
        wait = (wait * 2).min(longest);
    }
}

/// A random duration between 0.5 and 1.5 times `wait`, so that waiters don't stay synchronised.
fn jittered(wait: Duration) -> Duration {
    let chance = getrandom::u32().unwrap_or(u32::MAX / 2);
    wait.mul_f64(0.5 + f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(30)
    }

    #[test]
    fn a_held_lock_is_refused_to_others_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("life");
        assert_eq!(FileLock::probe(&path).unwrap(), LockState::Free);
        let held = FileLock::try_exclusive(&path).unwrap().unwrap();
        assert_eq!(FileLock::probe(&path).unwrap(), LockState::Held);
        assert!(FileLock::try_exclusive(&path).unwrap().is_none());
        assert!(FileLock::try_shared(&path).unwrap().is_none());
        assert!(FileLock::exclusive_until(&path, soon()).unwrap().is_none());
        drop(held);
        assert_eq!(FileLock::probe(&path).unwrap(), LockState::Free);
        assert!(FileLock::exclusive_until(&path, soon()).unwrap().is_some());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_waiter_gets_the_lock_when_its_holder_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::try_exclusive(&path).unwrap().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| FileLock::exclusive_until(&path, deadline).unwrap().is_some());
            drop(held);
            assert!(waiter.join().unwrap());
        });
    }

    #[test]
    fn sharers_share_and_keep_others_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sweep");
        let first = FileLock::try_shared(&path).unwrap().unwrap();
        let second = FileLock::shared_until(&path, soon()).unwrap().unwrap();
        assert_eq!(FileLock::probe(&path).unwrap(), LockState::Free);
        assert!(FileLock::try_exclusive(&path).unwrap().is_none());
        drop((first, second));
        assert!(FileLock::try_exclusive(&path).unwrap().is_some());
    }

    #[test]
    fn probes_never_keep_a_lock_from_its_taker() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("claim");
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    FileLock::probe(&path).unwrap();
                }
            });
            let taken = (0..200).filter(|_| FileLock::try_exclusive(&path).unwrap().is_some()).count();
            done.store(true, Ordering::Relaxed);
            assert_eq!(taken, 200);
        });
    }

    #[test]
    fn a_lent_lock_outlives_its_lender() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keyed");
        let held = FileLock::try_exclusive(&path).unwrap().unwrap();
        let copy = held.lend().try_clone_to_owned().unwrap();
        drop(held);
        assert_eq!(FileLock::probe(&path).unwrap(), LockState::Held);
        drop(copy);
        assert_eq!(FileLock::probe(&path).unwrap(), LockState::Free);
    }
}
