//! The values that a workflow reads.

use super::{
    condition::Condition,
    error::Result,
    expression::Expression,
    wait::{Time, Wait},
    workflow::{Action, Definition},
};
use std::collections::BTreeSet;

impl Definition {
    /// The parameters that its templates and conditions read, in alphabetical order.
    pub fn parameters(&self) -> Result<Vec<String>> {
        let mut found: BTreeSet<String> = self
            .steps
            .iter()
            .flat_map(|it| it.when.iter().flat_map(Condition::parameters))
            .map(|it| it.to_string())
            .collect();
        for (_, template) in self.templates()? {
            found.extend(template.expressions().filter_map(|it| match it {
                Expression::Params(path) => path.first().cloned(),
                _ => None,
            }));
        }
        Ok(found.into_iter().collect())
    }

    /// Whether a template asks for the item, so that a run without one makes no sense.
    pub fn asks_for_item(&self) -> Result<bool> {
        let templates = self.templates()?;
        let mut expressions = templates.iter().flat_map(|(_, it)| it.expressions());
        let judged = self.steps.iter().any(|it| {
            it.when.as_ref().is_some_and(Condition::asks_for_item)
                || matches!(&it.action, Action::Wait(Wait::Until(Time::Formula(formula))) if formula.asks_for_item())
        });
        Ok(judged || expressions.any(|it| matches!(it, Expression::Item(_))))
    }
}
