//! A step as the database stores it, and the lease that lets one worker settle it.

use super::{StepId, Token};
use serde::{Deserialize, Serialize};

/// The stored state of a step. Whether an open step waits or runs is told by `ready` and `lease`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StepState {
    /// Claimable, running, or waiting for its needs.
    Open = 0,
    /// Waits for its due time.
    Delayed = 1,
    /// In line behind the head of its resource key.
    InLine = 2,
    /// Its group is paused.
    Parked = 3,
    /// Waits for an earlier step of its run that runs again.
    Waiting = 4,
    Completed = 5,
    Failed = 6,
    Cancelled = 7,
}

impl StepState {
    pub fn from_number(number: i64) -> Option<StepState> {
        Some(match number {
            0 => StepState::Open,
            1 => StepState::Delayed,
            2 => StepState::InLine,
            3 => StepState::Parked,
            4 => StepState::Waiting,
            5 => StepState::Completed,
            6 => StepState::Failed,
            7 => StepState::Cancelled,
            _ => return None,
        })
    }

    pub fn is_terminal(self) -> bool {
        matches!(self, StepState::Completed | StepState::Failed | StepState::Cancelled)
    }
}

/// The right to settle one step. Whoever holds the live token settles; everyone else is told `Held::Lost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    pub step: StepId,
    pub token: Token,
}
