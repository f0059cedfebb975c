//! The artifact directory, its options, and the paths of files.

use super::{
    damage::Damage,
    error::{Error, Result},
};
use crate::{
    model::{ArtifactHash, Bytes},
    os::{FileLock, Unpoisoned, disk_space},
    settings::{Compression, Settings},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, DirBuilder, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

/// How files are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactOptions {
    /// How much disk space to leave free.
    pub reserve: Bytes,
    pub compress: bool,
    /// The zstd level for types without a level of their own.
    pub level: i32,
    /// Levels by type of artifact; 0 leaves a type uncompressed.
    pub levels: BTreeMap<String, i32>,
    /// The maximum total size of the files of one step, holes included. `None`: no limit.
    #[serde(default)]
    pub step_most: Option<Bytes>,
}

impl Default for ArtifactOptions {
    fn default() -> ArtifactOptions {
        ArtifactOptions {
            reserve: Bytes::mib(64),
            compress: true,
            level: 3,
            levels: BTreeMap::new(),
            step_most: Some(Bytes::mib(10 << 10)),
        }
    }
}

impl From<&Settings> for ArtifactOptions {
    fn from(settings: &Settings) -> ArtifactOptions {
        let levels = settings.compression_levels.0.iter();
        ArtifactOptions {
            reserve: settings.disk_reserve,
            compress: settings.compression == Compression::On,
            level: settings.compression_level as i32,
            levels: levels.map(|(kind, level)| (kind.clone(), *level as i32)).collect(),
            step_most: settings.output_limit,
        }
    }
}

impl ArtifactOptions {
    /// The zstd level for artifacts of this type; `None` stores them uncompressed.
    pub fn level_of(&self, kind: &str) -> Option<i32> {
        let level = self.levels.get(kind).copied().unwrap_or(self.level);
        (self.compress && level > 0).then_some(level)
    }
}

/// The store of one home directory. Clones share it.
#[derive(Clone)]
pub struct ArtifactStore {
    pub(super) inner: Arc<Inner>,
    /// Where to record damage, if anywhere.
    pub(super) damage: Option<Damage>,
}

pub(super) struct Inner {
    pub dir: PathBuf,
    pub options: ArtifactOptions,
    pub worker: String,
    pub free: FreeSpace,
    /// The directories with names that this store has made durable.
    known: Mutex<[bool; 256]>,
    traffic: OnceLock<Listener>,
}

/// Called with `in` (stored) or `out` (read) and the number of uncompressed bytes.
type Listener = Box<dyn Fn(&'static str, u64) + Send + Sync>;

type FreeSpace = Box<dyn Fn(&Path) -> io::Result<Bytes> + Send + Sync>;

/// How long a put waits for a sweep, which holds the lock for one directory at a time.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

impl ArtifactStore {
    /// Opens the store, creating it with mode 0700. `worker` (letters, digits, `-`) becomes part of the names of
    /// temporary files, so that `sweep_temporaries` can check whether their writer is alive.
    pub fn open(dir: &Path, options: ArtifactOptions, worker: &str) -> Result<ArtifactStore> {
        ArtifactStore::open_with(dir, options, worker, Box::new(disk_space::free))
    }

    pub(super) fn open_with(
        dir: &Path,
        options: ArtifactOptions,
        worker: &str,
        free: FreeSpace,
    ) -> Result<ArtifactStore> {
        if worker.is_empty() || worker.len() > 64 || !worker.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(Error::WorkerTag(worker.to_string()));
        }
        create_private(dir, true)?;
        if let Some(parent) = dir.parent() {
            sync_dir(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        }
        let inner = Inner {
            dir: dir.to_path_buf(),
            options,
            worker: worker.to_string(),
            free,
            known: Mutex::new([false; 256]),
            traffic: OnceLock::new(),
        };
        Ok(ArtifactStore { inner: Arc::new(inner), damage: None })
    }

    /// The same store, but with a record of the damaged files that are read from it.
    pub fn noting(&self) -> (ArtifactStore, Damage) {
        let damage = Damage::default();
        (ArtifactStore { inner: self.inner.clone(), damage: Some(damage.clone()) }, damage)
    }

    pub(super) fn noted(&self, error: Error) -> Error {
        if let (Some(damage), Error::Corrupt { hash, .. } | Error::Missing { hash }) = (&self.damage, &error) {
            damage.note(*hash);
        }
        error
    }

    pub fn options(&self) -> &ArtifactOptions {
        &self.inner.options
    }

    /// Sets the listener for uncompressed bytes stored (`in`) and read (`out`). Only the first call has an effect.
    pub fn on_traffic(&self, listener: impl Fn(&'static str, u64) + Send + Sync + 'static) {
        let _ = self.inner.traffic.set(Box::new(listener));
    }

    pub(super) fn tell_traffic(&self, direction: &'static str, bytes: u64) {
        if let Some(listener) = self.inner.traffic.get() {
            listener(direction, bytes);
        }
    }

    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// The free space on the disk of the artifacts.
    pub fn free(&self) -> Result<Bytes> {
        (self.inner.free)(&self.inner.dir).map_err(Error::io("read the free space of", &self.inner.dir))
    }

    /// Whether the file exists, without reading it.
    pub fn contains(&self, hash: &ArtifactHash) -> bool {
        self.find(hash).is_some()
    }

    /// The file of a hash, and whether it is compressed. Also `None` without permission.
    pub(super) fn find(&self, hash: &ArtifactHash) -> Option<(PathBuf, bool)> {
        self.look_for(hash).ok()
    }

    /// Like `find`, but distinguishes a missing file from one that can't be accessed. Only a missing file can be
    /// produced again.
    pub(super) fn look_for(&self, hash: &ArtifactHash) -> Result<(PathBuf, bool)> {
        for compressed in [true, false] {
            let path = self.path(hash, compressed);
            match fs::symlink_metadata(&path) {
                Ok(it) if it.is_file() => return Ok((path, compressed)),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => return Err(Error::io("look for", &path)(error)),
            }
        }
        Err(Error::Missing { hash: *hash })
    }

    pub(super) fn path(&self, hash: &ArtifactHash, compressed: bool) -> PathBuf {
        let name = hash.to_string();
        let ending = if compressed { ".zst" } else { "" };
        self.inner.dir.join(&name[..2]).join(format!("{name}{ending}"))
    }

    /// The directory of a hash, existing and durable.
    ///
    /// Another process may have created it a moment ago without having synced its name yet. So the first file that this
    /// store puts there also syncs the name.
    pub(super) fn shard(&self, hash: &ArtifactHash) -> Result<PathBuf> {
        let dir = self.inner.dir.join(hex::encode([hash.0[0]]));
        let known = || self.inner.known.lock().unpoisoned();
        if !known()[usize::from(hash.0[0])] || !dir.is_dir() {
            create_private(&dir, false)?;
            sync_dir(&self.inner.dir)?;
            known()[usize::from(hash.0[0])] = true;
        }
        Ok(dir)
    }

    /// The lock that every put holds shared until its row is committed, and that a sweep holds exclusively.
    pub(super) fn lock(&self, take: impl Fn(&Path, Instant) -> io::Result<Option<FileLock>>) -> Result<FileLock> {
        let path = self.inner.dir.join(".lock");
        let got = take(&path, Instant::now() + LOCK_PATIENCE).map_err(Error::io("lock", &path))?;
        got.ok_or_else(|| Error::Busy { dir: self.inner.dir.clone() })
    }
}

impl fmt::Debug for ArtifactStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArtifactStore").field("dir", &self.inner.dir).field("worker", &self.inner.worker).finish()
    }
}

fn create_private(dir: &Path, with_parents: bool) -> Result<()> {
    let mut builder = DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.recursive(with_parents).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        result => result.map_err(Error::io("create", dir)),
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|it| it.sync_all()).map_err(Error::io("sync", dir))
}
