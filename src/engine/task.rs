//! A step at work.

use super::{before::Before, catalog::Known, step_kind::StepInput};
use crate::store::{group::GroupDetail, input};
use std::sync::Arc;

/// A step with everything that was read for it.
pub(super) struct Task {
    pub known: Arc<Known>,
    pub group: Arc<GroupDetail>,
    pub row: input::Input,
    pub input: StepInput,
    pub before: Before,
}
