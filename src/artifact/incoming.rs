//! Stores a file that arrives in pieces, such as an upload. Like `put`, for callers without a reader.

use super::{
    error::{Error, Result},
    put::{Put, PutGuard, Sink, Temporary, pays},
    store::ArtifactStore,
};
use crate::{
    model::{ArtifactHash, ArtifactRef},
    os::FileLock,
};
use sha2::{Digest, Sha256};
use std::fs::OpenOptions;

/// A file that is being written. Dropping it before `finish` discards the file.
pub struct Incoming {
    store: ArtifactStore,
    temporary: Temporary,
    level: Option<i32>,
    /// Created with the first piece, which shows whether compression is worthwhile.
    sink: Option<Sink>,
    compressed: bool,
    hasher: Sha256,
    size: u64,
}

impl ArtifactStore {
    /// Starts a file. `kind` is the type of artifact, which selects the compression level.
    pub fn receive(&self, kind: &str) -> Result<Incoming> {
        self.check_space(0)?;
        Ok(Incoming {
            store: self.clone(),
            temporary: Temporary::create(self)?,
            level: self.inner.options.level_of(kind),
            sink: None,
            compressed: false,
            hasher: Sha256::new(),
            size: 0,
        })
    }
}

impl Incoming {
    /// The number of bytes written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes a piece. Pieces of some 100 KB work best.
    pub fn write(&mut self, piece: &[u8]) -> Result<()> {
        let path = &self.temporary.path;
        let sink = match &mut self.sink {
            Some(sink) => sink,
            None => {
                let level = self.level.filter(|level| pays(piece, *level));
                self.compressed = level.is_some();
                let file = OpenOptions::new().write(true).open(path).map_err(Error::io("open", path))?;
                self.sink.insert(Sink::new(file, level).map_err(Error::io("write", path))?)
            }
        };
        self.store.check_space(piece.len() as u64)?;
        sink.write(piece).map_err(Error::io("write", path)).map_err(|error| self.store.name_full_disk(error))?;
        self.hasher.update(piece);
        self.size += piece.len() as u64;
        Ok(())
    }

    /// When this returns, the file is complete and durable under its name.
    pub fn finish(mut self) -> Result<Put> {
        let path = &self.temporary.path;
        if let Some(sink) = self.sink.take() {
            let ended = sink.finish().map_err(Error::io("write", path));
            ended.map_err(|error| self.store.name_full_disk(error))?;
        }
        let guard = PutGuard::new(self.store.lock(FileLock::shared_until)?);
        let hash = ArtifactHash(self.hasher.finalize().into());
        let stored = self.store.settle(self.temporary, &hash, self.size, self.compressed, &|| Ok(()))?;
        Ok(Put { artifact: ArtifactRef { hash, size: self.size, stored }, guard })
    }
}
