//! Submitted groups and their results.

use super::{Error, Result, Workflow};
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

/// How many runs to read at a time.
const PAGE: usize = 100;

/// One submission: a group with a run for each of its items.
#[derive(Debug, Clone)]
pub struct Group {
    pub(super) engine: engine::Engine,
    pub(super) id: GroupId,
}

/// How a group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupEnd {
    /// `Completed`, `Failed` or `Cancelled`: the worst status of its runs.
    pub status: Status,
    /// How many runs failed.
    pub failed: u64,
    /// How many runs were cancelled.
    pub cancelled: u64,
}

/// The state of one item.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// Its number; `r12` in the output of the command.
    pub id: RunId,
    /// Its status.
    pub status: Status,
    /// The item as it was submitted.
    pub item: String,
    /// The value of its last step; `None` while the run is open, or if the step has no value.
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
    /// It was pruned, or the database can't be read. The same holds for the other functions here.
    pub fn end(&self) -> Result<Option<GroupEnd>> {
        Ok(self.engine.group_end(self.id)?.map(GroupEnd::of))
    }

    /// Waits until it has ended, whichever process works on it. Returns `None` after the timeout.
    ///
    /// A program with a worker of its own should call [`Worker::wait_for`](super::Worker::wait_for), which also returns
    /// when that worker has to give up.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Option<GroupEnd>> {
        self.wait_while(timeout, || false)
    }

    pub(super) fn wait_while(
        &self,
        timeout: Option<Duration>,
        give_up: impl FnMut() -> bool,
    ) -> Result<Option<GroupEnd>> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        match self.engine.wait_for_group(self.id, deadline, give_up)? {
            Ending::Ended(end) => Ok(Some(GroupEnd::of(end))),
            Ending::TimedOut => Ok(None),
            Ending::GaveUp => Err(Error::new(Kind::Failed, "gave up waiting")),
        }
    }

    /// Its runs in the order of the items. The iterator reads them page by page.
    pub fn runs(&self) -> Runs {
        Runs { group: self.clone(), after: None, page: VecDeque::new(), all: false }
    }

    /// Cancels it. Waiting steps are cancelled immediately; running ones are asked to stop. Returns false if it had
    /// already ended.
    pub fn cancel(&self) -> Result<bool> {
        Ok(self.engine.cancel_group(self.id)?)
    }

    /// Pauses it: running steps finish, and no step starts until [`resume`](Group::resume). Returns false if it was
    /// already paused or had ended.
    pub fn pause(&self) -> Result<bool> {
        Ok(self.engine.pause_group(self.id)?)
    }

    /// Ends a pause. Returns false if it was not paused.
    pub fn resume(&self) -> Result<bool> {
        Ok(self.engine.resume_group(self.id)?)
    }

    /// Retries the steps that failed or were cancelled, in the same runs. Returns false if there were none.
    pub fn retry(&self) -> Result<bool> {
        Ok(self.engine.retry_group(self.id)?)
    }
}

impl Group {
    /// Retries what failed or was cancelled, from now on with a corrected workflow. Returns false if there was nothing
    /// to retry.
    ///
    /// # Errors
    ///
    /// The workflow is invalid, or the names, needs or types of its steps differ from those of the previous one.
    pub fn retry_with(&self, workflow: &Workflow) -> Result<bool> {
        let definition = Some(workflow.parse(&self.engine)?);
        Ok(self.engine.retry_group_as(self.id, &engine::Retry { definition, from: None })?)
    }

    /// Repeats all of its runs from the step with this name on, including all later steps. Results of earlier steps are
    /// kept. Returns false if the group has no runs.
    ///
    /// # Errors
    ///
    /// The group has not ended, or has no such step.
    pub fn retry_from(&self, step: &str) -> Result<bool> {
        let how = engine::Retry { definition: None, from: Some(step.to_string()) };
        Ok(self.engine.retry_group_as(self.id, &how)?)
    }
}

impl GroupEnd {
    fn of(end: crate::engine::GroupEnd) -> GroupEnd {
        GroupEnd { status: end.status, failed: end.failed as u64, cancelled: end.cancelled as u64 }
    }
}

/// The runs of a group, in the order of its items. Created by [`Group::runs`].
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
        let page = self.group.engine.store().read(|tx| {
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
