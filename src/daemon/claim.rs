//! The claim: the holder of the lock is the daemon of this home.

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

/// How long a second daemon tries before it asks the first.
const TRY: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);
/// How long the holder may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a holder that should answer may stay silent.
const HUNG: Duration = Duration::from_secs(10);
/// How long one that stops may be silent: its server ends first, then the log is checkpointed.
const CLOSING: Duration = Duration::from_secs(30);
/// How long a start may show no progress: every half second it reports what it is doing, and for how long.
const STUCK: Duration = Duration::from_secs(60);

/// The lock, held. It ends with the process; nothing unlocks it by hand.
#[derive(Debug)]
pub struct Claim {
    _lock: FileLock,
    path: PathBuf,
    inode: Option<u64>,
}

impl Claim {
    /// Takes the lock, waiting for a holder that is going. `wait` is called with the reason, at most once a second, and may end it.
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
        // Between the open and the lock the file may have been removed: then no other process will find it.
        let claim =
            Claim { inode: lock.file().metadata().ok().map(|it| it.ino()), _lock: lock, path: path.to_path_buf() };
        if claim.is_lost() {
            return Ok(None);
        }
        // A lock that does not exclude a second opener of the file excludes no process.
        match FileLock::probe(path).map_err(wrong)? {
            LockState::Held => Ok(Some(claim)),
            LockState::Free => Err(Error::NoLocks { home: path.parent().unwrap_or(path).to_path_buf() }),
        }
    }

    /// Whether the name refers to another file by now, so that another daemon could start.
    pub fn is_lost(&self) -> bool {
        fs::metadata(&self.path).map(|it| it.ino()).ok() != self.inode
    }
}

/// Waits until the holder of a home's lock is done with its start, if it is starting; who it is then.
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

/// A wait for a holder, as long as it shows progress.
struct Watch {
    /// What it showed last, and since when that has not changed.
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
            // It takes as long as its steps may.
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

/// The holder of the lock of a home, as far as known.
pub struct Holder {
    pub info: Option<Info>,
    pub pid: Option<u32>,
    pub http: Option<String>,
}

/// What a look at the holder showed.
pub enum Look {
    /// It answers.
    Running,
    /// What it is doing, for people.
    Starting(String),
    /// While it ends its steps it answers.
    Stopping { answers: bool },
    /// It should answer, and does not.
    Silent,
}

impl Holder {
    pub fn of(home: &Path) -> Holder {
        // The file may be of a former daemon: it counts only while that one lives.
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

    /// Whether it is this one that answers: an address that a former daemon has left may be another's by now.
    fn answers(&self) -> bool {
        let health = self.http.as_deref().and_then(|it| contact::health(it, ANSWER));
        health.is_some_and(|it| self.pid.is_none_or(|pid| it["diagnostics"]["pid"] == pid))
    }

    /// The pid of a holder of the lock that is not windlass. A daemon that is just ending does not look like one either:
    /// then the lock does not name it any more.
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
