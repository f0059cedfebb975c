//! Workers, and whether each is alive.

use super::error::Result;
use crate::{
    engine::Engine,
    model::WorkerId,
    os::process_stat,
    store::{
        Store,
        worker::{self, WorkerRow},
    },
};
use serde::Serialize;

/// A registered worker.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct WorkerView {
    #[serde(flatten)]
    pub row: WorkerRow,
    /// Whether its process is alive.
    pub alive: bool,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Workers {
    pub workers: Vec<WorkerView>,
}

/// Every registered worker, including dead ones.
pub fn workers(store: &Store) -> Result<Workers> {
    let rows = store.read(worker::list)?;
    let alive = |row: WorkerRow| WorkerView { alive: process_stat::is_alive(&row.identity), row };
    Ok(Workers { workers: rows.into_iter().map(alive).collect() })
}

/// A worker whose state can't be read counts as alive.
pub(super) fn dead_workers(engine: &Engine) -> Vec<WorkerId> {
    let known = workers(engine.store()).map(|list| list.workers).unwrap_or_default();
    known.into_iter().filter(|worker| !worker.alive).map(|worker| worker.row.id).collect()
}
