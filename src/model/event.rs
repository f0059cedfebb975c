//! Events, in the order of their commits.

use super::{GroupId, RunId, StepId, Timestamp};
use serde::{Deserialize, Serialize};

/// Declares the kinds of events: variant, name, whether hooks can subscribe to it. JSON shows the name in capitals.
macro_rules! events {
    ($($Variant:ident, $name:literal, $hooks:literal;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum EventKind {
            $($Variant,)+
        }

        impl EventKind {
            pub const ALL: &'static [EventKind] = &[$(EventKind::$Variant),+];

            /// The name used in workflow files and in the database.
            pub const fn name(self) -> &'static str {
                match self {
                    $(EventKind::$Variant => $name,)+
                }
            }

            /// Whether hooks can subscribe to it.
            pub const fn has_hooks(self) -> bool {
                match self {
                    $(EventKind::$Variant => $hooks,)+
                }
            }
        }
    };
}

events! {
    GroupStart, "group_start", true;
    GroupEnd, "group_end", true;
    GroupCompleted, "group_completed", true;
    GroupFailed, "group_failed", true;
    ItemStart, "item_start", true;
    ItemEnd, "item_end", true;
    ItemFailed, "item_failed", true;
    StepStart, "step_start", true;
    StepEnd, "step_end", true;
    StepFailed, "step_failed", true;
    StepQuarantined, "step_quarantined", true;
    StepSkipped, "step_skipped", false;
    StepError, "step_error", false;
    StepReleased, "step_released", false;
    StepReaped, "step_reaped", false;
    StepWaiting, "step_waiting", false;
    ApprovalWanted, "approval_wanted", true;
    StepAnswered, "step_answered", false;
    Signal, "signal", false;
    Cancel, "cancel", false;
    Retry, "retry", false;
    Pause, "pause", false;
    Resume, "resume", false;
    LockForced, "lock_forced", false;
    ResourceChanged, "resource_changed", false;
    DatabaseDeleted, "database_deleted", false;
    HookEnd, "hook_end", false;
    HookFailed, "hook_failed", false;
    ScheduleFired, "schedule_fired", false;
    ScheduleMissed, "schedule_missed", true;
}

impl EventKind {
    pub fn from_name(name: &str) -> Option<EventKind> {
        EventKind::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// The kinds that hooks can subscribe to.
    pub fn hookable() -> impl Iterator<Item = EventKind> {
        EventKind::ALL.iter().copied().filter(|kind| kind.has_hooks())
    }
}

/// Serialises an event kind by its name, as definitions store it.
pub mod by_name {
    use super::EventKind;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(kind: &EventKind, to: S) -> Result<S::Ok, S::Error> {
        kind.name().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<EventKind, D::Error> {
        let name = String::deserialize(from)?;
        EventKind::from_name(&name).ok_or_else(|| D::Error::custom(format!("`{name}` is not an event")))
    }
}

/// The event of a hook, and the state of its group when the hook runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookContext {
    /// Such as `group_end`.
    pub event: String,
    /// The name of the group. For an event of a schedule, the name of the schedule.
    pub name: String,
    /// Such as `FAILED`; empty for an event of a schedule.
    pub status: String,
    /// Runs that failed, and all runs.
    pub failed: i64,
    pub total: i64,
    /// Why: of a group its distinct reasons with their counts, of a run or a step its own, of a schedule its problem.
    pub reasons: String,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_name_of_an_event_in_capitals_and_the_name_leads_back() {
        for &kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name().to_uppercase());
            assert_eq!(EventKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(EventKind::from_name("GROUP_END"), None);
        assert_eq!(EventKind::hookable().count(), 13);
    }
}
