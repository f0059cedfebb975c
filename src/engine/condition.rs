//! Evaluates the condition of a step, and records the values that it used.

use super::{settlement, task::Task};
use crate::{
    definition::{Facts, StepDefinition},
    failpoint::{Failpoint, is_active},
    model::{AttemptOutcome, Millis, Outcome},
    store::{
        Claimed, Settlement,
        attempt::{Record, Skip},
    },
};
use serde_json::{Value, json};
use std::borrow::Cow;

/// The time limit of a step that runs because of a cancel and has no `timeout`.
const IN_A_CANCEL: Millis = Millis::minutes(10);

/// The settlement of a step that its condition prevents from running. Evaluated only before the first attempt: once a
/// step has run, it runs to its end.
pub(super) fn judge(claimed: &Claimed, task: &Task) -> Option<Settlement> {
    let step = &task.known.definition.steps[task.row.no];
    let condition = step.when.as_ref().filter(|_| claimed.attempt == 1 && !task.row.runs_again)?;
    let facts = facts(task, step);
    let saw = || Skip { when: condition.source().to_string(), values: condition.seen(&facts) };
    match condition.judge(&facts) {
        Ok(true) => None,
        Ok(false) if is_active(Failpoint::SkippedStepRuns) => None,
        Ok(false) => Some(Settlement::Skip { record: skipped(&saw()) }),
        Err(error) => {
            let saw = saw();
            let outcome =
                Outcome::permanent("when", format!("its condition can't be judged: {error}: {saw}")).bounded();
            let mut record = settlement::record(&outcome, &Default::default(), Vec::new());
            record.detail = with_condition(&record.detail, &saw);
            Some(Settlement::Fail { crashed: false, record })
        }
    }
}

pub(super) fn facts<'t>(task: &'t Task, step: &StepDefinition) -> Facts<'t> {
    let definition = &task.known.definition;
    let input = |&need: &usize| {
        let name = definition.steps[need].name.clone();
        let value = task.input.inputs.get(&name).and_then(|it| it.value.clone()).unwrap_or_default();
        let status = task.before.unfinished.get(&name).copied().unwrap_or("completed");
        (name, (value, status))
    };
    let runs = task.input.inputs.get("runs").filter(|_| definition.collects);
    let collected = runs.map(|it| ("runs".to_string(), (it.value.clone().unwrap_or_default(), "completed")));
    Facts {
        item: Cow::Borrowed(&task.input.item),
        params: Cow::Borrowed(&task.input.params),
        inputs: step.needs.iter().map(input).chain(collected).collect(),
        run_failed: task.before.run_failed,
    }
}

fn skipped(saw: &Skip) -> Record {
    let message = format!("its condition is false: {saw}");
    let outcome = json!({"outcome": "skipped", "message": message});
    let detail = json!({"outcome": outcome, "message": message, "certificate": {}}).to_string();
    Record { outcome: AttemptOutcome::Skipped, detail: with_condition(&detail, saw), logs: Vec::new() }
}

fn with_condition(detail: &str, saw: &Skip) -> String {
    let mut detail: Value = serde_json::from_str(detail).unwrap_or_default();
    detail["condition"] = json!(saw);
    detail.to_string()
}

/// The step as it is run. A step that a cancel starts always has a time limit.
pub(super) fn as_it_runs(task: &Task) -> Cow<'_, StepDefinition> {
    let step = &task.known.definition.steps[task.row.no];
    match timeout(step, task.before.in_a_cancel) {
        timeout if timeout == step.timeout => Cow::Borrowed(step),
        timeout => Cow::Owned(StepDefinition { timeout, ..step.clone() }),
    }
}

fn timeout(step: &StepDefinition, in_a_cancel: bool) -> Option<Millis> {
    step.timeout.or((step.on_cancel_run && in_a_cancel).then_some(IN_A_CANCEL))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Action;

    #[test]
    fn a_clean_up_without_a_timeout_gets_one_in_a_cancel() {
        let step = StepDefinition::new("clean", Action::Uses("windlass/noop".into()));
        let clean = StepDefinition { on_cancel_run: true, ..step.clone() };
        assert_eq!(timeout(&clean, true), Some(Millis::minutes(10)));
        assert_eq!(timeout(&clean, false), None);
        assert_eq!(timeout(&step, true), None);
        let patient = StepDefinition { timeout: Some(Millis::minutes(30)), ..clean };
        assert_eq!(timeout(&patient, true), Some(Millis::minutes(30)));
    }
}
