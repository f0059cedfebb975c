//! Why steps do not run, or failed: a single step, or the steps that hold up a run or a group.

use super::{
    error::Result,
    reason::{Reason, reasons_for},
};
use crate::{
    engine::Engine,
    model::{GroupId, RunId, Status, StepId},
    store::{
        Store, group,
        read::{self, RunFilter, Why},
    },
};
use serde::Serialize;

/// The subject to explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Group(GroupId),
    Run(RunId),
    Step(StepId),
}

/// A step: its facts, and the reasons that follow from them, most important first.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Explained {
    pub facts: Why,
    pub reasons: Vec<Reason>,
    /// How many other steps of this name have the same reasons, among those examined.
    pub alike: i64,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct WhyView {
    pub steps: Vec<Explained>,
    /// Whether there are more steps like these.
    pub more: bool,
}

/// The maximum number of explained steps.
const STEPS: usize = 5;

pub fn why(engine: &Engine, subject: Subject) -> Result<WhyView> {
    let held_up = of_subject(engine.store(), subject)?;
    let mut steps: Vec<Explained> = Vec::new();
    for (id, alike) in held_up.iter().take(STEPS) {
        let next = Explained { alike: *alike, ..explain(engine, *id)? };
        match steps.iter_mut().find(|it| it.is_like(&next)) {
            Some(same) => same.alike += 1 + next.alike,
            None => steps.push(next),
        }
    }
    Ok(WhyView { steps, more: held_up.len() > STEPS })
}

impl Explained {
    fn is_like(&self, other: &Explained) -> bool {
        let texts = |it: &Explained| it.reasons.iter().map(without_counters).collect::<Vec<_>>();
        self.facts.step.name == other.facts.step.name && texts(self) == texts(other)
    }
}

/// A reason without its counters, which are the number of the attempt and the time until the next.
fn without_counters(reason: &Reason) -> String {
    if matches!(reason.code, "due" | "queue") {
        return String::new();
    }
    let mut text = reason.text.clone();
    for before in ["(try ", "(start "] {
        if let Some(at) = text.find(before).map(|at| at + before.len()) {
            let digits = text[at..].chars().take_while(char::is_ascii_digit).count();
            text.replace_range(at..at + digits, "");
        }
    }
    text
}

fn explain(engine: &Engine, step: StepId) -> Result<Explained> {
    let facts = engine.store().read(|tx| read::why(tx, step))?;
    Ok(Explained { reasons: reasons_for(engine, &facts), facts, alike: 0 })
}

/// Steps, each with the number of others that failed in the same way.
type HeldUp = Vec<(StepId, i64)>;

fn of_subject(store: &Store, subject: Subject) -> Result<HeldUp> {
    match subject {
        Subject::Step(id) => Ok(vec![(id, 0)]),
        Subject::Run(id) => Ok(of_run(store, id)?.into_iter().map(|it| (it, 0)).collect()),
        Subject::Group(id) => of_group(store, id),
    }
}

fn of_run(store: &Store, id: RunId) -> Result<Vec<StepId>> {
    let details = store.read(|tx| read::show_run(tx, id))?;
    let failed: Vec<StepId> = details.steps.iter().filter(|it| it.status == Status::Failed).map(|it| it.id).collect();
    if !failed.is_empty() {
        return Ok(failed);
    }
    // Everything after the first unfinished step is only waiting for that step. A skipped step holds up nothing.
    let unfinished = details.steps.iter().find(|it| !matches!(it.status, Status::Completed | Status::Skipped));
    let skipped = || details.steps.iter().find(|it| it.status == Status::Skipped);
    Ok(unfinished.or_else(skipped).map(|it| it.id).into_iter().collect())
}

fn of_group(store: &Store, id: GroupId) -> Result<HeldUp> {
    let failures = store.read(|tx| {
        group::detail(tx, id)?;
        read::failure_kinds(tx, id, STEPS + 1)
    })?;
    if !failures.is_empty() {
        return Ok(failures.into_iter().map(|it| (it.step, it.runs - 1)).collect());
    }
    let mut found = Vec::new();
    for status in [Status::Running, Status::Waiting, Status::Error, Status::Pending, Status::Cancelled] {
        let filter = RunFilter { status: Some(status), after: None, limit: STEPS + 1 - found.len() };
        for run in store.read(|tx| read::runs(tx, id, &filter))? {
            found.extend(of_run(store, run.id)?.into_iter().map(|it| (it, 0)));
        }
        if found.len() > STEPS {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_differ_only_in_a_counter_are_equal() {
        let reason = |code, text: &str| without_counters(&Reason { code, text: text.to_string(), command: None });
        let table = [
            ("put_off", "it is deferred: no room (try 3 of 10)", "it is deferred: no room (try 10 of 10)", true),
            ("put_off", "worker `py` exited (start 1 of 5)", "worker `py` exited (start 2 of 5)", true),
            ("due", "it is due in 3 s", "it is due in 4 s", true),
            ("failed", "it failed: exit code 7", "it failed: exit code 8", false),
        ];
        for (code, one, other, equal) in table {
            assert_eq!(reason(code, one) == reason(code, other), equal, "{one} / {other}");
        }
    }
}
