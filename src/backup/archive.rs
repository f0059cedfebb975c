//! The file: a zip archive with a manifest. Entries are stored, not deflated, and may be larger than 4 GiB.

use super::error::{Error, Result};
use crate::model::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

pub(super) const FORMAT: u32 = 1;
pub(super) const DATABASE: &str = "engine.db.zst";
pub(super) const SETTINGS: &str = "windlass.toml";
const MANIFEST: &str = "manifest.json";
/// A manifest names databases and small files only.
const MANIFEST_MAX: u64 = 64 << 20;
const LEVEL: i32 = 3;

/// What is in the file; its last entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub format: u32,
    /// The version of windlass that made it.
    pub windlass: String,
    pub engine_id: String,
    /// When the engine's database was copied.
    pub created: Timestamp,
    /// The home directory that it was taken of.
    pub home: String,
    pub files: Vec<FileEntry>,
    pub artifacts: u64,
    /// On disk.
    pub artifact_bytes: u64,
    /// Artifacts that were damaged or missing when the backup was taken, by hash.
    pub damaged: Vec<String>,
    /// Vector databases outside of the home.
    pub left_out: Vec<String>,
}

/// An entry that is no artifact.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FileEntry {
    pub name: String,
    /// In the archive.
    pub size: u64,
    /// Once it is unpacked.
    pub plain: u64,
    /// Of what is in the archive.
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

    /// Adds a file as it is; its size.
    pub(super) fn add(&mut self, name: &str, mut from: impl Read) -> Result<u64> {
        self.start(name)?;
        io::copy(&mut from, &mut self.zip).map_err(|source| self.failed(source))
    }

    /// Adds a file whose hash goes into the manifest, compressed or as it is.
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

    /// Writes the manifest and the end, and makes all of it durable.
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

/// An archive that was opened, with its manifest.
pub(super) struct Archive {
    zip: ZipArchive<BufReader<File>>,
    pub path: PathBuf,
    pub manifest: Manifest,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Archive> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let damaged = |reason: String| damaged(path, reason);
        let mut zip = ZipArchive::new(BufReader::with_capacity(256 << 10, file))
            .map_err(|error| damaged(format!("it has no list of entries ({error})")))?;
        let mut text = Vec::new();
        let manifest = zip.by_name(MANIFEST).map_err(|_| damaged("it has no manifest".into()))?;
        manifest
            .take(MANIFEST_MAX)
            .read_to_end(&mut text)
            .map_err(|error| damaged(format!("its manifest can't be read ({error})")))?;
        let told: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| damaged(format!("its manifest is wrong ({error})")))?;
        if told["format"].as_u64().is_some_and(|it| it > u64::from(FORMAT)) {
            let version = told["windlass"].as_str().unwrap_or("unknown").to_string();
            return Err(Error::Newer { path: path.to_path_buf(), version });
        }
        let manifest =
            serde_json::from_value(told).map_err(|error| damaged(format!("its manifest is wrong ({error})")))?;
        Ok(Archive { zip, path: path.to_path_buf(), manifest })
    }

    pub(super) fn damaged(&self, reason: impl Into<String>) -> Error {
        damaged(&self.path, reason.into())
    }

    /// The names of all artifacts in it.
    pub(super) fn artifacts(&self) -> Vec<String> {
        let names = self.zip.file_names().flatten().filter(|it| it.starts_with("artifacts/"));
        names.map(|it| it.into_owned()).collect()
    }

    /// Reads a listed entry, unpacked, into `into`; an error unless it is what the manifest says.
    pub(super) fn read_listed(&mut self, entry: &FileEntry, into: &mut dyn Write) -> Result<()> {
        let path = self.path.clone();
        let inner = self.zip.by_name(&entry.name).map_err(|_| missing(&path, &entry.name))?;
        let mut hashing = HashingReader { inner, hasher: Sha256::new(), size: 0 };
        let copied = match entry.name.ends_with(".zst") {
            true => zstd::Decoder::new(&mut hashing)
                .and_then(|decoder| io::copy(&mut decoder.take(entry.plain.saturating_add(1)), into)),
            false => io::copy(&mut hashing, into),
        };
        // What the decoder left unread counts too.
        let copied = copied.and_then(|copied| io::copy(&mut hashing, &mut io::sink()).map(|_| copied));
        let plain = copied.map_err(|error| unreadable(&path, &entry.name, error))?;
        let sha256 = hex::encode(hashing.hasher.finalize());
        match (plain, hashing.size, sha256.as_str()) == (entry.plain, entry.size, entry.sha256.as_str()) {
            true => Ok(()),
            false => Err(damaged(&path, format!("`{}` is not what the manifest says", entry.name))),
        }
    }

    /// Reads an artifact as it is stored into `into`; an error unless its plain bytes are those of its name.
    pub(super) fn read_artifact(&mut self, name: &str, into: &mut dyn Write) -> Result<u64> {
        let path = self.path.clone();
        let inner = self.zip.by_name(name).map_err(|_| missing(&path, name))?;
        let mut tee = Tee { inner, into, size: 0 };
        let mut sink = Hashing { inner: io::sink(), hasher: Sha256::new(), size: 0 };
        let copied = match name.ends_with(".zst") {
            true => zstd::Decoder::new(&mut tee).and_then(|mut decoder| io::copy(&mut decoder, &mut sink)),
            false => io::copy(&mut tee, &mut sink),
        };
        let copied = copied.and_then(|_| io::copy(&mut tee, &mut io::sink()));
        copied.map_err(|error| unreadable(&path, name, error))?;
        let stem = name.rsplit('/').next().unwrap_or(name).trim_end_matches(".zst");
        match hex::encode(sink.hasher.finalize()) == stem {
            true => Ok(tee.size),
            false => Err(damaged(&path, format!("`{name}` has other content than its name says"))),
        }
    }
}

fn damaged(path: &Path, reason: String) -> Error {
    Error::Damaged { path: path.to_path_buf(), reason }
}

fn missing(path: &Path, name: &str) -> Error {
    damaged(path, format!("`{name}` is missing"))
}

/// An error of the system is the disk's; any other one says that the bytes are wrong.
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

/// Writes what is read through it.
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
