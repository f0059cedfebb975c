//! An expression with a text or another value as its result, in the expression language of conditions.

use super::{
    check,
    expression::{Expression, Kind, Wanted},
    facts::Facts,
    judge,
    problem::Problem,
};
use serde_json::Value;

/// An expression of any type.
pub type Formula = Expression<AnyValue>;

/// The result of a formula.
#[derive(Debug, Clone, PartialEq)]
pub struct AnyValue;

impl Kind for AnyValue {
    const NAME: &str = "an expression";
    const EXAMPLE: &str = "item.at";
    const RESULT: Wanted = Wanted::Any;
}

impl Formula {
    /// Refuses the name of a step that is not among `needs`, and a result that can't be a text.
    pub fn check_text(&self, needs: &[&str]) -> Result<(), Problem> {
        check::text(&self.root)?;
        self.check(needs)
    }

    /// Its value, or the problem if there is none.
    pub fn value(&self, facts: &Facts<'_>) -> Result<Value, String> {
        Ok(judge::judge(&self.root, facts)?.into_owned())
    }
}
