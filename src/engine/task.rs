//! A step at work.

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
    /// Runs of which it reads the results, by the name of the step that started them.
    pub children: BTreeMap<String, Runs>,
}

/// Runs of which a step reads the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// Those that an earlier step started.
    Of(StepId),
    /// Those of the group that it collects.
    All(GroupId),
}
