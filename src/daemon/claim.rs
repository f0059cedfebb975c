//! The claim: the process that holds the lock is the daemon of this home.

use super::{
    contact,
    error::{Error, Result},
    files::{Info, LOCK, Phase},
};
use crate::os::{FileLock, LockState, process_stat};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How long a second daemon tries to get the lock before it contacts the first.
const TRY: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);
/// How long the holder may take to answer one request.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a running holder may be silent.
const HUNG: Duration = Duration::from_secs(10);
/// How long a stopping holder may be silent: its server ends before the log is checkpointed.
const CLOSING: Duration = Duration::from_secs(30);
/// How long a start may show no progress. It reports what it is doing, and for how long, every half second.
const STUCK: Duration = Duration::from_secs(60);

/// The held lock. It ends with the process; nothing unlocks it explicitly.
#[derive(Debug)]
pub struct Claim {
    _lock: FileLock,
    path: PathBuf,
    inode: Option<u64>,
}

impl Claim {
    /// Takes the lock, waiting for a holder that is ending. `wait` is called with the reason at most once a second; an
    /// error from it ends the wait.
    pub fn take(home: &Path, mut wait: impl FnMut(&str) -> Result<()>) -> Result<Claim> {
        let path = home.join(LOCK);
        let (begun, mut watch) = (Instant::now(), Watch::default());
        loop {
            if let Some(claim) = Claim::try_take(&path)? {
                return Ok(claim);
            }
            if begun.elapsed() < TRY {
                thread::sleep(LOOK);
                continue;
            }
            let holder = Holder::of(home);
            match holder.look() {
                Look::Running => return Err(holder.already_running()),
                Look::Silent if let Some(pid) = holder.stranger(home) => return Err(Error::Stranger { pid }),
                look => watch.wait(&holder, look, &mut wait)?,
            }
        }
    }

    fn try_take(path: &Path) -> Result<Option<Claim>> {
        let wrong = |source| Error::Io { action: "lock", path: path.to_path_buf(), source };
        let Some(lock) = FileLock::try_exclusive(path).map_err(wrong)? else { return Ok(None) };
        // The file may have been removed between the open and the lock. Then no other process will find it.
        let claim =
            Claim { inode: lock.file().metadata().ok().map(|it| it.ino()), _lock: lock, path: path.to_path_buf() };
        if claim.is_lost() {
            return Ok(None);
        }
        // If the lock does not exclude a second opener of the file, file locks do not work here.
        match FileLock::probe(path).map_err(wrong)? {
            LockState::Held => Ok(Some(claim)),
            LockState::Free => Err(Error::NoLocks { home: path.parent().unwrap_or(path).to_path_buf() }),
        }
    }

    /// Whether the path now refers to another file, so that another daemon could start.
    pub fn is_lost(&self) -> bool {
        fs::metadata(&self.path).map(|it| it.ino()).ok() != self.inode
    }
}

/// Waits while the holder of a home's lock is starting. Returns the holder.
pub fn settled(home: &Path, mut wait: impl FnMut(&str) -> Result<()>) -> Result<Holder> {
    let mut watch = Watch::default();
    loop {
        let holder = Holder::of(home);
        match holder.look() {
            Look::Starting(progress) if is_held(home)? => watch.wait(&holder, Look::Starting(progress), &mut wait)?,
            _ => return Ok(holder),
        }
    }
}

/// A wait for a holder that lasts as long as the holder shows progress.
struct Watch {
    /// The last sign of progress, and when it was first seen.
    shown: (String, Instant),
    said: Instant,
}

impl Default for Watch {
    fn default() -> Watch {
        Watch { shown: (String::new(), Instant::now()), said: Instant::now() }
    }
}

impl Watch {
    fn wait(&mut self, holder: &Holder, look: Look, wait: &mut impl FnMut(&str) -> Result<()>) -> Result<()> {
        let (what, patience) = match look {
            Look::Starting(progress) => (progress, STUCK),
            // A stop takes as long as the running steps may take.
            Look::Stopping { answers: true } => ("is stopping".to_string(), Duration::MAX),
            Look::Stopping { answers: false } => ("is closing its database".to_string(), CLOSING),
            Look::Running | Look::Silent => ("waiting for an answer".to_string(), HUNG),
        };
        let state = format!("{} {what}", holder.nonce());
        if self.shown.0 != state {
            self.shown = (state, Instant::now());
        }
        if self.shown.1.elapsed() >= patience {
            return Err(Error::Hung { holder: holder.words() });
        }
        if self.said.elapsed() >= TRY {
            self.said = Instant::now();
            wait(&format!("windlass ({}): {what}", holder.words()))?;
        }
        thread::sleep(LOOK * 5);
        Ok(())
    }
}

/// The holder of a home's lock, as far as known.
pub struct Holder {
    pub info: Option<Info>,
    pub pid: Option<u32>,
    pub http: Option<String>,
}

/// The state of the holder.
pub enum Look {
    /// It answers.
    Running,
    /// What it is doing, for people.
    Starting(String),
    /// It still answers while its steps end.
    Stopping { answers: bool },
    /// It should answer but does not.
    Silent,
}

impl Holder {
    pub fn of(home: &Path) -> Holder {
        // The file may be left over from an earlier daemon: it counts only while that daemon is alive.
        let info = Info::read(home).filter(|it| process_stat::is_alive(&it.identity));
        let by_lock = process_stat::who_holds_lock(&home.join(LOCK));
        let info = info.filter(|it| by_lock.is_none_or(|pid| pid == it.identity.pid));
        let pid = info.as_ref().map(|it| it.identity.pid).or(by_lock);
        let http = info.as_ref().and_then(|it| it.http.clone()).or_else(|| contact::address(home));
        Holder { info, pid, http }
    }

    pub fn look(&self) -> Look {
        match &self.info {
            Some(info) if info.phase == Phase::Starting => {
                Look::Starting(info.progress.clone().unwrap_or_else(|| "is starting".to_string()))
            }
            Some(info) if info.phase == Phase::Stopping => Look::Stopping { answers: self.answers() },
            _ if self.answers() => Look::Running,
            _ => Look::Silent,
        }
    }

    /// Whether this holder itself answers: an address in an old file may belong to another program by now.
    fn answers(&self) -> bool {
        let health = self.http.as_deref().and_then(|it| contact::health(it, ANSWER));
        health.is_some_and(|it| self.pid.is_none_or(|pid| it["diagnostics"]["pid"] == pid))
    }

    /// The pid of a lock holder that is not windlass. A daemon that is just ending is not mistaken for one, because
    /// then the lock no longer names it.
    pub fn stranger(&self, home: &Path) -> Option<u32> {
        let pid = self.pid.filter(|_| self.info.is_none())?;
        let strange = !process_stat::runs_this_program_with(pid, "serve");
        (strange && process_stat::who_holds_lock(&home.join(LOCK)) == Some(pid)).then_some(pid)
    }

    /// `pid 12, http://127.0.0.1:8787`
    pub fn words(&self) -> String {
        let pid = self.pid.map_or("of unknown pid".to_string(), |it| format!("pid {it}"));
        match &self.http {
            Some(http) => format!("{pid}, http://{http}"),
            None => pid,
        }
    }

    pub fn nonce(&self) -> String {
        self.info.as_ref().map(|it| it.nonce.clone()).unwrap_or_default()
    }

    fn already_running(&self) -> Error {
        Error::AlreadyRunning { holder: self.words(), pid: self.pid, http: self.http.clone() }
    }
}

/// Whether a daemon holds the lock of this home.
pub fn is_held(home: &Path) -> Result<bool> {
    let path = home.join(LOCK);
    let state = FileLock::probe(&path).map_err(|source| Error::Io { action: "probe", path, source })?;
    Ok(state == LockState::Held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_lock_file_is_a_lost_claim() {
        let home = tempfile::tempdir().unwrap();
        let claim = Claim::take(home.path(), |_| Ok(())).unwrap();
        assert!(!claim.is_lost() && is_held(home.path()).unwrap());
        fs::remove_file(home.path().join(LOCK)).unwrap();
        assert!(claim.is_lost());
        let second = Claim::take(home.path(), |_| Ok(())).unwrap();
        assert!(claim.is_lost() && !second.is_lost());
    }
}
