//! The item of a run.

use crate::model::number::keep_digits;
use serde_json::Value;

/// The item as templates see it: a JSON object, or a string.
pub fn item_value(item: &str) -> Value {
    match item.trim_start().starts_with('{') {
        true => {
            serde_json::from_slice(&keep_digits(item.as_bytes())).unwrap_or_else(|_| Value::String(item.to_string()))
        }
        false => Value::String(item.to_string()),
    }
}
