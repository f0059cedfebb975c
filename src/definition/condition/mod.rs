//! The condition of a step (`when:`): an expression in a subset of CEL, the Common Expression Language.
//!
//! Size and depth are limited when it is parsed, and work when it is evaluated. It can loop only over lists and has no
//! side effects. Its values are JSON; integers and decimals mix in arithmetic and comparisons.

mod check;
mod elements;
mod expression;
mod facts;
mod formula;
mod judge;
mod parse;
mod problem;
mod scan;

pub use elements::Elements;
use expression::{Expression, Kind, Wanted};
pub use facts::Facts;
pub use formula::Formula;
use serde_json::Value;

/// The condition of a step.
pub type Condition = Expression<Truth>;

/// The result of a condition: true or false.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth;

impl Kind for Truth {
    const NAME: &str = "a condition";
    const EXAMPLE: &str = "item.pages > 3";
    const RESULT: Wanted = Wanted::Truth;
}

impl Condition {
    /// Whether the step runs, or the problem if that can't be decided.
    pub fn judge(&self, facts: &Facts<'_>) -> Result<bool, String> {
        match judge::judge(&self.root, facts)?.as_ref() {
            Value::Bool(it) => Ok(*it),
            other => Err(format!("it is {}, which is neither true nor false", judge::kind(other))),
        }
    }
}

#[cfg(test)]
mod tests;
