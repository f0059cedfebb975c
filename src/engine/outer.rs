//! What a step sees of the parent run: the results of earlier steps there that its templates use.

use super::{Engine, before::Before, error::Result, task::Runs};
use crate::{
    definition::{Action, Definition, StepDefinition},
    model::{GroupId, StepId},
    store::{collect, group::GroupDetail, input, output::Output},
};
use std::collections::BTreeMap;

/// Results of steps in another run, by name.
#[derive(Default)]
pub(super) struct Outer {
    outputs: BTreeMap<String, Output>,
    unfinished: BTreeMap<String, &'static str>,
    children: BTreeMap<String, Runs>,
}

impl Outer {
    /// Reads nothing if no step started the run, or if the step uses nothing of the parent run.
    pub(super) fn of(
        engine: &Engine,
        group: &GroupDetail,
        definition: &Definition,
        step: &StepDefinition,
    ) -> Result<Outer> {
        let Some(parent) = group.parent else { return Ok(Outer::default()) };
        let is_own = |name: &String| definition.steps.iter().any(|it| it.name == *name && it.name != step.name);
        let required: Vec<String> = step.inputs_required()?.into_iter().filter(|name| !is_own(name)).collect();
        if required.is_empty() {
            return Ok(Outer::default());
        }
        let row = engine.store.read(|tx| input::read(tx, parent))?;
        let known = engine.catalog.definition(&engine.store, row.definition)?;
        let before = Before::of(engine, &row, &known.definition)?;
        let mut outer = Outer::default();
        for name in required {
            let Some(no) = known.definition.steps.iter().position(|it| it.name == name) else { continue };
            let found = engine.store.read(|tx| input::outputs(tx, row.first_step, &[no]))?;
            let output = found.into_iter().next().flatten().unwrap_or_default();
            if let Some(status) = before.unfinished.get(&name) {
                outer.unfinished.insert(name.clone(), status);
            }
            if let Action::Children(_) = known.definition.steps[no].action {
                outer.children.insert(name.clone(), Runs::Of(StepId(row.first_step.0 + no as i64)));
            }
            outer.outputs.insert(name, output);
        }
        Ok(outer)
    }

    pub(super) fn fill(
        self,
        inputs: &mut BTreeMap<String, Output>,
        unfinished: &mut BTreeMap<String, &'static str>,
        children: &mut BTreeMap<String, Runs>,
    ) {
        inputs.extend(self.outputs);
        unfinished.extend(self.unfinished);
        children.extend(self.children);
    }
}

/// The child runs of earlier steps, by step name; and those of the group that it collects, as `runs`.
pub(super) fn own_children(definition: &Definition, row: &input::Input, group: GroupId) -> BTreeMap<String, Runs> {
    let needs = definition.steps[row.no].needs.iter();
    let started = needs.filter(|&&no| matches!(definition.steps[no].action, Action::Children(_)));
    let own = started.map(|&no| (definition.steps[no].name.clone(), Runs::Of(StepId(row.first_step.0 + no as i64))));
    own.chain(definition.collects.then(|| ("runs".to_string(), Runs::All(group)))).collect()
}

/// What steps that follow all runs of a group see of these runs: how many ended in which way.
pub(super) fn collected(engine: &Engine, definition: &Definition, group: GroupId) -> Result<Option<(String, Output)>> {
    if !definition.collects {
        return Ok(None);
    }
    let counts = engine.store.read(|tx| collect::counts(tx, group))?;
    Ok(Some(("runs".to_string(), Output { value: Some(counts.value()), ..Output::default() })))
}
