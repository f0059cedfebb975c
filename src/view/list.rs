//! Lists of groups, runs and steps, a page at a time; `next` is the start of the next page.

use super::{
    error::{Error, Result},
    wording::wait_of,
    words,
    worker::{WorkerView, workers},
};
use crate::{
    model::{GroupId, RunId, Status, StepId, WaitKind},
    store::{
        Store, group,
        read::{self, GroupFilter, GroupRow, RunFilter, RunRow, StepRow, WaitingFilter, WaitingStep},
    },
};
use serde::Serialize;

/// A group with its status and progress.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ListedGroup {
    #[serde(flatten)]
    pub row: GroupRow,
    /// Its status and progress, for people.
    pub words: String,
    /// What it waits for, for people; null while it runs and after it has ended.
    pub waits: Option<String>,
}

impl ListedGroup {
    pub fn new(row: GroupRow, workers: &[WorkerView]) -> ListedGroup {
        ListedGroup { words: words::of_group(&row, workers), waits: words::waits(&row, workers), row }
    }
}

/// Groups, newest first.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct GroupList {
    pub groups: Vec<ListedGroup>,
    /// For `before`; null on the last page.
    pub next: Option<GroupId>,
}

/// Runs of a group, in the order of submission.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RunList {
    pub group: GroupId,
    pub runs: Vec<RunRow>,
    /// For `after`; null on the last page.
    pub next: Option<RunId>,
}

/// A step with its run.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ListedStep {
    #[serde(flatten)]
    pub step: StepRow,
    pub run: RunId,
    pub item: String,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct StepList {
    pub steps: Vec<ListedStep>,
    /// A run, for `after`; null on the last page.
    pub next: Option<RunId>,
}

/// Steps that wait without a worker, by id.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct WaitingList {
    pub waiting: Vec<WaitingStep>,
    /// For `after`; null on the last page.
    pub next: Option<StepId>,
}

pub fn waiting(store: &Store, filter: &WaitingFilter) -> Result<WaitingList> {
    let waiting = store.read(|tx| read::waiting(tx, filter))?;
    let next = waiting.last().filter(|_| waiting.len() == filter.limit).map(|it| it.wait.step);
    Ok(WaitingList { waiting, next })
}

/// That steps of a group wait for an approval, with the command that answers the first. None: none does.
pub fn question(store: &Store, group: GroupId) -> Result<Option<String>> {
    let filter =
        WaitingFilter { kind: Some(WaitKind::Approval), group: Some(group), limit: 2, ..WaitingFilter::default() };
    let found = store.read(|tx| read::waiting(tx, &filter))?;
    let more = if found.len() > 1 { ", and more steps wait (`windlass list waiting`)" } else { "" };
    Ok(found.first().map(|WaitingStep { wait, .. }| {
        let step = wait.step;
        format!("{step} waits for {}: `windlass approve {step}`{more}", wait_of(wait))
    }))
}

/// Which steps to list: of a run, or of a group behind the run `after`.
#[derive(Debug, Clone, Default)]
pub struct StepFilter {
    pub status: Option<Status>,
    pub step_type: Option<String>,
    pub after: Option<RunId>,
    pub limit: usize,
}

/// How many runs to read at a time.
const RUNS: usize = 200;

pub fn groups(store: &Store, filter: &GroupFilter) -> Result<GroupList> {
    let groups = store.read(|tx| read::groups(tx, filter))?;
    let next = groups.last().filter(|_| groups.len() == filter.limit).map(|it| it.id);
    let workers = workers(store)?.workers;
    let groups = groups.into_iter().map(|it| ListedGroup::new(it, &workers)).collect();
    Ok(GroupList { groups, next })
}

/// The requested group, or the one that was submitted last.
pub fn group_or_newest(store: &Store, requested: Option<GroupId>) -> Result<GroupId> {
    if let Some(group) = requested {
        return Ok(group);
    }
    let newest = store.read(|tx| read::groups(tx, &GroupFilter { limit: 1, ..GroupFilter::default() }))?;
    newest.first().map(|it| it.id).ok_or(Error::NoGroup)
}

pub fn runs(store: &Store, group: GroupId, filter: &RunFilter) -> Result<RunList> {
    let runs = store.read(|tx| {
        group::detail(tx, group)?;
        read::runs(tx, group, filter)
    })?;
    let next = runs.last().filter(|_| runs.len() == filter.limit).map(|it| it.id);
    Ok(RunList { group, runs, next })
}

/// The requested steps, run by run. A page ends between two runs, so that the next one can begin after a run.
pub fn steps(store: &Store, group: GroupId, wanted: &StepFilter) -> Result<StepList> {
    store.read(|tx| group::detail(tx, group))?;
    let mut filter = RunFilter { status: None, after: wanted.after, limit: RUNS };
    let mut found: Vec<ListedStep> = Vec::new();
    let mut last = None;
    loop {
        let runs = store.read(|tx| {
            let rare = match wanted.status {
                Some(status) => read::runs_with_steps(tx, group, status, filter.after, RUNS)?,
                None => None,
            };
            rare.map_or_else(|| read::runs(tx, group, &filter), Ok)
        })?;
        for run in &runs {
            let of_run = steps_of_run(store, run, wanted)?;
            if !found.is_empty() && found.len() + of_run.len() > wanted.limit {
                return Ok(StepList { steps: found, next: last });
            }
            found.extend(of_run);
            last = Some(run.id);
        }
        match runs.last().filter(|_| runs.len() == RUNS) {
            Some(last) => filter.after = Some(last.id),
            None => return Ok(StepList { steps: found, next: None }),
        }
    }
}

fn steps_of_run(store: &Store, run: &RunRow, wanted: &StepFilter) -> Result<Vec<ListedStep>> {
    let steps = store.read(|tx| read::show_run(tx, run.id))?.steps.into_iter();
    let steps = steps.filter(|it| wanted.wants(it));
    Ok(steps.map(|step| ListedStep { step, run: run.id, item: run.item.clone() }).collect())
}

impl StepFilter {
    pub fn wants(&self, step: &StepRow) -> bool {
        self.status.is_none_or(|it| it == step.status) && self.step_type.as_ref().is_none_or(|it| *it == step.step_type)
    }
}
