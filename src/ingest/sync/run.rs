//! One sync from its beginning to its end, for a command, a daemon or a program.

use super::{
    options::SyncOptions,
    plan::{SyncPlan, plan},
    report::{SyncReport, finish, settle},
    submit::{prune, submit, try_server, unfinished},
};
use crate::{
    engine::{self, Engine, LockWait, Submitted},
    ingest::{error, removal},
    model::{GroupId, Holder, Millis, Status},
};

/// How long a removal waits for the lock of the vector database.
const REMOVAL_WAIT: Millis = Millis::minutes(10);

/// The caller of a sync: works on the groups, and hears how far the sync is.
pub trait Driver {
    type Error: From<error::Error> + From<engine::Error>;

    /// Who holds the lock of the vector database while documents are removed.
    fn holder(&self) -> Holder;

    /// Whether groups are worked on here. Otherwise a sync that has submitted one leaves it to others.
    fn works(&self) -> bool {
        true
    }

    /// Works on a group until it has ended.
    fn work(&mut self, group: GroupId) -> Result<Status, Self::Error>;

    fn hear(&mut self, event: Event<'_>) -> Result<(), Self::Error>;
}

/// The progress of a sync.
#[derive(Debug)]
pub enum Event<'a> {
    /// A group that an earlier sync left is worked on first.
    Resumed(GroupId),
    Planned(&'a SyncPlan),
    Submitted {
        submitted: Submitted,
        runs: usize,
    },
    /// So many documents are removed, because their files are gone.
    Removing(usize),
    /// Searches no longer find them; they leave the vector database when its lock is free.
    RemovalWaits,
}

/// The result of a sync.
#[derive(Debug)]
pub enum Synced {
    /// Others work on the group, as the driver does not.
    Submitted(GroupId),
    Ended(Box<Ended>),
}

#[derive(Debug)]
pub struct Ended {
    pub plan: SyncPlan,
    /// None: there was nothing to submit.
    pub group: Option<GroupId>,
    pub status: Status,
    /// Documents.
    pub removed: usize,
    pub report: SyncReport,
}

/// Syncs: finishes the work of an earlier sync, then does the difference, and removes missing documents if the options say so.
///
/// Interrupted anywhere, the next sync continues from what is on disk.
pub fn run<D: Driver>(engine: &Engine, options: &SyncOptions, driver: &mut D) -> Result<Synced, D::Error> {
    removal::finish(engine, driver.holder(), LockWait::No)?;
    if driver.works() {
        finish_unfinished(engine, options, driver)?;
    }
    let plan = plan(engine, options)?;
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
    let group = submitted.map(|it| it.group);
    let removed = remove(engine, &plan, driver)?;
    let report = finish(engine, &options.database, group.as_slice())?;
    Ok(Synced::Ended(Box::new(Ended { plan, group, status, removed, report })))
}

/// Groups that an earlier sync left come first: their documents count as being at work.
fn finish_unfinished<D: Driver>(engine: &Engine, options: &SyncOptions, driver: &mut D) -> Result<(), D::Error> {
    let groups = unfinished(engine, &options.database)?;
    for &group in &groups {
        try_server(engine, group)?;
        driver.hear(Event::Resumed(group))?;
        engine.adopt(group)?;
        driver.work(group)?;
    }
    if !groups.is_empty() {
        settle(engine, &options.database)?;
    }
    Ok(())
}

fn remove<D: Driver>(engine: &Engine, plan: &SyncPlan, driver: &mut D) -> Result<usize, D::Error> {
    if plan.prune && !plan.removed.is_empty() {
        driver.hear(Event::Removing(plan.removed.len()))?;
    }
    // Documents that were deleted while a database was locked.
    removal::finish(engine, driver.holder(), LockWait::No)?;
    let (removed, all) = prune(engine, plan, driver.holder(), LockWait::AtMost(REMOVAL_WAIT))?;
    if !all {
        driver.hear(Event::RemovalWaits)?;
    }
    Ok(removed)
}
