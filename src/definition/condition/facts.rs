//! The values that a condition is judged with.

use serde_json::Value;
use std::{borrow::Cow, collections::BTreeMap};

/// What the names of a condition stand for.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    pub item: Cow<'a, Value>,
    pub params: Cow<'a, Value>,
    /// Value and status of each step that it needs, by name.
    pub inputs: BTreeMap<String, (Value, &'static str)>,
    /// Whether a step of the run failed that was not allowed to.
    pub run_failed: bool,
}
