//! The pools of worker processes that an engine worker runs its `worker:` steps on: opened when first needed, closed when it
//! stops.

use super::error::{Error, Result};
use crate::{
    model::DefinitionId,
    observe::{Counter, Metrics},
    process::pool::{Pool, PoolSpec, WorkerHealth},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Which pool: a worker of one version of a workflow, in the directory of that workflow's file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolKey {
    pub definition: DefinitionId,
    pub worker: String,
    pub dir: PathBuf,
}

pub(crate) struct WorkerPools {
    pools: Mutex<BTreeMap<PoolKey, Arc<Pool>>>,
    metrics: Arc<dyn Metrics>,
}

impl WorkerPools {
    pub(super) fn new(metrics: Arc<dyn Metrics>) -> WorkerPools {
        WorkerPools { pools: Mutex::default(), metrics }
    }

    pub(super) fn pool(&self, key: PoolKey, spec: PoolSpec) -> Result<Arc<Pool>> {
        let mut pools = self.lock();
        if let Some(pool) = pools.get(&key) {
            return Ok(pool.clone());
        }
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

    /// What keeps pools from working as they should, in words.
    pub(super) fn trouble(&self) -> Vec<String> {
        self.all().iter().flat_map(|it| it.trouble()).collect()
    }

    pub(super) fn close(&self) {
        let pools = std::mem::take(&mut *self.lock());
        std::thread::scope(|scope| {
            for pool in pools.values() {
                scope.spawn(|| pool.close());
            }
        });
    }

    fn all(&self) -> Vec<Arc<Pool>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PoolKey, Arc<Pool>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
