//! The lease that lets one worker settle a step.

use super::{StepId, Token};
use serde::{Deserialize, Serialize};

/// The right to settle one step. Only the holder of the current token can settle; others get `Held::Lost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    pub step: StepId,
    pub token: Token,
}
