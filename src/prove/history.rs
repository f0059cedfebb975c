//! Everything that is known about a drill, as values: what the processes logged, how they ended, and what the database
//! contains.

use super::{log::Record, role::Role};
use crate::{
    failpoint::probe::Window,
    model::{Event, ExitStatus, GroupId},
    store::audit::{AttemptFact, FiringFact, GroupFact, HookFact, StepFact},
};

/// The end of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    pub process: u32,
    pub role: Role,
    pub how: ExitStatus,
    /// When it was killed or its mine went off, otherwise when its end was noticed. It may have run a moment longer.
    pub at: i64,
    /// Whether we killed it, or it ended successfully on request.
    pub expected: bool,
    pub windows: Vec<Window>,
}

/// A process was stopped from just before `from` until `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    pub process: u32,
    pub from: i64,
    pub until: i64,
}

/// The input of the checker. Times are nanoseconds of the monotonic clock.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub seed: u64,
    pub records: Vec<Record>,
    pub exits: Vec<Exit>,
    pub stops: Vec<Stop>,
    /// How often the disk was filled for a while.
    pub fills: usize,
    pub groups: Vec<GroupFact>,
    /// Groups that were begun but neither sealed nor removed.
    pub unsealed: Vec<GroupId>,
    pub steps: Vec<StepFact>,
    pub attempts: Vec<AttemptFact>,
    pub hooks: Vec<HookFact>,
    pub firings: Vec<FiringFact>,
    /// In commit order.
    pub events: Vec<Event>,
    pub artifacts: usize,
    /// Artifacts that differ from their rows, for people.
    pub damaged: Vec<String>,
    /// Problems that SQLite and the store's own check found.
    pub findings: Vec<String>,
    /// Temporary files that remain after a clean start.
    pub leftovers: Vec<String>,
    /// Processes that outlived their workers.
    pub orphans: Vec<String>,
    /// Work that was still open when patience ran out.
    pub undrained: Option<String>,
}
