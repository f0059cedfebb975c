//! A complete sync, for a command, the daemon or a program.

use super::{
    options::SyncOptions,
    plan::{SyncPlan, plan_after},
    report::{SyncReport, ended_runs, of_group, settle},
    submit::{prune, submit, try_server, unfinished},
};
use crate::{
    engine::{self, Engine, LockWait, Submitted},
    ingest::{error, removal},
    model::{GroupId, Holder, Millis, Status},
};
use std::collections::HashSet;

/// How long a removal waits for the lock of the vector database.
const REMOVAL_WAIT: Millis = Millis::minutes(10);

/// The caller of a sync. It works on the groups and receives the progress.
pub trait Driver {
    type Error: From<error::Error> + From<engine::Error>;

    /// The holder of the vector database's lock while documents are removed.
    fn holder(&self) -> Holder;

    /// Whether this caller works on groups. If not, a sync ends after submitting a group, which others work on.
    fn works(&self) -> bool {
        true
    }

    /// How long a removal waits for the lock of the vector database. Documents not removed by then are no longer found,
    /// and a worker removes them when the lock is free.
    fn removal_wait(&self) -> LockWait {
        LockWait::AtMost(REMOVAL_WAIT)
    }

    /// Works on a group until it has ended.
    fn work(&mut self, group: GroupId) -> Result<Status, Self::Error>;

    fn hear(&mut self, event: Event<'_>) -> Result<(), Self::Error>;
}

/// The progress of a sync.
#[derive(Debug)]
pub enum Event<'a> {
    /// A group left by an earlier sync is processed first.
    Resumed(GroupId),
    Planned(&'a SyncPlan),
    Submitted {
        submitted: Submitted,
        runs: usize,
    },
    /// This many documents are removed, because their files are gone.
    Removing(usize),
    /// Searches no longer find the documents. They are removed from the vector database when its lock is free.
    RemovalWaits,
}

/// The result of a sync.
#[derive(Debug)]
pub enum Synced {
    /// Others work on the group, because the driver does not.
    Submitted(GroupId),
    Ended(Box<Ended>),
}

#[derive(Debug)]
pub struct Ended {
    pub plan: SyncPlan,
    /// The groups that were processed: those of earlier syncs, and the submitted one.
    pub groups: Vec<GroupId>,
    /// The groups among these in which documents failed.
    pub retry: Vec<GroupId>,
    /// Also FAILED if only a document of an earlier sync failed.
    pub status: Status,
    /// The number of removed documents.
    pub removed: usize,
    pub report: SyncReport,
}

/// Syncs: finishes the work of an earlier sync, processes the difference, and removes missing documents if requested.
///
/// After an interruption, the next sync continues from what is on disk.
pub fn run<D: Driver>(engine: &Engine, options: &SyncOptions, driver: &mut D) -> Result<Synced, D::Error> {
    removal::finish(engine, driver.holder(), LockWait::No)?;
    let mut done = match driver.works() {
        true => finish_unfinished(engine, options, driver)?,
        false => Done::default(),
    };
    let plan = plan_after(engine, options, &done.documents())?;
    driver.hear(Event::Planned(&plan))?;
    let submitted = submit(engine, &plan)?;
    let mut status = Status::Completed;
    if let Some(submitted) = submitted {
        driver.hear(Event::Submitted { submitted, runs: plan.runs.len() })?;
        if !driver.works() {
            return Ok(Synced::Submitted(submitted.group));
        }
        engine.adopt(submitted.group)?;
        status = driver.work(submitted.group)?;
    }
    let removed = remove(engine, &plan, driver)?;
    settle(engine, &options.database)?;
    done.forget(&plan);
    if status == Status::Completed && done.0.iter().any(|it| it.1.failed > 0) {
        status = Status::Failed;
    }
    if let Some(submitted) = submitted {
        done.0.push((submitted.group, of_group(engine, submitted.group, &HashSet::new())?));
    }
    let (groups, retry) = (done.groups(|_| true), done.groups(|it| it.failed > 0));
    let mut report = SyncReport::default();
    done.0.into_iter().for_each(|it| report.append(it.1));
    Ok(Synced::Ended(Box::new(Ended { plan, groups, retry, status, removed, report })))
}

/// The results by group of the documents that this sync processed.
#[derive(Default)]
struct Done(Vec<(GroupId, SyncReport)>);

impl Done {
    fn documents(&self) -> HashSet<String> {
        self.0.iter().flat_map(|it| &it.1.documents).map(|it| it.uri.clone()).collect()
    }

    fn groups(&self, which: impl Fn(&SyncReport) -> bool) -> Vec<GroupId> {
        self.0.iter().filter(|it| which(&it.1)).map(|it| it.0).collect()
    }

    /// Leaves out the documents that the plan submits again, because their new run counts.
    fn forget(&mut self, plan: &SyncPlan) {
        let again: HashSet<&str> = plan.rows.iter().flatten().map(|it| it.uri.as_str()).collect();
        self.0.iter_mut().for_each(|it| it.1.forget(&again));
    }
}

/// Processes groups left by an earlier sync first, because their documents count as being ingested. Documents that had
/// already ended are not reported.
fn finish_unfinished<D: Driver>(engine: &Engine, options: &SyncOptions, driver: &mut D) -> Result<Done, D::Error> {
    let groups = unfinished(engine, &options.database)?;
    let mut before = Vec::new();
    for &group in &groups {
        try_server(engine, group)?;
        before.push(ended_runs(engine, group)?);
        driver.hear(Event::Resumed(group))?;
        engine.adopt(group)?;
        driver.work(group)?;
    }
    if !groups.is_empty() {
        settle(engine, &options.database)?;
    }
    let mut done = Done::default();
    for (group, before) in groups.into_iter().zip(before) {
        done.0.push((group, of_group(engine, group, &before)?));
    }
    Ok(done)
}

fn remove<D: Driver>(engine: &Engine, plan: &SyncPlan, driver: &mut D) -> Result<usize, D::Error> {
    if plan.prune && !plan.removed.is_empty() {
        driver.hear(Event::Removing(plan.removed.len()))?;
    }
    // Documents that were deleted while a database was locked.
    removal::finish(engine, driver.holder(), LockWait::No)?;
    let (removed, all) = prune(engine, plan, driver.holder(), driver.removal_wait())?;
    if !all {
        driver.hear(Event::RemovalWaits)?;
    }
    Ok(removed)
}
