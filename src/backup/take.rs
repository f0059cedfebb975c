//! Takes a backup of a home, possibly while workers run.

use super::{
    archive::{ArchiveWriter, DATABASE, FORMAT, FileEntry, Manifest, SETTINGS},
    error::{Error, Result},
    verify::{self, Checked},
};
use crate::{
    artifact::ArtifactStore,
    decide::admission::{Admission, admit_write},
    engine::Engine,
    model::Bytes,
    os::{disk_space, ownership, regular_file},
    store::{audit, backup},
    vector::backup as vector_backup,
};
use serde::Serialize;
use std::{
    fs::{self, File},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A backup that was written and then verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Taken {
    pub path: PathBuf,
    /// The size of the file.
    pub bytes: u64,
    #[serde(flatten)]
    pub checked: Checked,
}

/// Writes a backup of the engine's home to `path`. The file appears there only when it is complete, and only then
/// replaces an existing file.
pub fn take(engine: &Engine, path: &Path, go_on: &dyn Fn() -> bool) -> Result<Taken> {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ownership::check_place(parent)?;
    // A rename would replace a device such as /dev/null with a file.
    if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file() && !there.is_symlink()) {
        return Err(Error::NotRegular { path: path.to_path_buf() });
    }
    let home = fs::canonicalize(engine.home()).map_err(Error::io("find", engine.home()))?;
    let vectors = vectors_of(&home)?;
    check_space(engine, &vectors, parent)?;
    let make = || Error::io("make a file in", parent);
    let work = tempfile::Builder::new().prefix(".windlass-backup-").tempdir_in(parent).map_err(make())?;
    let temporary = work.path().join("backup");
    let file = File::options().write(true).create_new(true).mode(0o600).open(&temporary).map_err(make())?;
    let mut writer = ArchiveWriter::new(file, &temporary);
    // From here on, nothing that a row refers to can be swept.
    let guard = engine.artifacts().hold()?;
    let copy = work.path().join("copy.db");
    let created = engine.store().now();
    if !engine.store().copy_to(&copy, go_on)? {
        return Err(Error::Stopped);
    }
    let mut manifest = Manifest {
        format: FORMAT,
        windlass: engine.options().version.clone(),
        engine_id: backup::read_copy(&copy, backup::engine_id)?,
        created,
        home: home.to_string_lossy().into_owned(),
        files: vec![pack(&mut writer, DATABASE, &copy)?],
        artifacts: 0,
        artifact_bytes: 0,
        damaged: Vec::new(),
        left_out: backup::read_copy(&copy, backup::vector_databases)?,
    };
    manifest.left_out.retain(|it| !Path::new(it).starts_with(home.join("vectors")) && Path::new(it).exists());
    let artifacts = backup::read_copy(&copy, audit::artifacts)?;
    for (name, path) in &vectors {
        remove(&copy)?;
        if !vector_backup::copy(path, &copy, go_on)? {
            return Err(Error::Stopped);
        }
        manifest.files.push(pack(&mut writer, &format!("vectors/{name}.zst"), &copy)?);
    }
    for (name, path) in small_files(&home)? {
        let file = regular_file::open(&path).map_err(Error::io("read", &path))?;
        manifest.files.push(writer.add_listed(&name, file, false)?);
    }
    for artifact in &artifacts {
        if !go_on() {
            return Err(Error::Stopped);
        }
        add_artifact(engine.artifacts(), artifact, &mut writer, &mut manifest)?;
    }
    drop(guard);
    writer.finish(&manifest)?;
    let checked = verify::verify(&temporary, go_on)?;
    let bytes = fs::metadata(&temporary).map_err(Error::io("read", &temporary))?.len();
    fs::rename(&temporary, path).map_err(Error::io("rename", path))?;
    File::open(parent).and_then(|it| it.sync_all()).map_err(Error::io("sync", parent))?;
    Ok(Taken { path: path.to_path_buf(), bytes, checked })
}

fn pack(writer: &mut ArchiveWriter, name: &str, copy: &Path) -> Result<FileEntry> {
    let file = regular_file::open(copy).map_err(Error::io("read", copy))?;
    writer.add_listed(name, file, true)
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(Error::io("remove", path))
}

/// A damaged artifact is listed as damaged instead: the backup is useful without it.
fn add_artifact(
    store: &ArtifactStore,
    artifact: &crate::model::ArtifactRef,
    writer: &mut ArchiveWriter,
    manifest: &mut Manifest,
) -> Result<()> {
    match store.verify(artifact).and_then(|()| store.open_stored(&artifact.hash)) {
        Ok((file, ending)) => {
            let hash = artifact.hash.to_string();
            manifest.artifact_bytes += writer.add(&format!("artifacts/{}/{hash}{ending}", &hash[..2]), file)?;
            manifest.artifacts += 1;
            Ok(())
        }
        Err(error) if error.is_damage() => {
            manifest.damaged.push(artifact.hash.to_string());
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// The vector databases of a home, as file name and path.
fn vectors_of(home: &Path) -> Result<Vec<(String, PathBuf)>> {
    files_in(&home.join("vectors"), ".db")
}

/// The settings and the parameter sets.
fn small_files(home: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let settings = home.join(SETTINGS);
    if settings.is_file() {
        found.push((SETTINGS.to_string(), settings));
    }
    let sets = files_in(&home.join("params"), "")?;
    found.extend(sets.into_iter().map(|(name, path)| (format!("params/{name}"), path)));
    Ok(found)
}

fn files_in(dir: &Path, ending: &str) -> Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::Io { action: "list", path: dir.to_path_buf(), source }),
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(ending) && !name.starts_with('.') && entry.path().is_file() {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// For a moment the databases exist twice, as copies and in the backup file.
fn check_space(engine: &Engine, vectors: &[(String, PathBuf)], dir: &Path) -> Result<()> {
    let size = |path: &Path| fs::metadata(path).map_or(0, |it| it.len());
    let databases = size(engine.store().path()) + vectors.iter().map(|it| size(&it.1)).sum::<u64>();
    let (_, _, artifacts) = engine.store().read(crate::store::artifact::totals)?;
    let needed = Bytes(databases.saturating_mul(2).saturating_add(artifacts.max(0) as u64));
    let free = disk_space::free(dir).map_err(Error::io("read the free space of", dir))?;
    match admit_write(free, needed, engine.options().disk_reserve) {
        Admission::Admit => Ok(()),
        Admission::DiskLow { free, needed } => {
            Err(Error::DiskFull { dir: dir.to_path_buf(), needed: needed.0, free: free.0 })
        }
    }
}
