//! The statuses that users see, for steps, runs and groups alike. Only steps are SKIPPED.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The status of a step, a run or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum Status {
    /// Waits for its turn, a time, a resource key or an earlier step.
    Pending,
    /// At least one part of it is running.
    Running,
    /// Waits for a time, a person, a signal or its children, and holds no worker.
    Waiting,
    /// Ended successfully.
    Completed,
    /// Failed, and will be retried.
    Error,
    /// Ended with a failure; `retry` reopens it.
    Failed,
    /// Ended by a cancel.
    Cancelled,
    /// Not run, because its condition was false or because it follows a failure and nothing failed.
    Skipped,
}

impl Status {
    /// Every status, once.
    pub const ALL: [Status; 8] = [
        Status::Pending,
        Status::Running,
        Status::Waiting,
        Status::Completed,
        Status::Error,
        Status::Failed,
        Status::Cancelled,
        Status::Skipped,
    ];

    /// Whether it has ended.
    pub fn is_terminal(self) -> bool {
        matches!(self, Status::Completed | Status::Failed | Status::Cancelled | Status::Skipped)
    }

    /// Its name in JSON and in the output of commands, in capitals.
    pub fn name(self) -> &'static str {
        match self {
            Status::Pending => "PENDING",
            Status::Running => "RUNNING",
            Status::Waiting => "WAITING",
            Status::Completed => "COMPLETED",
            Status::Error => "ERROR",
            Status::Failed => "FAILED",
            Status::Cancelled => "CANCELLED",
            Status::Skipped => "SKIPPED",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Status, String> {
        let found = Status::ALL.into_iter().find(|it| it.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| {
            format!(
                "`{text}` is not a status; use one of pending, running, waiting, completed, error, failed, cancelled, skipped"
            )
        })
    }
}
