//! Pause and resume of a group or a step type.

use super::{Engine, error::Result};
use crate::{
    model::GroupId,
    store::{child_group, pause},
};

/// The maximum number of rows that one transaction writes.
const SLICE: usize = 500;

impl Engine {
    /// Nothing of the group is claimed from here on. False: it is paused already.
    pub fn pause_group(&self, id: GroupId) -> Result<bool> {
        let paused = self.store.write(move |tx| pause::group(tx, id))?;
        self.pause_below(id)?;
        Ok(paused)
    }

    /// Pauses or resumes the groups that steps of a group started, as the group itself is; the next worker finishes what a crash
    /// leaves.
    fn pause_below(&self, id: GroupId) -> Result<()> {
        let mut after = GroupId(0);
        loop {
            let groups = self.store.read(|tx| child_group::below(tx, id, after, SLICE))?;
            let Some(last) = groups.last() else { return Ok(()) };
            after = *last;
            for child in groups {
                self.inherit_pause(child)?;
            }
        }
    }

    /// Has a group take over the pause of its parent, or the end of that.
    pub(super) fn inherit_pause(&self, id: GroupId) -> Result<()> {
        if self.store.write(move |tx| pause::inherit(tx, id))? {
            while self.store.write(move |tx| pause::resume_slice(tx, id, SLICE))? {}
            self.pause_below(id)?;
        }
        Ok(())
    }

    /// Pauses it until the thing that it waits for is back. False: it is already paused, or has ended.
    pub fn pause_group_for(&self, id: GroupId, reason: &str) -> Result<bool> {
        let reason = reason.to_string();
        let paused = self.store.write(move |tx| pause::group_for(tx, id, &reason))?;
        self.pause_below(id)?;
        Ok(paused)
    }

    /// Resumes it. False: it was not paused.
    pub fn resume_group(&self, id: GroupId) -> Result<bool> {
        let resumed = self.store.write(move |tx| pause::resume_group(tx, id))?;
        while self.store.write(move |tx| pause::resume_slice(tx, id, SLICE))? {}
        self.pause_below(id)?;
        Ok(resumed)
    }

    /// Resumes a group whose awaited server is back. False: it does not wait.
    pub fn go_on_with_group(&self, id: GroupId) -> Result<bool> {
        let resumed = self.store.write(move |tx| pause::go_on(tx, id))?;
        while self.store.write(move |tx| pause::resume_slice(tx, id, SLICE))? {}
        self.pause_below(id)?;
        Ok(resumed)
    }

    /// Pauses or resumes every step of a type. False: it already is.
    pub fn pause_type(&self, name: &str, paused: bool) -> Result<bool> {
        let name = name.to_string();
        Ok(self.store.write(move |tx| pause::step_type(tx, &name, paused))?)
    }
}
