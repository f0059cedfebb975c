//! Reads a backup from its first byte to its last.

use super::{
    archive::{Archive, DATABASE},
    error::{Error, Result},
};
use crate::{
    model::Timestamp,
    store::{backup, check},
    vector::backup::problems_of_copy,
};
use serde::Serialize;
use std::{fs::File, io, path::Path};

/// A backup that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Of the engine that it was taken of.
    pub engine_id: String,
    pub created: Timestamp,
    pub home: String,
    /// By name, as they are in the home.
    pub vector_databases: Vec<String>,
    pub artifacts: u64,
    pub artifact_bytes: u64,
    /// Artifacts that were damaged already when it was taken.
    pub damaged: Vec<String>,
    /// Vector databases outside of the home, which are not in it.
    pub left_out: Vec<String>,
}

/// Reads everything, compares it with its hashes, and has SQLite check the databases, which are unpacked beside the file.
pub fn verify(path: &Path, go_on: &dyn Fn() -> bool) -> Result<Checked> {
    let mut archive = Archive::open(path)?;
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wrong = || Error::io("make a directory in", parent);
    let dir = tempfile::Builder::new().prefix(".windlass-verify-").tempdir_in(parent).map_err(wrong())?;
    let mut vectors = Vec::new();
    for entry in archive.manifest.files.clone() {
        let Some(name) = entry.name.strip_suffix(".db.zst") else {
            archive.read_listed(&entry, &mut io::sink())?;
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
    let names = archive.artifacts();
    if names.len() as u64 != archive.manifest.artifacts {
        return Err(archive.damaged("artifacts are missing"));
    }
    for name in &names {
        archive.read_artifact(name, &mut io::sink())?;
        if !go_on() {
            return Err(Error::Stopped);
        }
    }
    Ok(of(&archive, vectors))
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
