//! The values with which a condition is evaluated.

use serde_json::Value;
use std::{borrow::Cow, collections::BTreeMap};

/// The values of the names in a condition.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    pub item: Cow<'a, Value>,
    pub params: Cow<'a, Value>,
    /// Value and status of each step that it needs, by step name.
    pub inputs: BTreeMap<String, (Value, &'static str)>,
    /// Whether a step of the run failed without `allow_failure`.
    pub run_failed: bool,
}
