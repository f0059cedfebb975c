//! How an attempt ended, and the certificate that it leaves.

use super::{
    Bytes, Millis,
    bounded::{CODE, MESSAGE, bounded},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The field of a result's value that lists show beside the run, for people.
pub const REMARK: &str = "remark";

/// The one outcome of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    /// `kind` is a typed code such as `exit`, `result_lost`, `encrypted`; `message` is for people.
    Failed {
        retryable: bool,
        kind: String,
        message: String,
    },
    Cancelled,
    TimedOut {
        after: Millis,
    },
    ResourceLimit {
        limit: ResourceLimit,
        message: String,
    },
    /// We stopped it for shutdown, or it could not have what it needs yet: the attempt is given back.
    Interrupted {
        reason: String,
    },
    /// The system or its disk had no room for it: the attempt is given back and tried again later. `in_vain`: it had run,
    /// and what it made found no room.
    NoRoom {
        reason: String,
        in_vain: bool,
    },
    /// The step's own child died by this signal, or without a word.
    Crashed {
        signal: Option<i32>,
        message: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceLimit {
    Memory,
    OpenFiles,
    CpuTime,
    WallTime,
    OutputSize,
}

/// Why we killed a child. It outranks how the child died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KillIntent {
    Cancel,
    Deadline(Millis),
    Limit(ResourceLimit),
    Shutdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    Code(i32),
    Signal(i32),
}

/// What an attempt leaves behind besides its outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttemptStats {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitStatus>,
    /// Peak resident memory of the child, as sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_rss: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Millis>,
    /// The last lines of stderr, at most 4 KiB.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_lines: String,
    /// Remarks such as `result recovered from drained output`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// What came back from an attempt: the outcome, its value (JSON, for the successors), and the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub outcome: Outcome,
    /// None stands for "no output was produced".
    pub value: Option<serde_json::Value>,
    pub certificate: AttemptStats,
}

/// Remarks that a certificate has at most.
const MOST_REMARKS: usize = 16;

impl AttemptStats {
    /// The same with texts that are cut, as those of an outcome are.
    pub fn bounded(mut self) -> AttemptStats {
        self.last_lines = bounded(self.last_lines, MESSAGE);
        let more = self.remarks.len().saturating_sub(MOST_REMARKS);
        self.remarks.truncate(MOST_REMARKS);
        self.remarks = self.remarks.into_iter().map(|it| bounded(it, MESSAGE)).collect();
        if more > 0 {
            self.remarks.push(format!("[... {more} more remarks cut ...]"));
        }
        self
    }
}

impl Report {
    /// The same with texts of a bounded length; the value stays as it is.
    pub fn bounded(self) -> Report {
        Report { outcome: self.outcome.bounded(), value: self.value, certificate: self.certificate.bounded() }
    }

    pub fn succeeded(value: Option<serde_json::Value>) -> Report {
        Report { outcome: Outcome::Succeeded, value, certificate: AttemptStats::default() }
    }

    pub fn of(outcome: Outcome) -> Report {
        Report { outcome, value: None, certificate: AttemptStats::default() }
    }
}

impl Outcome {
    pub fn permanent(kind: &str, message: impl Into<String>) -> Outcome {
        Outcome::Failed { retryable: false, kind: kind.to_string(), message: message.into() }
    }

    pub fn retryable(kind: &str, message: impl Into<String>) -> Outcome {
        Outcome::Failed { retryable: true, kind: kind.to_string(), message: message.into() }
    }

    /// The same with texts that are cut to what people read and a database should keep.
    pub fn bounded(self) -> Outcome {
        match self {
            Outcome::Failed { retryable, kind, message } => {
                Outcome::Failed { retryable, kind: bounded(kind, CODE), message: bounded(message, MESSAGE) }
            }
            Outcome::ResourceLimit { limit, message } => {
                Outcome::ResourceLimit { limit, message: bounded(message, MESSAGE) }
            }
            Outcome::Interrupted { reason } => Outcome::Interrupted { reason: bounded(reason, MESSAGE) },
            Outcome::NoRoom { reason, in_vain } => Outcome::NoRoom { reason: bounded(reason, MESSAGE), in_vain },
            Outcome::Crashed { signal, message } => Outcome::Crashed { signal, message: bounded(message, MESSAGE) },
            Outcome::Succeeded | Outcome::Cancelled | Outcome::TimedOut { .. } => self,
        }
    }
}

impl fmt::Display for ResourceLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResourceLimit::Memory => "memory",
            ResourceLimit::OpenFiles => "open files",
            ResourceLimit::CpuTime => "CPU time",
            ResourceLimit::WallTime => "wall time",
            ResourceLimit::OutputSize => "output size",
        })
    }
}

/// For people; the typed variant is what decides.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Succeeded => f.write_str("succeeded"),
            Outcome::Failed { message, .. } => f.write_str(message),
            Outcome::Cancelled => f.write_str("cancelled"),
            Outcome::TimedOut { after } => write!(f, "timed out after {after}"),
            Outcome::ResourceLimit { message, .. } => f.write_str(message),
            Outcome::Interrupted { reason } => write!(f, "interrupted: {reason}"),
            Outcome::NoRoom { reason, .. } => write!(f, "no room: {reason}"),
            Outcome::Crashed { message, .. } => f.write_str(message),
        }
    }
}
