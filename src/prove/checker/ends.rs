//! Invariant C: a group ends exactly once, with its last step, and its counts match its runs. Its hooks run.

use super::Known;
use crate::{
    model::{Event, EventKind, GroupId, StepState},
    prove::{
        log::Record,
        verdict::{Invariant, Verdict},
        workload::{Work, Workflow},
    },
    store::audit::GroupFact,
};
use std::collections::{BTreeMap, HashMap};

pub(super) fn check(known: &Known, verdict: &mut Verdict) {
    let mut events: HashMap<GroupId, Vec<&Event>> = HashMap::new();
    for event in &known.history.events {
        if let Some(group) = event.group {
            events.entry(group).or_default().push(event);
        }
    }
    for group in &known.history.groups {
        let Some(work) = known.works.get(&group.id) else { continue };
        end(group, work, events.get(&group.id).map(Vec::as_slice).unwrap_or_default(), verdict);
    }
    hooks(known, verdict);
}

fn end(group: &GroupFact, work: &Work, events: &[&Event], verdict: &mut Verdict) {
    if !group.ended {
        return verdict.add(Invariant::Alive, format!("{} has not ended", group.id));
    }
    let mut wrong = |what: String| verdict.add(Invariant::GroupEndsOnce, format!("{}: {what}", group.id));
    let count = |kind| events.iter().filter(|it| it.kind == kind).count();
    for (kind, wanted) in [
        (EventKind::GroupStart, 1),
        (EventKind::GroupEnd, 1),
        (EventKind::ItemStart, work.items.len()),
        (EventKind::ItemFailed, work.failed_runs() as usize),
        (EventKind::ItemEnd, work.items.len() - work.failed_runs() as usize),
    ] {
        if count(kind) != wanted {
            wrong(format!("{kind:?} is reported {} times, not {wanted}", count(kind)));
        }
    }
    if (group.failed, group.cancelled, group.epoch) != (work.failed_runs(), 0, 1) {
        wrong(format!("has {} failed and {} cancelled runs in epoch {}", group.failed, group.cancelled, group.epoch));
    }
    if events.first().is_some_and(|it| it.kind != EventKind::GroupStart) {
        wrong("something happened before it started".into());
    }
    let after = events.iter().skip_while(|it| it.kind != EventKind::GroupEnd).skip(1);
    let late =
        after.filter(|it| !matches!(it.kind, EventKind::HookEnd | EventKind::HookFailed | EventKind::ScheduleFired));
    if let Some(event) = late.into_iter().next() {
        wrong(format!("{:?} came after its end", event.kind));
    }
}

/// Each subscription has exactly one row, the row is done, and the log shows that the hook ran.
fn hooks(known: &Known, verdict: &mut Verdict) {
    let mut ran: HashMap<(GroupId, i64, &str), usize> = HashMap::new();
    for record in &known.history.records {
        if let Record::Hook { group, step, event, .. } = record {
            *ran.entry((*group, step.map_or(0, |it| it.0), event)).or_default() += 1;
        }
    }
    let mut rows: BTreeMap<(GroupId, i64, &str), Vec<StepState>> = BTreeMap::new();
    for hook in &known.history.hooks {
        let subject = (hook.group, hook.step.map_or(0, |it| it.0), hook.event.as_str());
        rows.entry(subject).or_default().push(hook.state);
    }
    let hooked = known.history.groups.iter().filter(|it| known.workflow(it.id) == Some(Workflow::Hooked) && it.ended);
    for group in hooked {
        let steps = known.steps.get(&group.id).map(Vec::as_slice).unwrap_or_default();
        let of_steps =
            steps.iter().filter(|it| it.state == StepState::Completed).map(|it| (group.id, it.id.0, "step_end"));
        for subject in of_steps.chain([(group.id, 0, "group_end")]) {
            let (id, step, event) = subject;
            let mut wrong =
                |what: &str| verdict.add(Invariant::HooksRun, format!("{event} of {id} (step {step}): {what}"));
            match rows.get(&subject).map(Vec::as_slice) {
                Some([StepState::Completed]) if ran.contains_key(&subject) => {}
                Some([StepState::Completed]) => wrong("is marked as done but never ran"),
                Some([_]) => wrong("is not done"),
                Some(_) => wrong("was queued more than once"),
                None => wrong("was never queued"),
            }
        }
    }
    for subject in rows.keys().filter(|it| known.workflow(it.0) != Some(Workflow::Hooked)) {
        verdict.add(Invariant::HooksRun, format!("{} of {} has no subscriber", subject.2, subject.0));
    }
}
