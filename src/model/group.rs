//! A group: one submission.

use super::GroupId;

/// What a worker may claim: everything, or the steps of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Everything,
    Group(GroupId),
}
