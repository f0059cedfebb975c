//! The backup file: a zip archive with a manifest. Entries are stored without deflate, and may exceed 4 GiB.

use super::error::{Error, Result};
use crate::{model::Timestamp, os::regular_file};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};
use zip::{CompressionMethod, ZipArchive, ZipWriter, read::ZipFile, write::SimpleFileOptions};

pub(super) const FORMAT: u32 = 1;
pub(super) const DATABASE: &str = "engine.db.zst";
pub(super) const SETTINGS: &str = "windlass.toml";
const ARTIFACTS: &str = "artifacts/";
const MANIFEST: &str = "manifest.json";
/// A manifest lists only databases and small files.
const MANIFEST_MAX: u64 = 16 << 20;
/// The settings and each parameter set are read into memory.
const SMALL_MAX: u64 = 1 << 20;
/// The largest window of our own compression levels. A frame that needs more is not from a backup.
const WINDOW_LOG_MAX: u32 = 25;
const LEVEL: i32 = 3;

/// The list of the file's contents; its last entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub format: u32,
    /// The version of windlass that wrote it.
    pub windlass: String,
    pub engine_id: String,
    /// When the engine database was copied.
    pub created: Timestamp,
    /// The home directory that was backed up.
    pub home: String,
    pub files: Vec<FileEntry>,
    pub artifacts: u64,
    /// The size on disk.
    pub artifact_bytes: u64,
    /// Hashes of artifacts that were damaged or missing when the backup was taken.
    pub damaged: Vec<String>,
    /// Vector databases outside of the home, which are not included.
    pub left_out: Vec<String>,
}

/// An entry that is not an artifact.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FileEntry {
    pub name: String,
    /// The size in the archive.
    pub size: u64,
    /// The unpacked size.
    pub plain: u64,
    /// The hash of the entry as stored in the archive.
    pub sha256: String,
}

pub(super) struct ArchiveWriter {
    zip: ZipWriter<BufWriter<File>>,
    path: PathBuf,
}

fn options() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true).unix_permissions(0o600)
}

impl ArchiveWriter {
    pub(super) fn new(file: File, path: &Path) -> ArchiveWriter {
        ArchiveWriter { zip: ZipWriter::new(BufWriter::with_capacity(256 << 10, file)), path: path.to_path_buf() }
    }

    fn start(&mut self, name: &str) -> Result<()> {
        self.zip.start_file(name, options()).map_err(|error| self.failed(error.into()))
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Io { action: "write", path: self.path.clone(), source }
    }

    /// Adds a file unchanged and returns its size.
    pub(super) fn add(&mut self, name: &str, mut from: impl Read) -> Result<u64> {
        self.start(name)?;
        io::copy(&mut from, &mut self.zip).map_err(|source| self.failed(source))
    }

    /// Adds a file for the manifest, compressed or unchanged.
    pub(super) fn add_listed(&mut self, name: &str, mut from: impl Read, compress: bool) -> Result<FileEntry> {
        self.start(name)?;
        let path = self.path.clone();
        let mut sink = Hashing { inner: &mut self.zip, hasher: Sha256::new(), size: 0 };
        let copied = match compress {
            false => io::copy(&mut from, &mut sink),
            true => zstd::Encoder::new(&mut sink, LEVEL).and_then(|mut encoder| {
                let copied = io::copy(&mut from, &mut encoder)?;
                encoder.finish()?;
                Ok(copied)
            }),
        };
        let plain = copied.map_err(Error::io("write", path))?;
        let sha256 = hex::encode(sink.hasher.finalize());
        Ok(FileEntry { name: name.to_string(), size: sink.size, plain, sha256 })
    }

    /// Writes the manifest and the end of the archive, and makes the file durable.
    pub(super) fn finish(mut self, manifest: &Manifest) -> Result<()> {
        let text = serde_json::to_vec_pretty(manifest).map_err(|error| self.failed(error.into()))?;
        self.add(MANIFEST, &text[..])?;
        let path = self.path;
        let wrong = || Error::io("write", path.clone());
        let mut buffered = self.zip.finish().map_err(|error| wrong()(error.into()))?;
        buffered.flush().map_err(wrong())?;
        let file = buffered.into_inner().map_err(|error| wrong()(error.into_error()))?;
        file.sync_all().map_err(Error::io("sync", path.clone()))
    }
}

struct Hashing<W> {
    inner: W,
    hasher: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// An open archive with its manifest.
pub(super) struct Archive {
    zip: ZipArchive<BufReader<File>>,
    pub path: PathBuf,
    pub manifest: Manifest,
    /// The total size on disk of the artifacts read so far.
    artifact_bytes: u64,
}

/// The fields that every version of the manifest has.
#[derive(Deserialize)]
struct Head {
    format: u64,
    #[serde(default)]
    windlass: String,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Archive> {
        let file = regular_file::open(path).map_err(Error::io("open", path))?;
        let length = file.metadata().map_err(Error::io("open", path))?.len();
        let damaged = |reason: String| damaged(path, reason);
        let mut zip = ZipArchive::new(BufReader::with_capacity(256 << 10, file))
            .map_err(|error| damaged(format!("its list of entries is missing ({error})")))?;
        // Entries are stored, and each only once, so together they can't be larger than the file.
        if zip.decompressed_size().is_none_or(|it| it > u128::from(length)) {
            return Err(damaged("its entries claim to be larger than the file".to_string()));
        }
        // If a name occurs twice, this library uses the last entry, and other programs use the first.
        if zip.has_duplicate_names() {
            return Err(damaged("two of its entries have the same name".to_string()));
        }
        let mut text = Vec::new();
        let manifest = stored(&mut zip, path, MANIFEST)?;
        if manifest.size() > MANIFEST_MAX {
            return Err(damaged(format!("its manifest is larger than {MANIFEST_MAX} bytes")));
        }
        manifest
            .take(MANIFEST_MAX)
            .read_to_end(&mut text)
            .map_err(|error| damaged(format!("its manifest can't be read ({error})")))?;
        let wrong = |error| damaged(format!("its manifest is invalid ({error})"));
        let head: Head = serde_json::from_slice(&text).map_err(wrong)?;
        if head.format > u64::from(FORMAT) {
            return Err(Error::Newer { path: path.to_path_buf(), version: head.windlass });
        }
        let manifest = serde_json::from_slice(&text).map_err(wrong)?;
        Ok(Archive { zip, path: path.to_path_buf(), manifest, artifact_bytes: 0 })
    }

    /// Reads a small listed entry into memory.
    pub(super) fn read_small(&mut self, entry: &FileEntry) -> Result<Vec<u8>> {
        if entry.plain > SMALL_MAX {
            return Err(self.damaged(format!("`{}` is larger than {SMALL_MAX} bytes", entry.name)));
        }
        let mut text = Vec::new();
        self.read_listed(entry, &mut text)?;
        Ok(text)
    }

    pub(super) fn damaged(&self, reason: impl Into<String>) -> Error {
        damaged(&self.path, reason.into())
    }

    /// The names of all artifacts in the archive.
    pub(super) fn artifacts(&self) -> Vec<String> {
        self.names().filter(|it| it.starts_with(ARTIFACTS)).collect()
    }

    /// An entry that is neither the manifest nor an artifact nor listed in the manifest, if any.
    pub(super) fn unlisted(&self) -> Option<String> {
        let listed: HashSet<&str> = self.manifest.files.iter().map(|it| it.name.as_str()).collect();
        self.names().find(|it| it != MANIFEST && !it.starts_with(ARTIFACTS) && !listed.contains(it.as_str()))
    }

    /// The names of all entries.
    fn names(&self) -> impl Iterator<Item = String> {
        self.zip.file_names().map(|it| it.map_or_else(|error| error.to_string(), |it| it.into_owned()))
    }

    /// Unpacks a listed entry into `into`. Fails unless it matches the manifest, and never writes more than the
    /// manifest says.
    pub(super) fn read_listed(&mut self, entry: &FileEntry, into: &mut dyn Write) -> Result<()> {
        let path = self.path.clone();
        let inner = stored(&mut self.zip, &path, &entry.name)?;
        let differs = || damaged(&path, format!("`{}` differs from the manifest", entry.name));
        let is_packed = entry.name.ends_with(".zst");
        if inner.size() != entry.size || !is_packed && entry.plain != entry.size {
            return Err(differs());
        }
        let mut hashing = HashingReader { inner, hasher: Sha256::new(), size: 0 };
        let copied = match is_packed {
            true => decoder(&mut hashing)
                .and_then(|decoder| io::copy(&mut decoder.take(entry.plain.saturating_add(1)), into)),
            false => io::copy(&mut hashing, into),
        };
        // Bytes that the decoder left unread count too.
        let copied = copied.and_then(|copied| io::copy(&mut hashing, &mut io::sink()).map(|_| copied));
        let plain = copied.map_err(|error| unreadable(&path, &entry.name, error))?;
        let sha256 = hex::encode(hashing.hasher.finalize());
        match (plain, hashing.size, sha256.as_str()) == (entry.plain, entry.size, entry.sha256.as_str()) {
            true => Ok(()),
            false => Err(differs()),
        }
    }

    /// Copies an artifact, as stored, into `into`. Fails unless its uncompressed bytes match its name.
    pub(super) fn read_artifact(&mut self, name: &str, into: &mut dyn Write) -> Result<u64> {
        let path = self.path.clone();
        let inner = stored(&mut self.zip, &path, name)?;
        self.artifact_bytes = self.artifact_bytes.saturating_add(inner.size());
        if self.artifact_bytes > self.manifest.artifact_bytes {
            return Err(damaged(&path, "its artifacts are larger than the manifest says".to_string()));
        }
        let mut tee = Tee { inner, into, size: 0 };
        let mut sink = Hashing { inner: io::sink(), hasher: Sha256::new(), size: 0 };
        let copied = match name.ends_with(".zst") {
            true => decoder(&mut tee).and_then(|mut decoder| io::copy(&mut decoder, &mut sink)),
            false => io::copy(&mut tee, &mut sink),
        };
        let copied = copied.and_then(|_| io::copy(&mut tee, &mut io::sink()));
        copied.map_err(|error| unreadable(&path, name, error))?;
        let stem = name.rsplit('/').next().unwrap_or(name).trim_end_matches(".zst");
        match hex::encode(sink.hasher.finalize()) == stem {
            true => Ok(tee.size),
            false => Err(damaged(&path, format!("the content of `{name}` does not match its name"))),
        }
    }
}

fn damaged(path: &Path, reason: String) -> Error {
    Error::Damaged { path: path.to_path_buf(), reason }
}

/// An entry as `backup` writes it. A deflated one could expand to a thousand times the size of the file.
fn stored<'a>(
    zip: &'a mut ZipArchive<BufReader<File>>,
    path: &Path,
    name: &str,
) -> Result<ZipFile<'a, BufReader<File>>> {
    let entry = zip.by_name(name).map_err(|_| damaged(path, format!("`{name}` is missing")))?;
    match entry.compression() == CompressionMethod::Stored && entry.size() == entry.compressed_size() {
        true => Ok(entry),
        false => Err(damaged(path, format!("`{name}` is packed in a way that `windlass backup` does not use"))),
    }
}

fn decoder<R: Read>(from: R) -> io::Result<zstd::Decoder<'static, BufReader<R>>> {
    let mut decoder = zstd::Decoder::new(from)?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    Ok(decoder)
}

/// An error of the system comes from the disk; any other error means that the bytes are wrong.
fn unreadable(path: &Path, name: &str, error: io::Error) -> Error {
    match error.raw_os_error() {
        Some(_) => Error::Io { action: "unpack", path: path.to_path_buf(), source: error },
        None => damaged(path, format!("`{name}`: {error}")),
    }
}

struct HashingReader<R> {
    inner: R,
    hasher: Sha256,
    size: u64,
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.size += count as u64;
        Ok(count)
    }
}

/// Writes everything that is read through it.
struct Tee<'a, R> {
    inner: R,
    into: &'a mut dyn Write,
    size: u64,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.into.write_all(&buffer[..count])?;
        self.size += count as u64;
        Ok(count)
    }
}
