//! The specification of a pool, and the health that it reports.

use crate::{
    decide::recycle::RecycleReason,
    model::{Millis, WorkerLimits},
    process::worker::WorkerSpec,
};
use serde::Serialize;

/// The specification of a pool.
#[derive(Debug, Clone)]
pub struct PoolSpec {
    /// The worker's name in the workflow.
    pub name: String,
    /// The maximum number of processes.
    pub size: usize,
    pub limits: WorkerLimits,
    pub worker: WorkerSpec,
    pub timing: Timing,
}

/// The timing of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The first wait after a failed start; doubles with each failure in a row.
    pub backoff: Millis,
    pub backoff_most: Millis,
    /// How long after the start of a process steps wait for it before they give up their slots.
    pub start_wait: Millis,
    /// The supervisor watches a worker after this long without work.
    pub linger: Millis,
    /// A worker without work for this long is ended; the next step starts another.
    pub idle_most: Millis,
    /// A worker that waits for the next step of its run gives way to another run after this.
    pub hold: Millis,
    /// The same, if no other step wants it.
    pub hold_most: Millis,
    /// An idle worker is pinged after this long without a message.
    pub doubt: Millis,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            backoff: Millis(100),
            backoff_most: Millis::seconds(5),
            start_wait: Millis(500),
            linger: Millis(200),
            idle_most: Millis::minutes(10),
            hold: Millis::seconds(5),
            hold_most: Millis::minutes(1),
            doubt: Millis::seconds(30),
        }
    }
}

/// A worker process, for people and JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerHealth {
    pub pool: String,
    pub pid: u32,
    pub age: Millis,
    pub rss_bytes: Option<u64>,
    pub open_fds: Option<u64>,
    /// Units that it has served.
    pub units: u64,
    pub busy: bool,
    /// Beyond any of these it is replaced.
    pub limits: WorkerLimits,
    /// Why the pool last replaced a worker.
    pub last_recycle: Option<RecycleReason>,
}

/// A worker that was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recycled {
    pub pid: u32,
    pub reason: RecycleReason,
    pub age: Millis,
    pub units: u64,
}

pub(super) type Listener = Box<dyn Fn(&Recycled) + Send + Sync>;
