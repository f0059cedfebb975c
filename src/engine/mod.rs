//! Composes store, process and decide: submit, consumers, attempts, heartbeat, reaper, resource locks, hooks.
//!
//! May import: everything on the floors below. Never: writes SQL; judges without asking `decide`.

mod adopt;
mod attempt;
mod cache;
mod cache_files;
mod cancel;
mod catalog;
mod chores;
mod consumer;
mod error;
mod heartbeat;
mod hooks;
pub mod kind;
mod liveness_lock;
mod needs;
mod notify;
mod numbers;
mod outputs;
mod pause;
mod pools;
mod prune;
mod recovery;
mod removal;
mod resource_lock;
mod retention;
mod retry;
mod settlement;
pub mod step_child;
pub mod step_kind;
mod submit;
mod wait;
mod watcher;
mod work_dir;
mod worker;
mod worker_pools;

pub use chores::Chore;
pub use error::{Error, Result, with_causes};
pub use needs::{Needs, check_needs};
pub use numbers::numbers_in;
pub use outputs::{Collected, Until};
pub use prune::{Prune, Pruned};
pub use resource_lock::{KeyGuard, LockWait};
pub use step_kind::{Registry, StepContext, StepInput, StepKind, StepResult};
pub use submit::{Submission, Submitted, item_value};
pub use wait::{Ending, GroupEnd};
pub use work_dir::WorkDir;
pub use worker::{Worker, WorkerOptions};
pub use worker_pools::{PoolKey, WorkerPools};

use crate::{
    artifact::{ArtifactStore, Ballast},
    model::{Bytes, GroupId, Millis, ProcessIdentity},
    observe::{Counter, Metrics},
    os::{disk_space, process_stat},
    store::Store,
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// The name under which this process makes temporary files: pid and start time, so that a later process can see whether
/// their maker still lives.
pub fn process_tag() -> String {
    let own = process_stat::own_identity();
    format!("p{}-{}", own.pid, own.start_time.unwrap_or_default())
}

/// Whether the maker of temporary files still lives. A name that is not one of our tags is left alone.
pub(crate) fn tag_is_alive(tag: &str) -> bool {
    let Some((pid, start)) = tag.strip_prefix('p').and_then(|it| it.split_once('-')) else { return true };
    let (Ok(pid), Ok(start)) = (pid.parse::<u32>(), start.parse::<u64>()) else { return true };
    let own = process_stat::own_identity();
    process_stat::is_alive(&ProcessIdentity { pid, start_time: Some(start), ..own })
}

/// The options of the engine, set once at start.
#[derive(Debug, Clone)]
pub struct Options {
    pub home: PathBuf,
    pub heartbeat: Millis,
    /// A worker with leases whose heartbeat is older than this is silent.
    pub silent_after: Millis,
    pub lock_ttl: Millis,
    /// Below this much free disk nothing is claimed.
    pub disk_reserve: Bytes,
    /// Size of the file that is given up when the disk is full.
    pub ballast: Bytes,
    /// How long a group is kept after its end.
    pub keep: Millis,
    /// How often a worker that takes every step looks whether something is to be pruned.
    pub prune_every: Millis,
    pub version: String,
}

impl Options {
    pub fn new(home: impl Into<PathBuf>) -> Options {
        Options {
            home: home.into(),
            heartbeat: Millis::seconds(2),
            silent_after: Millis::seconds(30),
            lock_ttl: Millis::seconds(60),
            disk_reserve: Bytes::mib(64),
            ballast: Bytes::mib(16),
            keep: Millis(30 * 86_400_000),
            prune_every: Millis::minutes(60),
            version: env!("CARGO_PKG_VERSION").to_string(),
        }
    }
}

/// The disk of a home that has least to spare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskRoom {
    /// A directory on it: the home, or that of the artifacts.
    pub dir: PathBuf,
    pub free: Bytes,
    /// Whether that is enough for steps to start.
    pub enough: bool,
}

/// The engine of one home: submits, and starts workers. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) store: Store,
    pub(crate) artifacts: ArtifactStore,
    pub(crate) kinds: Registry,
    pub(crate) options: Arc<Options>,
    pub(crate) metrics: Arc<dyn Metrics>,
    pub(crate) identity: Arc<ProcessIdentity>,
    ballast: Arc<Ballast>,
    catalog: Arc<catalog::Catalog>,
    /// Groups that this process began to build, gave up and could not remove: the disk was full.
    given_up: Arc<Mutex<BTreeSet<GroupId>>>,
}

impl Engine {
    pub fn new(
        store: Store,
        artifacts: ArtifactStore,
        kinds: Registry,
        options: Options,
        metrics: Arc<dyn Metrics>,
    ) -> Engine {
        let path = options.home.join(Ballast::NAME);
        let told = metrics.clone();
        artifacts.on_traffic(move |direction, bytes| told.add(Counter::ArtifactBytes, direction, bytes));
        let ballast = Arc::new(Ballast::new(&path, options.ballast, options.disk_reserve));
        Engine {
            store,
            artifacts,
            kinds,
            options: Arc::new(options),
            metrics,
            identity: Arc::new(process_stat::own_identity()),
            ballast,
            catalog: Arc::default(),
            given_up: Arc::default(),
        }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn artifacts(&self) -> &ArtifactStore {
        &self.artifacts
    }

    pub fn kinds(&self) -> &Registry {
        &self.kinds
    }

    pub fn home(&self) -> &Path {
        &self.options.home
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Releases a part of the ballast file, so that settlements and clean-ups can be committed on a full disk.
    ///
    /// False: nothing is left of it.
    pub(crate) fn give_up_ballast(&self) -> bool {
        self.ballast.give_up().unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to release the ballast");
            false
        })
    }

    /// Makes the ballast file again if there is space.
    ///
    /// It is first made when a worker starts.
    pub(crate) fn restore_ballast(&self) {
        if let Err(error) = self.ballast.ensure() {
            tracing::debug!(%error, "no space for the ballast yet");
        }
    }

    /// The room where the home is, or where the artifacts are if that is another disk with less.
    pub fn disk(&self) -> DiskRoom {
        let rooms = self.disks().into_iter().min_by_key(|it| it.1);
        let (dir, free) = rooms.unwrap_or_else(|| (self.options.home.clone(), Bytes(u64::MAX)));
        let enough = crate::decide::admission::admit(free, self.options.disk_reserve).is_admitted();
        DiskRoom { dir, free, enough }
    }

    /// The directory and the free space of each disk: of the home, and of the artifacts where that is another.
    pub fn disks(&self) -> Vec<(PathBuf, Bytes)> {
        // A disk that can't be checked does not stop the work; writes will show.
        let room = |dir: &Path| (dir.to_path_buf(), disk_space::free(dir).unwrap_or(Bytes(u64::MAX)));
        let (home, artifacts) = (&*self.options.home, self.artifacts.dir());
        let mut rooms = vec![room(home)];
        if disk_space::is_other(home, artifacts) {
            rooms.push(room(artifacts));
        }
        rooms
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("home", &self.options.home).finish()
    }
}
