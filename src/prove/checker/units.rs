//! U: the units of a resource that steps hold, by the history of claims and ends, are never more than there are.

use super::Known;
use crate::{
    model::{EventKind, StepId},
    prove::{
        verdict::{Invariant, Verdict},
        workload::{Item, SLOTS, Workflow},
    },
};
use std::collections::HashMap;

/// Events are in commit order: what one transaction gives back, the next start may take.
pub(super) fn check(known: &Known, verdict: &mut Verdict) {
    let units: HashMap<StepId, i64> = known
        .steps()
        .filter(|(_, work)| work.workflow == Workflow::Limited)
        .filter_map(|(step, _)| Some((step.id, serde_json::from_str::<Item>(&step.item).ok()?.units)))
        .collect();
    let mut held: HashMap<StepId, i64> = HashMap::new();
    for event in &known.history.events {
        let Some((step, own)) = event.step.and_then(|step| Some((step, *units.get(&step)?))) else { continue };
        match event.kind {
            EventKind::StepStart => {
                held.insert(step, own);
                let sum: i64 = held.values().sum();
                if sum > SLOTS {
                    let what = format!("{step} began with {own} units when {} of {SLOTS} were in use", sum - own);
                    verdict.add(Invariant::Within, what);
                }
            }
            EventKind::StepEnd
            | EventKind::StepFailed
            | EventKind::StepError
            | EventKind::StepReleased
            | EventKind::StepReaped
            | EventKind::StepSkipped
            | EventKind::Cancel => drop(held.remove(&step)),
            _ => {}
        }
    }
}
