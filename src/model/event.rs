//! What happened, in the order in which it was committed.

use super::{GroupId, RunId, StepId, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventKind {
    GroupStart,
    GroupEnd,
    ItemStart,
    ItemEnd,
    ItemFailed,
    StepStart,
    StepEnd,
    StepFailed,
    StepError,
    StepReleased,
    StepReaped,
    Cancel,
    Retry,
    Pause,
    Resume,
    LockForced,
    DatabaseDeleted,
    HookEnd,
    HookFailed,
}

/// One event. `detail` is a short text for people, empty if the kind is enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    pub at: Timestamp,
    pub kind: EventKind,
    pub group: Option<GroupId>,
    pub run: Option<RunId>,
    pub step: Option<StepId>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}
