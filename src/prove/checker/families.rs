//! M: a step that starts runs starts one group, whatever kills its attempts, and ends with the end of that group, once.

use super::Known;
use crate::{
    model::{EventKind, GroupId, StepId, StepState},
    prove::verdict::{Invariant, Verdict},
    store::audit::{GroupFact, StepFact},
};
use std::collections::{BTreeMap, HashMap};

pub(super) fn check(known: &Known, verdict: &mut Verdict) {
    let mut started: BTreeMap<StepId, Vec<&GroupFact>> = BTreeMap::new();
    for group in &known.history.groups {
        if let Some(step) = group.parent {
            started.entry(step).or_default().push(group);
        }
    }
    let moments = Moments::of(known);
    for (step, work) in known.steps() {
        let Some(runs) = work.workflow.starts(step.no) else { continue };
        match started.remove(&step.id).as_deref() {
            Some([group]) => family(known, step, group, runs, &moments, verdict),
            Some(groups) => {
                let all: Vec<String> = groups.iter().map(|it| it.id.to_string()).collect();
                verdict.add(Invariant::OneFamily, format!("{} started {}", step.id, all.join(" and ")));
            }
            None => verdict.add(Invariant::OneFamily, format!("{} started no group", step.id)),
        }
    }
    for (step, groups) in started {
        verdict.add(Invariant::OneFamily, format!("{step} starts no runs, and started {}", groups[0].id));
    }
}

/// When, in commit order, groups and steps ended.
struct Moments {
    groups: HashMap<GroupId, Vec<usize>>,
    steps: HashMap<StepId, Vec<usize>>,
}

impl Moments {
    fn of(known: &Known) -> Moments {
        let mut moments = Moments { groups: HashMap::new(), steps: HashMap::new() };
        for (at, event) in known.history.events.iter().enumerate() {
            match (event.kind, event.group, event.step) {
                (EventKind::GroupEnd, Some(group), _) => moments.groups.entry(group).or_default().push(at),
                (EventKind::StepEnd, _, Some(step)) => moments.steps.entry(step).or_default().push(at),
                _ => {}
            }
        }
        moments
    }
}

fn family(known: &Known, step: &StepFact, group: &GroupFact, runs: i64, moments: &Moments, verdict: &mut Verdict) {
    let mut wrong = |what: String| verdict.add(Invariant::OneFamily, format!("{} of {}: {what}", group.id, step.id));
    if (group.ended, group.runs, group.failed, group.cancelled, group.epoch) != (true, runs, 0, 0, 1) {
        wrong(format!(
            "has {} runs, {} failed and {} cancelled, epoch {}",
            group.runs, group.failed, group.cancelled, group.epoch
        ));
    }
    let own = known.steps.get(&group.id).map(Vec::as_slice).unwrap_or_default();
    if own.len() as i64 != runs || own.iter().any(|it| it.state != StepState::Completed) {
        wrong(format!("has {} steps, not {runs} that completed", own.len()));
    }
    for inner in own {
        if moments.steps.get(&inner.id).map_or(0, Vec::len) != 1 {
            wrong(format!("{} is not reported as completed once", inner.id));
        }
    }
    let ends = |all: Option<&Vec<usize>>| all.cloned().unwrap_or_default();
    match (&ends(moments.groups.get(&group.id))[..], &ends(moments.steps.get(&step.id))[..]) {
        ([group], [step]) if group < step => {}
        ([_], [_]) => wrong("its step ended before it".into()),
        (groups, steps) => wrong(format!("ended {} times, its step {} times", groups.len(), steps.len())),
    }
}
