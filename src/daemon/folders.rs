//! Folders that the daemon keeps in vector databases: `[[watch]]` in the settings. One thread for all of them.
//!
//! A sync only finds out what has changed, and submits it; the daemon's worker does the work. So a large folder does not
//! keep the others waiting. A folder is synced again when its group has ended: then it removes what is gone, if it is to.

use super::error::{Error, Result};
use crate::{
    engine::{self, Engine, LockWait},
    ingest::{
        self,
        follow::Follow,
        parameter_sets,
        source::SourceOptions,
        sync::{self, Driver, Event, SyncOptions, Synced},
    },
    model::{GroupId, Holder, HolderKind, Monotonic, Status},
    os::{Waker, readiness::wait_readable, threads::Threads},
    settings::{Settings, WatchedFolder},
    store::synced_folder,
};
use std::{
    os::fd::AsFd,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How often to check whether a submitted group has ended.
const LOOK: Duration = Duration::from_secs(1);
/// Hints are collected for so long.
const COLLECT: Duration = Duration::from_millis(50);

/// The service. Dropping it does not stop it.
pub struct FolderSync {
    shared: Arc<Shared>,
    threads: Threads,
}

struct Shared {
    stop: AtomicBool,
    waker: Waker,
}

impl FolderSync {
    /// Begins to follow the folders of the settings. None: there are none.
    pub fn start(engine: &Engine, settings: &Arc<Settings>) -> Result<Option<FolderSync>> {
        let names = |it: &WatchedFolder| (it.path.clone(), it.db.clone());
        let folders: Vec<_> = settings.watch.0.iter().map(names).collect();
        let known = engine.store().read(synced_folder::all)?;
        if folders.is_empty() && known.is_empty() {
            return Ok(None);
        }
        engine.store().write(move |tx| synced_folder::set(tx, &folders))?;
        if settings.watch.0.is_empty() {
            return Ok(None);
        }
        let failed = |source| Error::System { action: "watch folders", source };
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), waker: Waker::new().map_err(failed)? });
        let threads = Threads::default();
        let (engine, settings, theirs) = (engine.clone(), settings.clone(), shared.clone());
        threads.start("windlass-folder", move || Following::new(engine, settings).run(&theirs)).map_err(failed)?;
        Ok(Some(FolderSync { shared, threads }))
    }

    /// Ends after the present sync. Idempotent.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.waker.wake();
        self.threads.join();
    }
}

struct Following {
    engine: Engine,
    settings: Arc<Settings>,
    follow: Follow,
    /// The group that each folder waits for.
    open: Vec<Option<GroupId>>,
    /// What was said of each.
    said: Vec<Option<String>>,
}

impl Following {
    fn new(engine: Engine, settings: Arc<Settings>) -> Following {
        let options: Vec<SyncOptions> = settings.watch.0.iter().map(followed).collect();
        let follow = Follow::new(&options);
        let count = options.len();
        Following { engine, settings, follow, open: vec![None; count], said: vec![None; count] }
    }

    fn run(mut self, shared: &Shared) {
        loop {
            shared.waker.clear();
            self.follow.hear(self.now());
            let mut next = None;
            for which in 0..self.open.len() {
                if shared.stop.load(Ordering::Acquire) {
                    return;
                }
                let wait = self.look(which);
                next = Some(next.map_or(wait, |it: Duration| it.min(wait)));
            }
            let fds = [Some(shared.waker.as_fd()), self.follow.events()];
            match wait_readable(&fds, next.unwrap_or(LOOK)) {
                Ok(ready) if ready == [false, true] => drop(wait_readable(&fds[..1], COLLECT)),
                Ok(_) => {}
                Err(error) => return tracing::warn!(%error, "watching folders ends"),
            }
            if shared.stop.load(Ordering::Acquire) {
                return;
            }
        }
    }

    fn now(&self) -> Monotonic {
        self.engine.store().clock().monotonic()
    }

    /// Syncs a folder if it is due. Returns when to look again.
    fn look(&mut self, which: usize) -> Duration {
        if let Some(group) = self.open[which] {
            // A group that can't be read is not waited for: the sync says what is wrong.
            if let Ok(None) = self.engine.group_end(group) {
                return LOOK;
            }
            self.open[which] = None;
            self.follow.again(which);
        }
        let now = self.now();
        let due = self.follow.due(which, now);
        if due > now {
            return due.since(now).duration();
        }
        self.follow.begins(which);
        let outcome = sync(&self.engine, &self.settings, &self.settings.watch.0[which]);
        let (problem, waits) = match outcome {
            Ok(Synced::Submitted(group)) => {
                self.open[which] = Some(group);
                (String::new(), LOOK)
            }
            Ok(Synced::Ended(ended)) => (ended.plan.emptied.clone(), Duration::ZERO),
            Err(error) => (engine::with_causes(&error), Duration::ZERO),
        };
        let now = self.now();
        self.follow.ended(which, now, problem.is_empty());
        self.say(which, problem);
        waits.max(self.follow.due(which, now).since(now).duration())
    }

    fn say(&mut self, which: usize, problem: String) {
        if self.said[which].as_ref() == Some(&problem) {
            return;
        }
        let WatchedFolder { path, db, .. } = &self.settings.watch.0[which];
        if !problem.is_empty() {
            tracing::warn!(%path, database = %db, %problem, "a folder could not be synced");
        }
        let (path, db, text) = (path.clone(), db.clone(), problem.clone());
        // If this fails it is said after the next sync.
        let stored = self.engine.store().write(move |tx| synced_folder::set_problem(tx, &path, &db, &text));
        self.said[which] = stored.is_ok().then_some(problem);
    }
}

/// What is followed of a folder; enough to hear of changes.
fn followed(folder: &WatchedFolder) -> SyncOptions {
    let source_options =
        SourceOptions { globs: folder.glob.clone(), hidden: folder.hidden, ..SourceOptions::default() };
    let path = folder.directory().unwrap_or_default();
    SyncOptions { source_options, prune: folder.prune, ..SyncOptions::new(vec![path], PathBuf::new()) }
}

fn sync(engine: &Engine, settings: &Settings, folder: &WatchedFolder) -> ingest::Result<Synced> {
    let home = &settings.home;
    let id = folder.params.as_ref().unwrap_or(&settings.parameters);
    let Some(params) = parameter_sets::find(home, id)? else {
        return Err(ingest::Error::Refused {
            kind: crate::model::Kind::NotFound,
            what: format!("no parameter set `{id}`"),
            hint: Some("`windlass list params` lists all"),
        });
    };
    let options = SyncOptions {
        database: ingest::database_path(home, &folder.db)?,
        params: params.set,
        source: folder.source.clone().unwrap_or_else(|| ingest::item::DEFAULT_SOURCE.to_string()),
        ..followed(folder)
    };
    sync::run(engine, &options, &mut Submitter)
}

/// Submits, and leaves the work to the worker of the daemon.
struct Submitter;

impl Driver for Submitter {
    type Error = ingest::Error;

    fn holder(&self) -> Holder {
        Holder { kind: HolderKind::Web, id: i64::from(std::process::id()) }
    }

    fn works(&self) -> bool {
        false
    }

    fn removal_wait(&self) -> LockWait {
        LockWait::No
    }

    fn work(&mut self, group: GroupId) -> ingest::Result<Status> {
        Err(ingest::Error::Refused {
            kind: crate::model::Kind::Bug,
            what: format!("{group} is worked on by the worker of the daemon"),
            hint: None,
        })
    }

    fn hear(&mut self, event: Event<'_>) -> ingest::Result<()> {
        match event {
            Event::Submitted { submitted, runs } => {
                tracing::info!(group = %submitted.group, runs, "a folder has changed")
            }
            Event::Removing(documents) => tracing::info!(documents, "documents are removed whose files are gone"),
            Event::Planned(_) | Event::Resumed(_) | Event::RemovalWaits => {}
        }
        Ok(())
    }
}
