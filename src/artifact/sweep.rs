//! Removes unreferenced files, and partial files of dead workers.

use super::{
    error::{Error, Result},
    store::ArtifactStore,
};
use crate::{model::ArtifactHash, os::FileLock};
use std::{fs, path::Path};

/// What a sweep removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    pub files: u64,
    /// The size on disk.
    pub bytes: u64,
}

impl ArtifactStore {
    /// Removes files that no committed row refers to.
    ///
    /// `is_referenced` is called under the exclusive lock, so it must query the database at that moment. If in doubt,
    /// it returns true. The lock is released after each of the 256 directories, so a put waits only milliseconds.
    pub fn sweep(&self, mut is_referenced: impl FnMut(&ArtifactHash) -> bool) -> Result<Swept> {
        let mut swept = Swept::default();
        for shard in 0..=255u8 {
            let dir = self.inner.dir.join(hex::encode([shard]));
            let is_empty = |dir: &Path| fs::read_dir(dir).is_ok_and(|mut it| it.next().is_none());
            if !dir.is_dir() || is_empty(&dir) {
                continue;
            }
            let _alone = self.lock(FileLock::exclusive_until)?;
            for entry in fs::read_dir(&dir).map_err(Error::io("list", &dir))? {
                let entry = entry.map_err(Error::io("list", &dir))?;
                let Some(hash) = entry.file_name().to_str().and_then(hash_of) else { continue };
                if is_referenced(&hash) {
                    continue;
                }
                let size = entry.metadata().map_or(0, |it| it.len());
                fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
                swept.files += 1;
                swept.bytes += size;
            }
        }
        Ok(swept)
    }

    /// Removes single files that no committed row refers to. `is_referenced` is as in `sweep`.
    pub fn remove(
        &self,
        hashes: &[ArtifactHash],
        mut is_referenced: impl FnMut(&ArtifactHash) -> bool,
    ) -> Result<Swept> {
        let mut swept = Swept::default();
        for hash in hashes {
            let _alone = self.lock(FileLock::exclusive_until)?;
            while let Some((path, _)) = self.find(hash).filter(|_| !is_referenced(hash)) {
                let size = fs::metadata(&path).map_or(0, |it| it.len());
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
                swept = Swept { files: swept.files + 1, bytes: swept.bytes + size };
            }
        }
        Ok(swept)
    }

    /// Removes temporary files of dead workers. The worker that this store is named after counts as alive.
    pub fn sweep_temporaries(&self, mut is_worker_alive: impl FnMut(&str) -> bool) -> Result<Swept> {
        let mut swept = Swept::default();
        let dir = &self.inner.dir;
        for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
            let entry = entry.map_err(Error::io("list", dir))?;
            let name = entry.file_name();
            let Some(worker) = name.to_str().and_then(worker_of) else { continue };
            if worker == self.inner.worker || is_worker_alive(worker) {
                continue;
            }
            let size = entry.metadata().map_or(0, |it| it.len());
            match fs::remove_file(entry.path()) {
                Ok(()) => swept = Swept { files: swept.files + 1, bytes: swept.bytes + size },
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => (),
                Err(source) => return Err(Error::Io { action: "remove", path: entry.path(), source }),
            }
        }
        Ok(swept)
    }
}

fn hash_of(name: &str) -> Option<ArtifactHash> {
    name.strip_suffix(".zst").unwrap_or(name).parse().ok()
}

/// `w7` in `.tmp.w7.0123456789abcdef`.
fn worker_of(name: &str) -> Option<&str> {
    name.strip_prefix(".tmp.")?.split_once('.').map(|it| it.0)
}
