//! A person's answer to a step that waits for an approval.

use super::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The answer to a step: who approved or rejected it, when, and with which value or reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Answer {
    /// False: it was rejected.
    pub approved: bool,
    /// The name that the person gave.
    pub by: String,
    /// When the answer was recorded; `None` before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The value of the approval, which becomes the value of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The reason of a rejection, or a comment on an approval. Can be empty.
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

    /// Whether both answers are equal, ignoring their times.
    pub fn is_like(&self, other: &Answer) -> bool {
        let timeless = |it: &Answer| Answer { at: None, ..it.clone() };
        timeless(self) == timeless(other)
    }
}
