//! Stores a file. It is named after its content, and is durable before it gets its name.

use super::{
    error::{Error, Result, is_full},
    store::{ArtifactStore, sync_dir},
};
use crate::{
    decide::admission::{Admission, admit_write},
    failpoint::{
        Failpoint, is_active,
        probe::{self, Window},
    },
    model::{ArtifactHash, ArtifactRef, Bytes},
    os::{FileLock, regular_file},
};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A stored file, and the guard that blocks sweeps.
#[derive(Debug)]
pub struct Put {
    pub artifact: ArtifactRef,
    pub guard: PutGuard,
}

/// Blocks sweeps. Hold it until the row that refers to the file is committed.
#[derive(Debug)]
pub struct PutGuard {
    _lock: FileLock,
}

impl PutGuard {
    pub(super) fn new(lock: FileLock) -> PutGuard {
        PutGuard { _lock: lock }
    }
}

/// How much is read at a time, and the most that is held in memory.
const BLOCK: usize = 256 << 10;
/// How many blocks are written between two checks of the free space.
const BLOCKS_BETWEEN_CHECKS: usize = 16;

impl ArtifactStore {
    /// Stores the content of the reader. `kind` is the type of artifact, which selects the compression level.
    ///
    /// When this returns, the file is complete and durable under its name. On any error, nothing is left behind.
    pub fn put(&self, reader: impl Read, kind: &str) -> Result<Put> {
        self.put_sized(reader, 0, kind)
    }

    /// Stores bytes in memory.
    pub fn put_bytes(&self, bytes: &[u8], kind: &str) -> Result<Put> {
        self.put_sized(bytes, bytes.len() as u64, kind)
    }

    /// Blocks sweeps as long as the guard exists; puts continue.
    pub fn hold(&self) -> Result<PutGuard> {
        Ok(PutGuard { _lock: self.lock(FileLock::shared_until)? })
    }

    /// Like `put`, but fails early if `size` bytes plus the reserve do not fit on the disk.
    pub fn put_sized(&self, reader: impl Read, size: u64, kind: &str) -> Result<Put> {
        self.put_while(reader, size, kind, &|| Ok(()))
    }

    /// Like `put_sized`, but calls `go_on` before every block. An error from it is returned as `Error::Source`.
    pub fn put_while(
        &self,
        reader: impl Read,
        size: u64,
        kind: &str,
        go_on: &dyn Fn() -> io::Result<()>,
    ) -> Result<Put> {
        let guard = PutGuard::new(self.lock(FileLock::shared_until)?);
        self.check_space(size)?;
        let temporary = Temporary::create(self)?;
        let written = self.write(reader, kind, &temporary.path, go_on);
        let (hash, size, compressed) = written.map_err(|error| self.name_full_disk(error))?;
        let stored = self.settle(temporary, &hash, size, compressed, go_on)?;
        Ok(Put { artifact: ArtifactRef { hash, size, stored }, guard })
    }

    /// Gives a written file its name, durably, and returns its size on disk. The caller holds the lock of a put.
    pub(super) fn settle(
        &self,
        temporary: Temporary,
        hash: &ArtifactHash,
        size: u64,
        compressed: bool,
        go_on: &dyn Fn() -> io::Result<()>,
    ) -> Result<u64> {
        let _inside = probe::inside(Window::Rename);
        let shard = self.shard(hash).map_err(|error| self.name_full_disk(error))?;
        let target = self.path(hash, compressed);
        let stored = match self.existing(hash, size, go_on)? {
            Some(stored) => stored,
            None => self.publish(temporary, &target).map_err(|error| self.name_full_disk(error))?,
        };
        sync_dir(&shard)?;
        self.tell_traffic("in", size);
        Ok(stored)
    }

    /// The stored size of an existing file, after verifying it and making it durable, since its writer may not have
    /// done so.
    fn existing(&self, hash: &ArtifactHash, size: u64, go_on: &dyn Fn() -> io::Result<()>) -> Result<Option<u64>> {
        let Some((path, _)) = self.find(hash) else { return Ok(None) };
        if is_active(Failpoint::ArtifactInPlace) {
            return Ok(Some(size));
        }
        let quiet = ArtifactStore { inner: self.inner.clone(), damage: None };
        let verified = quiet.verify_while(&ArtifactRef { hash: *hash, size, stored: 0 }, go_on);
        go_on().map_err(Error::Source)?;
        if verified.is_err() {
            // The existing file is corrupt. Removing it lets ours replace it, even if only one of them is compressed.
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            return Ok(None);
        }
        let file = regular_file::open(&path).map_err(Error::io("open", &path))?;
        file.sync_all().map_err(Error::io("sync", &path))?;
        Ok(Some(file.metadata().map_err(Error::io("read", &path))?.len()))
    }

    fn publish(&self, temporary: Temporary, target: &Path) -> Result<u64> {
        if is_active(Failpoint::ArtifactInPlace) {
            return publish_in_place(&temporary.path, target);
        }
        let file = File::open(&temporary.path).map_err(Error::io("open", &temporary.path))?;
        if !is_active(Failpoint::ArtifactUnsynced) {
            file.sync_all().map_err(Error::io("sync", &temporary.path))?;
        }
        let stored = file.metadata().map_err(Error::io("read", &temporary.path))?.len();
        fs::rename(&temporary.path, target).map_err(Error::io("rename", target))?;
        Ok(stored)
    }

    /// Writes everything into the temporary file. Returns the hash, the plain size, and whether it is compressed.
    fn write(
        &self,
        mut reader: impl Read,
        kind: &str,
        path: &Path,
        go_on: &dyn Fn() -> io::Result<()>,
    ) -> Result<(ArtifactHash, u64, bool)> {
        let mut block = Vec::with_capacity(BLOCK);
        fill(&mut reader, &mut block)?;
        let level = self.inner.options.level_of(kind).filter(|level| pays(&block, *level));
        let file = OpenOptions::new().write(true).open(path).map_err(Error::io("open", path))?;
        let wrong = || Error::io("write", path);
        let mut sink = Sink::new(file, level).map_err(wrong())?;
        let (mut hasher, mut size, mut blocks) = (Sha256::new(), 0, 0);
        while !block.is_empty() {
            go_on().map_err(Error::Source)?;
            hasher.update(&block);
            size += block.len() as u64;
            sink.write(&block).map_err(wrong())?;
            blocks += 1;
            if blocks % BLOCKS_BETWEEN_CHECKS == 0 {
                self.check_space((BLOCK * BLOCKS_BETWEEN_CHECKS) as u64)?;
            }
            fill(&mut reader, &mut block)?;
        }
        sink.finish().map_err(wrong())?;
        Ok((ArtifactHash(hasher.finalize().into()), size, level.is_some()))
    }

    pub(super) fn check_space(&self, size: u64) -> Result<()> {
        match admit_write(self.free()?, Bytes(size), self.inner.options.reserve) {
            Admission::Admit => Ok(()),
            Admission::DiskLow { free, needed } => {
                Err(Error::DiskFull { dir: self.inner.dir.clone(), needed: needed.0, free: free.0 })
            }
        }
    }

    /// Turns a disk that fills up midway into the same error as a disk that was full before.
    pub(super) fn name_full_disk(&self, error: Error) -> Error {
        match error {
            Error::Io { source, .. } if is_full(&source) => {
                let free = self.free().map_or(0, |it| it.0);
                let needed = self.inner.options.reserve.0.max(free.saturating_add(1));
                Error::DiskFull { dir: self.inner.dir.clone(), needed, free }
            }
            other => other,
        }
    }
}

/// The planted bug: a kill leaves half a file under its final name.
fn publish_in_place(from: &Path, target: &Path) -> Result<u64> {
    let content = fs::read(from).map_err(Error::io("read", from))?;
    let mut file = File::create(target).map_err(Error::io("create", target))?;
    for block in content.chunks(128) {
        file.write_all(block).map_err(Error::io("write", target))?;
    }
    file.sync_all().map_err(Error::io("sync", target))?;
    Ok(content.len() as u64)
}

/// Reads until the block is full or the source ends.
fn fill(reader: &mut impl Read, block: &mut Vec<u8>) -> Result<()> {
    block.clear();
    reader.by_ref().take(BLOCK as u64).read_to_end(block).map_err(Error::Source)?;
    Ok(())
}

/// Whether compression saves at least a tenth of the first block and at least a disk sector.
pub(super) fn pays(block: &[u8], level: i32) -> bool {
    // Tries a low level only: data that does not compress there is not worth the time of a higher one.
    let compressed = zstd::bulk::compress(block, level.min(3)).map_or(block.len(), |it| it.len());
    compressed + (block.len() / 10).max(512) <= block.len()
}

pub(super) enum Sink {
    Plain(File),
    Compressed(zstd::Encoder<'static, File>),
}

impl Sink {
    pub(super) fn new(file: File, level: Option<i32>) -> io::Result<Sink> {
        match level {
            None => Ok(Sink::Plain(file)),
            Some(level) => Ok(Sink::Compressed(zstd::Encoder::new(file, level)?)),
        }
    }

    pub(super) fn write(&mut self, block: &[u8]) -> io::Result<()> {
        match self {
            Sink::Plain(file) => file.write_all(block),
            Sink::Compressed(encoder) => encoder.write_all(block),
        }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Sink::Plain(mut file) => file.flush(),
            Sink::Compressed(encoder) => encoder.finish()?.flush(),
        }
    }
}

/// A temporary file that is removed on drop unless it was renamed.
pub(super) struct Temporary {
    pub path: PathBuf,
}

impl Temporary {
    pub(super) fn create(store: &ArtifactStore) -> Result<Temporary> {
        let mut chance = [0; 8];
        getrandom::fill(&mut chance).map_err(|error| Error::Source(io::Error::other(error.to_string())))?;
        let path = store.inner.dir.join(format!(".tmp.{}.{}", store.inner.worker, hex::encode(chance)));
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        created.map_err(|source| store.name_full_disk(Error::io("create", &path)(source)))?;
        Ok(Temporary { path })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
