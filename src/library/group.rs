//! What was submitted, and what became of it.

use super::{Engine, Error, Result, Workflow};
use crate::{
    engine::{self, Ending},
    model::{GroupId, Kind, RunId, Status},
    store::read::{self, RunFilter},
};
use serde_json::Value;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How many runs are read at once.
const PAGE: usize = 100;

/// One submission: a run for each of its items.
#[derive(Debug, Clone)]
pub struct Group {
    pub(super) engine: Engine,
    pub(super) id: GroupId,
}

/// How a group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupEnd {
    /// `Completed`, `Failed` or `Cancelled`: the worst that became of a run.
    pub status: Status,
    /// Runs that failed.
    pub failed: u64,
    /// Runs that were cancelled.
    pub cancelled: u64,
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// Its number; `r12` in the output of the command.
    pub id: RunId,
    /// Where it stands.
    pub status: Status,
    /// The item as it was submitted.
    pub item: String,
    /// What its last step produced; `None` while it is open, and where it produced nothing.
    pub output: Option<Value>,
    /// Why it failed, or why its newest attempt did.
    pub reason: Option<String>,
}

impl Group {
    /// Its number; `g12` in the output of the command.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// How it ended; `None` while it is open.
    ///
    /// # Errors
    ///
    /// It was pruned, or the database can't be read. So for the other functions here.
    pub fn end(&self) -> Result<Option<GroupEnd>> {
        Ok(self.engine.inner.group_end(self.id)?.map(GroupEnd::of))
    }

    /// Waits until it has ended, whichever process works on it; `None` when the time is over first.
    ///
    /// A program that works on it itself calls [`Worker::wait_for`](super::Worker::wait_for), which also returns when the
    /// worker has to give up.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Option<GroupEnd>> {
        self.wait_while(timeout, || false)
    }

    pub(super) fn wait_while(
        &self,
        timeout: Option<Duration>,
        give_up: impl FnMut() -> bool,
    ) -> Result<Option<GroupEnd>> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        match self.engine.inner.wait_for_group(self.id, deadline, give_up)? {
            Ending::Ended(end) => Ok(Some(GroupEnd::of(end))),
            Ending::TimedOut => Ok(None),
            Ending::GaveUp => Err(Error::new(Kind::Failed, "gave up waiting")),
        }
    }

    /// Its runs in the order of the items, read page by page as the iterator goes on.
    pub fn runs(&self) -> Runs {
        Runs { group: self.clone(), after: None, page: VecDeque::new(), all: false }
    }

    /// Cancels it: waiting steps immediately, running ones are asked to stop. False: it had ended.
    pub fn cancel(&self) -> Result<bool> {
        Ok(self.engine.inner.cancel_group(self.id)?)
    }

    /// Starts none of its steps until [`resume`](Group::resume); running ones finish. False: it was paused, or had ended.
    pub fn pause(&self) -> Result<bool> {
        Ok(self.engine.inner.pause_group(self.id)?)
    }

    /// Ends a pause. False: it was not paused.
    pub fn resume(&self) -> Result<bool> {
        Ok(self.engine.inner.resume_group(self.id)?)
    }

    /// Runs the steps that failed or were cancelled once more, in the same runs. False: there were none.
    pub fn retry(&self) -> Result<bool> {
        Ok(self.engine.inner.retry_group(self.id)?)
    }
}

impl Group {
    /// Runs what failed or was cancelled once more, under a repaired workflow from now on. False: there was nothing.
    ///
    /// # Errors
    ///
    /// The names, needs or types of its steps are not those of the workflow before, or it is wrong.
    pub fn retry_with(&self, workflow: &Workflow) -> Result<bool> {
        let definition = Some(workflow.parse(&self.engine.inner)?);
        Ok(self.engine.inner.retry_group_as(self.id, &engine::Retry { definition, from: None })?)
    }

    /// Runs all of its runs again from the step of this name, with everything behind it; what earlier steps produced is kept. False: it
    /// has no runs.
    ///
    /// # Errors
    ///
    /// It has not ended, or has no such step.
    pub fn retry_from(&self, step: &str) -> Result<bool> {
        let how = engine::Retry { definition: None, from: Some(step.to_string()) };
        Ok(self.engine.inner.retry_group_as(self.id, &how)?)
    }
}

impl GroupEnd {
    fn of(end: crate::engine::GroupEnd) -> GroupEnd {
        GroupEnd { status: end.status, failed: end.failed as u64, cancelled: end.cancelled as u64 }
    }
}

/// The runs of a group, in the order of its items. Made by [`Group::runs`].
#[derive(Debug)]
pub struct Runs {
    group: Group,
    after: Option<RunId>,
    page: VecDeque<Run>,
    all: bool,
}

impl Runs {
    fn read(&mut self) -> Result<()> {
        let (group, filter) = (self.group.id, RunFilter { status: None, after: self.after, limit: PAGE });
        let page = self.group.engine.inner.store().read(|tx| {
            let rows = read::runs(tx, group, &filter)?;
            rows.into_iter().map(|row| read::show_run(tx, row.id)).collect::<crate::store::Result<Vec<_>>>()
        })?;
        self.all = page.len() < PAGE;
        self.after = page.last().map(|details| details.run.id).or(self.after);
        self.page = page
            .into_iter()
            .map(|details| Run {
                id: details.run.id,
                status: details.run.status,
                item: details.run.item,
                output: details.output,
                reason: details.run.reason,
            })
            .collect();
        Ok(())
    }
}

impl Iterator for Runs {
    type Item = Result<Run>;

    fn next(&mut self) -> Option<Result<Run>> {
        if self.page.is_empty()
            && !self.all
            && let Err(error) = self.read()
        {
            self.all = true;
            return Some(Err(error));
        }
        self.page.pop_front().map(Ok)
    }
}
