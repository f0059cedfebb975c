//! Watched directories: each new or changed file starts its workflow, once per version.
//!
//! The kernel's events are only hints. What counts is a comparison of the directory with the known files, whose sizes,
//! times and inodes are in the database. `burst` describes what happens after a crash.

mod add;
mod burst;
mod folder;
mod listing;
mod lock;

pub(super) use add::{all_files, check, directory_of, know_existing, sweep};
pub use lock::is_held;

use super::{
    Engine,
    error::{Result, with_causes},
    state::WorkerState,
};
use crate::{
    definition::watch::Trigger,
    model::Millis,
    os::{FileEvents, Hint, readiness::wait_readable},
    store::watch::{self, WatchRow},
};
use folder::Folder;
use std::{os::fd::AsFd, sync::Arc, time::Duration};

/// The delay before everything is tried again after an error.
const AGAIN: Millis = Millis::seconds(1);
/// How long hints are collected.
const COLLECT: Duration = Duration::from_millis(50);
/// The wait if nothing is due.
const LONG: Duration = Duration::from_secs(86_400);

pub(super) fn run(state: &Arc<WorkerState>) {
    let Some(waker) = &state.watch_waker else { return };
    let mut watches = Watches::new(&state.engine);
    loop {
        waker.clear();
        if state.is_draining() {
            return;
        }
        let wait = watches.look().unwrap_or_else(|error| {
            tracing::warn!(error = %with_causes(&error), "a directory could not be watched");
            Some(AGAIN)
        });
        let wait = wait.map_or(LONG, Millis::duration);
        let events = watches.events.as_ref().map(AsFd::as_fd);
        match wait_readable(&[Some(waker.as_fd()), events], wait) {
            Ok(ready) if ready == [false, true] => drop(wait_readable(&[Some(waker.as_fd())], COLLECT)),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "watching for changes of directories ends");
                return;
            }
        }
    }
}

/// All directories watched by this process.
pub struct Watches {
    engine: Engine,
    /// None: the system gives no hints.
    events: Option<FileEvents>,
    folders: Vec<Folder>,
    stamp: Option<[i64; 3]>,
}

impl Watches {
    pub fn new(engine: &Engine) -> Watches {
        Watches { engine: engine.clone(), events: None, folders: Vec::new(), stamp: None }
    }

    /// Examines whatever may have changed, and starts what is due. Returns when to look again; None: after a hint, or
    /// when a watch is added or changed.
    ///
    /// # Errors
    ///
    /// The database can't be used, or a resource is short. The other directories have been examined.
    pub fn look(&mut self) -> Result<Option<Millis>> {
        self.reload()?;
        self.hear();
        let mut next = None;
        let mut failed = Ok(());
        for folder in &mut self.folders {
            match folder.look(&self.engine, self.events.as_mut()) {
                Ok(Some(wait)) => next = Some(next.map_or(wait, |it: Millis| it.min(wait))),
                Ok(None) => {}
                Err(error) => failed = Err(error),
            }
        }
        failed.map(|()| next)
    }

    /// Reloads the list of watches if it has changed.
    fn reload(&mut self) -> Result<()> {
        let stamp = self.engine.store.read(watch::stamp)?;
        if self.stamp == Some(stamp) {
            return Ok(());
        }
        add::sweep(&self.engine)?;
        let mut before = std::mem::take(&mut self.folders);
        for row in self.engine.store.read(watch::all)? {
            let known = before.iter().position(|it| it.row.id == row.id).map(|at| before.swap_remove(at));
            let folder = self.folder(row, known);
            self.folders.extend(folder);
        }
        if self.folders.is_empty() {
            self.events = None;
        } else if self.events.is_none() {
            self.events = FileEvents::new().inspect_err(|error| tracing::warn!(%error, "no hints of changes")).ok();
        }
        before.iter().for_each(|it| forget_events(&mut self.events, it));
        self.stamp = Some(stamp);
        Ok(())
    }

    fn folder(&mut self, row: WatchRow, known: Option<Folder>) -> Option<Folder> {
        if known.as_ref().is_some_and(|it| it.row.revision == row.revision) {
            return known;
        }
        if let Some(known) = &known {
            forget_events(&mut self.events, known);
        }
        let lock = known.and_then(Folder::into_lock);
        match serde_json::from_str(&row.schedule.spec) {
            Ok(Trigger::Files(spec)) => {
                let matcher =
                    spec.matcher().inspect_err(|error| tracing::warn!(%error, "a watch can't be read")).ok()?;
                Some(Folder::new(row, spec, matcher, lock))
            }
            _ => None,
        }
    }

    /// Passes on the events of the kernel.
    fn hear(&mut self) {
        let Some(events) = &mut self.events else { return };
        let hints = events.read().unwrap_or_else(|_| vec![Hint::Overflow]);
        for hint in hints {
            match hint {
                Hint::Overflow => self.folders.iter_mut().for_each(Folder::lost_track),
                Hint::Lost { owner } => {
                    self.folders.iter_mut().filter(|it| it.owner() == owner).for_each(Folder::lost_track);
                }
                Hint::Entry { owner, path, is_directory } => {
                    let folder = self.folders.iter_mut().find(|it| it.owner() == owner);
                    folder.into_iter().for_each(|it| it.hint(&path, is_directory));
                }
            }
        }
    }
}

fn forget_events(events: &mut Option<FileEvents>, folder: &Folder) {
    if let Some(events) = events {
        events.forget(folder.owner());
    }
}
