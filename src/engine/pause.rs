//! Pauses and resumes a group or a step type.

use super::{Engine, error::Result};
use crate::{
    model::GroupId,
    store::{child_group, pause},
};

/// The most rows that one transaction writes.
const SLICE: usize = 500;

impl Engine {
    /// Pauses a group: none of its steps is claimed. False: it is already paused.
    pub fn pause_group(&self, id: GroupId) -> Result<bool> {
        let paused = self.store.write(move |tx| pause::group(tx, id))?;
        self.pause_below(id)?;
        Ok(paused)
    }

    /// Pauses or resumes the groups that steps of a group started, to match the group. After a crash, the next worker
    /// continues.
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

    /// Copies the pause state of its parent to a group.
    pub(super) fn inherit_pause(&self, id: GroupId) -> Result<()> {
        if self.store.write(move |tx| pause::inherit(tx, id))? {
            while self.store.write(move |tx| pause::resume_slice(tx, id, SLICE))? {}
            self.pause_below(id)?;
        }
        Ok(())
    }

    /// Pauses a group until something that it needs is available again. False: it is already paused or has ended.
    pub fn pause_group_for(&self, id: GroupId, reason: &str) -> Result<bool> {
        let reason = reason.to_string();
        let paused = self.store.write(move |tx| pause::group_for(tx, id, &reason))?;
        self.pause_below(id)?;
        Ok(paused)
    }

    /// Resumes a group. False: it was not paused.
    pub fn resume_group(&self, id: GroupId) -> Result<bool> {
        let resumed = self.store.write(move |tx| pause::resume_group(tx, id))?;
        while self.store.write(move |tx| pause::resume_slice(tx, id, SLICE))? {}
        self.pause_below(id)?;
        Ok(resumed)
    }

    /// Resumes a group whose server is available again. False: it was not waiting.
    pub fn go_on_with_group(&self, id: GroupId) -> Result<bool> {
        let resumed = self.store.write(move |tx| pause::go_on(tx, id))?;
        while self.store.write(move |tx| pause::resume_slice(tx, id, SLICE))? {}
        self.pause_below(id)?;
        Ok(resumed)
    }

    /// Pauses or resumes all steps of a type. False: nothing changed.
    pub fn pause_type(&self, name: &str, paused: bool) -> Result<bool> {
        let name = name.to_string();
        Ok(self.store.write(move |tx| pause::step_type(tx, &name, paused))?)
    }
}
