//! Retry: what FAILED or was CANCELLED is PENDING again.

use super::{Engine, error::Result};
use crate::{
    model::{GroupId, RunId, StepId},
    store::retry,
};

/// The maximum number of rows that one transaction writes.
const SLICE: usize = 500;

impl Engine {
    /// Re-opens a group that has ended. False: nothing in it failed or was cancelled.
    pub fn retry_group(&self, id: GroupId) -> Result<bool> {
        let reopened = self.store.write(move |tx| retry::group(tx, id))?;
        while self.store.write(move |tx| retry::group_slice(tx, id, SLICE))? {}
        Ok(reopened)
    }

    /// Re-opens one step and the steps that were cancelled with it. Returns how many are PENDING again.
    pub fn retry_step(&self, id: StepId) -> Result<usize> {
        Ok(self.store.write(move |tx| retry::step(tx, id))?)
    }

    /// Re-opens one run. Returns how many of its steps are PENDING again.
    pub fn retry_run(&self, id: RunId) -> Result<usize> {
        Ok(self.store.write(move |tx| retry::run(tx, id))?)
    }
}
