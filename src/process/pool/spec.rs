//! The specification of a pool, and its reported health.

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
    /// The delay after a failed start. It doubles with each consecutive failure.
    pub backoff: Millis,
    pub backoff_most: Millis,
    /// How long after the start of a process steps wait for it before giving up their slots.
    pub start_wait: Millis,
    /// The supervisor starts watching a worker after it has been idle for this long.
    pub linger: Millis,
    /// A worker that has been idle for this long is ended; the next step starts another.
    pub idle_most: Millis,
    /// A worker that is reserved for the next step of its run is given to another run after this time.
    pub hold: Millis,
    /// The same if no other step needs it.
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

/// The state of a worker process, for people and JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerHealth {
    pub pool: String,
    pub pid: u32,
    pub age: Millis,
    pub rss_bytes: Option<u64>,
    pub open_fds: Option<u64>,
    /// The number of units that it has served.
    pub units: u64,
    pub busy: bool,
    /// The limits beyond which it is replaced.
    pub limits: WorkerLimits,
    /// Why the pool last replaced a worker.
    pub last_recycle: Option<RecycleReason>,
}

/// A replaced worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recycled {
    pub pid: u32,
    pub reason: RecycleReason,
    pub age: Millis,
    pub units: u64,
}

pub(super) type Listener = Box<dyn Fn(&Recycled) + Send + Sync>;
