//! Continuing a group in its own worker.

use super::{Engine, error::Result};
use crate::{
    model::{GroupId, RunId, StepId},
    store::{group, hook},
};

const RUNS: usize = 100;

impl Engine {
    /// Makes the open steps of this group visible to a worker with its scope; safe to repeat.
    pub fn adopt(&self, group: GroupId) -> Result<()> {
        let mut after = RunId(0);
        while let Some(last) = self.store.write(move |tx| group::adopt_slice(tx, group, after, RUNS))? {
            after = last;
        }
        let mut after = StepId(0);
        while let Some(last) = self.store.write(move |tx| hook::adopt_slice(tx, group, after, RUNS))? {
            after = last;
        }
        Ok(())
    }
}
