//! Invariant B: a step is settled once, by its newest lease, after its work. Also what leases guarantee: exclusion and
//! order.

use super::{Known, Start};
use crate::{
    model::{EventKind, ExitStatus, StepId, StepState, Token, WorkerId},
    prove::{
        home::SILENT_AFTER,
        log::{HandlerEnd, Record},
        verdict::{Invariant, Verdict},
        workload::{Item, Work},
    },
    store::audit::StepFact,
};
use std::collections::{BTreeMap, HashMap, HashSet};

pub(super) fn check(known: &Known, verdict: &mut Verdict) {
    let counts = settlements(known);
    for (step, work) in known.steps() {
        check_end(step, work, &counts, verdict);
        let runs = serde_json::from_str(&step.item).is_ok_and(|item| work.workflow.expected_end(step.no, &item).1 > 0);
        if !runs && known.starts.contains_key(&step.id) {
            verdict.add(Invariant::CompletedOnce, format!("{} must not run, and ran", step.id));
        }
        if step.state == StepState::Completed && work.workflow.is_logged(step.no) {
            completion(known, step, work, verdict);
        }
    }
    shared_leases(known, verdict);
    overlaps(known, verdict);
    order(known, verdict);
    silence(known, verdict);
}

/// How often the history reports the end of each step: (completed, failed).
fn settlements(known: &Known) -> HashMap<StepId, (usize, usize)> {
    let mut counts: HashMap<StepId, (usize, usize)> = HashMap::new();
    for event in &known.history.events {
        let Some(step) = event.step else { continue };
        match event.kind {
            EventKind::StepEnd => counts.entry(step).or_default().0 += 1,
            EventKind::StepFailed => counts.entry(step).or_default().1 += 1,
            _ => {}
        }
    }
    counts
}

/// Each step ended as its item specifies, after the right number of attempts. Interrupted attempts don't count.
fn check_end(step: &StepFact, work: &Work, counts: &HashMap<StepId, (usize, usize)>, verdict: &mut Verdict) {
    let Ok(item) = serde_json::from_str::<Item>(&step.item) else {
        return verdict.add(Invariant::Acknowledged, format!("{} has an item that was never submitted", step.id));
    };
    let (state, attempts) = work.workflow.expected_end(step.no, &item);
    let at = format!("{} ({} {})", step.id, work.workflow.id(), step.no);
    if !step.state.is_terminal() {
        return verdict.add(Invariant::Alive, format!("{at} has not ended: it is {}", step.state.words()));
    }
    if step.state != state {
        verdict.add(Invariant::CompletedOnce, format!("{at} ended as {}, not {}", step.state.words(), state.words()));
    }
    if step.attempts != attempts {
        verdict.add(Invariant::CompletedOnce, format!("{at} counts {} attempts, not {attempts}", step.attempts));
    }
    let (completed, failed) = counts.get(&step.id).copied().unwrap_or_default();
    if (completed, failed)
        != (usize::from(step.state == StepState::Completed), usize::from(step.state == StepState::Failed))
    {
        let what = format!("{at} was reported as completed {completed} and as failed {failed} times");
        verdict.add(Invariant::CompletedOnce, what);
    }
}

/// A completed step has the result of its newest lease, and the handler of that lease had finished.
fn completion(known: &Known, step: &StepFact, work: &Work, verdict: &mut Verdict) {
    let mut wrong = |what: String| verdict.add(Invariant::CompletedOnce, format!("{}: {what}", step.id));
    let Some(token) = step.token else { return wrong("completed without a lease".into()) };
    let value: serde_json::Value =
        step.output.as_deref().and_then(|it| serde_json::from_str(it).ok()).unwrap_or_default();
    let (by, of) = (value["token"].as_i64().map(Token), value["step"].as_i64().map(StepId));
    if by != Some(token) || of != Some(step.id) {
        wrong(format!("completed under lease {} with the result of {of:?} under {by:?}", token.0));
    }
    if !matches!(known.ends.get(&(step.id, token)), Some((HandlerEnd::Done, _))) {
        wrong(format!("completed under lease {} though that handler did not end well", token.0));
    }
    let newest = known.starts.get(&step.id).and_then(|it| it.iter().map(|it| it.token).max());
    if newest > Some(token) {
        wrong(format!("completed under lease {}, and began again under {newest:?}", token.0));
    }
    if step.files != work.workflow.files(step.no) {
        wrong(format!("has {} files, not {}", step.files, work.workflow.files(step.no)));
    }
}

/// No lease was given to two handlers.
fn shared_leases(known: &Known, verdict: &mut Verdict) {
    let mut seen = HashSet::new();
    for start in known.starts.values().flatten() {
        if !seen.insert(start.token) {
            verdict.add(Invariant::CompletedOnce, format!("lease {} ran twice, of {}", start.token.0, start.step));
        }
    }
}

/// Work under the same key must not overlap. A handler holds the key from before it logs its start until after it logs
/// its end, or until its process is dead.
fn overlaps(known: &Known, verdict: &mut Verdict) {
    let deaths: HashMap<u32, i64> = known.history.exits.iter().map(|it| (it.process, it.at)).collect();
    let mut by_key: BTreeMap<&str, Vec<(i64, i64, Start)>> = BTreeMap::new();
    for start in known.starts.values().flatten() {
        let Some(key) = start.key else { continue };
        let ended = known.ends.get(&(start.step, start.token)).map(|it| it.1);
        let until = ended.or_else(|| deaths.get(&start.process).copied()).unwrap_or(i64::MAX);
        by_key.entry(key).or_default().push((start.at, until, *start));
    }
    for (key, mut spans) in by_key {
        spans.sort_by_key(|it| it.0);
        let mut busy: Option<(i64, Start)> = None;
        for (from, until, start) in spans {
            if let Some((end, other)) = busy.filter(|it| from < it.0) {
                let late = (end - from) / 1_000;
                let what = format!("{key}: {} began {late} us before {} was through", start.step, other.step);
                verdict.add(Invariant::Exclusive, what);
            }
            if busy.is_none_or(|it| it.0 < until) {
                busy = Some((until, start));
            }
        }
    }
}

/// A step begins only after each step that it needs has ended in the way its item says.
fn order(known: &Known, verdict: &mut Verdict) {
    let tokens: HashMap<StepId, Option<Token>> = known.history.steps.iter().map(|it| (it.id, it.token)).collect();
    for (step, work) in known.steps() {
        let Ok(item) = serde_json::from_str::<Item>(&step.item) else { continue };
        let first = StepId(step.id.0 - step.no as i64);
        for &no in work.workflow.needs(step.no).iter().filter(|it| work.workflow.is_logged(**it)) {
            let wanted = match work.workflow.expected_end(no, &item).0 {
                StepState::Completed => HandlerEnd::Done,
                StepState::Failed => HandlerEnd::Failed,
                _ => continue,
            };
            let need = StepId(first.0 + no as i64);
            let ended = tokens.get(&need).copied().flatten().and_then(|token| known.ends.get(&(need, token)));
            for start in known.starts.get(&step.id).into_iter().flatten() {
                if !ended.is_some_and(|(end, at)| *end == wanted && *at <= start.at) {
                    verdict.add(Invariant::Ordered, format!("{} began before {need} had ended", step.id));
                }
            }
        }
    }
}

/// Only a worker that was stopped may be considered silent, and only one that was killed may be considered dead.
fn silence(known: &Known, verdict: &mut Verdict) {
    let history = known.history;
    let processes: HashMap<WorkerId, u32> = history
        .records
        .iter()
        .filter_map(|it| match it {
            Record::Worker { process, worker } => Some((*worker, *process)),
            _ => None,
        })
        .collect();
    // A heartbeat may be almost one interval old when its process is stopped.
    let long = i64::try_from(SILENT_AFTER.duration().as_nanos()).unwrap_or(i64::MAX) * 3 / 4;
    let was_stopped = |process| history.stops.iter().any(|it| it.process == process && it.until - it.from >= long);
    let was_killed = |process| history.exits.iter().any(|it| it.process == process && it.how == ExitStatus::Signal(9));
    for attempt in &history.attempts {
        // The id of a worker that died before it could log it is unknown.
        let Some(&process) = processes.get(&attempt.worker) else { continue };
        let why = |words: &str| attempt.detail.contains(words);
        let innocent = (why("fell silent") && !was_stopped(process)) || (why("worker died") && !was_killed(process));
        if innocent {
            let what = format!("{} lost {} to a reaper although it was alive", attempt.worker, attempt.step);
            verdict.add(Invariant::Alive, what);
        }
    }
}
