//! The project homes that this user has made or trusted, in the user's own data directory.

use super::{
    error::{Error, Result},
    home::JudgedHome,
};
use crate::os::{FileLock, ownership, private};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant, UNIX_EPOCH},
};

const FILE: &str = "trusted.json";
const LOCK: &str = "trusted.lock";
const PATIENCE: Duration = Duration::from_secs(10);

/// A trusted home, as long as the same directory is at its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedHome {
    pub home: PathBuf,
    pub device: u64,
    pub inode: u64,
    /// When the directory was created, in nanoseconds since 1970. Needed because file systems reuse the inode of a
    /// removed directory. `None` if the record predates this field.
    #[serde(default)]
    pub born_ns: Option<u64>,
}

impl TrustedHome {
    fn of(home: &Path) -> Result<TrustedHome> {
        let found = fs::canonicalize(home).and_then(|path| fs::metadata(&path).map(|it| (path, it)));
        let (path, it) = found.map_err(|source| Error::Io { action: "find", path: home.to_path_buf(), source })?;
        let born_ns = born_ns(&it).ok_or_else(|| Error::NoBirth { home: path.clone() })?;
        Ok(TrustedHome { home: path, device: it.dev(), inode: it.ino(), born_ns: Some(born_ns) })
    }

    /// Whether exactly this directory still exists.
    pub fn is_there(&self) -> bool {
        TrustedHome::of(&self.home).is_ok_and(|it| it == *self)
    }
}

/// Returns `None` if the file system does not record creation times, or was made without them.
fn born_ns(found: &fs::Metadata) -> Option<u64> {
    let since = found.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok().filter(|it| *it > 0)
}

/// The list of trusted homes.
#[derive(Debug)]
pub struct Trusted {
    dir: PathBuf,
}

impl Trusted {
    /// The list in this directory, which may not exist; see `platform_data_dir`.
    pub fn of(platform: &Path) -> Trusted {
        Trusted { dir: platform.to_path_buf() }
    }

    pub fn list(&self) -> Result<Vec<TrustedHome>> {
        let path = self.dir.join(FILE);
        let failed = |source| Error::Io { action: "read", path: path.clone(), source };
        match ownership::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| failed(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether the checked directory itself is trusted, not just its path.
    pub fn contains(&self, home: &JudgedHome) -> Result<bool> {
        let list = self.list()?;
        if list.is_empty() {
            return Ok(false);
        }
        match TrustedHome::of(&home.path) {
            Ok(found) => Ok(list.contains(&TrustedHome { device: home.id.0, inode: home.id.1, ..found })),
            Err(Error::NoBirth { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Trusts the directory that is at this path now.
    pub fn add(&self, home: &Path) -> Result<TrustedHome> {
        let new = TrustedHome::of(home)?;
        let added = new.clone();
        self.change(|list| {
            list.retain(|it| it.home != added.home);
            list.push(added);
        })?;
        Ok(new)
    }

    /// Removes a home from the list. Returns whether it was trusted.
    pub fn remove(&self, home: &Path) -> Result<bool> {
        // The directory may be gone or replaced by now.
        let path = fs::canonicalize(home).unwrap_or_else(|_| home.to_path_buf());
        let mut removed = false;
        self.change(|list| {
            let before = list.len();
            list.retain(|it| it.home != path);
            removed = list.len() < before;
        })?;
        Ok(removed)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<TrustedHome>)) -> Result<()> {
        let failed = |source| Error::Io { action: "write the trusted homes in", path: self.dir.clone(), source };
        private::create_dir_all(&self.dir).map_err(failed)?;
        let lock = FileLock::exclusive_until(&self.dir.join(LOCK), Instant::now() + PATIENCE).map_err(failed)?;
        let _lock = lock.ok_or_else(|| failed(io::ErrorKind::TimedOut.into()))?;
        let mut list = self.list()?;
        change(&mut list);
        let text = serde_json::to_string_pretty(&list).map_err(|error| failed(error.into()))? + "\n";
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(self.dir.join(FILE)).map_err(|error| error.error)
        };
        write().map(drop).map_err(failed)
    }
}
