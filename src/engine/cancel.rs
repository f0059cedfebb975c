//! Cancels work of any size: the flag immediately, the rows in slices.

use super::{Engine, error::Result};
use crate::{
    model::{GroupId, RunId, StepId},
    store::{
        cancel::{self, Cancelled},
        child_group, run, step,
    },
};

/// The most rows that one transaction writes.
const SLICE: usize = 500;

impl Engine {
    /// Cancels a step and its dependents.
    pub fn cancel_step(&self, id: StepId) -> Result<Cancelled> {
        let cancelled = self.store.write(move |tx| cancel::step(tx, id))?;
        self.cancel_below_of(self.store.read(|tx| step::owners(tx, id))?.map(|it| it.0))?;
        Ok(cancelled)
    }

    pub fn cancel_run(&self, id: RunId) -> Result<Cancelled> {
        let cancelled = self.store.write(move |tx| cancel::run(tx, id))?;
        self.cancel_below_of(self.store.read(|tx| run::group_of(tx, id))?)?;
        Ok(cancelled)
    }

    /// Cancels a group. After a crash between slices, the next worker continues. False: it had ended or was already
    /// being cancelled.
    pub fn cancel_group(&self, id: GroupId) -> Result<bool> {
        let new = self.store.write(move |tx| cancel::group(tx, id))?;
        self.cancel_slices(id)?;
        Ok(new)
    }

    /// Cancels the waiting steps of a group that is being cancelled, and of the groups below it.
    pub(super) fn cancel_slices(&self, id: GroupId) -> Result<()> {
        let mut after = Some(RunId(0));
        while let Some(run) = after {
            after = self.store.write(move |tx| cancel::group_slice(tx, id, run, SLICE))?;
        }
        self.cancel_below_of(Some(id))
    }

    /// Child groups are cancelled with their parent steps; this cancels their waiting steps.
    fn cancel_below_of(&self, id: Option<GroupId>) -> Result<()> {
        let Some(id) = id else { return Ok(()) };
        for child in self.store.read(|tx| child_group::cancelling(tx, id))? {
            self.cancel_slices(child)?;
        }
        Ok(())
    }
}
