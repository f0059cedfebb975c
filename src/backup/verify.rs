//! Verifies a backup by reading all of it.

use super::{
    archive::{Archive, DATABASE, SETTINGS},
    error::{Error, Result},
};
use crate::{
    decide::admission::{Admission, admit_write},
    model::{ArtifactHash, Bytes, Timestamp},
    os::disk_space,
    store::{backup, check},
    vector::backup::problems_of_copy,
};
use serde::Serialize;
use std::{
    collections::HashSet,
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// How much disk space a check leaves free.
const RESERVE: Bytes = Bytes::mib(64);

/// The description of a complete backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The id of the backed-up engine.
    pub engine_id: String,
    pub created: Timestamp,
    pub home: String,
    /// By name, as in the home.
    pub vector_databases: Vec<String>,
    pub artifacts: u64,
    pub artifact_bytes: u64,
    /// Artifacts that were already damaged when the backup was taken.
    pub damaged: Vec<String>,
    /// Vector databases outside of the home, which are not included.
    pub left_out: Vec<String>,
}

/// Reads everything, compares it with its hashes, unpacks the databases next to the file, and lets SQLite check them.
pub fn verify(path: &Path, go_on: &dyn Fn() -> bool) -> Result<Checked> {
    let mut archive = Archive::open(path)?;
    check_names(&archive)?;
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wrong = || Error::io("make a directory in", parent);
    let dir = tempfile::Builder::new().prefix(".windlass-verify-").tempdir_in(parent).map_err(wrong())?;
    check_space(parent, archive.manifest.files.iter().map(|it| it.plain).max().unwrap_or(0), RESERVE)?;
    let mut vectors = Vec::new();
    for entry in archive.manifest.files.clone() {
        let Some(name) = entry.name.strip_suffix(".db.zst") else {
            archive.read_small(&entry)?;
            continue;
        };
        let copy = dir.path().join("copy.db");
        let mut file = File::create(&copy).map_err(Error::io("create", &copy))?;
        archive.read_listed(&entry, &mut file)?;
        drop(file);
        let problems = match entry.name.as_str() {
            DATABASE => backup::read_copy(&copy, |tx| Ok([check::integrity(tx)?, check::check(tx)?].concat()))?,
            _ => {
                vectors.push(name.trim_start_matches("vectors/").to_string());
                problems_of_copy(&copy)?
            }
        };
        if !problems.is_empty() {
            return Err(Error::DamagedDatabase { problems });
        }
        if !go_on() {
            return Err(Error::Stopped);
        }
    }
    for name in &archive.artifacts() {
        archive.read_artifact(name, &mut io::sink())?;
        if !go_on() {
            return Err(Error::Stopped);
        }
    }
    Ok(of(&archive, vectors))
}

/// Allows only names that we write: an untrusted archive must not place files elsewhere.
pub(super) fn check_names(archive: &Archive) -> Result<()> {
    let plain = |name: &str| {
        !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']) && name.len() < 200
    };
    let is_ours = |name: &str| {
        let vector = name.strip_prefix("vectors/").and_then(|it| it.strip_suffix(".db.zst"));
        let params = name.strip_prefix("params/").filter(|it| !it.ends_with(".zst"));
        [DATABASE, SETTINGS].contains(&name) || vector.or(params).is_some_and(plain)
    };
    if let Some(odd) = archive.manifest.files.iter().find(|it| !is_ours(&it.name)) {
        return Err(archive.damaged(format!("`{}` is not a file of a home", odd.name)));
    }
    let mut seen = HashSet::new();
    if let Some(twice) = archive.manifest.files.iter().find(|it| !seen.insert(it.name.as_str())) {
        return Err(archive.damaged(format!("its manifest lists `{}` twice", twice.name)));
    }
    if let Some(odd) = archive.unlisted() {
        return Err(archive.damaged(format!("`{odd}` is not in its manifest")));
    }
    let names = archive.artifacts();
    if names.len() as u64 != archive.manifest.artifacts {
        return Err(archive.damaged("its artifacts differ from its manifest"));
    }
    match names.iter().find(|it| artifact_path(it).is_none_or(|path| path != Path::new(it))) {
        Some(odd) => Err(archive.damaged(format!("`{odd}` is not an artifact"))),
        None => Ok(()),
    }
}

/// `artifacts/ab/abcd...[.zst]`, built from the hash.
pub(super) fn artifact_path(name: &str) -> Option<PathBuf> {
    let file = name.strip_prefix("artifacts/")?.rsplit('/').next()?;
    let ending = if file.ends_with(".zst") { ".zst" } else { "" };
    let hash: ArtifactHash = file.trim_end_matches(".zst").parse().ok()?;
    let hash = hash.to_string();
    Some(Path::new("artifacts").join(&hash[..2]).join(format!("{hash}{ending}")))
}

/// Refuses to unpack if less than `reserve` bytes of disk space would remain.
pub(super) fn check_space(dir: &Path, needed: u64, reserve: Bytes) -> Result<()> {
    let free = disk_space::free(dir).map_err(Error::io("read the free space of", dir))?;
    match admit_write(free, Bytes(needed), reserve) {
        Admission::Admit => Ok(()),
        Admission::DiskLow { free, needed } => {
            Err(Error::DiskFull { dir: dir.to_path_buf(), needed: needed.0, free: free.0 })
        }
    }
}

pub(super) fn of(archive: &Archive, vector_databases: Vec<String>) -> Checked {
    let it = archive.manifest.clone();
    Checked {
        engine_id: it.engine_id,
        created: it.created,
        home: it.home,
        vector_databases,
        artifacts: it.artifacts,
        artifact_bytes: it.artifact_bytes,
        damaged: it.damaged,
        left_out: it.left_out,
    }
}
