//! Lets a worker continue a group that it owns.

use super::{Engine, error::Result};
use crate::{
    model::{GroupId, RunId},
    store::{child_group, group},
};

const RUNS: usize = 100;

impl Engine {
    /// Makes the open steps of this group visible to a worker with its scope. Safe to repeat.
    pub fn adopt(&self, group: GroupId) -> Result<()> {
        self.adopt_into(group, group)
    }

    /// The same, including its hooks and the groups that its steps started.
    fn adopt_into(&self, group: GroupId, scope: GroupId) -> Result<()> {
        let of_hooks = if group == scope { group.hooks() } else { scope };
        for (id, scope) in [(group, scope), (group.hooks(), of_hooks)] {
            let mut after = RunId(0);
            while let Some(last) = self.store.write(move |tx| group::adopt_slice(tx, id, scope, after, RUNS))? {
                after = last;
            }
        }
        let mut below = GroupId(0);
        loop {
            let groups = self.store.read(|tx| child_group::below(tx, group, below, RUNS))?;
            let Some(last) = groups.last() else { return Ok(()) };
            below = *last;
            for child in groups {
                if self.group_end(child)?.is_none() {
                    self.adopt_into(child, scope)?;
                }
            }
        }
    }
}
