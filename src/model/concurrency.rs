//! What a submission does while another group with its concurrency name is open.

use serde::{Deserialize, Serialize};

/// What happens to a new group while others with its concurrency name have not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// The new group waits until they have ended.
    #[default]
    Queue,
    /// Nothing is submitted.
    Skip,
    /// They are cancelled, and the new group starts once they have ended.
    Replace,
}

impl Concurrency {
    /// Every variant, once.
    pub const ALL: [Concurrency; 3] = [Concurrency::Queue, Concurrency::Skip, Concurrency::Replace];

    /// The name in workflow files.
    pub const fn name(self) -> &'static str {
        match self {
            Concurrency::Queue => "queue",
            Concurrency::Skip => "skip",
            Concurrency::Replace => "replace",
        }
    }
}
