//! How earlier steps ended, for workflows in which a step can run after one that did not complete.

use super::{Engine, Error, submit};
use crate::{
    decide::flow::{self, End},
    definition::Definition,
    model::StepState,
    store::{input, output::Output},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// How the earlier steps ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    /// The statuses of needed steps that did not complete, by name.
    pub unfinished: BTreeMap<String, &'static str>,
    /// Whether a step of the run failed without `allow_failure`.
    pub run_failed: bool,
    /// Whether the run or its group is being cancelled.
    pub in_a_cancel: bool,
}

impl Before {
    /// Reads nothing if every step of the workflow needs only completed steps.
    pub(super) fn of(engine: &Engine, row: &input::Input, definition: &Definition) -> Result<Before, Error> {
        if !definition.is_conditional() {
            return Ok(Before::default());
        }
        let count = definition.steps.len();
        let (states, cancelling) = engine.store.read(|tx| input::states(tx, row.first_step, count))?;
        let facts = |state: &StepState| flow::Facts { state: *state, running: false, runs_again: false };
        let facts: Vec<flow::Facts> = states.iter().map(facts).collect();
        let ends = flow::ends(&submit::shape(definition), &facts);
        let lost = |need: &usize| states[*need].is_terminal() && states[*need] != StepState::Completed;
        let lost = definition.steps[row.no].needs.iter().copied().filter(lost);
        Ok(Before {
            unfinished: lost.map(|need| (definition.steps[need].name.clone(), states[need].name())).collect(),
            run_failed: ends.contains(&Some(End::Failed { allowed: false })),
            in_a_cancel: cancelling || ends.contains(&Some(End::Cancelled { by_failure: false })),
        })
    }

    /// Gives null as the value of each needed step that did not complete.
    pub(super) fn fill(&self, inputs: &mut BTreeMap<String, Output>) {
        for name in self.unfinished.keys() {
            inputs.insert(name.clone(), Output { value: Some(Value::Null), ..Output::default() });
        }
    }
}
