//! The statuses that users see, for steps, runs and groups alike. Only steps are SKIPPED.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Where a step, a run or a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum Status {
    /// Waits for its turn, a time, a key, or an earlier step.
    Pending,
    /// Runs now, at least in part.
    Running,
    /// Ended well.
    Completed,
    /// Failed, and will be retried.
    Error,
    /// Ended with a failure; `retry` opens it again.
    Failed,
    /// Ended because somebody cancelled it.
    Cancelled,
    /// Not run, because its condition was false or nothing had failed for it to follow.
    Skipped,
}

impl Status {
    /// Each of them once.
    pub const ALL: [Status; 7] = [
        Status::Pending,
        Status::Running,
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
                "`{text}` is not a status; use one of pending, running, completed, error, failed, cancelled, skipped"
            )
        })
    }
}
