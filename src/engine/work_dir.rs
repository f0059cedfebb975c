//! The directory of one attempt: created on demand, and removed afterwards with its contents.

use super::{
    error::{Error, Result},
    outputs::{self, Collected, Until},
};
use crate::{
    artifact::ArtifactStore,
    model::{Lease, StepId, Token, WorkerId},
    os::private,
    store::output::Output,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

#[derive(Debug)]
pub struct WorkDir {
    root: PathBuf,
}

impl WorkDir {
    pub(super) fn of(home: &Path, worker: WorkerId, lease: Lease) -> WorkDir {
        WorkDir { root: WorkDir::root_of(home, worker, lease) }
    }

    /// The path of an attempt's directory.
    pub(super) fn root_of(home: &Path, worker: WorkerId, lease: Lease) -> PathBuf {
        home.join("tmp").join(format!("{}-{}-{}", worker, lease.step, lease.token.0))
    }

    /// The directory that a parent process gave to its child.
    pub(super) fn at(root: PathBuf) -> WorkDir {
        WorkDir { root }
    }

    /// The attempt's own directory, which may not exist.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directories of a step's attempts that may be running, by token.
    pub fn of_step(home: &Path, step: StepId) -> Vec<(Token, PathBuf)> {
        let Ok(entries) = fs::read_dir(home.join("tmp")) else { return Vec::new() };
        let infix = format!("-{step}-");
        let token = |name: &str| Some(Token(name.split_once(&infix)?.1.parse().ok()?));
        let mut found: Vec<_> =
            entries.flatten().filter_map(|it| Some((token(it.file_name().to_str()?)?, it.path()))).collect();
        found.sort();
        found
    }

    /// The path of a directory inside the attempt's own, for callers that create it only if needed: creating a
    /// directory costs more than a short step.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Creates an empty directory inside the attempt's own. `name` is ours, never a user's.
    pub fn create(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        private::create_dir_all(&path).map_err(|source| Error::Io { action: "create", path: path.clone(), source })?;
        Ok(path)
    }

    /// Writes the output files of a predecessor into a directory, for commands that need paths.
    pub fn materialise(&self, name: &str, output: &Output, artifacts: &ArtifactStore, until: Until) -> Result<PathBuf> {
        let dir = self.create(&format!("in-{}", hex::encode(name)))?;
        outputs::restore(name, output, &dir, artifacts, until)?;
        Ok(dir)
    }

    /// Stores the files in the directory `name` inside the attempt's own as artifacts. The directory may not exist.
    pub fn collect(&self, name: &str, artifacts: &ArtifactStore, until: Until) -> Result<Collected> {
        outputs::collect(&self.root, name, artifacts, until)
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        remove(&self.root);
    }
}

/// If a step has mounted something there, it stays, and so does the directory.
fn remove(root: &Path) {
    if let Err(error) = private::remove_tree(root) {
        tracing::warn!(directory = %root.display(), %error, "a work directory could not be removed");
    }
}

/// Removes work directories of workers that are gone. `alive` gets the worker's printed name.
pub(super) fn sweep(home: &Path, alive: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(home.join("tmp")) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().to_string();
        let worker = name.split('-').next().unwrap_or_default();
        if worker.starts_with('w') && !alive(worker) {
            remove(&entry.path());
        }
    }
}
