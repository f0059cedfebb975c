//! A step that is about to run.

use super::{before::Before, catalog::Known, step_kind::StepInput};
use crate::{
    model::{GroupId, StepId},
    store::{group::GroupDetail, input},
};
use std::{collections::BTreeMap, sync::Arc};

/// A step with everything that was read for it.
pub(super) struct Task {
    pub known: Arc<Known>,
    pub group: Arc<GroupDetail>,
    pub row: input::Input,
    pub input: StepInput,
    pub before: Before,
    /// The child runs whose results it reads, by the name of the step that started them.
    pub children: BTreeMap<String, Runs>,
}

/// Runs whose results a step reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// Those started by an earlier step.
    Of(StepId),
    /// Those of the group that it collects.
    All(GroupId),
}
