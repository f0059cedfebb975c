//! The engine of one home: its options, its step kinds, and its disks.

use super::{catalog, step_kind::StepKind};
use crate::{
    artifact::{ArtifactStore, Ballast},
    definition::Definition,
    model::{Bytes, CapacityOf, GroupId, Millis, ProcessIdentity},
    observe::{Counter, Metrics},
    os::{disk_space, process_stat},
    store::Store,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// The tag in the names of this process's temporary files: pid and start time. A later process uses it to check whether
/// their creator still lives.
pub fn process_tag() -> String {
    let own = process_stat::own_identity();
    format!("p{}-{}", own.pid, own.start_time.unwrap_or_default())
}

/// Whether the creator of temporary files still lives. True for a name that is not one of our tags.
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
    /// No step is claimed while less disk space than this is free.
    pub disk_reserve: Bytes,
    /// The size of the file that is released when the disk is full.
    pub ballast: Bytes,
    /// How long a group is kept after its end.
    pub keep: Millis,
    /// Capacities of resources.
    pub resources: CapacityOf,
    /// Whether steps without a memory reservation reserve what steps of their type have used.
    pub learn: bool,
    /// How often a worker that takes every step checks whether something is due for pruning.
    pub prune_every: Millis,
    pub version: String,
    /// Hooks for every group, as a definition without steps.
    pub alerts: Option<Arc<Definition>>,
    /// The directory with one file for each secret of this home.
    pub secrets: PathBuf,
}

impl Options {
    pub fn new(home: impl Into<PathBuf>) -> Options {
        let home = home.into();
        Options {
            alerts: None,
            secrets: home.join("secrets"),
            home,
            heartbeat: Millis::seconds(2),
            silent_after: Millis::seconds(30),
            lock_ttl: Millis::seconds(60),
            disk_reserve: Bytes::mib(64),
            ballast: Bytes::mib(16),
            keep: Millis(30 * 86_400_000),
            resources: CapacityOf::default(),
            learn: false,
            prune_every: Millis::minutes(60),
            version: env!("CARGO_PKG_VERSION").to_string(),
        }
    }
}

/// Of the home's disks, the one with the least free space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskRoom {
    /// A directory on it: the home, or the artifacts directory.
    pub dir: PathBuf,
    pub free: Bytes,
    /// Whether there is enough space for steps to start.
    pub enough: bool,
}

/// The engine of one home: submits work and starts workers. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) store: Store,
    pub(crate) artifacts: ArtifactStore,
    pub(crate) kinds: Registry,
    pub(crate) options: Arc<Options>,
    pub(crate) metrics: Arc<dyn Metrics>,
    pub(crate) identity: Arc<ProcessIdentity>,
    pub(super) ballast: Arc<Ballast>,
    pub(super) catalog: Arc<catalog::Catalog>,
    /// Groups that this process began to build, gave up, and could not remove because the disk was full.
    pub(super) abandoned: Arc<Mutex<BTreeSet<GroupId>>>,
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
        let traffic = metrics.clone();
        artifacts.on_traffic(move |direction, bytes| traffic.add(Counter::ArtifactBytes, direction, bytes));
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
            abandoned: Arc::default(),
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

    /// Releases part of the ballast file, so that settlements and clean-ups can be committed on a full disk.
    ///
    /// False: nothing is left of it.
    pub(crate) fn give_up_ballast(&self) -> bool {
        self.ballast.give_up().unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to release the ballast");
            false
        })
    }

    /// Recreates the ballast file if there is space.
    ///
    /// It is first created when a worker starts.
    pub(crate) fn restore_ballast(&self) {
        if let Err(error) = self.ballast.ensure() {
            tracing::debug!(%error, "no space for the ballast yet");
        }
    }

    /// The free space on the disk of the home, or of the artifacts if they are on another disk with less.
    pub fn disk(&self) -> DiskRoom {
        let rooms = self.disks().into_iter().min_by_key(|it| it.1);
        let (dir, free) = rooms.unwrap_or_else(|| (self.options.home.clone(), Bytes(u64::MAX)));
        let enough = crate::decide::admission::admit(free, self.options.disk_reserve).is_admitted();
        DiskRoom { dir, free, enough }
    }

    /// The directory and free space of each disk: that of the home, and that of the artifacts if it is different.
    pub fn disks(&self) -> Vec<(PathBuf, Bytes)> {
        // A disk that can't be checked does not stop work; a failed write will show the problem.
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

/// Regular work that belongs to no step.
pub trait Chore: Send + Sync {
    /// Does the due work that is possible now. Returns when to check again; None: after the next commit.
    fn look(&self, engine: &Engine) -> Option<Millis>;
}

/// The step kinds by name, such as `windlass/noop`.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: BTreeMap<String, Arc<dyn StepKind>>,
    chores: Vec<Arc<dyn Chore>>,
}

impl Registry {
    pub fn register(&mut self, name: &str, kind: impl StepKind + 'static) {
        self.kinds.insert(name.to_string(), Arc::new(kind));
    }

    /// Registers regular work for a worker that takes every step.
    pub fn look_after(&mut self, chore: impl Chore + 'static) {
        self.chores.push(Arc::new(chore));
    }

    pub(super) fn chores(&self) -> impl Iterator<Item = &Arc<dyn Chore>> {
        self.chores.iter()
    }

    pub fn get(&self, name: &str) -> Option<&Arc<dyn StepKind>> {
        self.kinds.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }
}
