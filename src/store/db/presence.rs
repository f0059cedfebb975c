//! Whether the files that this process has open are still the ones that other processes find by name.
//!
//! Uses only `stat` on the names. The files are never opened here, because closing them would drop SQLite's locks.

use crate::store::error::{Error, Result};
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The database file and its log, as they were when this process opened them. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::store) struct Presence {
    files: Arc<[(PathBuf, u64, u64)]>,
    path: Arc<Path>,
}

impl Presence {
    /// Call this while a connection is open, because then the log exists and stays.
    pub fn of(path: &Path) -> Presence {
        let log = PathBuf::from(format!("{}-wal", path.display()));
        let seen = |path: PathBuf| {
            let it = fs::metadata(&path).ok()?;
            Some((path, it.dev(), it.ino()))
        };
        Presence { files: [path.to_path_buf(), log].into_iter().filter_map(seen).collect(), path: path.into() }
    }

    /// Covers only the database, for when no connection keeps the log in place.
    pub fn of_database(path: &Path) -> Presence {
        let all = Presence::of(path);
        Presence { files: all.files.iter().filter(|it| it.0 == path).cloned().collect(), ..all }
    }

    /// `Error::Replaced` if a name now leads to another file. A file that can't be examined counts as unchanged.
    pub fn check(&self) -> Result<()> {
        for (path, device, inode) in self.files.iter() {
            let same = match fs::metadata(path) {
                Ok(it) => (it.dev(), it.ino()) == (*device, *inode),
                Err(error) => error.kind() != io::ErrorKind::NotFound,
            };
            if !same {
                return Err(Error::Replaced { path: self.path.to_path_buf() });
            }
        }
        Ok(())
    }
}
