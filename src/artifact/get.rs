//! Reads a file back. Content that does not match its hash causes an error.

use super::{
    damage::Damage,
    error::{Error, Result},
    store::ArtifactStore,
};
use crate::{
    model::{ArtifactHash, ArtifactRef},
    os::{disk_space, regular_file},
};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

/// The maximum window that the decoder accepts, as a power of two. Our own levels need at most 2^23.
const WINDOW_LOG_MAX: u32 = 23;

/// Streams an artifact. If the bytes do not match the hash, the last read fails with `InvalidData`, so trust the
/// content only after reading to the end without an error.
pub struct ArtifactReader {
    source: Source,
    artifact: ArtifactRef,
    hasher: Sha256,
    read: u64,
    ended: bool,
    damage: Option<Damage>,
}

enum Source {
    Plain(File),
    Compressed(zstd::Decoder<'static, io::BufReader<File>>),
}

impl ArtifactStore {
    /// A stream of the uncompressed bytes.
    pub fn get(&self, artifact: &ArtifactRef) -> Result<ArtifactReader> {
        let reader = self.reader(artifact)?;
        self.tell_traffic("out", artifact.size);
        Ok(reader)
    }

    fn reader(&self, artifact: &ArtifactRef) -> Result<ArtifactReader> {
        let (path, compressed) = self.look_for(&artifact.hash).map_err(|error| match error {
            Error::Missing { .. } => self.noted(error),
            other => other,
        })?;
        let file = regular_file::open(&path).map_err(Error::io("open", &path))?;
        let source = if compressed {
            let decoder = zstd::Decoder::new(file).and_then(|mut it| {
                it.window_log_max(WINDOW_LOG_MAX)?;
                Ok(it)
            });
            Source::Compressed(decoder.map_err(Error::io("read", &path))?)
        } else {
            Source::Plain(file)
        };
        let damage = self.damage.clone();
        Ok(ArtifactReader { source, artifact: *artifact, hasher: Sha256::new(), read: 0, ended: false, damage })
    }

    /// All uncompressed bytes, verified. For artifacts that fit into memory.
    pub fn get_bytes(&self, artifact: &ArtifactRef) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(artifact.size.min(1 << 20) as usize);
        let read = self.get(artifact)?.read_to_end(&mut bytes);
        read.map_err(|error| self.read_failed(artifact, error))?;
        Ok(bytes)
    }

    /// Writes the uncompressed bytes to a path. The file appears there only when it is complete and verified, and
    /// replaces an existing one.
    pub fn copy_to(&self, artifact: &ArtifactRef, path: &Path) -> Result<()> {
        self.copy_while(artifact, path, &|| Ok(()))
    }

    /// Like `copy_to`, but calls `go_on` before every block. An error from it is returned as `Error::Source`.
    pub fn copy_while(&self, artifact: &ArtifactRef, path: &Path, go_on: &dyn Fn() -> io::Result<()>) -> Result<()> {
        let mut reader = self.get(artifact)?;
        let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut temporary = tempfile::Builder::new()
            .prefix(".windlass-")
            .tempfile_in(parent)
            .map_err(|source| self.write_failed(path, source))?;
        let mut block = vec![0; 64 << 10];
        loop {
            go_on().map_err(Error::Source)?;
            let count = reader.read(&mut block).map_err(|error| self.read_failed(artifact, error))?;
            if count == 0 {
                break;
            }
            temporary.write_all(&block[..count]).map_err(|error| self.write_failed(path, error))?;
        }
        temporary.persist(path).map_err(|error| self.write_failed(path, error.error))?;
        Ok(())
    }

    /// Reads and verifies the whole file.
    pub fn verify(&self, artifact: &ArtifactRef) -> Result<()> {
        self.verify_while(artifact, &|| Ok(()))
    }

    /// Like `verify`, but calls `go_on` before every block. An error from it is returned as `Error::Source`.
    pub(super) fn verify_while(&self, artifact: &ArtifactRef, go_on: &dyn Fn() -> io::Result<()>) -> Result<()> {
        let mut reader = self.reader(artifact)?;
        let mut block = vec![0; 64 << 10];
        loop {
            go_on().map_err(Error::Source)?;
            if reader.read(&mut block).map_err(|error| self.read_failed(artifact, error))? == 0 {
                return Ok(());
            }
        }
    }

    /// The file of an artifact as stored, and its suffix.
    pub fn open_stored(&self, hash: &ArtifactHash) -> Result<(File, &'static str)> {
        let (path, compressed) = self.look_for(hash)?;
        let file = regular_file::open(&path).map_err(Error::io("open", &path))?;
        Ok((file, if compressed { ".zst" } else { "" }))
    }

    /// Distinguishes damage from an unreadable disk: only damage makes the producer run again.
    fn read_failed(&self, artifact: &ArtifactRef, error: io::Error) -> Error {
        if error.raw_os_error().is_some() {
            let path = self.path(&artifact.hash, true);
            return Error::Io { action: "read", path, source: error };
        }
        self.noted(Error::Corrupt { hash: artifact.hash, detail: error.to_string() })
    }

    fn write_failed(&self, path: &Path, source: io::Error) -> Error {
        if super::error::is_full(&source) {
            let dir = path.parent().unwrap_or(path).to_path_buf();
            let free = disk_space::free(&dir).map_or(0, |it| it.0);
            return Error::DiskFull { dir, needed: free.saturating_add(1), free };
        }
        Error::Io { action: "write", path: path.to_path_buf(), source }
    }
}

impl ArtifactReader {
    fn check(&mut self) -> io::Result<()> {
        self.ended = true;
        let wrong = |detail: String| Err(io::Error::new(io::ErrorKind::InvalidData, detail));
        if self.read != self.artifact.size {
            return wrong(format!("it has {} bytes instead of {}", self.read, self.artifact.size));
        }
        let hash: [u8; 32] = std::mem::take(&mut self.hasher).finalize().into();
        if hash != self.artifact.hash.0 { wrong("its hash differs".to_string()) } else { Ok(()) }
    }
}

impl Read for ArtifactReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.read_some(buffer);
        // An error of the system comes from the disk or is temporary; any other error means that the bytes are wrong.
        if let (Err(error), Some(damage)) = (&read, &self.damage)
            && error.raw_os_error().is_none()
            && error.kind() != io::ErrorKind::Interrupted
        {
            damage.note(self.artifact.hash);
        }
        read
    }
}

impl ArtifactReader {
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let count = match &mut self.source {
            Source::Plain(file) => file.read(buffer)?,
            Source::Compressed(decoder) => decoder.read(buffer)?,
        };
        if count == 0 {
            self.check()?;
            return Ok(0);
        }
        self.hasher.update(&buffer[..count]);
        self.read += count as u64;
        // Stops a decompression bomb as soon as it exceeds the recorded size.
        if self.read > self.artifact.size {
            self.ended = true;
            let detail = format!("it has more than the expected {} bytes", self.artifact.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
        }
        Ok(count)
    }
}
