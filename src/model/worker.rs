//! Workers: the identity of a process, its health, and its limits.

use super::{Bytes, Millis};
use serde::{Deserialize, Serialize};

/// Identifies one process, even after its pid is reused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProcessIdentity {
    pub pid: u32,
    /// Clock ticks since boot (Linux) or microseconds since the epoch (macOS); null if unknown.
    pub start_time: Option<u64>,
    pub boot_id: String,
    /// Inode of the pid namespace; null if there is none.
    pub pid_namespace: Option<u64>,
    /// Inode of the time namespace; null if there is none.
    pub time_namespace: Option<u64>,
}

/// The state of a thread, as the system reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadState {
    /// Running, or waiting for a processor.
    Runs,
    /// In an uninterruptible wait, usually for a disk.
    Stuck,
    /// Waiting for something else, or sleeping.
    Waits,
    /// Stopped by SIGSTOP, Ctrl-Z or a debugger.
    Stopped,
}

/// One observation of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadLook {
    pub state: ThreadState,
    /// How often it has given up its processor. If the number has not changed since an earlier observation, it never
    /// got one.
    pub turns: u64,
}

impl ThreadLook {
    /// Whether it is running, or is only waiting for a processor or a disk.
    pub fn is_at_work(&self) -> bool {
        matches!(self.state, ThreadState::Runs | ThreadState::Stuck)
    }
}

/// What a worker process reports about itself. A value that the platform can't provide is `None`, never a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    pub rss_bytes: Option<u64>,
    pub open_fds: Option<u64>,
}

/// The limits beyond which a worker process is replaced. `None` means no limit.
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
