//! Why steps do not run, or failed: of one step, or of those that hold a run or a group up.

use super::{
    error::Result,
    reason::{Reason, Seen, reasons},
};
use crate::{
    engine::Engine,
    model::{GroupId, ResourceKey, RunId, Status, StepId},
    store::{
        Store, group,
        overview::{self, RunFilter, Why},
    },
};
use serde::Serialize;

/// What is to be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Group(GroupId),
    Run(RunId),
    Step(StepId),
}

/// A step: what is known of it, and what follows from that, the weightiest first.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Explained {
    pub facts: Why,
    pub reasons: Vec<Reason>,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct WhyView {
    pub steps: Vec<Explained>,
    /// There are more steps like these.
    pub more: bool,
}

/// Steps that are told of at most.
const STEPS: usize = 5;

pub fn why(engine: &Engine, subject: Subject) -> Result<WhyView> {
    let held_up = of_subject(engine.store(), subject)?;
    let steps = held_up.iter().take(STEPS).map(|id| explain(engine, *id)).collect::<Result<_>>()?;
    Ok(WhyView { steps, more: held_up.len() > STEPS })
}

fn explain(engine: &Engine, step: StepId) -> Result<Explained> {
    let facts = engine.store().read(|tx| overview::why(tx, step))?;
    let locked = facts.key.as_ref().filter(|it| it.file_only);
    let file_holder = locked.map(|it| engine.file_holder(&ResourceKey(it.name.clone())));
    let seen = Seen { now: engine.store().now(), disk_low: !engine.disk().enough, file_holder };
    Ok(Explained { reasons: reasons(&facts, &seen), facts })
}

fn of_subject(store: &Store, subject: Subject) -> Result<Vec<StepId>> {
    match subject {
        Subject::Step(id) => Ok(vec![id]),
        Subject::Run(id) => of_run(store, id),
        Subject::Group(id) => of_group(store, id),
    }
}

fn of_run(store: &Store, id: RunId) -> Result<Vec<StepId>> {
    let details = store.read(|tx| overview::show_run(tx, id))?;
    let failed: Vec<StepId> = details.steps.iter().filter(|it| it.status == Status::Failed).map(|it| it.id).collect();
    if !failed.is_empty() {
        return Ok(failed);
    }
    // What comes after the first step that is not done only waits for it.
    Ok(details.steps.iter().find(|it| it.status != Status::Completed).map(|it| it.id).into_iter().collect())
}

fn of_group(store: &Store, id: GroupId) -> Result<Vec<StepId>> {
    let failures = store.read(|tx| {
        group::detail(tx, id)?;
        overview::failures(tx, id, None, STEPS + 1)
    })?;
    if !failures.is_empty() {
        return Ok(failures.into_iter().map(|it| it.step).collect());
    }
    let mut found = Vec::new();
    for status in [Status::Running, Status::Error, Status::Pending, Status::Cancelled] {
        let filter = RunFilter { status: Some(status), after: None, limit: STEPS + 1 - found.len() };
        for run in store.read(|tx| overview::runs(tx, id, &filter))? {
            found.extend(of_run(store, run.id)?);
        }
        if found.len() > STEPS {
            break;
        }
    }
    Ok(found)
}
