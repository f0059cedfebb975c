//! The pools of worker processes for `worker:` steps, and for step kinds that use processes of our own program. Each is
//! opened on first use, and closed when the engine worker stops.

use super::error::{Error, Result};
use crate::{
    model::DefinitionId,
    observe::{Counter, Metrics},
    os::{Unpoisoned, threads},
    process::pool::{Pool, PoolSpec, WorkerHealth},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

/// Identifies a pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PoolKey {
    /// A worker of one version of a workflow, in the directory of that workflow's file.
    Named { definition: DefinitionId, worker: String, dir: PathBuf },
    /// A pool of a built-in kind. The text includes everything in which its processes differ.
    OurOwn(String),
}

/// Pools that live as long as the engine worker that uses them.
pub struct WorkerPools {
    pools: Mutex<BTreeMap<PoolKey, Arc<Pool>>>,
    metrics: Arc<dyn Metrics>,
}

impl WorkerPools {
    pub(super) fn new(metrics: Arc<dyn Metrics>) -> WorkerPools {
        WorkerPools { pools: Mutex::default(), metrics }
    }

    /// The pool with this key. If it is not open yet, `spec` says how to open it. No process starts before a step needs
    /// it.
    pub fn pool(&self, key: PoolKey, spec: impl FnOnce() -> PoolSpec) -> Result<Arc<Pool>> {
        let mut pools = self.lock();
        if let Some(pool) = pools.get(&key) {
            return Ok(pool.clone());
        }
        let spec = spec();
        let metrics = self.metrics.clone();
        let listener = move |it: &crate::process::pool::Recycled| {
            metrics.add(Counter::WorkerRecycled, it.reason.signal(), 1);
        };
        let name = PathBuf::from(&spec.name);
        let opened = Pool::open(spec, listener);
        let pool = opened.map_err(|source| Error::Io { action: "open the worker pool", path: name, source })?;
        Ok(pools.entry(key).or_insert(Arc::new(pool)).clone())
    }

    /// Every worker process of every pool.
    pub(super) fn workers(&self) -> Vec<WorkerHealth> {
        self.all().iter().flat_map(|it| it.workers()).collect()
    }

    /// Problems of pools, for people.
    pub(super) fn trouble(&self) -> Vec<String> {
        self.all().iter().flat_map(|it| it.trouble()).collect()
    }

    pub(super) fn close(&self) {
        let pools = std::mem::take(&mut *self.lock());
        threads::for_each(pools.values(), |pool| pool.close());
    }

    fn all(&self) -> Vec<Arc<Pool>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PoolKey, Arc<Pool>>> {
        self.pools.lock().unpoisoned()
    }
}
