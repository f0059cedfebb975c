//! What a submission does when a group of the same concurrency name has not ended.

use serde::{Deserialize, Serialize};

/// What becomes of a group while another of its concurrency group has not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// The new group waits until those before it have ended.
    #[default]
    Queue,
    /// Nothing is submitted.
    Skip,
    /// Those before it are cancelled; the new group starts when they have ended.
    Replace,
}

impl Concurrency {
    /// All of them.
    pub const ALL: [Concurrency; 3] = [Concurrency::Queue, Concurrency::Skip, Concurrency::Replace];

    /// As workflow files have it.
    pub const fn name(self) -> &'static str {
        match self {
            Concurrency::Queue => "queue",
            Concurrency::Skip => "skip",
            Concurrency::Replace => "replace",
        }
    }
}
