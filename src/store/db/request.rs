//! The hot verbs as values: requests of consumers to the writer thread.

use crate::model::{ArtifactHash, GroupId, KeyId, Lease, Monotonic, RunId, Scope, Timestamp, TypeId, WorkerId};
use crate::store::{attempt::Record, output::NewOutput, waiting::NewWait};
use std::sync::Arc;

/// Which steps a pool takes.
#[derive(Debug, Clone)]
pub enum Take {
    /// The steps of one type, which has its own queue.
    Type(TypeId),
    /// Every type except those with a pool of their own in the same worker.
    Others(Arc<[TypeId]>),
}

/// Asks for up to `limit` steps.
#[derive(Debug, Clone)]
pub struct Claim {
    pub worker: WorkerId,
    pub take: Take,
    pub scope: Scope,
    pub limit: usize,
    /// Stored in the lock row of a step with a resource key.
    pub identity: Arc<str>,
    pub boot_id: Arc<str>,
    pub lock_deadline: Monotonic,
}

/// A step that is now running under this lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub lease: Lease,
    pub run: RunId,
    pub group: GroupId,
    pub step_type: TypeId,
    pub key: Option<KeyId>,
    /// Counted from 1. An attempt that was given back is counted again.
    pub attempt: u32,
    pub started: Timestamp,
    pub due: Timestamp,
    /// Set if it needs more of a resource than exists: a sentence that says so. It holds nothing and must fail.
    pub impossible: Option<String>,
}

/// How a step leaves its lease.
#[derive(Debug, Clone)]
pub enum Settlement {
    /// COMPLETED. `cache_key`: cache the output under this key.
    Complete {
        output: Option<NewOutput>,
        cache_key: Option<[u8; 32]>,
        record: Option<Record>,
    },
    /// COMPLETED with an output from the cache.
    Cached {
        output: crate::model::OutputId,
        record: Option<Record>,
    },
    /// SKIPPED: its condition was false.
    Skip {
        record: Record,
    },
    /// ERROR: due again at `due`. `crashed` counts a crash instead of a failure.
    Retry {
        due: Timestamp,
        crashed: bool,
        record: Record,
    },
    /// FAILED; its dependents are cancelled with the reason in the record.
    Fail {
        crashed: bool,
        record: Record,
    },
    /// Back to PENDING, due at `due`, with the attempt given back.
    Release {
        due: Timestamp,
        record: Option<Record>,
    },
    /// Blocked by its key again, with the attempt given back: another process holds the file lock of the key. The key
    /// stays taken until a sweep finds the file lock free, so that no step blocked by it is tried in vain.
    Blocked {
        record: Record,
    },
    Cancelled {
        record: Record,
    },
    /// WAITING for a time, a person, a signal or a group, without a worker; the attempt ends with the wait.
    Wait {
        wait: NewWait,
    },
    /// Back to PENDING with the attempt given back, until the steps that made these files have made them again. The
    /// files are damaged or, if none is named, already being made again. `otherwise`: no step of the run made them.
    Recompute {
        damaged: Vec<ArtifactHash>,
        otherwise: Box<Settlement>,
    },
}

/// Settles a lease, and claims the next step in the same transaction.
#[derive(Debug, Clone)]
pub struct Settle {
    pub lease: Lease,
    pub settlement: Settlement,
    pub then: Option<Claim>,
}

/// The answer to `Settle`.
#[derive(Debug, Clone)]
pub struct Settled {
    pub held: crate::store::Held,
    pub next: Vec<Claimed>,
}

#[derive(Debug, Clone)]
pub(in crate::store) enum Request {
    Claim(Claim),
    Settle(Box<Settle>),
}
