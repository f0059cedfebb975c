//! Going on with a group in a worker of its own.

use super::{Engine, error::Result};
use crate::{
    model::{GroupId, RunId},
    store::group,
};

const RUNS: usize = 100;

impl Engine {
    /// Lets a worker with the scope of this group find its open steps; safe to repeat.
    pub fn adopt(&self, group: GroupId) -> Result<()> {
        let mut after = RunId(0);
        while let Some(last) = self.store.write(move |tx| group::adopt_slice(tx, group, after, RUNS))? {
            after = last;
        }
        Ok(())
    }
}
