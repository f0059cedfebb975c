//! Checks a history and returns a verdict, like Jepsen's set and queue checkers: everything that was acknowledged must
//! exist, everything that exists must have been submitted, and nothing may have happened twice.
//!
//! Pure: no clock, no disk, no randomness.

mod ends;
mod families;
mod leases;
mod schedules;
mod submissions;
#[cfg(test)]
mod tests;
mod units;

use super::{
    history::History,
    log::{HandlerEnd, Record},
    verdict::{Invariant, Verdict},
    workload::{Work, Workflow},
};
use crate::{
    model::{GroupId, StepId, Token},
    store::audit::StepFact,
};
use std::collections::{BTreeMap, HashMap};

/// Judges a history.
pub fn check(history: &History) -> Verdict {
    let known = Known::new(history);
    let mut verdict = Verdict::default();
    submissions::check(&known, &mut verdict);
    leases::check(&known, &mut verdict);
    ends::check(&known, &mut verdict);
    schedules::check(&known, &mut verdict);
    units::check(&known, &mut verdict);
    families::check(&known, &mut verdict);
    surroundings(history, &mut verdict);
    verdict.violations.sort_by_key(|it| it.invariant);
    verdict
}

/// The history, indexed for the checks.
struct Known<'a> {
    history: &'a History,
    /// By the name of the submission.
    numbers: HashMap<&'a str, u64>,
    works: BTreeMap<GroupId, Work>,
    steps: BTreeMap<GroupId, Vec<&'a StepFact>>,
    starts: HashMap<StepId, Vec<Start<'a>>>,
    ends: HashMap<(StepId, Token), (HandlerEnd, i64)>,
}

/// A handler that began.
#[derive(Debug, Clone, Copy)]
struct Start<'a> {
    process: u32,
    step: StepId,
    token: Token,
    key: Option<&'a str>,
    at: i64,
}

impl<'a> Known<'a> {
    fn new(history: &'a History) -> Known<'a> {
        let mut known = Known {
            history,
            numbers: HashMap::new(),
            works: BTreeMap::new(),
            steps: BTreeMap::new(),
            starts: HashMap::new(),
            ends: HashMap::new(),
        };
        for record in &history.records {
            match record {
                Record::Invoke { number, name, .. } => {
                    known.numbers.insert(name, *number);
                }
                Record::Start { process, step, token, key, at, .. } => {
                    let key = key.as_deref();
                    let start = Start { process: *process, step: *step, token: *token, key, at: *at };
                    known.starts.entry(*step).or_default().push(start);
                }
                Record::End { step, token, end, at } => {
                    known.ends.insert((*step, *token), (*end, *at));
                }
                _ => {}
            }
        }
        for group in &history.groups {
            if group.workflow == Workflow::Tick.id() {
                known.works.insert(group.id, Work::of_schedule());
            } else if let Some(number) = known.numbers.get(group.name.as_str()) {
                known.works.insert(group.id, Work::of(history.seed, *number));
            }
        }
        for step in &history.steps {
            known.steps.entry(step.group).or_default().push(step);
        }
        known
    }

    fn workflow(&self, group: GroupId) -> Option<Workflow> {
        self.works.get(&group).map(|it| it.workflow)
    }

    /// The steps, each with the work that it belongs to.
    fn steps(&self) -> impl Iterator<Item = (&'a StepFact, &Work)> {
        self.history.steps.iter().filter_map(|step| Some((step, self.works.get(&step.group)?)))
    }
}

/// Findings besides the records: the disk, the processes, the database as a whole.
fn surroundings(history: &History, verdict: &mut Verdict) {
    let reported = [
        (Invariant::ArtifactsWhole, &history.damaged),
        (Invariant::NoOrphans, &history.orphans),
        (Invariant::NothingLeft, &history.leftovers),
        (Invariant::Sound, &history.findings),
    ];
    for (invariant, all) in reported {
        all.iter().for_each(|what| verdict.add(invariant, what));
    }
    for record in &history.records {
        if let Record::BadInput { step, token, what } = record {
            verdict.add(Invariant::ArtifactsWhole, format!("{step} under lease {}: {what}", token.0));
        }
    }
    for group in &history.unsealed {
        verdict.add(Invariant::NothingLeft, format!("{group} was begun but neither finished nor removed"));
    }
    for exit in history.exits.iter().filter(|it| !it.expected) {
        let what = format!("{} {} ended by itself: {:?}", exit.role.name(), exit.process, exit.how);
        verdict.add(Invariant::Sound, what);
    }
    if let Some(what) = &history.undrained {
        verdict.add(Invariant::Alive, what);
    }
}
