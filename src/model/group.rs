//! A group: one submission.

use super::GroupId;
use serde::{Deserialize, Serialize};

/// Counts of one group. A group is terminal when it is sealed and no run is unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    pub unfinished: i64,
    pub failed: i64,
    pub cancelled: i64,
    pub epoch: i64,
    pub sealed: bool,
    pub paused: bool,
}

/// What a worker may claim: everything, or the steps of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Everything,
    Group(GroupId),
}
