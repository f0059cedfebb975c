//! Runs submitted work in this process.

use super::{Error, Group, GroupEnd, Result};
use crate::{
    engine,
    model::{Kind, Millis, Scope},
};
use std::{collections::BTreeMap, fmt, time::Duration};

/// The options of a worker. Created by [`Engine::worker`](super::Engine::worker).
#[derive(Debug, Clone)]
pub struct WorkerBuilder {
    engine: engine::Engine,
    pools: BTreeMap<String, usize>,
}

impl WorkerBuilder {
    pub(super) fn new(engine: engine::Engine, slots: usize) -> WorkerBuilder {
        WorkerBuilder { engine, pools: BTreeMap::from([("*".to_string(), slots)]) }
    }

    /// Runs steps of this type in a pool of their own, up to `slots` at a time.
    pub fn pool(mut self, step_type: &str, slots: usize) -> WorkerBuilder {
        self.pools.insert(step_type.to_string(), slots);
        self
    }

    /// Starts the worker, which claims steps from now on.
    ///
    /// # Errors
    ///
    /// All pools are empty, the limits of this process are too low, or the database can't be written.
    pub fn start(self) -> Result<Worker> {
        let options = engine::WorkerOptions { pools: self.pools, scope: Scope::Everything };
        Ok(Worker { inner: engine::Worker::start(&self.engine, options)? })
    }
}

/// A worker in this process. Dropping it stops it immediately; another worker runs its unfinished steps again.
pub struct Worker {
    inner: engine::Worker,
}

impl Worker {
    /// Waits until a group has ended. Returns `None` after the timeout.
    ///
    /// # Errors
    ///
    /// The worker has given up, for example because a newer windlass has changed the database, or the database can't be
    /// read.
    pub fn wait_for(&self, group: &Group, timeout: Option<Duration>) -> Result<Option<GroupEnd>> {
        let end = group.wait_while(timeout, || self.inner.fatal().is_some());
        match self.inner.fatal() {
            Some(reason) => Err(Error::new(Kind::Failed, reason)),
            None => end,
        }
    }

    /// How many steps are running now.
    pub fn running(&self) -> usize {
        self.inner.running()
    }

    /// Whether nothing is left to do: no step is ready, running or waiting for its time, and no hook is due.
    ///
    /// # Errors
    ///
    /// The database can't be read.
    pub fn is_idle(&self) -> Result<bool> {
        Ok(self.inner.is_idle()?)
    }

    /// Stops the worker: no more steps start, and running ones are interrupted after `grace`. Nothing is lost: another
    /// worker runs them again.
    pub fn stop(self, grace: Duration) {
        self.inner.stop(Millis::from(grace));
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("id", &self.inner.id()).finish()
    }
}
