//! Resource locks. The row in the database serialises within one home; the file lock excludes others across homes,
//! boots and bugs.
//!
//! The order is always: row and token in a short transaction; end the transaction; file lock; check the token again;
//! work; unlock the file; release the row. No transaction waits for a file lock, and neither does a step: if a step
//! finds the file locked, it is blocked again, and the watcher checks whether the file is free. Commands and requests
//! wait until their deadline and refresh the row.

use super::{
    Engine,
    error::{Error, Result},
    state::WorkerState,
};
use crate::{
    failpoint::{Failpoint, is_active},
    model::{Holder, HolderKind, KeyId, Millis, ResourceKey, Token},
    observe::Counter,
    os::{FileLock, boot_id, file_lock::LockState, ownership, process_stat},
    store::{
        Claimed, Held, resource_key,
        resource_lock::{self, LockRow, Taker},
    },
};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    path::PathBuf,
    time::{Duration, Instant},
};

/// How long a shim takes to release a lock on request.
const LETTING_GO: Duration = Duration::from_millis(20);

/// The interval between checks of a lock that another process holds.
const LOOK: Duration = Duration::from_millis(50);

/// How long to wait for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockWait {
    /// Fail immediately, and name the holder.
    No,
    AtMost(Millis),
    Forever,
}

/// A held key, with both locks. Dropping it releases the file first, then the row.
#[derive(Debug)]
pub struct KeyGuard {
    lock: Option<FileLock>,
    row: Option<Row>,
}

#[derive(Debug)]
struct Row {
    engine: Engine,
    key: ResourceKey,
    token: Token,
}

impl KeyGuard {
    /// The file that children doing keyed work inherit, so that the lock lasts until the last of them has died.
    pub fn file(&self) -> &File {
        // Only `drop` takes it.
        self.lock
            .as_ref()
            .map(FileLock::file)
            .unwrap_or_else(|| unreachable!("a guard holds its lock until it is dropped"))
    }

    /// Extends the row's time to live. False: the key was taken away by force, and the work must stop.
    pub fn refresh(&self) -> Result<bool> {
        let Some(row) = &self.row else { return Ok(true) };
        let held = row.engine.refresh_row(&row.key, row.token)?;
        Ok(held == Held::Yes)
    }
}

impl Drop for KeyGuard {
    fn drop(&mut self) {
        self.lock = None;
        if let Some(Row { engine, key, token }) = self.row.take() {
            // If the row can't be released now, it expires; the file lock is free.
            let _ = engine.store.write(move |tx| resource_lock::release(tx, &key, token));
        }
    }
}

impl Engine {
    /// The file whose lock excludes all writers of a key. For a vector database it is next to the database.
    pub fn lock_file(&self, key: &ResourceKey) -> PathBuf {
        match key.0.strip_prefix("vec:") {
            Some(path) => PathBuf::from(format!("{path}.lock")),
            None => {
                let name = hex::encode(&Sha256::digest(key.0.as_bytes())[..16]);
                self.options.home.join("locks").join(format!("{name}.lock"))
            }
        }
    }

    /// Takes a key for a holder that is not a step, waiting as `wait` says.
    pub fn hold_key(&self, key: &ResourceKey, holder: Holder, wait: LockWait) -> Result<KeyGuard> {
        let deadline = match wait {
            LockWait::No => Some(Instant::now()),
            LockWait::AtMost(time) => Some(Instant::now() + time.duration()),
            LockWait::Forever => None,
        };
        let token = loop {
            if let Some(token) = self.take_row(key, holder)? {
                break token;
            }
            // The holder was gone, and the row is now free.
            if self.sweep_lock(key)? {
                continue;
            }
            if deadline.is_some_and(|it| Instant::now() >= it) {
                let holder = self.holder_of(key)?.unwrap_or_else(|| "a process that has just ended".to_string());
                return Err(Error::Locked { key: key.to_string(), holder });
            }
            std::thread::sleep(LOOK);
        };
        let row = Row { engine: self.clone(), key: key.clone(), token };
        let mut guard = KeyGuard { lock: None, row: Some(row) };
        let path = self.prepare_lock_file(key)?;
        let wrong = |source| Error::Io { action: "lock", path: path.clone(), source };
        loop {
            guard.lock = FileLock::try_exclusive(&path).map_err(wrong)?;
            if guard.lock.is_some() && guard.refresh()? {
                return Ok(guard);
            }
            if deadline.is_some_and(|it| Instant::now() >= it) || !guard.refresh()? {
                return Err(Error::Locked { key: key.to_string(), holder: self.file_holder(key) });
            }
            std::thread::sleep(LOOK);
        }
    }

    fn take_row(&self, key: &ResourceKey, holder: Holder) -> Result<Option<Token>> {
        let taker = Taker {
            holder,
            identity: serde_json::to_string(&*self.identity).unwrap_or_default(),
            boot_id: boot_id(),
            deadline: self.store.clock().monotonic() + self.options.lock_ttl,
        };
        let key = key.clone();
        Ok(self.store.write(move |tx| resource_lock::acquire(tx, &key, &taker))?)
    }

    fn refresh_row(&self, key: &ResourceKey, token: Token) -> Result<Held> {
        let deadline = self.store.clock().monotonic() + self.options.lock_ttl;
        let (key, boot) = (key.clone(), boot_id());
        Ok(self.store.write(move |tx| resource_lock::refresh(tx, &key, token, &boot, deadline))?)
    }

    /// The holder of a key in words: `step s812 for 41s`. None: no holder, though a row may still name one.
    pub fn holder_of(&self, key: &ResourceKey) -> Result<Option<String>> {
        let row = self.store.read(|tx| resource_lock::holder_of(tx, &key.0))?;
        let path = self.lock_file(key);
        let is_gone = |it: &LockRow| it.identity.as_ref().is_some_and(|it| !process_stat::is_alive(it));
        Ok(match row.filter(|it| !is_gone(it)) {
            Some(row) => Some(holder_words(&row.holder, self.store.now().since(row.acquired))),
            // A child of the holder may have outlived it.
            None if FileLock::probe(&path).is_ok_and(|it| it == LockState::Held) => Some(self.file_holder(key)),
            None => None,
        })
    }

    /// The process that holds the file of a key, in words: `process 4242 (rsync)`.
    pub fn file_holder(&self, key: &ResourceKey) -> String {
        match process_stat::who_holds_lock(&self.lock_file(key)) {
            Some(pid) => process_stat::in_words(pid),
            None => "another process".to_string(),
        }
    }

    /// Removes a row whose holder is gone: it is expired or from another boot, does not belong to a live step, and its
    /// file lock is free.
    pub(super) fn sweep_lock(&self, key: &ResourceKey) -> Result<bool> {
        let rows = self.store.read(resource_lock::list)?;
        let Some(row) = rows.into_iter().find(|it| it.key == *key) else { return Ok(false) };
        let expired = row.boot_id != boot_id() || row.deadline <= self.store.clock().monotonic();
        let gone = row.identity.as_ref().is_some_and(|it| !process_stat::is_alive(it));
        if !expired && !gone {
            return Ok(false);
        }
        let path = self.lock_file(key);
        // Held only during the sweep, so that no step can start under the row that is being removed.
        let Ok(Some(_lock)) = FileLock::try_exclusive(&path) else { return Ok(false) };
        let swept = self.store.write(move |tx| resource_lock::sweep(tx, &row))?;
        if swept {
            self.metrics.count(Counter::ResourceLockSwept);
        }
        Ok(swept)
    }

    fn prepare_lock_file(&self, key: &ResourceKey) -> Result<PathBuf> {
        let path = self.lock_file(key);
        ownership::check_place(&path).map_err(|error| Error::Io {
            action: "lock",
            path: path.clone(),
            source: error.into(),
        })?;
        if let Some(dir) = path.parent() {
            crate::os::private::create_dir_all(dir).map_err(|source| Error::Io {
                action: "create",
                path: dir.to_path_buf(),
                source,
            })?;
        }
        Ok(path)
    }
}

/// The file lock of a step's key. The claim created the row, and the settlement removes it.
pub(super) enum StepKey {
    Held(KeyGuard),
    /// Another process holds the file; the text names it.
    Locked(String),
    /// The key was taken away by force since the claim.
    Lost,
}

impl StepKey {
    /// Takes the file lock, or returns its holder immediately. A step that waited here would occupy its slot.
    pub(super) fn take(state: &WorkerState, claimed: &Claimed, key: KeyId) -> Result<StepKey> {
        let engine = &state.engine;
        let name = engine.store.read(|tx| resource_key::name(tx, key))?;
        let Some(name) = name else {
            return Err(Error::refused(format!("{} has a key that does not exist", claimed.lease.step), None));
        };
        let mut path = engine.prepare_lock_file(&name)?;
        if is_active(Failpoint::NoFileLock) {
            path.set_extension(claimed.lease.token.0.to_string());
        }
        let wrong = |source| Error::Io { action: "lock", path: path.clone(), source };
        let Some(lock) = FileLock::exclusive_until(&path, Instant::now() + LETTING_GO).map_err(wrong)? else {
            return Ok(StepKey::Locked(format!("`{name}` is locked by {}", engine.file_holder(&name))));
        };
        // Since the claim, the row may have been taken away by force and given to another step.
        let token = claimed.lease.token;
        Ok(match engine.store.read(|tx| resource_lock::holds(tx, &name, token))? {
            true => StepKey::Held(KeyGuard { lock: Some(lock), row: None }),
            false => StepKey::Lost,
        })
    }
}

pub(super) fn holder_words(holder: &Holder, age: Millis) -> String {
    let who = match holder.kind {
        HolderKind::Step => format!("step s{}", holder.id),
        HolderKind::Hook => format!("hook {}", holder.id),
        HolderKind::Cli => format!("the command line (process {})", holder.id),
        HolderKind::Web => "a web request".to_string(),
    };
    match age.0 / 1000 {
        0 => who,
        seconds => format!("{who} for {}", Millis(seconds * 1000)),
    }
}
