//! Resource locks: they serialise everyone who writes a shared resource.

use super::{HolderKind, StepId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A rendered key such as `vec:/home/me/.windlass/vectors/default.db`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct ResourceKey(pub String);

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The holder of a key. `id` is the step's id for `Step`, the hook's row for `Hook`, else the pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Holder {
    pub kind: HolderKind,
    pub id: i64,
}

impl Holder {
    pub fn step(step: StepId) -> Holder {
        Holder { kind: HolderKind::Step, id: step.0 }
    }
}
