//! Opens an engine and submits work to it.

use super::{Error, Group, Home, Kinds, Result, Submission, WorkerBuilder};
use crate::{assembly, engine, model::GroupId, model::Kind, observe::NoMetrics, process};
use std::{fmt, path::Path, sync::Arc};

/// The engine of one home. Cheap to clone. Any number of threads and processes can have the same home open.
#[derive(Clone)]
pub struct Engine {
    pub(super) inner: engine::Engine,
}

impl Engine {
    /// Opens the engine of a home, creating the home at first use.
    ///
    /// # Errors
    ///
    /// A setting is invalid, the directory belongs to another user or is on a network file system, the database belongs
    /// to another program or a newer windlass, or the disk is full.
    pub fn open(home: &Home, kinds: Kinds) -> Result<Engine> {
        let inner = assembly::engine_with(&home.load()?, kinds.registry, Arc::new(NoMetrics))?;
        Ok(Engine { inner })
    }

    /// The home directory.
    pub fn home(&self) -> &Path {
        self.inner.home()
    }

    /// Submits work. When this returns, the work is on disk: if the program were killed now, the next one to open the
    /// home would do it.
    ///
    /// # Errors
    ///
    /// A workflow or a parameter is invalid, the key was used for other work, or the disk is full. After an error
    /// nothing was submitted, with one exception: the disk may fail while the commit is being written. Submit again
    /// with the same [`key`](Submission::key), which creates one group however often it is submitted.
    pub fn submit(&self, submission: Submission) -> Result<Group> {
        let submitted = self.inner.submit(submission.prepare(&self.inner)?)?;
        match submitted.gone {
            None => Ok(Group { engine: self.inner.clone(), id: submitted.group }),
            Some(status) => {
                let message = format!("{} of this key has ended ({status}) and was pruned", submitted.group);
                Err(Error::new(Kind::Conflict, message))
            }
        }
    }

    /// The group with this number, whoever submitted it.
    ///
    /// # Errors
    ///
    /// It does not exist, or the database can't be read.
    pub fn group(&self, id: GroupId) -> Result<Group> {
        self.inner.group_end(id)?;
        Ok(Group { engine: self.inner.clone(), id })
    }

    /// A worker that runs up to `slots` steps at a time.
    pub fn worker(&self, slots: usize) -> WorkerBuilder {
        WorkerBuilder::new(self.inner.clone(), slots)
    }

    /// Writes what is left to write and closes the database for every clone of this engine. Stop the workers first.
    pub fn close(self) {
        self.inner.store().close();
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("home", &self.home()).finish()
    }
}

/// Call this first in `main`, before starting any thread.
///
/// windlass starts the running program again for some of its work: as the supervisor of each command (so that no
/// process outlives its step), as the parser of a document, and for a step that crashed its process in an earlier
/// attempt. In such a process this function does that work and ends the process; in any other it returns immediately.
/// `kinds` returns the step kinds of this program, which the last of these roles needs.
pub fn init(kinds: fn() -> Kinds) {
    let step = || engine::step_child::run_if_asked(|| kinds().registry);
    #[cfg(feature = "ingest")]
    let parser = crate::ingest::parser::run_if_asked;
    #[cfg(not(feature = "ingest"))]
    let parser = || None;
    if let Some(code) = process::shim::run_if_asked().or_else(parser).or_else(step) {
        std::process::exit(code);
    }
}

/// Makes this process adopt the processes of a command that has killed its supervisor, so that they can be ended with
/// their step (see `docs/decisions/060-orphans-of-a-killed-shim.md`).
///
/// Do not use this in a program that starts daemons of its own: it would adopt, and could end, those too.
pub fn adopt_orphans() {
    process::adopt_orphans();
}
