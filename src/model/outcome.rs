//! How an attempt ended, and its statistics.

use super::{
    Bytes, Millis,
    bounded::{CODE, MESSAGE, bounded},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The field of a result's value that lists display next to the run.
pub const REMARK: &str = "remark";

/// The outcome of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    /// `kind` is a failure code such as `exit`, `result_lost` or `encrypted`; `message` is for people.
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
    /// The attempt was stopped for a shutdown, or could not get something that it needs yet. It does not count.
    Interrupted {
        reason: String,
    },
    /// The system lacked resources, such as disk space. The attempt does not count and is repeated later. `in_vain`: it
    /// did run, but its results could not be stored.
    NoRoom {
        reason: String,
        in_vain: bool,
    },
    /// The step's own child died from this signal, or ended without reporting a result.
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

/// Why we killed a child. This outranks how the child died.
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

/// The record of an attempt besides its outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttemptStats {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitStatus>,
    /// Peak resident memory of the child, from samples.
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

/// The result of an attempt: the outcome, its value (JSON, for the successors), and the statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub outcome: Outcome,
    /// `None` means that no output was produced.
    pub value: Option<serde_json::Value>,
    pub certificate: AttemptStats,
}

/// The maximum number of remarks.
const MOST_REMARKS: usize = 16;

impl AttemptStats {
    /// Cuts the texts to the same lengths as those of an outcome.
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
    /// Cuts all texts; the value is unchanged.
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

    /// Cuts the texts to a length that people can read and a database should keep.
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

/// For people; programs use the typed variant.
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
