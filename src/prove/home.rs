//! The directory of a drill: its own home, the side log, the clock, the traces.

use super::{Error, Result, clock::ShiftedClock, kind::Handler, log::Log};
use crate::{
    artifact::{ArtifactOptions, ArtifactStore},
    engine::{self, Engine, Options, Registry},
    model::{Bytes, Millis},
    observe::NoMetrics,
    os::Clock,
    store::{self, Store},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// When a stopped worker counts as silent: long compared to scheduling delays on a busy machine, short compared to a
/// drill.
pub const SILENT_AFTER: Millis = Millis::seconds(4);

/// The directory of a drill.
#[derive(Debug, Clone)]
pub struct Site(PathBuf);

impl Site {
    pub fn at(root: impl Into<PathBuf>) -> Site {
        Site(root.into())
    }

    /// Creates the directory of a new drill. Fails if it is not empty.
    pub fn create(root: &Path) -> Result<Site> {
        let site = Site(root.to_path_buf());
        for dir in [site.home(), site.0.join("trace"), site.0.join("out")] {
            if dir == site.home() && fs::read_dir(root).is_ok_and(|mut it| it.next().is_some()) {
                return Err(Error::NotEmpty(root.to_path_buf()));
            }
            fs::create_dir_all(&dir).map_err(Error::io("create", dir))?;
        }
        Ok(site)
    }

    pub fn root(&self) -> &Path {
        &self.0
    }

    pub fn home(&self) -> PathBuf {
        self.0.join("home")
    }

    pub fn log_path(&self) -> PathBuf {
        self.0.join("side.log")
    }

    pub fn log(&self) -> Result<Log> {
        Log::open(&self.log_path()).map_err(Error::io("open", self.log_path()))
    }

    pub fn trace(&self, process: u32) -> PathBuf {
        self.0.join("trace").join(process.to_string())
    }

    /// The file with the output of a process.
    pub fn output(&self, process: u32) -> PathBuf {
        self.0.join("out").join(format!("{process}.log"))
    }

    pub fn clock(&self) -> Result<ShiftedClock> {
        let path = self.0.join("clock");
        ShiftedClock::open(&path).map_err(Error::io("open", path))
    }

    /// An engine on the drill's home, with the step kind for drills.
    pub fn engine(&self, process: u32) -> Result<Engine> {
        let home = self.home();
        let clock: Arc<dyn Clock> = Arc::new(self.clock()?);
        let store = Store::open(&store::Options::new(home.join("engine.db")), clock)?;
        let artifact_options = ArtifactOptions { reserve: Bytes::mib(1), ..ArtifactOptions::default() };
        let artifacts = ArtifactStore::open(&home.join("artifacts"), artifact_options, &engine::process_tag())?;
        let mut kinds = Registry::default();
        engine::kind::register(&mut kinds);
        kinds.register(Handler::NAME, Handler { log: self.log()?, process });
        let options = Options {
            heartbeat: Millis(250),
            silent_after: SILENT_AFTER,
            lock_ttl: Millis::seconds(3),
            disk_reserve: Bytes::mib(1),
            ballast: Bytes::mib(1),
            ..Options::new(&home)
        };
        Ok(Engine::new(store, artifacts, kinds, options, Arc::new(NoMetrics)))
    }
}
