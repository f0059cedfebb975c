//! Cancel of any size: the flag at once, the rows in slices.

use super::{Engine, error::Result};
use crate::{
    model::{GroupId, RunId, StepId},
    store::cancel::{self, Cancelled},
};

/// The maximum number of rows that one transaction writes.
const SLICE: usize = 500;

impl Engine {
    /// Cancels a step and what needs it.
    pub fn cancel_step(&self, id: StepId) -> Result<Cancelled> {
        Ok(self.store.write(move |tx| cancel::step(tx, id))?)
    }

    pub fn cancel_run(&self, id: RunId) -> Result<Cancelled> {
        Ok(self.store.write(move |tx| cancel::run(tx, id))?)
    }

    /// Cancels a group; the next worker finishes what a crash between two slices leaves. False: it had ended, or was already
    /// being cancelled.
    pub fn cancel_group(&self, id: GroupId) -> Result<bool> {
        let new = self.store.write(move |tx| cancel::group(tx, id))?;
        let mut after = Some(RunId(0));
        while let Some(run) = after {
            after = self.store.write(move |tx| cancel::group_slice(tx, id, run, SLICE))?;
        }
        Ok(new)
    }
}
