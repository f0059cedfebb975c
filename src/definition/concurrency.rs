//! `concurrency:` of a workflow: groups with the same name do not overlap.

use super::template::Template;
use crate::model::Concurrency as Policy;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Concurrency {
    /// The name, rendered at submit from `params`.
    pub group: Template,
    #[serde(default)]
    pub policy: Policy,
}
