//! The answer of a person to a step that waits for an approval.

use super::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who approved or rejected a step, when, and with what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Answer {
    /// False: it was rejected.
    pub approved: bool,
    /// Who answered, as they call themselves.
    pub by: String,
    /// When the answer was taken; None before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// What the approval says; it becomes the value of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Why it was rejected, or what goes with an approval; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Answer {
    /// For people: `rejected by anna: too early`.
    pub fn words(&self) -> String {
        let verb = if self.approved { "approved" } else { "rejected" };
        match self.reason.is_empty() {
            true => format!("{verb} by {}", self.by),
            false => format!("{verb} by {}: {}", self.by, self.reason),
        }
    }

    /// Whether both say the same, whenever that was.
    pub fn is_like(&self, other: &Answer) -> bool {
        let timeless = |it: &Answer| Answer { at: None, ..it.clone() };
        timeless(self) == timeless(other)
    }
}
