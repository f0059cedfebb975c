//! The directory of one attempt: created when asked for, removed with everything in it afterwards.

use super::error::{Error, Result};
use crate::{
    artifact::{ArtifactStore, PutGuard},
    model::{ArtifactRef, Lease, StepId, Token, WorkerId, artifact::kind},
    os::private,
    store::output::Output,
};
use std::{
    fs, io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

/// Files that one step may leave behind.
const MOST_FILES: usize = 10_000;

/// Files that became artifacts. The guards keep them from a sweep until their rows are committed.
#[derive(Debug)]
pub struct Collected {
    pub files: Vec<(String, ArtifactRef)>,
    /// Names of those that can be run.
    pub executable: Vec<String>,
    pub guards: Vec<PutGuard>,
}

#[derive(Debug)]
pub struct WorkDir {
    root: PathBuf,
}

impl WorkDir {
    pub(super) fn of(home: &Path, worker: WorkerId, lease: Lease) -> WorkDir {
        let name = format!("{}-{}-{}", worker, lease.step, lease.token.0);
        WorkDir { root: home.join("tmp").join(name) }
    }

    /// The directory that a parent gave to its child.
    pub(super) fn at(root: PathBuf) -> WorkDir {
        WorkDir { root }
    }

    /// The attempt's own directory, which need not exist.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directories of the attempts of a step that may be running, by token.
    pub fn of_step(home: &Path, step: StepId) -> Vec<(Token, PathBuf)> {
        let Ok(entries) = fs::read_dir(home.join("tmp")) else { return Vec::new() };
        let infix = format!("-{step}-");
        let token = |name: &str| Some(Token(name.split_once(&infix)?.1.parse().ok()?));
        let mut found: Vec<_> =
            entries.flatten().filter_map(|it| Some((token(it.file_name().to_str()?)?, it.path()))).collect();
        found.sort();
        found
    }

    /// Where a directory under the attempt's own would be, for those who make it themselves if they need it: a directory
    /// costs more than a short step does.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// An empty directory under the attempt's own; `name` is ours, never a user's.
    pub fn create(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        private::create_dir_all(&path).map_err(|source| Error::Io { action: "create", path: path.clone(), source })?;
        Ok(path)
    }

    /// Writes the files of a predecessor's output into a directory, for commands that want paths.
    pub fn materialise(&self, name: &str, output: &Output, artifacts: &ArtifactStore) -> Result<PathBuf> {
        let dir = self.create(&format!("in-{}", hex::encode(name)))?;
        for (file, artifact) in &output.files {
            let relative = Path::new(file);
            // Stored names were checked when they were stored; a restored database is not trusted more than that.
            if !is_plain(relative) {
                let what = format!("output file `{file}` of step `{name}` has a name that leaves its directory");
                return Err(Error::Refused { what, hint: None });
            }
            let path = dir.join(relative);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(|source| Error::Io {
                    action: "create",
                    path: parent.to_path_buf(),
                    source,
                })?;
            }
            artifacts.copy_to(artifact, &path)?;
            // The directory is private; the file itself is like any that a command would make, so that `cp` passes it on.
            let mode = if output.executable.contains(file) { 0o755 } else { 0o644 };
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(&path, mode).map_err(|source| Error::Io { action: "set the mode of", path, source })?;
        }
        Ok(dir)
    }

    /// Makes artifacts of all regular files under a directory, by their relative names. Symbolic links are left out; a
    /// directory that does not exist has no files.
    pub fn collect(&self, dir: &Path, artifacts: &ArtifactStore) -> Result<Collected> {
        let mut files = Vec::new();
        let (mut executable, mut guards) = (Vec::new(), Vec::new());
        for path in regular_files(dir)? {
            let relative = path.strip_prefix(dir).unwrap_or(&path);
            let Some(name) = relative.to_str() else {
                let what = format!("output file `{}` has a name that is not UTF-8", relative.display());
                return Err(Error::Refused { what, hint: Some("rename it in the step") });
            };
            let Some(file) = open_regular(&path)? else { continue };
            if file.metadata().is_ok_and(|it| it.permissions().mode() & 0o100 != 0) {
                executable.push(name.to_string());
            }
            let put = artifacts.put(file, kind::OUTPUT)?;
            files.push((name.to_string(), put.artifact));
            guards.push(put.guard);
        }
        Ok(Collected { files, executable, guards })
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Opens what was listed as a regular file. None: something else has been put in its place since.
fn open_regular(path: &Path) -> Result<Option<fs::File>> {
    let wrong = |source| Error::Io { action: "read", path: path.to_path_buf(), source };
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    match fs::OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => Ok(file.metadata().map_err(wrong)?.is_file().then_some(file)),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => Ok(None),
        Err(source) => Err(wrong(source)),
    }
}

fn is_plain(path: &Path) -> bool {
    path.components().all(|it| matches!(it, Component::Normal(_))) && path.components().next().is_some()
}

fn regular_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let wrong = |source| Error::Io { action: "list", path: folder.clone(), source };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder == dir => break,
            entries => entries.map_err(wrong)?,
        };
        for entry in entries {
            let entry = entry.map_err(wrong)?;
            let kind = entry.file_type().map_err(wrong)?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
        if found.len() > MOST_FILES {
            let what = format!("the step left more than {MOST_FILES} files in its output directory");
            return Err(Error::Refused { what, hint: Some("pack them into an archive") });
        }
    }
    found.sort();
    Ok(found)
}

/// Removes work directories of workers that are gone. `alive` is asked by the worker's printed name.
pub(super) fn sweep(home: &Path, alive: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(home.join("tmp")) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().to_string();
        let worker = name.split('-').next().unwrap_or_default();
        if worker.starts_with('w') && !alive(worker) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
