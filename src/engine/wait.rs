//! Waits for groups to end.

use super::{Engine, error::Result};
use crate::{
    model::{GroupId, Status, Timestamp},
    store::group,
};
use std::time::{Duration, Instant};

/// How a group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupEnd {
    pub group: GroupId,
    pub status: Status,
    pub failed: i64,
    pub cancelled: i64,
    pub ended: Timestamp,
}

/// The result of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Ended(GroupEnd),
    TimedOut,
    /// `meanwhile` returned true.
    GaveUp,
}

const LOOK: Duration = Duration::from_millis(50);

impl Engine {
    /// How the group ended. None while it is open.
    pub fn group_end(&self, group: GroupId) -> Result<Option<GroupEnd>> {
        let end = self.store.read(|tx| group::end(tx, group))?;
        Ok(end.ended.map(|ended| GroupEnd {
            group,
            status: crate::decide::status::ended(end.failed > 0, end.cancelled > 0),
            failed: end.failed,
            cancelled: end.cancelled,
            ended,
        }))
    }

    /// Waits until a group has ended, in whatever process. `meanwhile` is called about 20 times a second; returning
    /// true gives up.
    pub fn wait_for_group(
        &self,
        group: GroupId,
        deadline: Option<Instant>,
        mut meanwhile: impl FnMut() -> bool,
    ) -> Result<Ending> {
        let watch = self.store.watch()?;
        let mut seen = None;
        loop {
            let version = watch.version()?;
            if seen != Some(version) {
                seen = Some(version);
                if let Some(end) = self.group_end(group)? {
                    return Ok(Ending::Ended(end));
                }
            }
            if meanwhile() {
                return Ok(Ending::GaveUp);
            }
            if deadline.is_some_and(|it| Instant::now() >= it) {
                return Ok(Ending::TimedOut);
            }
            std::thread::sleep(LOOK);
        }
    }
}
