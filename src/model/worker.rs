//! Workers: the identity of a process, its health, and its limits.

use super::{Bytes, Millis};
use serde::{Deserialize, Serialize};

/// Identifies one process, even after its pid is reused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProcessIdentity {
    pub pid: u32,
    /// Clock ticks since boot (Linux) or microseconds since the epoch (macOS); None where unknown.
    pub start_time: Option<u64>,
    pub boot_id: String,
    /// Inode of the pid namespace; None if there is none.
    pub pid_namespace: Option<u64>,
    /// Inode of the time namespace; None if there is none.
    pub time_namespace: Option<u64>,
}

/// What a thread does, as the system reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadState {
    /// It has a processor, or waits for one.
    Runs,
    /// It waits for a disk, or for whatever else can't be interrupted.
    Stuck,
    /// It waits for something, or sleeps.
    Waits,
    /// SIGSTOP, Ctrl-Z, a debugger.
    Stopped,
}

/// One look at a thread of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadLook {
    pub state: ThreadState,
    /// How often it has given its processor up. A thread that was not given one since an earlier look has the same number.
    pub turns: u64,
}

impl ThreadLook {
    /// It runs, or would if it were given a processor or its disk.
    pub fn is_at_work(&self) -> bool {
        matches!(self.state, ThreadState::Runs | ThreadState::Stuck)
    }
}

/// What a worker process reports of itself. A signal that the platform can't give is `None`, never a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    pub rss_bytes: Option<u64>,
    pub open_fds: Option<u64>,
}

/// When a worker process is replaced. `None` opts out of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerLimits {
    pub rss: Option<Bytes>,
    pub fds: Option<u64>,
    pub age: Option<Millis>,
}

impl Default for WorkerLimits {
    fn default() -> WorkerLimits {
        WorkerLimits { rss: Some(Bytes(1 << 30)), fds: Some(200), age: Some(Millis::minutes(10)) }
    }
}

impl WorkerLimits {
    /// For tests.
    #[cfg(any(test, feature = "internals"))]
    pub fn unlimited() -> WorkerLimits {
        WorkerLimits { rss: None, fds: None, age: None }
    }
}
