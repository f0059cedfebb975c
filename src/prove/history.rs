//! Everything that is known of a drill, as values: what the processes said, what became of them, what the database holds.

use super::{log::Record, role::Role};
use crate::{
    failpoint::probe::Window,
    model::{Event, ExitStatus, GroupId},
    store::audit::{AttemptFact, GroupFact, HookFact, StepFact},
};

/// The end of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    pub process: u32,
    pub role: Role,
    pub how: ExitStatus,
    /// It lived at this time, and did nothing of its own any more after the moment that followed.
    pub at: i64,
    /// It was killed by us, or ended well after it was asked to.
    pub expected: bool,
    pub windows: Vec<Window>,
}

/// A process stood still from before `from` (at most a moment) until `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    pub process: u32,
    pub from: i64,
    pub until: i64,
}

/// What the checker judges. Times are nanoseconds of the monotonic clock.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub seed: u64,
    pub records: Vec<Record>,
    pub exits: Vec<Exit>,
    pub stops: Vec<Stop>,
    /// How often the disk was full for a while.
    pub fills: usize,
    pub groups: Vec<GroupFact>,
    /// Groups that were begun and neither sealed nor removed.
    pub unsealed: Vec<GroupId>,
    pub steps: Vec<StepFact>,
    pub attempts: Vec<AttemptFact>,
    pub hooks: Vec<HookFact>,
    /// In commit order.
    pub events: Vec<Event>,
    pub artifacts: usize,
    /// Artifacts that differ from their rows, for people.
    pub damaged: Vec<String>,
    /// What SQLite and the store itself find wrong.
    pub findings: Vec<String>,
    /// Temporary files that are left after a clean start.
    pub leftovers: Vec<String>,
    /// Processes that outlived their workers.
    pub orphans: Vec<String>,
    /// What was still open when patience ran out.
    pub undrained: Option<String>,
}
