//! Opening an engine, and handing it work.

use super::{Error, Group, Home, Kinds, Result, Submission, WorkerBuilder};
use crate::{assembly, engine, model::GroupId, model::Kind, observe::NoMetrics, process};
use std::{fmt, path::Path, sync::Arc};

/// The engine of one home. Cheap to clone; any number of threads and processes may have the same home open.
#[derive(Clone)]
pub struct Engine {
    pub(super) inner: engine::Engine,
}

impl Engine {
    /// Opens the engine of a home, which is made at first use.
    ///
    /// # Errors
    ///
    /// A setting that is wrong, a directory that is not this user's own or on a network file system, a database of another
    /// program or of a newer windlass, a disk without room.
    pub fn open(home: &Home, kinds: Kinds) -> Result<Engine> {
        let inner = assembly::engine_with(&home.load()?, kinds.registry, Arc::new(NoMetrics))?;
        Ok(Engine { inner })
    }

    /// The directory that everything of it is in.
    pub fn home(&self) -> &Path {
        self.inner.home()
    }

    /// Submits work. When this returns it is on disk: if the program were killed now, the next one that opens the home would
    /// do it.
    ///
    /// # Errors
    ///
    /// A workflow or a parameter that is wrong, a key that was used for other work, a full disk. After an error nothing was
    /// submitted, with one exception: if the disk fails while the last byte is written, submit again with the same
    /// [`key`](Submission::key), which makes one group however often it is asked for.
    pub fn submit(&self, submission: Submission) -> Result<Group> {
        let submitted = self.inner.submit(submission.prepare(&self.inner)?)?;
        match submitted.gone {
            None => Ok(Group { engine: self.clone(), id: submitted.group }),
            Some(status) => {
                let message = format!("{} of this key has ended ({status}) and was pruned", submitted.group);
                Err(Error::new(Kind::Conflict, message))
            }
        }
    }

    /// The group of this number, whoever submitted it.
    ///
    /// # Errors
    ///
    /// There is none, or the database can't be read.
    pub fn group(&self, id: GroupId) -> Result<Group> {
        self.inner.group_end(id)?;
        Ok(Group { engine: self.clone(), id })
    }

    /// A worker for its steps, of which `slots` run at once.
    pub fn worker(&self, slots: usize) -> WorkerBuilder {
        WorkerBuilder::new(self.clone(), slots)
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

/// To be called first in `main`, before a thread is started.
///
/// windlass starts the running program again for some of its work: as the supervisor of each command (so that no process
/// outlives its step), as the parser of a document, and for a step that took its process along the last time. In such a
/// process this function does that work and ends the process; in any other it returns at once. `kinds` gives the step kinds
/// of this program, which the last of those processes needs as well.
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

/// Makes this process adopt what a command leaves behind that has killed its supervisor, so that it can be ended with its step
/// (see `docs/decisions/060-orphans-of-a-killed-shim.md`).
///
/// Not for a program that starts daemons of its own: it would adopt, and could end, those as well.
pub fn adopt_orphans() {
    process::adopt_orphans();
}
